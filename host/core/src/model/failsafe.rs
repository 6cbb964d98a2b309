//! Failsafe mode (HA-49): the members' word in place of the store's while the store is away.

use super::Moment;
use std::collections::BTreeMap;

/// What is known of failsafe mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailsafeView {
    /// Our lock was last prolonged by the members' word, with questions sent at that moment; `None`: by the store.
    pub kept_at: Option<Moment>,
    /// Our word to a leader that may go on.
    pub promise: Option<Promise>,
}

/// This member said that a leader may go on, and does not race for its lock until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Who goes on.
    pub leader: String,
    /// When that was said.
    pub given_at: Moment,
    /// Until when.
    pub until: Moment,
}

/// A round of questions whether this leader may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailsafeRound {
    /// The moment just before the first question was sent.
    pub begun_at: Moment,
    /// Whom it asked: names and API addresses.
    pub asked: BTreeMap<String, String>,
    /// Who did not say yes.
    pub missing: Vec<String>,
}
