//! What bodies say, and what is said of wrong ones (API-03, API-04, API-09).

use super::support::*;
use crate::agent::handle::{Request, Written};
use crate::api::Options;
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
