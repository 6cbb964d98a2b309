//! Situation 2xx, heartbeat: what is owed to the store and to operators' scripts, whatever else goes on.

use super::case::{Case, Decision};
use super::{Bootstrap, Reason, Rule};
use crate::model::{Errand, ErrandKind, LeaseView, Observed, StoreCall, Task, TaskOutcome};

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 210,
        situation: "heartbeat",
        sentence: "The lock is renewed when loop_wait has passed since it was, and once the server is seen to be a primary \
                   after its promotion, for that tells how far the new leader's log goes.",
        apply: renew,
    },
    Rule {
        number: 220,
        situation: "heartbeat",
        sentence: "The store is read when something changed in it or loop_wait has passed since it was read.",
        apply: load,
    },
    Rule {
        number: 230,
        situation: "heartbeat",
        sentence: "A lock that carries our name but that this daemon does not hold yet is taken over.",
        apply: take_over_own_lock,
    },
    Rule {
        number: 240,
        situation: "heartbeat",
        sentence: "The member key is written when it should say something else or loop_wait has passed.",
        apply: touch_member,
    },
    Rule {
        number: 250,
        situation: "heartbeat",
        sentence: "Operators' scripts hear of what happened, in order.",
        apply: callback,
    },
];

fn renew(case: &mut Case<'_>) -> Decision {
    let lease = case.view.lease.filter(|_| case.holds_lease())?;
    if case.view.now < lease.renewed_at + case.view.settings.loop_wait && !has_news_of_a_promotion(case, lease) {
        return None;
    }
    // What only the members' word kept may be gone from the store, and is still nobody else's. And a lock that is taken
    // anew is not the one that an unanswered request would give back.
    let anew = case.view.failsafe.kept_at.is_some() || case.memory.release_sent.is_some();
    let call = if anew { StoreCall::Acquire } else { StoreCall::Renew };
    case.call(call, Reason::RenewalDue)
}

/// What the store says of the log's end is the former leader's. Were this member lost before it says its own, nobody
/// might be near enough to that to lead.
fn has_news_of_a_promotion(case: &Case<'_>, lease: LeaseView) -> bool {
    let Observed::Seen { value, at } = &case.view.server.monitoring else { return false };
    let promoted = case.view.finished.as_ref().filter(|finished| {
        finished.task == Task::Promote && finished.outcome == TaskOutcome::Done && finished.at > lease.renewed_at
    });
    value.is_primary && promoted.is_some_and(|finished| *at >= finished.at)
}

fn load(case: &mut Case<'_>) -> Decision {
    let due = match &case.view.store.snapshot {
        None => true,
        Some((_, at)) => case.view.store.changed || case.view.now >= *at + case.view.settings.loop_wait,
    };
    if !due { None } else { case.call(StoreCall::Load, Reason::ReadingDue) }
}

fn take_over_own_lock(case: &mut Case<'_>) -> Decision {
    let barred = case.view.store.lock_refused || super::failsafe::is_bound(case);
    if case.view.lease.is_some() || barred || case.memory.release_wanted {
        return None;
    }
    let ours = case.fresh_cluster()?.leader_name() == Some(case.me());
    if !ours || case.view.requests.shutdown {
        return None;
    }
    case.call(StoreCall::Acquire, Reason::OwnLockFound)
}

fn touch_member(case: &mut Case<'_>) -> Decision {
    case.view.store.snapshot.as_ref()?;
    let due = match case.view.store.member_written_at {
        None => true,
        Some(at) => case.view.store.member_differs || case.view.now >= at + case.view.settings.loop_wait,
    };
    if !due { None } else { case.call(StoreCall::TouchMember, Reason::MemberKeyDue) }
}

fn callback(case: &mut Case<'_>) -> Decision {
    if case.view.errands.contains(&ErrandKind::Callback) || case.memory.bootstrap != Bootstrap::Idle {
        return None;
    }
    let (event, role) = case.memory.callbacks.pop_front()?;
    Some((super::Action::Run(Errand::Callback(event, role)), Reason::ScriptsToTell { event, role }))
}
