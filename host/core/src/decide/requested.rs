//! Situations 3xx and 6xx, requested: what an operator asked of this node.

use super::case::{Case, Decision};
use super::{Action, Reason, Rule};
use crate::model::{Errand, ErrandKind, Role, StartMode, StopMode, StoreCall, Task};

pub(super) const SHUTDOWN_RULES: &[Rule] = &[
    Rule {
        number: 310,
        situation: "shutdown",
        sentence: "In maintenance the daemon ends and leaves the server and the lock as they are.",
        apply: leave_paused,
    },
    Rule { number: 320, situation: "shutdown", sentence: "Other long work is told to end.", apply: cancel_work },
    Rule {
        number: 322,
        situation: "bootstrap",
        sentence: "A failed bootstrap gives the claim back, sets its data directory aside and ends the daemon.",
        apply: super::directory::give_back,
    },
    Rule {
        number: 325,
        situation: "shutdown",
        sentence: "A synchronous standby asks its leader to let it go, and waits for that, two loops at most.",
        apply: release_from_sync,
    },
    Rule {
        number: 330,
        situation: "shutdown",
        sentence: "The server is stopped; until it is down, the lock is kept.",
        apply: stop_server,
    },
    Rule {
        number: 340,
        situation: "shutdown",
        sentence: "The server is down: the lock is given back with the last position.",
        apply: release,
    },
    Rule {
        number: 350,
        situation: "shutdown",
        sentence: "The member key says so, if the store answers; then the daemon ends.",
        apply: leave,
    },
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 610,
        situation: "requested",
        sentence: "A member that is to be made anew stops at once and loses its data directory.",
        apply: reinitialize,
    },
    Rule {
        number: 615,
        situation: "requested",
        sentence: "Before it restarts, a synchronous standby asks its leader to let it go, and waits two loops at most.",
        apply: release_before_restart,
    },
    Rule {
        number: 620,
        situation: "requested",
        sentence: "A restart that was asked for is carried out in the same role.",
        apply: restart,
    },
    Rule {
        number: 630,
        situation: "requested",
        sentence: "Changed configuration is written and read by a running server.",
        apply: apply_configuration,
    },
];

fn leave_paused(case: &mut Case<'_>) -> Decision {
    let leave = case.view.requests.shutdown && case.paused();
    leave.then_some((Action::Exit { code: 0 }, Reason::LeavingInPause))
}

fn cancel_work(case: &mut Case<'_>) -> Decision {
    let running = case.view.running.as_ref().filter(|_| case.view.requests.shutdown)?;
    if matches!(running.task, Task::Stop { .. } | Task::SetAsideFailedBootstrap) {
        return None;
    }
    if running.cancelled {
        return case.wait(Reason::WaitingForTask { task: running.task.clone() });
    }
    Some((Action::CancelTask, Reason::ShuttingDown))
}

fn release_from_sync(case: &mut Case<'_>) -> Decision {
    if !case.view.requests.shutdown {
        return None;
    }
    super::durability::ask_for_release(case)
}

fn release_before_restart(case: &mut Case<'_>) -> Decision {
    case.view.requests.restart?;
    super::durability::ask_for_release(case)
}

fn stop_server(case: &mut Case<'_>) -> Decision {
    if !case.view.requests.shutdown || !case.server_runs() {
        return None;
    }
    if !case.task_is_idle() {
        return case.wait(Reason::ShuttingDown);
    }
    let checkpoint_first = case.view.server.is_primary();
    Some((Action::Begin(Task::Stop { mode: StopMode::Fast, checkpoint_first }), Reason::ShuttingDown))
}

fn release(case: &mut Case<'_>) -> Decision {
    if !case.view.requests.shutdown || !case.holds_lease() || !case.task_is_idle() {
        return None;
    }
    let optime = case.stopped_position();
    case.call_or_wait(StoreCall::Release { optime }, Reason::ShuttingDown)
}

fn leave(case: &mut Case<'_>) -> Decision {
    if !case.view.requests.shutdown {
        return None;
    }
    let heard = case.view.store.failing_since.is_none() && case.view.store.snapshot.is_some();
    if heard && case.view.store.member_differs {
        return case.wait(Reason::ShuttingDown);
    }
    if case.view.store.in_flight.is_some() || case.view.errands.contains(&ErrandKind::Callback) {
        return case.wait(Reason::ShuttingDown);
    }
    Some((Action::Exit { code: 0 }, Reason::ShuttingDown))
}

fn reinitialize(case: &mut Case<'_>) -> Decision {
    let request = case.view.requests.reinitialize?;
    if case.holds_lease() {
        return None;
    }
    case.memory.clone_from_leader = request.from_leader;
    if !case.task_is_idle() {
        return request.force.then_some((Action::Preempt(Task::Wipe), Reason::ReinitializeRequested));
    }
    Some((Action::Begin(Task::Wipe), Reason::ReinitializeRequested))
}

fn restart(case: &mut Case<'_>) -> Decision {
    let request = case.view.requests.restart?;
    if !case.task_is_idle() || !case.server_is_up() {
        return None;
    }
    let mode = if case.memory.role == Role::Primary {
        // It comes up waiting for whom it waits now: that has to be known.
        if !case.memory.durability.is_settled(case.view) {
            return None;
        }
        StartMode::Primary
    } else {
        case.source().map_or(StartMode::Standby, StartMode::Follow)
    };
    case.memory.start_timeout = request.timeout;
    Some((Action::Begin(Task::Restart(mode)), Reason::RestartRequested))
}

fn apply_configuration(case: &mut Case<'_>) -> Decision {
    if !case.view.requests.apply_configuration || !case.server_is_up() || !case.task_is_idle() {
        return None;
    }
    // Whom commits wait for is in the same file: it must be known, and not just being written.
    let names_known = case.memory.durability.is_settled(case.view);
    if !names_known || case.view.errands.contains(&ErrandKind::SetStandbyNames) {
        return None;
    }
    let follow = case.memory.followed.clone().unwrap_or_else(|| case.source());
    case.run(Errand::ApplyConfiguration { follow }, Reason::ConfigurationChanged)
}
