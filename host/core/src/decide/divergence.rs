//! Whether the local log left the leader's history: timelines and positions compared (REW-01).

use crate::model::{LeaderHistory, LocalEnd};

/// What is known of the relation between the local log and the leader's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Divergence {
    /// Nothing; nothing asks for it either.
    #[default]
    Unknown,
    /// It has to be found out before the server follows anybody.
    MustCheck,
    /// The local log is part of the leader's history.
    None,
    /// It left it: without a rewind the server cannot follow.
    Diverged,
    /// A rewind was tried and failed.
    RewindFailed,
}

/// Compares the end of the local log with the leader's history.
///
/// A server that was a primary and was shut down cleanly ends with a checkpoint record that starts at `local.lsn`: it
/// is part of the leader's history if the leader left that timeline behind the record's start, because then the
/// leader has read the whole record. A server in recovery ends with what it replayed, and may stand exactly where
/// the leader switched.
pub fn judge(local: &LocalEnd, leader: &LeaderHistory) -> Divergence {
    if local.timeline > leader.timeline {
        return Divergence::Diverged;
    }
    if local.timeline == leader.timeline {
        return Divergence::None;
    }
    let left = leader.switches.iter().find(|(timeline, _)| *timeline == local.timeline).map(|(_, lsn)| *lsn);
    match left {
        None => Divergence::Diverged,
        Some(switch) if local.in_recovery && local.lsn > switch => Divergence::Diverged,
        Some(switch) if !local.in_recovery && local.lsn >= switch => Divergence::Diverged,
        Some(_) => Divergence::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lsn, Timeline};

    fn check(local: (u32, u64, bool), leader: (u32, &[(u32, u64)]), expected: Divergence) {
        let local = LocalEnd { timeline: Timeline(local.0), lsn: Lsn(local.1), in_recovery: local.2 };
        let switches = leader.1.iter().map(|(timeline, lsn)| (Timeline(*timeline), Lsn(*lsn))).collect();
        let leader = LeaderHistory { timeline: Timeline(leader.0), switches };
        assert_eq!(judge(&local, &leader), expected, "{local:?} against {leader:?}");
    }

    #[test]
    fn timelines_and_positions_decide() {
        check((1, 100, true), (1, &[]), Divergence::None);
        check((2, 100, true), (1, &[]), Divergence::Diverged);
        check((1, 100, true), (2, &[(1, 100)]), Divergence::None);
        check((1, 101, true), (2, &[(1, 100)]), Divergence::Diverged);
        check((1, 100, false), (2, &[(1, 120)]), Divergence::None);
        check((1, 100, false), (2, &[(1, 100)]), Divergence::Diverged);
        check((2, 100, true), (4, &[(1, 50), (3, 200)]), Divergence::Diverged);
    }
}
