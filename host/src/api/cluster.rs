//! `GET /cluster`: a fresh reading of the store, told member by member (rest-api §5).

use super::Shared;
use super::page::{self, Answer};
use crate::agent::handle::{Request, Snapshot};
use regent_core::model::{ClusterView, Lsn, MemberView, Role, Settings, SynchronousMode};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The answer. Where the store does not answer, the last reading serves while it is younger than the ttl.
pub(super) async fn cluster(shared: &Shared) -> Answer {
    let fresh = reading(shared).await;
    let published = Arc::clone(&shared.handle.published.borrow());
    match fresh {
        Some(snapshot) => page::json(200, &document(&snapshot.view, &snapshot.members_raw, &published.settings)),
        None => page::error(503),
    }
}

/// A fresh reading of the store, or the last one while it is younger than the ttl.
pub(super) async fn reading(shared: &Shared) -> Option<Arc<Snapshot>> {
    let (reply, answer) = oneshot::channel();
    let asked = shared.handle.requests.send(Request::Refresh(reply)).await.is_ok();
    let fresh = if asked { answer.await.ok().and_then(Result::ok) } else { None };
    fresh.or_else(|| shared.handle.published.borrow().cluster.clone())
}

fn document(view: &ClusterView, raw: &std::collections::BTreeMap<String, Value>, settings: &Settings) -> Value {
    let optime = view.status.optime.unwrap_or_default();
    let empty = Value::Null;
    let members =
        view.members.iter().map(|one| member(one, raw.get(&one.name).unwrap_or(&empty), view, optime, settings));
    let mut map = Map::new();
    map.insert("members".into(), Value::Array(members.collect()));
    if settings.paused {
        map.insert("pause".into(), json!(true));
    }
    if let Some(request) = view.failover.as_ref().filter(|request| request.scheduled_at.is_some()) {
        let mut scheduled = Map::new();
        let at = request.scheduled_at.and_then(|at| jiff::Timestamp::from_microsecond(at.0).ok());
        scheduled.insert("at".into(), json!(at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string())));
        for (name, value) in [("from", &request.leader), ("to", &request.candidate)] {
            if let Some(value) = value {
                scheduled.insert(name.into(), json!(value));
            }
        }
        map.insert("scheduled_switchover".into(), Value::Object(scheduled));
    }
    map.insert("scope".into(), json!(settings.scope));
    Value::Object(map)
}

fn member(member: &MemberView, raw: &Value, view: &ClusterView, optime: Lsn, settings: &Settings) -> Value {
    let leads = view.leader_name() == Some(member.name.as_str());
    let role = role(member, view, settings, leads);
    let mut map = Map::new();
    map.insert("name".into(), json!(member.name));
    map.insert("role".into(), json!(role));
    let replication = member.replication_state.as_deref().filter(|_| role != "leader");
    let state = replication.or_else(|| raw.get("state").and_then(Value::as_str)).unwrap_or_default();
    map.insert("state".into(), json!(state));
    if let Some(url) = &member.api_url {
        map.insert("api_url".into(), json!(url));
    }
    if let Some((host, port)) = member.conn_url.as_deref().and_then(host_and_port) {
        map.insert("host".into(), json!(host));
        map.insert("port".into(), json!(port));
    }
    for name in ["timeline", "pending_restart", "pending_restart_reason", "scheduled_restart", "tags"] {
        if let Some(value) = raw.get(name) {
            map.insert(name.into(), value.clone());
        }
    }
    if !leads {
        lag(&mut map, "receive_lag", "receive_lsn", member.receive_lsn, optime);
        lag(&mut map, "replay_lag", "replay_lsn", member.replay_lsn, optime);
        lag(&mut map, "lag", "lsn", member.xlog_location, optime);
    }
    Value::Object(map)
}

fn role(member: &MemberView, view: &ClusterView, settings: &Settings, leads: bool) -> &'static str {
    let synchronous = || view.sync.lists(&member.name);
    match settings.synchronous_mode {
        _ if leads && member.role == Some(Role::StandbyLeader) => "standby_leader",
        _ if leads => "leader",
        SynchronousMode::On if synchronous() => "sync_standby",
        SynchronousMode::Quorum if synchronous() => "quorum_standby",
        _ => "replica",
    }
}

fn lag(map: &mut Map<String, Value>, lag: &str, lsn: &str, position: Option<Lsn>, optime: Lsn) {
    let unknown = || json!("unknown");
    map.insert(lag.into(), position.map_or_else(unknown, |position| json!(position.behind(optime))));
    map.insert(lsn.into(), position.map_or_else(unknown, |position| json!(position.to_string())));
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let authority = url.split("://").nth(1)?.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
}
