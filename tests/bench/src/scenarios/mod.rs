//! What is done to a cluster: one file for each kind.

mod crash;
mod daemon;
mod death;
pub mod flood;
mod health;
mod idle;
pub mod methods;
mod outage;
pub mod startup;
pub mod stores;
mod switchover;

use crate::bed::Bed;
use crate::results::Results;
use anyhow::Result;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Startup,
    Idle,
    Health,
    Flood,
    Methods,
    Stores,
    Switchover,
    Crash,
    Handover,
    Death,
    Killed,
    Frozen,
    Outage,
    Hang,
}

/// All of them, in the order of the table.
const ALL: [Scenario; 14] = [
    Scenario::Startup,
    Scenario::Idle,
    Scenario::Health,
    Scenario::Flood,
    Scenario::Methods,
    Scenario::Stores,
    Scenario::Switchover,
    Scenario::Crash,
    Scenario::Handover,
    Scenario::Death,
    Scenario::Killed,
    Scenario::Frozen,
    Scenario::Outage,
    Scenario::Hang,
];

/// Their names, for `--only`.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|scenario| scenario.name()).collect()
}

impl Scenario {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Idle => "idle",
            Self::Health => "health",
            Self::Flood => "flood",
            Self::Methods => "methods",
            Self::Stores => "stores",
            Self::Switchover => "switchover",
            Self::Crash => "crash",
            Self::Handover => "handover",
            Self::Death => "death",
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Outage => "outage",
            Self::Hang => "hang",
        }
    }

    /// Plays it on a running cluster, which is whole again afterwards or will be by itself.
    ///
    /// # Errors
    /// When something does not happen.
    pub async fn run(self, bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
        // They take half a minute or more each, and show yes or no rather than a distribution.
        let few = rounds.div_ceil(2);
        match self {
            Self::Startup | Self::Idle => idle::run(bed, results).await,
            Self::Health => health::run(bed, rounds, results).await,
            // On nodes of their own, which the plan starts.
            Self::Flood | Self::Methods | Self::Stores => Ok(()),
            Self::Switchover => switchover::run(bed, rounds, results).await,
            Self::Crash => crash::in_place(bed, rounds, results).await,
            Self::Handover => crash::handed_over(bed, rounds, results).await,
            Self::Death => death::run(bed, rounds, results).await,
            Self::Killed => daemon::killed(bed, few, results).await,
            Self::Frozen => daemon::frozen(bed, few, results).await,
            Self::Outage => outage::run(bed, few, outage::Kind::Killed, results).await,
            Self::Hang => outage::run(bed, few, outage::Kind::Frozen, results).await,
        }
    }
}
