//! How long before a lease ends what must have begun, and when to look again if nothing happens.

use super::Memory;
use crate::model::{ErrandKind, Moment, Task, View};
use std::time::Duration;

/// Before the lease's end, a primary that cannot renew it is told to stop fast: a fifteenth of the ttl, one to five
/// seconds. Ending sessions and writing the last checkpoint takes well under a second unless the disk is slow; then the
/// stop becomes immediate, which costs a recovery and no write. Every second given here is a second in which clients
/// are turned away whenever the store is away for longer than the lease.
pub fn fast_stop_budget(ttl: Duration) -> Duration {
    (ttl / 15).clamp(Duration::from_secs(1), Duration::from_secs(5))
}

/// Before the lease's end, a stop that did not end is made immediate: half of the budget above.
pub fn immediate_stop_budget(ttl: Duration) -> Duration {
    fast_stop_budget(ttl) / 2
}

/// Before the lease's end, the guard kills: a fortieth of the ttl, 100 to 500 ms. Killing takes milliseconds; the
/// margin covers a guard that is scheduled late.
pub fn guard_margin(ttl: Duration) -> Duration {
    (ttl / 40).clamp(Duration::from_millis(100), Duration::from_millis(500))
}

/// How long after the server's end its control file should have been read: a program that takes milliseconds.
pub const CONTROL_PATIENCE: Duration = Duration::from_millis(500);

/// The name of a member's slot: lower case, `-` and `.` to `_`, others to `uNNNN`, cut at 63 (SLOT-02, SLOT-03).
pub fn slot_name(member: &str) -> String {
    let mut name = String::with_capacity(member.len());
    for character in member.to_lowercase().chars() {
        match character {
            'a'..='z' | '0'..='9' | '_' => name.push(character),
            '-' | '.' => name.push('_'),
            other => name.push_str(&format!("u{:04}", u32::from(other))),
        }
    }
    name.truncate(63);
    name
}

/// When to look again if no event comes first.
pub(super) fn next_wakeup(view: &View, memory: &Memory) -> Moment {
    let settings = &view.settings;
    let mut soonest = view.now + settings.loop_wait;
    let mut consider = |moment: Moment| {
        if moment > view.now {
            soonest = soonest.or_sooner(moment);
        }
    };
    if let Some((_, at)) = &view.store.snapshot {
        consider(*at + settings.loop_wait);
    }
    if let Some(lease) = &view.lease {
        consider(lease.renewed_at + settings.loop_wait);
        consider(lease.deadline - fast_stop_budget(settings.ttl));
        consider(lease.deadline - immediate_stop_budget(settings.ttl));
        consider(lease.deadline);
    }
    if let Some(at) = view.store.member_written_at {
        consider(at + settings.loop_wait);
    }
    if let Some(at) = view.store.retry_at {
        consider(at);
    }
    if let Some(since) = view.store.failing_since {
        consider(since + settings.retry_timeout);
    }
    let scheduled = view.cluster().and_then(|cluster| cluster.failover.as_ref()?.scheduled_at);
    if let Some(at) = scheduled.filter(|at| *at > view.wall) {
        consider(view.now + at.since(view.wall));
    }
    consider(view.started_at + settings.retry_timeout);
    consider(memory.task_not_before);
    consider(memory.durability.set_at + settings.loop_wait);
    if let Some(mark) = &memory.durability.mark {
        consider(mark.since + settings.loop_wait);
    }
    if let Some(since) = memory.durability.leaving_since {
        consider(since + settings.loop_wait * 2);
    }
    if let Some(backoff) = &memory.backoff {
        consider(backoff.since + settings.primary_race_backoff);
        consider(backoff.since + settings.loop_wait);
        consider(backoff.moved_at + settings.loop_wait);
    }
    if let Some(until) = memory.barred_until {
        consider(until);
    }
    if let Some(race) = &memory.race {
        consider(race.again_at);
    }
    if let Some(handover) = &memory.handover {
        consider(handover.probe_again_at);
    }
    if let Some(ended) = view.server.ended_at.filter(|_| view.server.control_after_end().is_none()) {
        consider(ended + CONTROL_PATIENCE);
    }
    for kind in [
        ErrandKind::SyncSlots,
        ErrandKind::ApplyConfiguration,
        ErrandKind::SetStandbyNames,
        ErrandKind::ReadHistory,
        ErrandKind::WakeReceiver,
        ErrandKind::ReadControl,
    ] {
        if let Some(failed) = view.errand_failures.get(&kind) {
            consider(*failed + settings.loop_wait);
        }
    }
    if let (Some(running), Some(limit)) = (&view.running, settings.primary_stop_timeout) {
        consider(running.since + limit);
        consider(running.since + limit * 2);
    }
    if let (Some(running), Some(limit)) = (&view.running, memory.start_limit(view))
        && matches!(running.task, Task::Start(_) | Task::Restart(_))
    {
        consider(running.since + limit);
    }
    soonest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_names_are_what_the_peer_makes_of_them() {
        let check = |member: &str, expected: &str| assert_eq!(slot_name(member), expected);
        check("postgres-0", "postgres_0");
        check("A.b", "a_b");
        check("a b", "au0032b");
        assert_eq!(slot_name(&"x".repeat(80)).len(), 63);
    }

    #[test]
    fn the_three_budgets_leave_room_for_each_other() {
        for seconds in [5, 10, 20, 30, 300] {
            let ttl = Duration::from_secs(seconds);
            assert!(fast_stop_budget(ttl) > immediate_stop_budget(ttl));
            assert!(immediate_stop_budget(ttl) > guard_margin(ttl));
        }
    }
}
