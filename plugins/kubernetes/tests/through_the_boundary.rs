//! Members of a cluster on a real API server, with the rights of the manifest, through the boundary that the daemon uses.

mod support;

use regent_plugin_api::host::{Backend, Entry, ErrorKind, Expect, Key, KeyKind, OpenOptions, Plugin, Write};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use support::server::{ADMIN, ApiServer, MEMBER};

/// What a call may take.
const BUDGET: Duration = Duration::from_secs(20);

const NAMESPACE: &str = "prod";

fn plugin() -> Plugin {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let file = "libregent_dcs_kubernetes.so";
    let candidates = [folder.join(file), folder.join("..").join(file)];
    let library: PathBuf = candidates.into_iter().find(|path| path.exists()).expect("cargo built the library");
    Plugin::load(&library, None).expect("our own plugin loads")
}

async fn member(server: &ApiServer, name: &str, more: Value) -> Backend {
    let mut section = json!({
        "labels": {"application": "db"}, "namespace": NAMESPACE, "kubeconfig": server.kubeconfig(MEMBER),
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        section[key] = value.clone();
    }
    let options = OpenOptions {
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        member: name.to_owned(),
        ttl: Duration::from_secs(60),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(10),
        config_json: section.to_string(),
    };
    Backend::open(&plugin(), options).await.expect("the store opens")
}

fn object(server: &ApiServer, resource: &str, name: &str) -> Value {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/{resource}/{name}");
    ask(server, "GET", &path, None).1
}

fn ask(server: &ApiServer, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    server.ask(ADMIN, method, path, body.as_ref()).expect("it answers")
}

fn pod(server: &ApiServer, name: &str) {
    server.make_pod(NAMESPACE, "demo", name).expect("a pod is made");
}

fn find(entries: &[Entry], kind: KeyKind) -> Option<&[u8]> {
    entries.iter().find(|entry| entry.key.kind == kind).map(|entry| entry.value.as_slice())
}

/// K8S-01, K8S-02, K8S-04, K8S-05: the lock leads the primary's service to its holder, and back to nowhere.
#[tokio::test]
async fn the_primarys_service_follows_the_lock() {
    let Some(server) = ApiServer::start() else { return };
    pod(&server, "a");
    let more = json!({"use_endpoints": true, "pod_ip": "10.0.0.7", "ports": [{"name": "pg", "port": 5433}]});
    let a = member(&server, "a", more).await;
    let also = vec![Write { key: Key::of(KeyKind::Status), value: br#"{"optime":7}"#.to_vec() }];
    let lease = a.acquire_leader(BUDGET, b"a".to_vec(), also).await.expect("a verdict").expect("it is free");
    a.touch_member(BUDGET, br#"{"role":"primary","state":"running"}"#.to_vec()).await.expect("the pod is there");
    let found = object(&server, "endpoints", "demo");
    assert_eq!(found["subsets"][0]["addresses"][0]["ip"], "10.0.0.7", "{found}");
    assert_eq!(found["subsets"][0]["ports"][0]["port"], 5433, "{found}");
    let annotations = &found["metadata"]["annotations"];
    assert_eq!((&annotations["leader"], &annotations["optime"]), (&json!("a"), &json!("7")), "{found}");
    assert_eq!((&annotations["ttl"], &annotations["transitions"]), (&json!("60"), &json!("0")), "{found}");
    assert_eq!(object(&server, "pods", "a")["metadata"]["labels"]["role"], "primary");
    assert_eq!(object(&server, "services", "demo-config")["spec"]["clusterIP"], "None");
    assert!(a.release_leader(BUDGET, lease, Vec::new()).await.expect("a verdict"));
    let found = object(&server, "endpoints", "demo");
    assert!(found["subsets"].as_array().is_none_or(Vec::is_empty), "{found}");
    assert_eq!(found["metadata"]["annotations"]["leader"], Value::Null, "{found}");
    let again = a.acquire_leader(BUDGET, b"a".to_vec(), Vec::new()).await.expect("a verdict");
    let lease = again.expect("subsets that are not there are none");
    let found = object(&server, "endpoints", "demo");
    assert_eq!(found["subsets"][0]["addresses"][0]["ip"], "10.0.0.7", "{found}");
    assert!(a.release_leader(BUDGET, lease, Vec::new()).await.expect("a verdict"));
    a.touch_member(BUDGET, br#"{"role":"replica","state":"running"}"#.to_vec()).await.expect("the pod is there");
    assert_eq!(object(&server, "pods", "a")["metadata"]["labels"]["role"], "replica");
}

/// K8S-01: what other software wrote is understood, field by field.
#[tokio::test]
async fn what_others_wrote_is_read() {
    let Some(server) = ApiServer::start() else { return };
    pod(&server, "a");
    let labels = json!({"application": "db", "cluster-name": "demo"});
    for (name, annotations) in [
        ("demo-leader", json!({"leader": "b", "ttl": "30", "renewTime": "x", "optime": "5", "slots": "{\"a\":4}"})),
        ("demo-sync", json!({"leader": "b", "sync_standby": "a"})),
        ("demo-config", json!({"config": "{\"ttl\":30}", "initialize": "77", "history": "[]"})),
        ("demo-failover", json!({"member": "a"})),
    ] {
        let body = json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}});
        let (status, answer) = ask(&server, "POST", &format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), Some(body));
        assert_eq!(status, 201, "{answer}");
    }
    let a = member(&server, "a", json!({})).await;
    let entries = a.load(BUDGET).await.expect("it can be read").entries;
    let text = |kind: KeyKind| find(&entries, kind).map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(text(KeyKind::Leader).as_deref(), Some("b"));
    assert_eq!(text(KeyKind::Status).as_deref(), Some(r#"{"optime":5,"slots":{"a":4}}"#));
    assert_eq!(text(KeyKind::Sync).as_deref(), Some(r#"{"leader":"b","quorum":null,"sync_standby":"a"}"#));
    assert_eq!(text(KeyKind::Failover).as_deref(), Some(r#"{"member":"a"}"#));
    assert_eq!(text(KeyKind::Initialize).as_deref(), Some("77"));
    assert!(
        a.acquire_leader(BUDGET, b"a".to_vec(), Vec::new()).await.expect("a verdict").is_none(),
        "it is seen for the first time"
    );
}

/// K8S-05: the manifests are taken as they are, and what they allow their service account is all that a member needs.
#[tokio::test]
async fn the_manifests_give_the_rights_that_members_need() {
    let Some(server) = ApiServer::start() else { return };
    let token = server.service_account(NAMESPACE);
    server.apply(NAMESPACE, "cluster.yaml");
    pod(&server, "demo-0");
    for (resource, use_endpoints) in [("endpoints", true), ("configmaps", false)] {
        let own =
            json!({"use_endpoints": use_endpoints, "kubeconfig": server.kubeconfig(&token), "pod_ip": "10.0.0.7"});
        let a = member(&server, "demo-0", own).await;
        let lease =
            a.acquire_leader(BUDGET, b"demo-0".to_vec(), Vec::new()).await.expect("a verdict").expect("is free");
        a.touch_member(BUDGET, b"{}".to_vec()).await.expect("its pod may be written");
        let key = Key::of(KeyKind::Config);
        assert!(a.put(BUDGET, key, b"{}".to_vec(), Expect::Absent).await.expect("a verdict").is_some());
        let lease = a.renew_leader(BUDGET, lease, Vec::new()).await.expect("a verdict").expect("it is ours");
        let seen = a.load(BUDGET).await.expect("it may be read");
        assert_eq!(seen.entries.len(), 3, "{resource}: {:?}", seen.entries);
        assert!(a.release_leader(BUDGET, lease, Vec::new()).await.expect("a verdict"));
        let watch = format!("/api/v1/namespaces/{NAMESPACE}/{resource}?watch=true&timeoutSeconds=1");
        assert_eq!(server.ask(&token, "GET", &watch, None).expect("it answers").0, 200, "{resource}");
        a.delete_cluster(BUDGET).await.expect("it may be removed");
        assert!(a.load(BUDGET).await.expect("it may be read").entries.is_empty());
    }
    let elsewhere = member(&server, "demo-0", json!({"kubeconfig": server.kubeconfig(&token), "namespace": "default"}));
    let error = elsewhere.await.load(BUDGET).await.expect_err("it is not its namespace");
    assert_eq!(error.kind, ErrorKind::Auth, "{error}");
}

/// K8S-06: whose watch begins where the server remembers nothing any more reads everything again.
#[tokio::test]
async fn a_forgotten_past_is_a_change() {
    let Some(mut server) = ApiServer::start() else { return };
    pod(&server, "a");
    pod(&server, "b");
    let (a, b) = (member(&server, "a", json!({})).await, member(&server, "b", json!({})).await);
    let before = a.load(BUDGET).await.expect("it can be read").cursor;
    let mut changes = a.changes();
    b.put(BUDGET, Key::of(KeyKind::Config), b"{}".to_vec(), Expect::Any).await.expect("it is written");
    server.restart();
    a.set_cursor(before);
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("it is told").expect("it is open");
    let seen = a.load(BUDGET).await.expect("it can be read");
    assert_eq!(find(&seen.entries, KeyKind::Config), Some(b"{}".as_slice()));
    a.set_cursor(seen.cursor);
    b.put(BUDGET, Key::of(KeyKind::Config), b"{\"ttl\":20}".to_vec(), Expect::Any).await.expect("it is written");
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("it is told").expect("it is open");
}

/// K8S-03: a right that is missing is told as such, and is no lost lock.
#[tokio::test]
async fn a_missing_right_is_no_verdict() {
    let Some(server) = ApiServer::start() else { return };
    pod(&server, "a");
    let a = member(&server, "a", json!({})).await;
    let lease = a.acquire_leader(BUDGET, b"a".to_vec(), Vec::new()).await.expect("a verdict").expect("it is free");
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/regent";
    assert_eq!(ask(&server, "DELETE", path, None).0, 200);
    let mut found = None;
    for _ in 0..200 {
        found = a.load(BUDGET).await.err();
        if found.is_some() {
            break;
        }
        support::server::pause();
    }
    let error = found.expect("it may not read any more");
    assert_eq!(error.kind, ErrorKind::Auth, "{error}");
    assert!(error.message.contains("cannot list resource"), "{error}");
    let kept = a.renew_leader(Duration::from_secs(2), lease, Vec::new()).await;
    assert!(kept.is_err(), "{kept:?}");
    let written = a.put(BUDGET, Key::of(KeyKind::Config), b"{}".to_vec(), Expect::Any).await;
    assert_eq!(written.err().map(|error| error.kind), Some(ErrorKind::Auth));
}

/// K8S-06: a member without a pod is told so.
#[tokio::test]
async fn a_member_is_named_as_its_pod() {
    let Some(server) = ApiServer::start() else { return };
    pod(&server, "a");
    let b = member(&server, "b", json!({})).await;
    let error = b.touch_member(BUDGET, b"{}".to_vec()).await.expect_err("there is no pod");
    assert!(error.message.contains("there is no pod b in the namespace prod"), "{error}");
}
