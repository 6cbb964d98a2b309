//! What will be done to a cluster, and when, as the dice of a seed fall. It knows no cluster: who leads when a fault is
//! due is found out then.

use std::time::Duration;

use fastrand::Rng;

/// A way to hurt a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of the postmaster alone.
    KillServer,
    /// SIGKILL of the daemon; it is started again later.
    KillDaemon,
    /// SIGKILL of every process of the node at once; its daemon is started again later.
    KillNode,
    /// SIGSTOP of the daemon, SIGCONT later.
    FreezeDaemon,
    /// SIGSTOP of every process of the node, SIGCONT later.
    FreezeNode,
    /// Nothing passes between the node and the store; later all that was sent meanwhile arrives.
    CutFromStore,
    /// The same between the node and everybody, but for the clients beside it.
    CutFromAll,
    /// SIGKILL of the store; it is started again later.
    KillStore,
    /// SIGSTOP of the store, SIGCONT later.
    FreezeStore,
    /// An operator asks the leader to hand over.
    Switchover,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::KillServer,
        Self::KillDaemon,
        Self::KillNode,
        Self::FreezeDaemon,
        Self::FreezeNode,
        Self::CutFromStore,
        Self::CutFromAll,
        Self::KillStore,
        Self::FreezeStore,
        Self::Switchover,
    ];

    /// Its name in tables and stories.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillServer => "kill server",
            Self::KillDaemon => "kill daemon",
            Self::KillNode => "kill node",
            Self::FreezeDaemon => "freeze daemon",
            Self::FreezeNode => "freeze node",
            Self::CutFromStore => "cut from store",
            Self::CutFromAll => "cut from all",
            Self::KillStore => "kill store",
            Self::FreezeStore => "freeze store",
            Self::Switchover => "switchover",
        }
    }

    /// Whether it befalls the store and not a node.
    pub fn is_of_the_store(self) -> bool {
        matches!(self, Self::KillStore | Self::FreezeStore)
    }
}

/// Whom a fault is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads when it is due.
    Leader,
    /// One of the others: this many places after the leader.
    Standby(usize),
}

/// A fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When, from the round's start.
    pub at: Duration,
    /// How long it lasts, where it lasts.
    pub length: Duration,
    /// What.
    pub fault: Fault,
    /// To whom.
    pub target: Target,
}

/// Between two faults: some meet a cluster that is whole again, some one that is not.
const PAUSE_MS: (u64, u64) = (1_500, 9_000);
/// How long a fault lasts: some are shorter than the lock's life, some longer.
const LENGTH_MS: (u64, u64) = (500, 14_000);

/// Draws a round. Kinds come from shuffled decks, so that a few rounds have had every kind.
pub fn plan(seed: u64, round: usize, faults: usize) -> Vec<Planned> {
    let mut dice = dice(seed, 1, round);
    let mut at = Duration::ZERO;
    (0..faults)
        .map(|index| {
            at += Duration::from_millis(dice.u64(PAUSE_MS.0..PAUSE_MS.1));
            let target = if dice.u8(0..10) < 7 { Target::Leader } else { Target::Standby(dice.usize(1..3)) };
            Planned {
                at,
                length: Duration::from_millis(dice.u64(LENGTH_MS.0..LENGTH_MS.1)),
                fault: kind(seed, round * faults + index),
                target,
            }
        })
        .collect()
}

fn kind(seed: u64, place: usize) -> Fault {
    let mut deck = Fault::ALL;
    dice(seed, 2, place / deck.len()).shuffle(&mut deck);
    deck[place % deck.len()]
}

/// Independent dice for each use: what one use draws moves no other.
fn dice(seed: u64, usage: u64, number: usize) -> Rng {
    let mut first = Rng::with_seed(seed);
    let mut second = Rng::with_seed(first.u64(..) ^ usage.rotate_left(32) ^ number as u64);
    Rng::with_seed(second.u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_round_again_and_every_kind_comes() {
        assert_eq!(plan(7, 2, 5), plan(7, 2, 5));
        assert_ne!(plan(7, 2, 5), plan(8, 2, 5));
        assert_ne!(plan(7, 2, 5), plan(7, 3, 5));
        let mut kinds: Vec<Fault> = (0..2).flat_map(|round| plan(7, round, 5)).map(|planned| planned.fault).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, Fault::ALL);
    }

    #[test]
    fn faults_come_in_order_and_within_bounds() {
        for seed in 0..50 {
            let round = plan(seed, 0, 6);
            assert!(round.is_sorted_by_key(|planned| planned.at), "{round:?}");
            for planned in round {
                let length = u64::try_from(planned.length.as_millis()).expect("it is short");
                assert!((LENGTH_MS.0..LENGTH_MS.1).contains(&length), "{planned:?}");
            }
        }
    }
}
