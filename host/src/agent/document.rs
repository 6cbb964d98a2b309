//! What this member publishes about itself: its state in one word, and the member key's document.

use super::configuration::Configuration;
use crate::dcs::MemberDocument;
use regent_core::decide::Memory;
use regent_core::model::{
    DataDirectory, FinishedTask, PgState, PostmasterStatus, Role, StartMode, Tags, Task, TaskOutcome, View,
};
use std::collections::BTreeMap;

/// The server's state as the store and the API name it.
pub fn state(view: &View, memory: &Memory) -> PgState {
    if let Some(running) = &view.running {
        match &running.task {
            Task::Bootstrap if !view.settings.custom_bootstrap => return PgState::InitializingNewCluster,
            Task::Bootstrap if view.server.postmaster.is_some() => return PgState::StartingAfterCustomBootstrap,
            Task::Bootstrap => return PgState::RunningCustomBootstrap,
            Task::Clone { .. } => return PgState::CreatingReplica,
            Task::Start(_) => return PgState::Starting,
            Task::Stop { .. } | Task::Wipe if view.server.postmaster.is_some() => {
                return PgState::Stopping;
            }
            Task::Restart(_) => return PgState::Restarting,
            _ => {}
        }
    }
    match (view.server.postmaster, view.server.status) {
        (Some(_), Some(PostmasterStatus::Ready | PostmasterStatus::Standby)) => PgState::Running,
        (Some(_), Some(PostmasterStatus::Stopping)) => PgState::Stopping,
        (Some(_), _) => PgState::Starting,
        (None, _) => stopped_state(view, memory),
    }
}

fn stopped_state(view: &View, memory: &Memory) -> PgState {
    match &view.finished {
        Some(FinishedTask { task: Task::Start(_), outcome: TaskOutcome::Failed(_), .. }) => PgState::StartFailed,
        Some(FinishedTask { task: Task::Restart(_), outcome: TaskOutcome::Failed(_), .. }) => PgState::RestartFailed,
        Some(FinishedTask { task: Task::Bootstrap, outcome: TaskOutcome::Failed(_), .. }) => {
            if view.settings.custom_bootstrap { PgState::CustomBootstrapFailed } else { PgState::InitdbFailed }
        }
        Some(FinishedTask { task: Task::Start(StartMode::Primary), .. }) => PgState::Crashed,
        _ if memory.role == Role::Primary && view.server.data_directory == DataDirectory::Initialized => {
            PgState::Crashed
        }
        _ => PgState::Stopped,
    }
}

/// The member key's document (dcs-layout §3).
pub fn member(
    view: &View,
    memory: &Memory,
    configuration: &Configuration,
    pending_restart: &BTreeMap<String, (String, String)>,
    scheduled_restart: Option<serde_json::Value>,
) -> MemberDocument {
    let state = state(view, memory);
    let monitoring = view.server.monitoring.value().filter(|_| view.server.postmaster.is_some());
    let position = monitoring.and_then(|monitoring| monitoring.position());
    let replica = monitoring.filter(|monitoring| !monitoring.is_primary);
    MemberDocument {
        conn_url: configuration.conn_url(),
        api_url: configuration.api_url(),
        state,
        role: memory.role,
        proxy_url: configuration.proxy_url(),
        checkpoint_after_promote: (memory.role == Role::Primary && unfinished_checkpoint(view, memory))
            .then_some(false),
        tags: tags(view, memory),
        pending_restart: pending_restart.clone(),
        xlog_location: position,
        replay_lsn: replica.and_then(|monitoring| monitoring.replayed_lsn),
        receive_lsn: replica.and_then(|monitoring| monitoring.received_lsn),
        replication_state: replica.and_then(|monitoring| monitoring.replication_state.clone()),
        timeline: memory.next_timeline.map(|(timeline, _)| timeline).or_else(|| view.own_timeline()),
        scheduled_restart,
        progress: None,
        pause: view.settings.paused,
    }
}

fn unfinished_checkpoint(view: &View, memory: &Memory) -> bool {
    memory.checkpoint_pending || view.errands.contains(&regent_core::model::ErrandKind::CheckpointAfterPromote)
}

/// Whether two documents differ in what others act on: not in positions and progress, which every heartbeat
/// carries.
pub fn differ(old: &MemberDocument, new: &MemberDocument) -> bool {
    let quiet = |document: &MemberDocument| MemberDocument {
        xlog_location: None,
        replay_lsn: None,
        receive_lsn: None,
        progress: None,
        ..document.clone()
    };
    quiet(old) != quiet(new)
}

/// The tags as others are to see them: with what this member does not want to be at the moment.
pub(super) fn tags(view: &View, memory: &Memory) -> Tags {
    let tags = match memory.durability.leaving_since {
        Some(_) => view.settings.tags.released_from_sync(),
        None => view.settings.tags.clone(),
    };
    if let DataDirectory::HalfRewound(mark) = &view.server.data_directory {
        return tags.unusable(&format!("pg_rewind from {} was cut off: reinit", mark.source));
    }
    match memory.barred_until {
        Some(until) if view.now < until => tags.not_leading(),
        _ => tags,
    }
}
