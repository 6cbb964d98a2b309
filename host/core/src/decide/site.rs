//! Situation 80x, standby site: this cluster follows another one (SB-01). Its leader has the lock and is a standby.
//!
//! Everybody's history is compared with the remote side's, for that is the one that all of them replay in the end.

use super::case::{Case, Decision};
use super::leader::leads;
use super::{Action, Divergence, Reason, Rule};
use crate::model::{Source, StopMode, StoreCall, Task};
use std::time::Duration;

/// So long after its history was compared with the remote side's, that of a standby which still does not stream is
/// compared again.
const COMPARE_AGAIN: Duration = Duration::from_secs(10);

/// So often a standby is told to connect again before histories are compared.
const PATIENT_TRIES: u32 = 2;

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 803,
        situation: "standby site",
        sentence: "A primary whose cluster is to follow another takes its history key back, is stopped, and comes back as a \
                   standby; the lock is kept.",
        apply: demote,
    },
    Rule {
        number: 805,
        situation: "standby site",
        sentence: "A standby leader that left the remote side's history is stopped, so that it can be rewound.",
        apply: stop_diverged,
    },
    Rule {
        number: 806,
        situation: "standby site",
        sentence: "The leader of a standby cluster follows the remote side.",
        apply: follow,
    },
    Rule {
        number: 807,
        situation: "standby site",
        sentence: "In a standby cluster a standby that does not stream has its history compared with the remote side's.",
        apply: compare,
    },
    Rule {
        number: 808,
        situation: "standby site",
        sentence: "A standby leader that receives nothing from the remote side is told to connect again.",
        apply: reconnect,
    },
];

/// This member leads a standby cluster, and its server is up as that needs.
pub(super) fn leads_site(case: &Case<'_>) -> bool {
    case.is_standby_site() && leads(case) && case.view.server.is_standby()
}

/// The member has the lock and its server is what the lock is for: a primary, or the standby of a standby cluster.
pub(super) fn is_in_office(case: &Case<'_>) -> bool {
    leads_site(case) || (leads(case) && case.view.server.is_primary())
}

fn demote(case: &mut Case<'_>) -> Decision {
    let unlocked = case.fresh_cluster().is_some_and(|cluster| cluster.leader.is_none());
    if !case.is_standby_site() || !case.view.server.is_primary() || !case.task_is_idle() || case.paused() {
        return None;
    }
    if !case.holds_lease() && !unlocked {
        return None;
    }
    // It tells of a history that the cluster is about to leave. With it, nobody might be fit to lead after a promotion.
    if case.holds_lease() && case.fresh_cluster().is_some_and(|cluster| !cluster.history.rows.is_empty()) {
        return case.call_or_wait(StoreCall::WriteHistory { rows: Vec::new() }, Reason::ClusterDemoted);
    }
    case.memory.comes_back = true;
    Some((Action::Begin(Task::Stop { mode: StopMode::Fast, checkpoint_first: true }), Reason::ClusterDemoted))
}

fn stop_diverged(case: &mut Case<'_>) -> Decision {
    let source = case.remote()?;
    let diverged = case.memory.divergence == Divergence::Diverged && super::follower::can_be_mended(case);
    if !leads_site(case) || !diverged || case.paused() {
        return None;
    }
    case.memory.comes_back = true;
    let stop = Task::Stop { mode: StopMode::Fast, checkpoint_first: false };
    Some((Action::Begin(stop), Reason::Diverged { leader: source.name }))
}

fn compare(case: &mut Case<'_>) -> Decision {
    let source = case.remote()?;
    let led = case.holds_lease() || case.fresh_cluster().is_some_and(|cluster| cluster.leader.is_some());
    let judged = matches!(case.memory.divergence, Divergence::Diverged | Divergence::RewindFailed);
    let useful = !judged && super::follower::can_be_mended(case);
    if !led || !case.task_is_idle() || !case.view.server.is_standby() || !useful || case.paused() {
        return None;
    }
    // One that was just started or lost its stream a moment ago finds it by itself.
    let lost = case.memory.reconnecting.is_some_and(|reconnecting| reconnecting.tries >= PATIENT_TRIES);
    if !lost || case.view.server.monitoring.value()?.streaming_from.is_some() {
        return None;
    }
    let now = case.view.now;
    let lately = case
        .memory
        .compared
        .as_ref()
        .is_some_and(|compared| compared.leader == source.name && now.since(compared.at) < COMPARE_AGAIN);
    if lately {
        return None;
    }
    begin_comparison(case, source)
}

fn reconnect(case: &mut Case<'_>) -> Decision {
    if leads_site(case) { super::follower::reconnect(case) } else { None }
}

/// Has the local history compared with the remote side's.
pub(super) fn begin_comparison(case: &mut Case<'_>, source: Source) -> Decision {
    let name = source.name.clone();
    let decision = case.begin(Task::CompareHistories(source), Reason::HistoriesToCompare { leader: name.clone() });
    if decision.is_some() {
        case.memory.note_comparison(case.view, &name);
    }
    decision
}

fn follow(case: &mut Case<'_>) -> Decision {
    if !leads_site(case) {
        return None;
    }
    let source = case.source();
    if case.memory.followed.as_ref() == Some(&source) {
        return None;
    }
    let name = source.as_ref().map(|source| source.name.clone());
    case.begin(Task::Follow(source), Reason::FollowingChanged { source: name })
}
