//! A member `a` in a healthy cluster, and what it decides.

use crate::testing::{self, NOW, settings};
use regent_core::decide::{Action, Divergence, Memory, decide};
use regent_core::model::*;
use std::sync::Arc;

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
        next_timeline: Some((Timeline(2), NOW)),
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

/// The same view of another cluster document.
pub fn with_cluster(mut view: View, change: impl FnOnce(&mut ClusterView)) -> View {
    let (cluster, at) = view.store.snapshot.clone().expect("every view has one");
    let mut cluster = (*cluster).clone();
    change(&mut cluster);
    view.store.snapshot = Some((Arc::new(cluster), at));
    view
}

pub fn with_settings(mut view: View, change: impl FnOnce(&mut Settings)) -> View {
    let mut changed = settings();
    change(&mut changed);
    view.settings = Arc::new(changed);
    view
}

pub fn tags(name: &str, value: Scalar) -> Tags {
    Tags { raw: vec![(name.to_owned(), value)] }
}

pub fn failover(
    leader: Option<&str>,
    candidate: Option<&str>,
    scheduled_at: Option<WallTime>,
) -> Option<FailoverRequest> {
    let version = Version("7".into());
    Some(FailoverRequest {
        leader: leader.map(Into::into),
        candidate: candidate.map(Into::into),
        scheduled_at,
        version,
    })
}

pub fn status(position: u64) -> MemberStatus {
    MemberStatus { in_recovery: true, position: Lsn(position), timeline: Some(Timeline(1)), ..MemberStatus::default() }
}
