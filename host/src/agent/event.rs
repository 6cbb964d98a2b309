//! The closed set of things that can happen to the loop. Nothing else wakes it but the time it set itself.

use super::handle::Request;
use crate::act::{ErrandOutcome, StoreAnswer};
use crate::observe::server::ServerEvent;
use regent_core::model::{Errand, Moment, StoreCall, TaskOutcome, WatchdogView};

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A call to the store ended.
    Store {
        /// Which.
        call: StoreCall,
        /// When it was sent.
        sent_at: Moment,
        /// What the store said.
        answer: StoreAnswer,
    },
    /// The store says that something changed, or a write of ours outside the loop did.
    StoreChanged,
    /// The local server did something, or was read.
    Server(ServerEvent),
    /// Long work ended.
    TaskEnded {
        /// Its number.
        number: u64,
        /// What came of it.
        outcome: TaskOutcome,
    },
    /// An errand ended.
    ErrandEnded {
        /// Which.
        errand: Errand,
        /// When it was begun.
        begun_at: Moment,
        /// What came of it.
        outcome: ErrandOutcome,
    },
    /// The watchdog did what it was told, or could not.
    Watchdog {
        /// The order's number.
        number: u64,
        /// What became of it.
        view: WatchdogView,
    },
    /// Somebody asks for something.
    Request(Request),
}
