//! The view of the whole cluster that the page draws: what the store said last, beside what each member says of itself.

use super::gather::Said;
use super::guarantee::{Positions, guarantee};
use crate::agent::handle::{Published, Snapshot};
use crate::api::cluster;
use crate::api::in_force::InForce;
use crate::api::status;
use crate::ports;
use regent_core::model::{Moment, Settings, SynchronousMode};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document.
pub(super) fn document(published: &Published, said: BTreeMap<String, Said>, in_force: &InForce, now: Moment) -> Value {
    let settings = &published.settings;
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("served_by", json!(settings.name));
    put("scope", json!(settings.scope));
    put("at", status::timestamp(ports::wall_now()));
    put("credentials_needed", json!(in_force.authorization.is_some()));
    put("paused", json!(settings.paused));
    put("standby_site", json!(settings.standby_cluster.is_some()));
    put("settings", timing(settings));
    match &published.cluster {
        Some(snapshot) => {
            let age = u64::try_from(now.since(published.cluster_at).as_millis()).unwrap_or(u64::MAX);
            put("store_age_ms", json!(age));
            of_cluster(&mut put, snapshot, settings, said);
        }
        None => {
            put("store_age_ms", Value::Null);
            put("leader", Value::Null);
            put(
                "guarantee",
                json!({"level": "down", "text": "The store does not answer this member: what the others \
                                     do is not known here."}),
            );
            put("synchronous", json!({"mode": mode(settings), "leader": null, "standbys": [], "quorum": 0}));
            put("scheduled_switchover", Value::Null);
            put("history", json!([]));
            let rows = said.into_iter().map(|(name, said)| member(json!({"name": name}), Some(said), None));
            put("members", Value::Array(rows.collect()));
        }
    }
    Value::Object(map)
}

fn of_cluster(
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
    snapshot: &Snapshot,
    settings: &Settings,
    mut said: BTreeMap<String, Said>,
) {
    let view = &snapshot.view;
    let positions = positions(&said);
    let promise = guarantee(settings, view, &positions);
    let mut document = cluster::document(snapshot, settings);
    put("leader", json!(view.leader_name()));
    put("guarantee", json!({"level": promise.level.as_str(), "text": promise.text}));
    put(
        "synchronous",
        json!({
            "mode": mode(settings), "strict": settings.synchronous_mode_strict, "leader": view.sync.leader,
            "standbys": view.sync.standbys, "quorum": view.sync.quorum,
        }),
    );
    put("scheduled_switchover", document["scheduled_switchover"].take());
    put("history", history(snapshot));
    let end = view.leader_name().and_then(|leader| positions.get(leader).copied());
    let rows = document["members"].as_array_mut().into_iter().flatten().map(|row| {
        let said = row["name"].as_str().and_then(|name| said.remove(name));
        member(row.take(), said, end)
    });
    put("members", Value::Array(rows.collect()));
}

/// A row of the store, and what the member itself says beside it.
fn member(mut row: Value, said: Option<Said>, end: Option<u64>) -> Value {
    let (node, silent) = match said {
        Some(Ok(node)) => (node, Value::Null),
        Some(Err(why)) => (Value::Null, json!(why)),
        None => (Value::Null, json!("nobody knows where its API is")),
    };
    let behind = |name: &str| {
        let at = node["position"][name].as_u64();
        end.zip(at).map(|(end, at)| end.saturating_sub(at))
    };
    let (receive, replay) = (behind("received"), behind("replayed"));
    row["receive_behind"] = json!(receive.or_else(|| row["receive_lag"].as_u64()));
    row["replay_behind"] = json!(replay.or_else(|| row["replay_lag"].as_u64()));
    row["node"] = node;
    row["silent"] = silent;
    row
}

fn positions(said: &BTreeMap<String, Said>) -> Positions {
    let received = |said: &Said| said.as_ref().ok()?["position"]["received"].as_u64();
    said.iter().filter_map(|(name, said)| Some((name.clone(), received(said)?))).collect()
}

fn mode(settings: &Settings) -> &'static str {
    match settings.synchronous_mode {
        SynchronousMode::Off => "off",
        SynchronousMode::On => "on",
        SynchronousMode::Quorum => "quorum",
    }
}

fn history(snapshot: &Snapshot) -> Value {
    let rows = snapshot.view.history.rows.iter().map(|row| {
        json!({
            "timeline": row.timeline.0, "lsn": row.switch_lsn.to_string(), "reason": row.reason,
            "at": row.timestamp, "leader": row.new_leader,
        })
    });
    Value::Array(rows.collect())
}

/// What the confirmations count with, in seconds and bytes.
fn timing(settings: &Settings) -> Value {
    json!({
        "ttl": settings.ttl.as_secs_f64(),
        "loop_wait": settings.loop_wait.as_secs_f64(),
        "primary_start_timeout": settings.primary_start_timeout.as_secs_f64(),
        "maximum_lag_on_failover": settings.maximum_lag_on_failover,
    })
}
