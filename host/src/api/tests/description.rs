//! The description of the API and what is served are one: every route is described, and what is described is there.

use super::support::*;
use crate::agent::handle::Published;
use crate::api::Options;
use crate::api::router::DESCRIPTION;
use crate::api::routes::{ROUTES, route};
use regent_core::model::{Role, StandbyCluster, SynchronousMode};
use serde_json::{Map, Value};
use std::sync::Arc;

const METHODS: [&str; 6] = ["get", "head", "options", "patch", "post", "put"];

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).unwrap()
}

fn segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// What a path of the description offers; a reference is followed.
fn item<'a>(document: &'a Value, path: &str) -> &'a Map<String, Value> {
    let item = &document["paths"][path];
    let found = match item["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => item,
    };
    found.as_object().unwrap()
}

fn paths(document: &Value) -> Vec<&String> {
    document["paths"].as_object().unwrap().keys().collect()
}

#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let document = description();
    for (method, name, _) in ROUTES {
        let described = paths(&document)
            .into_iter()
            .any(|path| segment(path) == name && item(&document, path).contains_key(&method.to_lowercase()));
        assert!(described, "{method} /{name} is not described");
    }
    for path in paths(&document) {
        let methods = METHODS.iter().chain(&["delete"]).filter(|method| item(&document, path).contains_key(**method));
        let health = item(&document, path).contains_key("head");
        for method in methods {
            let routed = route(&method.to_uppercase(), segment(path)).is_some();
            let bare = matches!(segment(path), "liveness" | "readiness");
            assert!(routed || health || bare, "{method} {path} is described and is not there");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                map.values().for_each(|value| walk(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = description();
    walk(&document, &document);
}

/// API-18: each health check that is described is one: in some state of a member it says yes.
#[tokio::test]
async fn every_described_health_check_says_yes_to_somebody() {
    let document = description();
    let checks: Vec<&String> =
        paths(&document).into_iter().filter(|path| item(&document, path).contains_key("head")).collect();
    assert!(checks.len() > 10);
    let mut states = vec![leader(), replica()];
    for mode in [SynchronousMode::On, SynchronousMode::Quorum] {
        let mut cluster = snapshot();
        cluster.view.sync.leader = Some("postgresql0".to_owned());
        cluster.view.sync.standbys = vec!["postgresql1".to_owned()];
        let mut settings = (*replica().settings).clone();
        settings.synchronous_mode = mode;
        states.push(Published { settings: Arc::new(settings), cluster: Some(Arc::new(cluster)), ..replica() });
    }
    let mut site = settings();
    site.standby_cluster = Some(StandbyCluster::default());
    states.push(Published { settings: Arc::new(site), role: Role::StandbyLeader, ..leader() });
    let mut yes = std::collections::BTreeSet::new();
    for state in states {
        let served = Served::start(state, Options::default()).await;
        for path in &checks {
            let answer = served.get(path).await;
            assert!(matches!(answer.code(), 200 | 503), "{path}: {}", answer.status);
            if answer.code() == 200 {
                yes.insert((*path).clone());
            }
        }
    }
    let never: Vec<_> = checks.iter().filter(|path| !yes.contains(**path)).collect();
    assert!(never.is_empty(), "{never:?}");
}

#[tokio::test]
async fn what_is_served_is_the_description() {
    let mut served = Served::start(leader(), Options::default()).await;
    served.on_request(|request, _| {
        if let crate::agent::handle::Request::Refresh(reply) = request {
            let _sent = reply.send(Ok(Arc::new(snapshot())));
        }
    });
    let answer = served.get("/openapi.json").await;
    assert_eq!((answer.code(), answer.header("content-type")), (200, Some("application/json")));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    // What can be read without a body is there under exactly its path.
    for path in paths(&document) {
        let Some(read) = item(&document, path).get("get") else { continue };
        let answer = served.get(path).await;
        let described = &read["responses"][answer.status.get(..3).unwrap()];
        assert!(described.is_object(), "GET {path}: {}", answer.status);
    }
}
