//! What bodies say, and what is said of wrong ones (API-03, API-04, API-09).

use super::support::*;
use crate::agent::handle::{Published, Request, Written};
use crate::api::Options;
use regent_core::model::*;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn metrics_have_the_peers_types() {
    let served = Served::start(leader(), Options::default()).await;
    let metrics = served.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain"));
    for (name, kind) in [
        ("patroni_version", "gauge"),
        ("patroni_xlog_location", "counter"),
        ("patroni_postgres_timeline", "gauge"),
        ("patroni_postgres_state", "gauge"),
    ] {
        assert!(metrics.body.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {}", metrics.body);
    }
}

#[tokio::test]
async fn a_change_that_could_not_be_written_is_a_conflict() {
    let mut served = Served::start(leader(), Options::default()).await;
    served.on_request(|request, _| match request {
        Request::Refresh(reply) => drop(reply.send(Ok(Arc::new(snapshot())))),
        Request::WriteConfig { reply, .. } => drop(reply.send(Written::Failed("the store is away".to_owned()))),
        _ => {}
    });
    assert_eq!(served.ask("PATCH", "/config", Some(r#"{"ttl": 30}"#)).await.status, "409 Conflict");
    assert_eq!(served.ask("PATCH", "/config", Some(r#"{"ttl": 20}"#)).await.code(), 200);
    assert_eq!(served.ask("PATCH", "/config", Some("{}")).await.status, "400 Bad Request");
    assert_eq!(served.ask("PATCH", "/config", Some("[1]")).await.status, "400 Bad Request");
    assert_eq!(served.ask("PATCH", "/config", None).await.status, "411 Length Required");
    for method in ["PATCH", "PUT"] {
        let refused = served.ask(method, "/config", Some(r#"{"a": {"b": [1, 18446744073709551616]}}"#)).await;
        assert_eq!(refused.code(), 400);
        assert_eq!(refused.body, "a.b.1 is a whole number of more than 64 bits: put it in quotes");
    }
    assert_eq!(served.ask("PUT", "/config", Some(r#"{"ttl": 30}"#)).await.status, "502 Bad Gateway");
}

#[tokio::test]
async fn wrong_restarts_are_told_what_is_wrong() {
    let served = Served::start(leader(), Options::default()).await;
    let check = async |body: &str, expected: (u16, &str)| {
        assert_eq!(served.ask("POST", "/restart", Some(body)).await.said(), expected, "{body}");
    };
    check(r#"{"role": "x"}"#, (400, "PostgreSQL role should be either primary, standby_leader, or replica")).await;
    check(r#"{"timeout": 0}"#, (400, "Timeout should be a positive number of seconds")).await;
    check(r#"{"x": 1}"#, (400, "Unknown filter for the scheduled restart: x")).await;
    check(r#"{"postgres_version": "9.5"}"#, (400, "Invalid PostgreSQL version: 9.5")).await;
    let format = "Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted";
    check(r#"{"postgres_version": "15"}"#, (400, &format!("{format}: 15"))).await;
    check(r#"{"postgres_version": "4294967295.1"}"#, (400, &format!("{format}: 4294967295.1"))).await;
    let zone = "Timezone information is mandatory for the scheduled restart";
    check(r#"{"schedule": "2999-01-01 00:00"}"#, (400, zone)).await;
    check(r#"{"schedule": "2001-01-01T00:00Z"}"#, (422, "Cannot schedule restart in the past")).await;
}

async fn status(published: Published) -> Value {
    let served = Served::start(published, Options::default()).await;
    serde_json::from_str(&served.get("/patroni").await.body).unwrap()
}

/// API-08, API-17, HA-32: whether anybody leads is told from what was read last; so is the timeline.
#[tokio::test]
async fn an_unlocked_cluster_is_told() {
    let locked = status(leader()).await;
    assert_eq!((&locked["cluster_unlocked"], &locked["timeline"]), (&Value::Null, &json!(1)));
    let mut unlocked = snapshot();
    unlocked.view.leader = None;
    let document = status(Published { cluster: Some(Arc::new(unlocked)), timeline: None, ..replica() }).await;
    assert_eq!((&document["cluster_unlocked"], &document["timeline"]), (&json!(true), &Value::Null));
    let away = status(Published { cluster: None, ..replica() }).await;
    assert_eq!(away["cluster_unlocked"], json!(true), "nothing was ever read");
}

/// API-09, API-16: of a server that is not up only its state and role are told; it is primary until it has stopped.
#[tokio::test]
async fn of_a_server_that_is_down_little_is_told() {
    for (state, name) in [(PgState::Stopping, "stopping"), (PgState::Stopped, "stopped")] {
        let document = status(Published { state, ..leader() }).await;
        assert_eq!((&document["state"], &document["role"]), (&json!(name), &json!("primary")));
        for field in ["xlog", "server_version", "postmaster_start_time", "replication", "timeline"] {
            assert_eq!(document[field], Value::Null, "{field}");
        }
        assert_eq!(document["patroni"]["name"], json!("postgresql0"));
    }
}

/// API-20: a scheduled switchover is deleted once; one that changed meanwhile is a conflict.
#[tokio::test]
async fn a_scheduled_switchover_can_be_taken_back() {
    let mut scheduled = snapshot();
    scheduled.view.failover = Some(FailoverRequest {
        leader: Some("postgresql0".to_owned()),
        candidate: None,
        scheduled_at: Some(WallTime(4_000_000_000_000_000)),
        version: Version("9".to_owned()),
    });
    let check = async |published: Published, written: fn() -> Written, expected: (u16, &str)| {
        let mut served = Served::start(published, Options::default()).await;
        served.on_request(move |request, _| match request {
            Request::ClearFailover { version, reply } if version.0 == "9" => drop(reply.send(written())),
            _ => {}
        });
        let answer = served.ask("DELETE", "/switchover", None).await;
        assert_eq!(answer.code(), expected.0, "{answer:?}");
        assert!(answer.body.contains(expected.1), "{answer:?}");
    };
    let asked = || Published { cluster: Some(Arc::new(scheduled.clone())), ..leader() };
    check(asked(), || Written::Done, (200, "scheduled switchover deleted")).await;
    check(asked(), || Written::Failed("it changed".to_owned()), (409, "")).await;
    check(leader(), || Written::Done, (404, "no switchover is scheduled")).await;
}

/// PAUSE-10: in maintenance, and with the store away, health checks go by the server's role.
#[tokio::test]
async fn in_maintenance_roles_are_told_without_the_store() {
    let paused = |published: Published| {
        let settings = Settings { paused: true, ..(*published.settings).clone() };
        Published { settings: Arc::new(settings), lease_deadline: None, cluster: None, ..published }
    };
    let primary = Served::start(paused(leader()), Options::default()).await;
    assert_eq!((primary.get("/primary").await.code(), primary.get("/replica").await.code()), (200, 503));
    let standby = Served::start(paused(replica()), Options::default()).await;
    assert_eq!((standby.get("/primary").await.code(), standby.get("/replica").await.code()), (503, 200));
}
