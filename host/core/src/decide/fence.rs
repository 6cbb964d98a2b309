//! Situation 1xx, fence: a server that may take writes without the lock is stopped, before anything else is looked at.

use super::Action;
use super::case::{Case, Decision};
use super::{Bootstrap, Reason, Rule, fast_stop_budget, guard_margin, immediate_stop_budget};
use crate::model::{StopMode, Task};
use std::time::Duration;

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 110,
        situation: "fence",
        sentence: "A primary whose lock the store gave to another, or refused to renew, is stopped at once.",
        apply: lock_lost,
    },
    Rule {
        number: 120,
        situation: "fence",
        sentence: "A primary whose lock ran out unrenewed is stopped at once.",
        apply: lock_ran_out,
    },
    Rule {
        number: 130,
        situation: "fence",
        sentence: "A primary whose lock ends soon and was not renewed is stopped early enough to be down by then.",
        apply: lock_ends_soon,
    },
    Rule {
        number: 140,
        situation: "fence",
        sentence: "A stop that has not ended shortly before the lock's end, or was for the lock's sake and takes too long, is made immediate.",
        apply: stop_is_late,
    },
    Rule {
        number: 145,
        situation: "fence",
        sentence: "A stop that has not ended when the guard would kill, or as long after the lock was lost, kills.",
        apply: stop_must_end,
    },
    Rule {
        number: 150,
        situation: "fence",
        sentence: "A promotion whose lock is gone is given up and the server stopped.",
        apply: promotion_without_lock,
    },
    Rule {
        number: 160,
        situation: "fence",
        sentence: "A primary found running, whose lock can not be confirmed because the store does not answer for \
                   retry_timeout, is stopped.",
        apply: lock_unconfirmed,
    },
];

fn exposed(case: &Case<'_>) -> bool {
    !case.paused()
        && case.view.server.may_take_writes()
        && case.memory.bootstrap == Bootstrap::Idle
        && !stopping(case)
        && !matches!(&case.view.running, Some(running) if running.task == Task::Bootstrap)
}

fn stopping(case: &Case<'_>) -> bool {
    matches!(&case.view.running, Some(running) if matches!(running.task, Task::Stop { .. } | Task::Wipe))
}

fn stop(mode: StopMode, reason: Reason) -> Decision {
    Some((Action::Preempt(Task::Stop { mode, checkpoint_first: false }), reason))
}

fn lock_lost(case: &mut Case<'_>) -> Decision {
    if !exposed(case) || case.holds_lease() {
        return None;
    }
    if let Some(leader) = case.other_leader() {
        let leader = leader.to_owned();
        return stop(StopMode::Immediate, Reason::LockHeldByOther { leader });
    }
    case.view.store.lock_refused.then(|| stop(StopMode::Immediate, Reason::RenewalRefused)).flatten()
}

fn lock_ran_out(case: &mut Case<'_>) -> Decision {
    if !exposed(case) || case.holds_lease() || !case.view.store.lease_ran_out {
        return None;
    }
    stop(StopMode::Immediate, Reason::LockRanOut)
}

fn lock_ends_soon(case: &mut Case<'_>) -> Decision {
    let lease = case.view.lease.filter(|_| exposed(case))?;
    if case.view.now < lease.deadline - fast_stop_budget(case.view.settings.ttl) {
        return None;
    }
    stop(StopMode::Fast, Reason::LockEndsSoon { left: lease.deadline.since(case.view.now) })
}

fn stop_is_late(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref().filter(|running| matches!(running.task, Task::Stop { .. }))?;
    let mode = running.escalated?;
    let (now, ttl) = (case.view.now, case.view.settings.ttl);
    // A stop for the lock's sake is not waited for longer because the lock was renewed meanwhile: nobody writes.
    let fenced = matches!(running.task, Task::Stop { checkpoint_first: false, .. });
    let slow = fenced && now >= running.since + fast_stop_budget(ttl);
    let left = match case.view.lease {
        Some(lease) => lease.deadline.since(now),
        None if case.view.store.lease_ran_out => Duration::ZERO,
        None => ttl,
    };
    let late = slow || left <= immediate_stop_budget(ttl);
    let exposed = !case.paused() && case.view.server.may_take_writes();
    if !exposed || !late || mode >= StopMode::Immediate {
        return None;
    }
    Some((Action::Escalate(StopMode::Immediate), Reason::StopIsLate { left }))
}

/// An immediate stop waits for every session to notice, for up to five seconds: longer than the lock may have left.
fn stop_must_end(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref().filter(|running| matches!(running.task, Task::Stop { .. }))?;
    let margin = guard_margin(case.view.settings.ttl);
    let lost = case.view.store.lease_ran_out || case.view.store.lock_refused || case.other_leader().is_some();
    let due = match case.view.lease {
        Some(lease) => case.view.now + margin >= lease.deadline,
        None => lost && case.view.now >= running.since + margin,
    };
    let exposed = !case.paused() && case.view.server.may_take_writes() && !case.view.stop_is_past_sessions();
    if !due || !exposed || running.escalated? >= StopMode::Kill {
        return None;
    }
    Some((Action::Escalate(StopMode::Kill), Reason::StopMustEnd))
}

fn promotion_without_lock(case: &mut Case<'_>) -> Decision {
    let promoting = matches!(&case.view.running, Some(running) if running.task == Task::Promote);
    if !promoting || case.holds_lease() || case.paused() {
        return None;
    }
    stop(StopMode::Immediate, Reason::LockRanOut)
}

fn lock_unconfirmed(case: &mut Case<'_>) -> Decision {
    if !exposed(case) || case.view.lease.is_some() {
        return None;
    }
    let patience = case.view.settings.retry_timeout;
    let since = match case.view.store.failing_since {
        Some(since) => since,
        None if case.view.store.snapshot.is_none() => case.view.started_at,
        None => return None,
    };
    if case.view.now.since(since) < patience {
        return None;
    }
    stop(StopMode::Fast, Reason::StoreSilent { since })
}
