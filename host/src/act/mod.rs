//! Performs one action each: idempotent, cancellable by being dropped, under a deadline. It leaves no decision open:
//! an `if` about the cluster does not belong here.

mod creation;
mod deeds;
mod errands;
mod site;
pub mod store;

pub use deeds::{Deeds, StopControl};

use regent_core::model::{ControlData, HistoryRow, Observed, ProbeRound};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What the store said to a call: one of a closed set.
#[derive(Clone, Debug)]
pub enum StoreAnswer {
    /// It was read.
    Loaded(Arc<crate::dcs::Snapshot>),
    /// It was done.
    Done,
    /// The lock is ours.
    Held(crate::dcs::Lease),
    /// A definite no.
    Refused(String),
    /// It surely was not done.
    Unreachable(String),
    /// It was perhaps done.
    Unknown(String),
}

/// What an errand brought back.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Nothing but that it is done.
    Nothing,
    /// Answers of members.
    Probes(ProbeRound),
    /// The server's configuration changed, and it was told.
    Reloaded,
    /// Logical slots that cannot be moved, for the log that they need is gone.
    BrokenSlots(Vec<String>),
    /// Rows of the local history.
    History(Vec<HistoryRow>),
    /// Whether this leader may go on.
    Failsafe(regent_core::model::FailsafeRound),
    /// The control file.
    Control(Observed<ControlData>),
}

/// How an errand ended: what it brought back, or why it failed.
pub type ErrandOutcome = Result<Finding, String>;

/// An errand under way.
pub type ErrandWork = Pin<Box<dyn Future<Output = ErrandOutcome> + Send>>;

/// Long work under way.
pub type TaskWork = Pin<Box<dyn Future<Output = regent_core::model::TaskOutcome> + Send>>;
