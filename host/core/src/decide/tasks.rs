//! Situation 4xx, tasks: long work is going on; it is left alone unless what it is for is gone.

use super::case::{Case, Decision};
use super::election::switch_targets;
use super::leader::due_request;
use super::{Action, Handover, Reason, Rule};
use crate::model::{
    ControlState, Errand, ErrandKind, Observed, Role, StartMode, StopMode, StoreCall, SynchronousMode, Task,
};
use std::time::Duration;

/// While a stopping leader's postmaster lives on after its last checkpoint (it archives, or waits for a slow
/// standby), members are asked this often whether one has everything.
const ASK_AGAIN: Duration = Duration::from_millis(300);

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 410,
        situation: "tasks",
        sentence: "A server with the lock that starts gives way to another, if there is one, when an operator asks for it \
                   (HA-08) or the start takes longer than primary_start_timeout.",
        apply: start_takes_too_long,
    },
    Rule {
        number: 412,
        situation: "tasks",
        sentence: "A standby that has not come up within loop_wait is started anew once there is another to follow than \
                   the one it was started with: what it needs to be consistent may be there only.",
        apply: start_lacks_log,
    },
    Rule {
        number: 415,
        situation: "tasks",
        sentence: "In synchronous mode a primary that takes longer than primary_stop_timeout to stop is made to, at last \
                   by killing it.",
        apply: stop_takes_too_long,
    },
    Rule {
        number: 420,
        situation: "tasks",
        sentence: "A leader that is handing over gives the lock back as soon as its last checkpoint has reached a \
                   candidate, even if its postmaster lives on.",
        apply: release_early,
    },
    Rule {
        number: 430,
        situation: "tasks",
        sentence: "A clone, a rewind or a comparison whose source is no longer the leader is given up.",
        apply: source_is_gone,
    },
    Rule { number: 490, situation: "tasks", sentence: "Otherwise the long work is waited for.", apply: wait },
];

fn start_takes_too_long(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref()?;
    let starts = matches!(running.task, Task::Start(_) | Task::Restart(_));
    if !starts || !case.holds_lease() || case.paused() || case.server_is_up() {
        return None;
    }
    let request = due_request(case);
    let limit = case.memory.start_limit(case.view)?;
    let asked_since = if request.is_some() { running.since } else { running.since + limit };
    if case.view.now < asked_since {
        return None;
    }
    match &case.view.probes {
        Some(round) if round.begun_at >= asked_since => {
            let cluster = case.cluster()?;
            let targets = switch_targets(cluster, &case.view.settings, round, request.as_ref(), None, true);
            if targets.is_empty() {
                return None;
            }
            case.memory.release_wanted = true;
            case.memory.role = Role::Demoted;
            let stop = Task::Stop { mode: StopMode::Immediate, checkpoint_first: false };
            let reason = match request {
                Some(_) => Reason::GivingWay,
                None => Reason::StartTookTooLong { limit },
            };
            Some((Action::Preempt(stop), reason))
        }
        _ => {
            let members = case.other_candidates();
            if members.is_empty() {
                return None;
            }
            case.run(Errand::Probe { members, former_leader: None }, Reason::AskingForCandidates)
        }
    }
}

/// After a rewind, say, whose source is lost before it has sent what it wrote meanwhile. Rule 770 starts the server
/// anew.
fn start_lacks_log(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref()?;
    let followed = match &running.task {
        Task::Start(StartMode::Standby) | Task::Restart(StartMode::Standby) => None,
        Task::Start(StartMode::Follow(source)) | Task::Restart(StartMode::Follow(source)) => Some(&source.name),
        _ => return None,
    };
    let patience = case.view.settings.loop_wait;
    let leads = case.holds_lease() && !case.is_standby_site();
    if case.paused() || case.server_is_up() || leads || case.view.now < running.since + patience {
        return None;
    }
    case.fresh_cluster()?;
    let source = case.source().filter(|source| followed != Some(&source.name))?;
    let stop = Task::Stop { mode: StopMode::Immediate, checkpoint_first: false };
    Some((Action::Preempt(stop), Reason::StartLacksLog { source: source.name }))
}

/// A primary that hangs in its stop holds the lock that a synchronous standby could have (HA-53).
fn stop_takes_too_long(case: &mut Case<'_>) -> Decision {
    let limit = case.view.settings.primary_stop_timeout?;
    let running = case.view.running.as_ref().filter(|running| matches!(running.task, Task::Stop { .. }))?;
    let synchronous = case.view.settings.synchronous_mode != SynchronousMode::Off;
    if !synchronous || !case.view.server.may_take_writes() || case.view.now < running.since + limit {
        return None;
    }
    let harder = match running.escalated? {
        StopMode::Fast => StopMode::Immediate,
        StopMode::Immediate if case.view.now >= running.since + limit * 2 => StopMode::Kill,
        _ => return None,
    };
    Some((Action::Escalate(harder), Reason::StopTookTooLong { limit }))
}

fn release_early(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref()?;
    if !matches!(running.task, Task::Stop { .. }) || !case.holds_lease() || case.view.server.is_primary() {
        return None;
    }
    let control = match &case.view.server.control {
        Observed::Seen { value, at } if *at >= running.since && value.state == ControlState::ShutDown => value,
        _ => return None,
    };
    let checkpoint = control.checkpoint;
    let handover = case.memory.handover.as_mut()?;
    let request = handover.request.clone();
    let only = request.as_ref().and_then(|request| request.candidate.clone());
    if let Some(round) = &case.view.probes
        && round.begun_at > running.since
    {
        let cluster = case.view.cluster()?;
        let targets = switch_targets(cluster, &case.view.settings, round, request.as_ref(), Some(checkpoint), true);
        if let Some(target) = targets.first() {
            let reason = Reason::HandoverReady { to: target.clone(), at: checkpoint };
            return case.call(StoreCall::Release { optime: Some(checkpoint) }, reason);
        }
    }
    if case.view.now < handover.probe_again_at || case.view.errands.contains(&ErrandKind::Probe) {
        return None;
    }
    handover.probe_again_at = case.view.now + ASK_AGAIN;
    let members = only.map_or_else(|| case.other_candidates(), |name| vec![name]);
    case.run(Errand::Probe { members, former_leader: None }, Reason::AskingForCandidates)
}

fn source_is_gone(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref()?;
    if running.cancelled || case.paused() {
        return None;
    }
    let source = match &running.task {
        Task::Rewind(source) | Task::CompareHistories(source) => source,
        _ => return None,
    };
    // Whoever promotes the cluster meanwhile wants it to have data that a server can run on: what is half rewound has none.
    let wanted = case.is_standby_site() || matches!(running.task, Task::Rewind(_));
    if source.is_remote() && wanted {
        return None;
    }
    let leader = case.fresh_cluster()?.leader_name();
    if leader.is_none() || leader == Some(source.name.as_str()) {
        return None;
    }
    Some((Action::CancelTask, Reason::SourceIsGone { source: source.name.clone() }))
}

fn wait(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref()?;
    case.wait(Reason::WaitingForTask { task: running.task.clone() })
}

impl Handover {
    /// A hand-over that begins now.
    pub(super) fn begin(now: crate::model::Moment, request: Option<crate::model::FailoverRequest>) -> Handover {
        Handover { request, begun_at: now, stopping: false, probe_again_at: now + ASK_AGAIN }
    }
}
