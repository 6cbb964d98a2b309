//! The closed set of things to do next, and the verdict that carries one.

use super::Reason;
use crate::model::{Errand, Moment, StopMode, StoreCall, Task};

/// One thing to do next. It leaves the performer no choice.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing, until the next event or this moment.
    Wait {
        /// The moment.
        until: Moment,
    },
    /// Call the store; no call is going on.
    Store(StoreCall),
    /// Begin long work; none is going on.
    Begin(Task),
    /// Give up what is going on at once and begin this.
    Preempt(Task),
    /// The stop that is going on must try harder.
    Escalate(StopMode),
    /// Tell the long work that is going on to end.
    CancelTask,
    /// Run an errand; none of its kind is going on.
    Run(Errand),
    /// The daemon ends.
    Exit {
        /// 0 after an orderly stop; 1 where a person must look.
        code: u8,
    },
}

/// What to do, by which rule, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// The rule that said so.
    pub rule: u16,
    /// The situation that the rule belongs to.
    pub situation: &'static str,
    /// Why.
    pub reason: Reason,
}
