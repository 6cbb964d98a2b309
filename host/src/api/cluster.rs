//! `GET /cluster`: a fresh reading of the store, told member by member (rest-api §5).

use super::Shared;
use super::page::{self, Answer};
use crate::agent::handle::{Published, Request, Snapshot};
use crate::ports;
use regent_core::model::{ClusterView, Lsn, MemberView, Role, Settings, SynchronousMode};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The server is asked once a second; an older answer says nothing of now.
const MONITORING_YOUNG: Duration = Duration::from_secs(3);

/// The answer. Where the store does not answer, the last reading serves while it is younger than the ttl.
pub(super) async fn cluster(shared: &Shared) -> Answer {
    let fresh = reading(shared).await;
    let published = Arc::clone(&shared.handle.published.borrow());
    match fresh {
        Some(snapshot) => {
            let mut document = document(&snapshot, &published.settings);
            if let Some(receivers) = receivers(&published) {
                correct_streams(&mut document, &snapshot.view, &receivers);
            }
            page::json(200, &document)
        }
        None => page::error(503),
    }
}

/// The members that this member's server streams to, where it leads and answered lately.
fn receivers(published: &Published) -> Option<BTreeSet<String>> {
    let now = ports::now();
    let young = now.since(published.monitoring_at) <= MONITORING_YOUNG;
    let monitoring = published.monitoring.as_ref().filter(|answer| answer.is_primary && young)?;
    let streaming = monitoring.replication.iter().filter(|row| row.state == "streaming");
    published.holds_lease(now).then(|| streaming.map(|row| row.application_name.clone()).collect())
}

/// A member says in the store that it streams, once a loop; the leader knows when that has ended.
fn correct_streams(document: &mut Value, view: &ClusterView, receivers: &BTreeSet<String>) {
    let members = document.get_mut("members").and_then(Value::as_array_mut);
    for row in members.into_iter().flatten() {
        let name = row["name"].as_str().unwrap_or_default();
        let from_here = view.member(name).is_some_and(|member| member.tags.replicatefrom().is_none());
        if from_here && row["state"] == "streaming" && !receivers.contains(name) {
            row["state"] = json!("running");
        }
    }
}

/// A fresh reading of the store, or the last one while it is younger than the ttl.
pub(super) async fn reading(shared: &Shared) -> Option<Arc<Snapshot>> {
    let (reply, answer) = oneshot::channel();
    let asked = shared.handle.requests.send(Request::Refresh(reply)).await.is_ok();
    let fresh = if asked { answer.await.ok().and_then(Result::ok) } else { None };
    fresh.or_else(|| shared.handle.published.borrow().cluster.clone())
}

/// What a reading of the store says of the cluster.
pub(super) fn document(snapshot: &Snapshot, settings: &Settings) -> Value {
    let (view, raw) = (&snapshot.view, &snapshot.members_raw);
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
        let at = at.map(|at| json!(at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()));
        // A time that never comes is told as it was written.
        let written = || snapshot.failover_raw.get("scheduled_at").cloned().unwrap_or_default();
        scheduled.insert("at".into(), at.unwrap_or_else(written));
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
    for name in ["timeline", "pending_restart", "pending_restart_reason", "scheduled_restart", "progress", "tags"] {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::support::settings;
    use regent_core::model::{Scalar, Tags};

    #[test]
    fn a_time_that_never_comes_is_told_as_it_was_written() {
        let check = |at: Value, expected: Value| {
            let snapshot = crate::dcs::read_keys(&json!({"failover": {"leader": "a", "scheduled_at": at}}));
            let document = document(&snapshot, &settings());
            assert_eq!(document["scheduled_switchover"]["at"], expected);
        };
        check(json!("2030-01-01T01:00:00+01:00"), json!("2030-01-01T00:00:00+00:00"));
        check(json!("2030-01-01T00:00:00"), json!("2030-01-01T00:00:00"));
        check(json!("tomorrow"), json!("tomorrow"));
    }

    #[test]
    fn the_leader_knows_better_who_streams() {
        let member = |name: &str| MemberView { name: name.into(), ..MemberView::default() };
        let tags = Tags { raw: vec![("replicatefrom".into(), Scalar::Text("b".into()))] };
        let members = vec![member("a"), member("b"), MemberView { tags, ..member("c") }];
        let view = ClusterView { members, ..ClusterView::default() };
        let row = |name: &str| json!({"name": name, "state": "streaming"});
        let mut document = json!({"members": [row("a"), row("b"), row("c"), {"name": "d", "state": "starting"}]});
        correct_streams(&mut document, &view, &BTreeSet::from(["b".to_owned()]));
        let states: Vec<_> = document["members"].as_array().unwrap().iter().map(|row| row["state"].clone()).collect();
        assert_eq!(states, [json!("running"), json!("streaming"), json!("streaming"), json!("starting")]);
    }
}
