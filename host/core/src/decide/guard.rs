//! What the lease guard is told: whom to kill, and when, unless it hears otherwise.

use super::{Bootstrap, Memory, guard_margin, slot_name};
use crate::model::{ClusterView, FenceMode, Moment, Postmaster, Task, Timeline, View};
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

/// Somebody else was there before this daemon: there is a member that may not lead beside those that may, a slot or a
/// key names one, or the timeline is not the first.
fn has_traces(view: &View, cluster: &ClusterView) -> bool {
    let me = view.me();
    let status = &cluster.status;
    let own = slot_name(me);
    let slots = status.slots.keys().chain(&status.retain_slots).any(|slot| *slot != own);
    let named = cluster.failsafe.iter().flat_map(|key| key.keys()).any(|name| name != me);
    let synchronous = cluster.sync.members().any(|name| !name.eq_ignore_ascii_case(me));
    let later = cluster.timeline().max(view.own_timeline().unwrap_or_default()) > Timeline(1);
    later || slots || named || synchronous || cluster.members.iter().any(|member| member.name != me)
}

/// What the guard should be told now.
///
/// It is armed while this member has the lock and a server that takes writes or is about to. It is kept as it was
/// while a restarted daemon has not heard from the store yet. It stands down in maintenance, during a bootstrap,
/// after a hand-over, and while there is no sign of any other member that could be promoted.
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
    let lately = |at: Moment| view.now.since(at) < AWAY_AT_MOST;
    // Its promotion begins a later timeline, which is a trace as soon as the server can tell of it.
    let traces = promoting || has_traces(view, cluster);
    let heir = others || memory.heir_seen.is_some_and(lately) || (lately(view.started_at) && traces);
    if !heir {
        return GuardOrder::StandDown;
    }
    GuardOrder::Kill(postmaster, lease.deadline - guard_margin(view.settings.ttl))
}
