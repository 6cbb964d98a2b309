//! What one node says of itself to the page, from the published state and the journal alone.

use crate::agent::handle::{Progress, Published, reasons, tags_value};
use crate::agent::journal::Journal;
use regent_core::model::{FenceMode, Moment, WatchdogState};
use serde_json::{Map, Value, json};

/// How many of the last decisions are told.
const DECISIONS: usize = 8;

/// The document.
pub(super) fn document(published: &Published, journal: &Journal, now: Moment) -> Value {
    let millis = |from: Moment, to: Moment| u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
    let settings = &published.settings;
    let lease = published.lease_deadline.filter(|deadline| *deadline > now);
    let armed = published.guard.armed_until.filter(|until| *until > now);
    json!({
        "name": settings.name,
        "software": format!("Regent {}", env!("CARGO_PKG_VERSION")),
        "state": published.state.as_str(),
        "role": published.role.as_str(),
        "timeline": published.timeline,
        "server_version": published.monitoring.as_ref().map(|monitoring| monitoring.server_version),
        "position": position(published, now),
        "lease_left_ms": lease.map(|deadline| millis(now, deadline)),
        "loop_age_ms": millis(published.heartbeat_at, now),
        "store_age_ms": published.cluster.as_ref().map(|_| millis(published.cluster_at, now)),
        "failsafe_active": published.failsafe_active,
        "guard": {"mode": mode(settings.guard), "alive": published.guard.alive, "armed": armed.is_some()},
        "watchdog": {
            "mode": mode(settings.watchdog),
            "state": watchdog(published.watchdog.state),
            "failed": published.watchdog_failed,
        },
        "task": published.task,
        "progress": published.progress.as_ref().map(Progress::to_value),
        "pending_restart": reasons(&published.pending_restart),
        "scheduled_restart": published.scheduled_restart.as_ref().map(|restart| restart.body.clone()),
        "tags": tags_value(&published.tags),
        "decisions": journal.last(DECISIONS),
    })
}

/// Where the server is; `received` and `replayed` are the same of a primary, which wrote it.
fn position(published: &Published, now: Moment) -> Value {
    let Some(monitoring) = &published.monitoring else { return Value::Null };
    let replayed = if monitoring.is_primary { monitoring.current_lsn } else { monitoring.replayed_lsn };
    let received = if monitoring.is_primary { replayed } else { monitoring.received_lsn.max(replayed) };
    let age = u64::try_from(now.since(published.monitoring_at).as_millis()).unwrap_or(u64::MAX);
    json!({
        "primary": monitoring.is_primary,
        "received": received.map(|lsn| lsn.0),
        "replayed": replayed.map(|lsn| lsn.0),
        "streaming": monitoring.replication_state.as_deref() == Some("streaming"),
        "age_ms": age,
    })
}

fn mode(mode: FenceMode) -> &'static str {
    match mode {
        FenceMode::Off => "off",
        FenceMode::Automatic => "automatic",
        FenceMode::Required => "required",
    }
}

fn watchdog(state: WatchdogState) -> &'static str {
    match state {
        WatchdogState::Closed => "closed",
        WatchdogState::Open { .. } => "open",
        WatchdogState::Failed => "failed",
    }
}

/// The same as far as the peer's status document tells it, which is what a member without a page answers.
pub(super) fn of_status(status: &Value) -> Option<Value> {
    let known = status.get("patroni")?;
    let xlog = status.get("xlog").and_then(Value::as_object).cloned().unwrap_or_default();
    let number = |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_u64);
    let written = number(&xlog, "location");
    let position = json!({
        "primary": written.is_some(),
        "received": written.or(number(&xlog, "received_location")),
        "replayed": written.or(number(&xlog, "replayed_location")),
        "streaming": status.get("replication_state").and_then(Value::as_str) == Some("streaming"),
        "age_ms": 0,
    });
    let version = known.get("version").and_then(Value::as_str).unwrap_or_default();
    Some(json!({
        "name": known.get("name"), "software": format!("Patroni {version}"),
        "state": status.get("state"), "role": status.get("role"), "timeline": status.get("timeline"),
        "server_version": status.get("server_version"),
        "position": if xlog.is_empty() { Value::Null } else { position },
        "pending_restart": status.get("pending_restart_reason").cloned().unwrap_or(json!({})),
        "scheduled_restart": status.get("scheduled_restart"), "tags": status.get("tags"),
        "decisions": [],
    }))
}
