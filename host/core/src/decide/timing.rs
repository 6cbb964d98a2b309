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
    let of_all = store_moments(view).chain(remembered_moments(view, memory)).chain(task_moments(view, memory));
    let soonest = of_all.filter(|moment| *moment > view.now).min();
    (view.now + view.settings.loop_wait).or_sooner(soonest.unwrap_or(Moment(u64::MAX)))
}

/// What is due at the store, and the end of the lease.
fn store_moments(view: &View) -> impl Iterator<Item = Moment> {
    let (store, settings) = (&view.store, &view.settings);
    let read = store.snapshot.as_ref().map(|(_, at)| *at + settings.loop_wait);
    let written = store.member_written_at.map(|at| at + settings.loop_wait);
    let silent = store.failing_since.map(|since| since + settings.retry_timeout);
    let scheduled = view.cluster().and_then(|cluster| cluster.failover.as_ref()?.scheduled_at);
    let scheduled = scheduled.filter(|at| *at > view.wall).map(|at| view.now + at.since(view.wall));
    let lease = view.lease.map(|lease| {
        let stop = lease.deadline - fast_stop_budget(settings.ttl);
        let immediate = lease.deadline - immediate_stop_budget(settings.ttl);
        let kill = lease.deadline - guard_margin(settings.ttl);
        [lease.renewed_at + settings.loop_wait, stop, immediate, kill, lease.deadline]
    });
    let started = view.started_at + settings.retry_timeout;
    [read, written, store.retry_at, silent, Some(started), scheduled]
        .into_iter()
        .flatten()
        .chain(lease.into_iter().flatten())
}

/// What was decided to wait for.
fn remembered_moments(view: &View, memory: &Memory) -> impl Iterator<Item = Moment> {
    let settings = &view.settings;
    let mark = memory.durability.mark.as_ref().map(|mark| mark.since + settings.loop_wait);
    let leaving = memory.durability.leaving_since.map(|since| since + settings.loop_wait * 2);
    let backoff = memory.backoff.map(|backoff| {
        let grown = backoff.moved_at + settings.loop_wait;
        [backoff.since + settings.primary_race_backoff, backoff.since + settings.loop_wait, grown]
    });
    let race = memory.race.as_ref().map(|race| race.again_at);
    let handover = memory.handover.as_ref().map(|handover| handover.probe_again_at);
    let set = memory.durability.set_at + settings.loop_wait;
    let failsafe = super::failsafe::next_round(view, memory.failsafe_asked_at);
    let forgotten = view.started_at + settings.ttl;
    let counted_on = memory.counted_on_since.map(|since| since + settings.loop_wait * 2);
    let waits = [mark, leaving, memory.barred_until, race, handover, failsafe, counted_on];
    [memory.task_not_before, set, forgotten]
        .into_iter()
        .chain(waits.into_iter().flatten())
        .chain(backoff.into_iter().flatten())
        .chain(super::failsafe::bound_moments(view, memory))
}

/// When long work has taken too long, and when failed errands are run again.
fn task_moments(view: &View, memory: &Memory) -> impl Iterator<Item = Moment> {
    const REPEATED: [ErrandKind; 6] = [
        ErrandKind::SyncSlots,
        ErrandKind::ApplyConfiguration,
        ErrandKind::SetStandbyNames,
        ErrandKind::ReadHistory,
        ErrandKind::WakeReceiver,
        ErrandKind::ReadControl,
    ];
    let settings = &view.settings;
    let failed = REPEATED.into_iter().filter_map(|kind| view.errand_failures.get(&kind));
    let unread = view.server.ended_at.filter(|_| view.server.control_after_end().is_none());
    let since = view.running.as_ref().map(|running| running.since);
    let stop = settings.primary_stop_timeout.and_then(|limit| Some([since? + limit, since? + limit * 2]));
    let budgets = since.map(|since| [since + guard_margin(settings.ttl), since + fast_stop_budget(settings.ttl)]);
    let budgets = budgets.into_iter().flatten();
    let starting = view.running.as_ref().filter(|it| matches!(it.task, Task::Start(_) | Task::Restart(_)));
    let start = memory.start_limit(view).and_then(|limit| Some(starting?.since + limit));
    let again = failed.map(|failed| *failed + settings.loop_wait);
    again
        .chain(unread.map(|ended| ended + CONTROL_PATIENCE))
        .chain(stop.into_iter().flatten())
        .chain(budgets)
        .chain(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SLOT-02, SLOT-03
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
