//! Situation 7xx, down: there is a data directory, no server runs on it, and nothing is going on.

use super::case::{Case, Decision};
use super::election::switch_targets;
use super::{Action, CONTROL_PATIENCE, Divergence, Handover, Reason, Rule};
use crate::model::{
    ControlState, DataDirectory, Errand, FinishedTask, MemberView, Role, StartMode, StoreCall, Task, TaskOutcome,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 710,
        situation: "down",
        sentence: "In maintenance nothing is started but what was stopped to hand over or to be rewound; a lock without a server is given back.",
        apply: paused,
    },
    Rule {
        number: 715,
        situation: "down",
        sentence: "What the control file says is waited for, and read again where nothing comes.",
        apply: control_unknown,
    },
    Rule {
        number: 720,
        situation: "down",
        sentence: "With primary_start_timeout 0, a crashed primary gives way to another that can take over.",
        apply: hand_over_crash,
    },
    Rule {
        number: 725,
        situation: "down",
        sentence: "A crashed primary that still has the lock is started again in place.",
        apply: restart_in_place,
    },
    Rule {
        number: 730,
        situation: "down",
        sentence: "A leader whose server was stopped for another, or can not be started, gives the lock back.",
        apply: release,
    },
    Rule {
        number: 740,
        situation: "down",
        sentence: "A server that crashed finishes its recovery before histories are compared.",
        apply: recover,
    },
    Rule {
        number: 750,
        situation: "down",
        sentence: "Before a server follows a leader, its history is compared with the leader's.",
        apply: compare,
    },
    Rule {
        number: 755,
        situation: "down",
        sentence: "A diverged server is rewound once the leader has written its first checkpoint.",
        apply: rewind,
    },
    Rule {
        number: 760,
        situation: "down",
        sentence: "A diverged server that can not be rewound is made anew where a setting says so.",
        apply: wipe,
    },
    Rule {
        number: 770,
        situation: "down",
        sentence: "Otherwise the server is started as a standby of the leader, or of nobody where there is none.",
        apply: start,
    },
    Rule { number: 790, situation: "down", sentence: "After a failure, the next attempt is waited for.", apply: wait },
];

fn is_down(case: &Case<'_>) -> bool {
    case.task_is_idle() && !case.server_runs() && case.view.server.data_directory == DataDirectory::Initialized
}

fn paused(case: &mut Case<'_>) -> Decision {
    if !is_down(case) || !case.paused() || case.memory.comes_back {
        return None;
    }
    if case.holds_lease() {
        return case.call_or_wait(StoreCall::Release { optime: None }, Reason::PausedAndDown);
    }
    case.wait(Reason::PausedAndDown)
}

fn control_unknown(case: &mut Case<'_>) -> Decision {
    if !is_down(case) || case.view.server.control_after_end().is_some() {
        return None;
    }
    // Whoever saw the end reads it as well; this is for the case that such a reading failed.
    let patient = case.view.server.ended_at.is_some_and(|ended| case.view.now < ended + CONTROL_PATIENCE);
    let read = if patient { None } else { case.run(Errand::ReadControl, Reason::ControlUnknown) };
    read.or_else(|| case.wait(Reason::ControlUnknown))
}

fn crashed_leader(case: &Case<'_>) -> bool {
    let control = case.view.server.control_after_end();
    is_down(case)
        && case.holds_lease()
        && !case.is_standby_site()
        && case.memory.role == Role::Primary
        && !case.view.server.recovery_signal
        && control.is_some_and(|control| {
            matches!(
                control.state,
                ControlState::InProduction
                    | ControlState::InCrashRecovery
                    | ControlState::ShuttingDown
                    | ControlState::ShutDown
            )
        })
}

fn hand_over_crash(case: &mut Case<'_>) -> Decision {
    if !crashed_leader(case) || !case.view.settings.primary_start_timeout.is_zero() {
        return None;
    }
    let ended = case.view.server.ended_at?;
    let members = case.other_candidates();
    if members.is_empty() {
        return None;
    }
    match &case.view.probes {
        Some(round) if round.begun_at >= ended => {
            let cluster = case.cluster()?;
            let targets = switch_targets(cluster, &case.view.settings, round, None, None, true);
            if targets.is_empty() {
                return None;
            }
            case.memory.role = Role::Demoted;
            case.memory.divergence = Divergence::MustCheck;
            case.memory.release_wanted = true;
            let decision = case.call(StoreCall::Release { optime: None }, Reason::CrashHandedOver { to: targets });
            decision.or_else(|| case.wait(Reason::PrimaryCrashed))
        }
        _ => case
            .run(Errand::Probe { members, former_leader: None }, Reason::AskingForCandidates)
            .or_else(|| case.wait(Reason::AskingForCandidates)),
    }
}

fn restart_in_place(case: &mut Case<'_>) -> Decision {
    if !crashed_leader(case) || case.memory.release_wanted || case.memory.handover.is_some() {
        return None;
    }
    if case.memory.release_sent.is_some() {
        return case.call_or_wait(StoreCall::Acquire, Reason::LockMayGo);
    }
    case.memory.restarting_in_place = true;
    Some((Action::Begin(Task::Start(StartMode::Primary)), Reason::PrimaryCrashed))
}

