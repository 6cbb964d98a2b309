//! A member `a` in a healthy cluster, and what it decides.

use crate::testing::{self, NOW, settings};
use regent_core::decide::{Action, Divergence, Memory, decide};
use regent_core::model::*;

pub const POSTMASTER: Postmaster = Postmaster { pid: 4711, start_ticks: 1 };

/// A member `a` whose cluster has `leader`, everything just read and written.
pub fn view(leader: Option<&str>) -> View {
    testing::view(settings(), leader, SyncView::default())
}

/// What its control file says.
pub fn control(state: ControlState) -> ControlData {
    ControlData { state, ..view(None).server.control.value().expect("every view has read it").clone() }
}

pub fn primary_memory() -> Memory {
    Memory { role: Role::Primary, announced: Some(Role::Primary), ..Memory::default() }
}

/// A standby that follows `b`, which leads.
pub fn standby_memory() -> Memory {
    let source = Source { name: "b".into(), host: "b".into(), port: "5432".into(), slot: Some("a".into()) };
    Memory {
        role: Role::Replica,
        announced: Some(Role::Replica),
        divergence: Divergence::None,
        followed: Some(Some(source)),
        ..Memory::default()
    }
}

pub fn stopped(view: &mut View, state: ControlState) {
    view.server.postmaster = None;
    view.server.status = None;
    view.server.ended_at = Some(NOW);
    view.server.monitoring = Observed::Unseen("it ended".into());
    view.server.control = Observed::Seen { value: control(state), at: NOW };
}

pub fn expect(view: &View, mut memory: Memory, rule: u16) -> Action {
    let verdict = decide(view, &mut memory);
    assert_eq!(verdict.rule, rule, "{:?}: {}", verdict.action, verdict.reason);
    verdict.action
}

pub fn is_stop(action: &Action, wanted: StopMode) -> bool {
    matches!(action, Action::Preempt(Task::Stop { mode, .. }) | Action::Begin(Task::Stop { mode, .. }) if *mode == wanted)
}
