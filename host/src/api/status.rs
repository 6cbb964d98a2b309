//! The status document (rest-api §3), from the published state alone.

use crate::agent::handle::{PEER_VERSION, Published, ScheduledRestart, reasons, tags_value};
use regent_core::model::{Monitoring, PgState, Role, SynchronousMode, WallTime};
use serde_json::{Map, Value, json};

/// `YYYY-MM-DD HH:MM:SS.ffffff+00:00`.
pub(super) fn timestamp(at: WallTime) -> Value {
    let text = jiff::Timestamp::from_microsecond(at.0).map(|at| at.strftime("%Y-%m-%d %H:%M:%S.%6f+00:00").to_string());
    text.map_or(Value::Null, Value::String)
}

/// The document.
pub(super) fn document(published: &Published) -> Value {
    let mut map = Map::new();
    match published.monitoring.as_deref().filter(|_| published.state == PgState::Running) {
        Some(monitoring) => of_server(&mut map, published, monitoring),
        None => {
            let state = if published.state == PgState::Running { "unknown" } else { published.state.as_str() };
            map.insert("state".into(), json!(state));
            map.insert("role".into(), json!(published.role.as_str()));
        }
    }
    of_member(&mut map, published);
    Value::Object(map)
}

fn of_server(map: &mut Map<String, Value>, published: &Published, monitoring: &Monitoring) {
    map.insert("state".into(), json!(published.state.as_str()));
    map.insert("postmaster_start_time".into(), timestamp(monitoring.postmaster_start));
    let role = match (monitoring.is_primary, published.role) {
        (true, _) => Role::Primary,
        (false, Role::StandbyLeader) => Role::StandbyLeader,
        (false, _) => Role::Replica,
    };
    map.insert("role".into(), json!(role.as_str()));
    map.insert("server_version".into(), json!(monitoring.server_version));
    map.insert("xlog".into(), positions(monitoring));
    if !monitoring.is_primary
        && let Some(field) = synchronous(published)
    {
        map.insert(field.into(), json!(true));
    }
    map.insert("timeline".into(), json!(published.timeline));
    if let Some(state) = monitoring.replication_state.as_ref().filter(|_| !monitoring.is_primary) {
        map.insert("replication_state".into(), json!(state));
    }
    if !monitoring.replication.is_empty() {
        let row = |row: &regent_core::model::ReplicationRow| {
            json!({
                "usename": row.usename, "application_name": row.application_name, "client_addr": row.client_addr,
                "state": row.state, "sync_state": row.sync_state, "sync_priority": row.sync_priority,
            })
        };
        map.insert("replication".into(), Value::Array(monitoring.replication.iter().map(row).collect()));
    }
}

fn positions(monitoring: &Monitoring) -> Value {
    if monitoring.is_primary {
        return json!({"location": monitoring.current_lsn.unwrap_or_default().0});
    }
    let replayed = monitoring.replayed_lsn.unwrap_or_default();
    json!({
        "received_location": monitoring.received_lsn.unwrap_or(replayed).0,
        "replayed_location": replayed.0,
        "replayed_timestamp": monitoring.replayed_at.map(timestamp),
        "paused": monitoring.replay_paused,
    })
}

/// `sync_standby` or `quorum_standby`, where this member is one.
pub(super) fn synchronous(published: &Published) -> Option<&'static str> {
    let sync = &published.cluster.as_ref()?.view.sync;
    let named = sync.lists(&published.settings.name);
    match published.settings.synchronous_mode {
        SynchronousMode::On if named => Some("sync_standby"),
        SynchronousMode::Quorum if named => Some("quorum_standby"),
        _ => None,
    }
}

fn of_member(map: &mut Map<String, Value>, published: &Published) {
    let mut flag = |name: &str, set: bool| {
        if set {
            map.insert(name.into(), json!(true));
        }
    };
    flag("pause", published.settings.paused);
    let unlocked = published.cluster.as_ref().is_none_or(|cluster| cluster.view.leader.is_none());
    flag("cluster_unlocked", unlocked);
    flag("failsafe_mode_is_active", published.failsafe_active);
    if unlocked {
        // For other members' races: whether the position above is this member's last word.
        map.insert("position_final".into(), json!(published.position_final));
    }
    map.insert("dcs_last_seen".into(), json!(published.dcs_last_seen));
    if !published.tags.raw.is_empty() {
        map.insert("tags".into(), tags_value(&published.tags));
    }
    if let Some(system_id) = &published.system_id {
        map.insert("database_system_identifier".into(), json!(system_id));
    }
    if !published.pending_restart.is_empty() {
        map.insert("pending_restart".into(), json!(true));
        map.insert("pending_restart_reason".into(), reasons(&published.pending_restart));
    }
    let settings = &published.settings;
    map.insert("patroni".into(), json!({"version": PEER_VERSION, "scope": settings.scope, "name": settings.name}));
    if let Some(restart) = &published.scheduled_restart {
        map.insert("scheduled_restart".into(), scheduled(restart));
    }
    if let Some(progress) = &published.progress {
        map.insert("progress".into(), progress.to_value());
    }
    if published.watchdog_failed {
        map.insert("watchdog_failed".into(), json!(true));
    }
}

fn scheduled(restart: &ScheduledRestart) -> Value {
    let mut body = restart.body.clone();
    body.shift_remove("postmaster_start_time");
    Value::Object(body)
}