fn release(case: &mut Case<'_>) -> Decision {
    let handing_over = matches!(&case.memory.handover, Some(Handover { stopping: true, .. }));
    let wanted = case.memory.release_wanted || handing_over;
    if !is_down(case) || !wanted {
        return None;
    }
    if !case.holds_lease() {
        case.memory.release_wanted = false;
        return None;
    }
    let optime = handing_over.then(|| case.stopped_position()).flatten();
    let failed = matches!(
        &case.view.finished,
        Some(FinishedTask { task: Task::Start(_) | Task::Restart(_), outcome, .. }) if *outcome != TaskOutcome::Done
    );
    let reason = match (handing_over, failed) {
        (true, _) => Reason::StoppedForHandover,
        (false, true) => Reason::StartFailed,
        (false, false) => Reason::GivingWay,
    };
    case.call_or_wait(StoreCall::Release { optime }, reason)
}

fn recover(case: &mut Case<'_>) -> Decision {
    if !is_down(case) || case.memory.crash_recovery_tried || leads_primary(case) {
        return None;
    }
    let control = case.view.server.control_after_end()?;
    let unfinished = matches!(
        control.state,
        ControlState::InProduction | ControlState::ShuttingDown | ControlState::InCrashRecovery
    );
    let useful = case.other_leader().is_none() || rewind_is_possible(case);
    if !unfinished || !useful || case.view.server.recovery_signal {
        return None;
    }
    case.begin(Task::RecoverInSingleUserMode, Reason::CrashedEarlier)
}

fn rewind_is_possible(case: &Case<'_>) -> bool {
    case.view.settings.use_pg_rewind && case.view.server.control.value().is_some_and(|control| control.can_rewind)
}

/// The lock is for a primary: then this server's history is the cluster's.
fn leads_primary(case: &Case<'_>) -> bool {
    case.holds_lease() && !case.is_standby_site()
}

fn leader_to_compare_with<'a>(case: &'a Case<'_>) -> Option<&'a MemberView> {
    let leader = case.cluster()?.leader_member()?;
    (leader.name != case.me() && leader.conn_url.is_some()).then_some(leader)
}

fn compare(case: &mut Case<'_>) -> Decision {
    if !is_down(case) || case.memory.divergence != Divergence::MustCheck || leads_primary(case) {
        return None;
    }
    if !super::follower::can_be_mended(case) {
        return None;
    }
    if case.is_standby_site() {
        let source = case.remote()?;
        let reason = Reason::HistoriesToCompare { leader: source.name.clone() };
        return super::site::begin_comparison(case, source).or_else(|| case.wait(reason));
    }
    let leader = leader_to_compare_with(case)?;
    let name = leader.name.clone();
    let primary = matches!(leader.role, Some(Role::Primary | Role::Promoted));
    let source = case.leader_source()?;
    let reason = Reason::HistoriesToCompare { leader: name };
    if !primary {
        return case.wait(reason);
    }
    let name = source.name.clone();
    let decision = case.begin(Task::CompareHistories(source), reason.clone());
    if decision.is_some() {
        case.memory.note_comparison(case.view, &name);
    }
    decision.or_else(|| case.wait(reason))
}

fn rewind(case: &mut Case<'_>) -> Decision {
    if !is_down(case) || case.memory.divergence != Divergence::Diverged || !rewind_is_possible(case) {
        return None;
    }
    if case.is_standby_site() {
        let source = case.remote()?;
        let reason = Reason::Diverged { leader: source.name.clone() };
        return case.begin(Task::Rewind(source), reason.clone()).or_else(|| case.wait(reason));
    }
    let leader = leader_to_compare_with(case)?;
    let reason = Reason::Diverged { leader: leader.name.clone() };
    if leader.checkpoint_after_promote == Some(false) {
        return case.wait(Reason::LeaderHasNoCheckpoint { leader: leader.name.clone() });
    }
    let source = case.leader_source()?;
    case.begin(Task::Rewind(source), reason.clone()).or_else(|| case.wait(reason))
}

fn wipe(case: &mut Case<'_>) -> Decision {
    // Nothing is removed before there is a leader to make it anew from.
    let leader = leader_to_compare_with(case).is_some_and(MemberView::is_running);
    if !is_down(case) || !leader {
        return None;
    }
    let settings = &case.view.settings;
    let allowed = match case.memory.divergence {
        Divergence::Diverged => !rewind_is_possible(case) && super::follower::can_be_mended(case),
        Divergence::RewindFailed => {
            settings.remove_data_directory_on_rewind_failure || settings.remove_data_directory_on_diverged_timelines
        }
        _ => false,
    };
    if !allowed {
        return None;
    }
    Some((Action::Begin(Task::Wipe), Reason::MadeAnew))
}

fn start(case: &mut Case<'_>) -> Decision {
    if !is_down(case) {
        return None;
    }
    let mode = if leads_primary(case) {
        StartMode::Standby
    } else {
        case.source().map_or(StartMode::Standby, StartMode::Follow)
    };
    let reason = match &mode {
        StartMode::Follow(source) => Reason::StartingAsStandbyOf { source: source.name.clone() },
        _ => Reason::StartingAsStandbyOfNobody,
    };
    case.begin(Task::Start(mode), reason)
}

fn wait(case: &mut Case<'_>) -> Decision {
    if !is_down(case) {
        return None;
    }
    case.wait(Reason::PauseAfterFailure)
}
