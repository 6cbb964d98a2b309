//! The verbs: what to do next, as a pure function of what is known.
//!
//! Rules are rows: ordered, numbered by hundreds with gaps, the first that matches wins. Each names its number, so
//! that every decision can be traced to one sentence. Algorithms (comparing candidates, judging histories) are code
//! beside the table.

mod action;
mod case;
mod directory;
mod divergence;
mod down;
mod durability;
mod election;
mod failsafe;
mod fence;
mod follower;
mod guard;
mod half_rewound;
mod heartbeat;
mod leader;
mod leaderless;
mod memory;
mod reason;
mod requested;
mod site;
mod slots;
mod tasks;
mod timing;
mod watchdog;

pub use action::{Action, Verdict};
pub use divergence::{Divergence, judge};
pub use durability::{Durability, KeyWrites, Mark};
pub use election::{Standing, switch_targets};
pub use failsafe::{give_word, prolonged};
pub use guard::{GuardOrder, guard_order};
pub use memory::{Backoff, Bootstrap, Compared, Handover, Memory, Race, Reconnecting};
pub use reason::Reason;
pub use slots::{SlotsMemory, feedback_needed, parting_status, published_status, slot_complaints};
pub use timing::{CONTROL_PATIENCE, fast_stop_budget, guard_margin, immediate_stop_budget, slot_name};
pub use watchdog::{WatchdogOrder, watchdog_order};

use crate::model::View;
use case::Case;

/// One row: its number, its situation, and the sentence as code.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its number; never given to another rule.
    pub number: u16,
    /// The situation that it belongs to.
    pub situation: &'static str,
    /// The sentence.
    pub sentence: &'static str,
    apply: fn(&mut Case<'_>) -> Option<(Action, Reason)>,
}

/// Every rule in the order in which they are tried.
pub fn rules() -> impl Iterator<Item = Rule> {
    [
        fence::RULES,
        failsafe::RULES,
        heartbeat::RULES,
        requested::SHUTDOWN_RULES,
        tasks::RULES,
        directory::RULES_BEFORE,
        half_rewound::RULES,
        directory::RULES,
        requested::RULES,
        down::RULES,
        site::RULES,
        leader::RULES_BEFORE,
        durability::RULES,
        leader::RULES,
        leaderless::RULES,
        follower::RULES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// What to do next, given all that is known. `memory` holds what was decided before and cannot be seen in the world.
pub fn decide(view: &View, memory: &mut Memory) -> Verdict {
    memory.absorb(view);
    let mut case = Case::new(view, memory);
    for rule in rules() {
        if let Some((action, reason)) = (rule.apply)(&mut case) {
            return Verdict { action, rule: rule.number, situation: rule.situation, reason };
        }
    }
    let until = timing::next_wakeup(view, memory);
    Verdict { action: Action::Wait { until }, rule: 999, situation: "idle", reason: Reason::NothingToDo }
}
