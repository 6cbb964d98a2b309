//! Situation 51x, half rewound: pg_rewind began to write and did not come to its end. What lies there is a mixture of two
//! histories under a control file that looks clean, and PostgreSQL itself can not tell. Only the same rewind again, to
//! its end, or a data directory that is made anew heals it; until then no server runs on it.

use super::case::{Case, Decision};
use super::{Action, Divergence, Reason, Rule};
use crate::model::{ControlState, DataDirectory, MemberView, RewindMark, Role, Source, StopMode, StoreCall, Task};

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 511,
        situation: "half rewound",
        sentence: "Who has a data directory that pg_rewind left half way gives the lock back.",
        apply: release,
    },
    Rule {
        number: 512,
        situation: "half rewound",
        sentence: "A server that somebody started on such a data directory is stopped, except in maintenance.",
        apply: stop,
    },
    Rule {
        number: 513,
        situation: "half rewound",
        sentence: "The same rewind is begun again where the same leader still leads on the same timeline and the machine \
                   was not booted since.",
        apply: rewind_again,
    },
    Rule {
        number: 514,
        situation: "half rewound",
        sentence: "What no rewind can mend any more is made anew where a setting says so.",
        apply: wipe,
    },
    Rule {
        number: 515,
        situation: "half rewound",
        sentence: "Otherwise it waits, for that leader or for an operator's reinit: no server is started on it, not in \
                   maintenance either.",
        apply: wait,
    },
];

/// The mark, unless an operator asked for the data directory to be made anew, which other rules do.
fn mark(case: &Case<'_>) -> Option<RewindMark> {
    match &case.view.server.data_directory {
        DataDirectory::HalfRewound(mark) => Some(mark.clone()),
        _ => None,
    }
}

fn asked_anew(case: &Case<'_>) -> bool {
    case.view.requests.reinitialize.is_some()
}

/// What the mark asks for, as a reason.
fn reason(case: &Case<'_>, mark: &RewindMark) -> Reason {
    let source = mark.source.clone();
    if is_hopeless(case, mark) { Reason::HalfRewoundForGood { source } } else { Reason::HalfRewound { source } }
}

fn release(case: &mut Case<'_>) -> Decision {
    let mark = mark(case)?;
    if !case.holds_lease() {
        return None;
    }
    case.call_or_wait(StoreCall::Release { optime: None }, reason(case, &mark))
}

fn stop(case: &mut Case<'_>) -> Decision {
    let mark = mark(case)?;
    if !case.server_runs() || case.paused() || asked_anew(case) {
        return None;
    }
    let stop = Task::Stop { mode: StopMode::Fast, checkpoint_first: false };
    Some((Action::Begin(stop), reason(case, &mark)))
}

/// The leader of whom the local data were to become a copy, if it still is that: what was copied from it belongs to its
/// timeline. Blocks of another timeline, or those that a crash of the machine took back, no later rewind would replace.
fn same_source(case: &Case<'_>, mark: &RewindMark) -> Option<Source> {
    if case.is_standby_site() {
        // Its timeline is asked for when the rewind begins.
        return case.remote().filter(|source| source.name == mark.source);
    }
    let leader = leader(case)?;
    let same = leader.name == mark.source && leader.timeline == Some(mark.timeline);
    if same { case.leader_source() } else { None }
}

fn leader<'a>(case: &'a Case<'_>) -> Option<&'a MemberView> {
    case.cluster()?.leader_member().filter(|leader| leader.name != case.me() && leader.conn_url.is_some())
}

/// No rewind can mend it: what it would begin with is not there any more.
fn is_hopeless(case: &Case<'_>, mark: &RewindMark) -> bool {
    let settings = &case.view.settings;
    let control = case.view.server.control.value();
    // pg_rewind writes the control file last; it begins only with one that was left in peace.
    let untouched = |state| matches!(state, ControlState::ShutDown | ControlState::ShutDownInRecovery);
    let usable = control.is_none_or(|control| control.can_rewind && untouched(control.state));
    // Timelines only grow: who leads on a later one, or on a twin of the mark's, never comes back to that one.
    let passed = case.cluster().is_some_and(|cluster| cluster.timeline() > mark.timeline)
        || leader(case).is_some_and(|leader| {
            let another = leader.name != mark.source && leader.role == Some(Role::Primary);
            leader.timeline.is_some_and(|now| now > mark.timeline || now == mark.timeline && another)
        });
    let failed = case.memory.divergence == Divergence::RewindFailed;
    failed || !mark.same_boot || !usable || !settings.use_pg_rewind || (passed && !case.is_standby_site())
}

fn rewind_again(case: &mut Case<'_>) -> Decision {
    let mark = mark(case)?;
    let known = case.view.server.control_after_end().is_some();
    if case.server_runs() || case.paused() || asked_anew(case) || is_hopeless(case, &mark) || !known {
        return None;
    }
    let source = same_source(case, &mark)?;
    let reason = Reason::HalfRewound { source: mark.source };
    if !source.is_remote() {
        let leader = leader(case)?;
        if leader.role != Some(Role::Primary) || leader.checkpoint_after_promote == Some(false) {
            return case.wait(reason);
        }
    }
    case.begin(Task::Rewind(source), reason.clone()).or_else(|| case.wait(reason))
}

fn wipe(case: &mut Case<'_>) -> Decision {
    let mark = mark(case)?;
    // Nothing is removed before there is a leader to make it anew from.
    let leader = leader(case).is_some_and(MemberView::is_running);
    let settings = &case.view.settings;
    let allowed =
        settings.remove_data_directory_on_rewind_failure || settings.remove_data_directory_on_diverged_timelines;
    if case.server_runs() || case.paused() || !leader || !allowed {
        return None;
    }
    if asked_anew(case) || !is_hopeless(case, &mark) {
        return None;
    }
    case.memory.divergence = Divergence::RewindFailed;
    case.begin(Task::Wipe, Reason::MadeAnew)
}

fn wait(case: &mut Case<'_>) -> Decision {
    let mark = mark(case)?;
    if asked_anew(case) {
        return None;
    }
    case.wait(reason(case, &mark))
}
