//! What the lease guard is told: whom to kill, and when, unless it hears otherwise.

use super::{Bootstrap, Memory, guard_margin};
use crate::model::{FenceMode, Moment, Postmaster, Task, View};
use std::time::Duration;

/// So long after it was last seen a member is taken to be able to come back.
const AWAY_AT_MOST: Duration = Duration::from_hours(24);

/// The order in force for the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardOrder {
    /// Kill this server at that moment.
    Kill(Postmaster, Moment),
    /// Kill nobody.
    StandDown,
    /// Whatever it was told last stays: nothing is known that would change it.
    Keep,
}

/// What the guard should be told now.
///
/// It is armed while this member has the lock and a server that takes writes or is about to. It is kept as it was
/// while a restarted daemon has not heard from the store yet. It stands down in maintenance, during a bootstrap,
/// after a hand-over, and while no other member was ever seen that could be promoted.
pub fn guard_order(view: &View, memory: &Memory) -> GuardOrder {
    if view.settings.guard == FenceMode::Off || view.settings.paused {
        return GuardOrder::StandDown;
    }
    let Some(postmaster) = view.server.postmaster else {
        return GuardOrder::StandDown;
    };
    let promoting = matches!(&view.running, Some(running) if running.task == Task::Promote);
    if !view.server.may_take_writes() && !promoting {
        return GuardOrder::StandDown;
    }
    if memory.bootstrap != Bootstrap::Idle {
        return GuardOrder::StandDown;
    }
    let Some(lease) = view.lease else {
        return GuardOrder::Keep;
    };
    let Some(cluster) = view.cluster() else {
        return GuardOrder::Keep;
    };
    let others = cluster.members.iter().any(|member| member.name != view.me() && !member.tags.nofailover());
    // Who is away may come back, and lead, while this daemon hangs.
    let heir = others || memory.heir_seen.is_some_and(|seen| view.now.since(seen) < AWAY_AT_MOST);
    if !heir {
        return GuardOrder::StandDown;
    }
    GuardOrder::Kill(postmaster, lease.deadline - guard_margin(view.settings.ttl))
}
