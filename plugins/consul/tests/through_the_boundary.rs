//! The built library against a real Consul, loaded and called as the daemon does it.

mod support;

use regent_plugin_api::host::{Backend, ErrorKind, Expect, Key, KeyKind, Lease, OpenOptions, Write};
use std::time::Duration;
use support::server::Agent;
use support::{BUDGET, Listener, find, key, load, member, open, options};

fn section(agent: &Agent, more: &str) -> String {
    format!("{{\"host\": \"{}\"{more}}}", agent.address())
}

async fn acquire(member: &Backend, name: &str) -> Option<Lease> {
    member.acquire_leader(BUDGET, name.as_bytes().to_vec(), vec![]).await.expect("a verdict")
}

async fn renew(member: &Backend, lease: Lease, status: &str) -> Option<Lease> {
    let also = vec![Write { key: key(KeyKind::Status), value: status.as_bytes().to_vec() }];
    member.renew_leader(BUDGET, lease, also).await.expect("a verdict")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer has a head").1
}

/// CONS-01: as the peer writes and reads it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_lie_where_patroni_looks_for_them() {
    let Some(agent) = Agent::start(1) else { return };
    agent.ask("PUT", "kv/service/demo/config", "{\"ttl\":30}").expect("it is written");
    agent.ask("PUT", "kv/service/demo2/config", "{}").expect("it is written");
    let a = member("a", &section(&agent, "")).await;
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    let lease = acquire(&a, "a").await.expect("it is free");
    renew(&a, lease.clone(), "1").await.expect("it is ours");
    let keys = agent.get("kv/service/demo/?keys").expect("it answers");
    let expected =
        ["service/demo/config", "service/demo/leader", "service/demo/members/a", "service/demo/status"].map(|key| {
            assert!(keys.contains(&format!("\"{key}\"")), "{key} in {keys}");
            key
        });
    let snapshot = load(&a).await;
    assert_eq!(snapshot.entries.len(), expected.len(), "and none of its neighbour's");
    let leader = find(&snapshot, &key(KeyKind::Leader)).expect("the lock");
    assert_eq!((leader.value.as_slice(), &leader.session), (b"a".as_slice(), &lease.session));
    assert_eq!(find(&snapshot, &key(KeyKind::Config)).expect("the peer's").value, b"{\"ttl\":30}");

    let sessions = agent.get("session/list").expect("it answers");
    for part in ["\"Name\": \"demo-a\"", "\"Behavior\": \"delete\"", "\"TTL\": \"30s\""] {
        assert!(sessions.contains(part), "{part} in {sessions}");
    }
    assert!(!sessions.contains("serfHealth"), "no check ends a session unless it is asked for (CONS-05): {sessions}");
}

/// CONS-05.
#[tokio::test(flavor = "multi_thread")]
async fn checks_are_those_that_are_asked_for() {
    let Some(agent) = Agent::start(1) else { return };
    let a = member("a", &section(&agent, ", \"checks\": [\"serfHealth\"]")).await;
    assert!(acquire(&a, "a").await.is_some());
    let sessions = agent.get("session/list").expect("it answers");
    assert!(sessions.contains("serfHealth"), "{sessions}");
}

/// CONS-07.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_at_least_as_long_as_the_servers_want() {
    let Some(agent) = Agent::start(30) else { return };
    let a = open(OpenOptions { ttl: Duration::from_secs(20), ..options("a", &section(&agent, "")) }).await;
    let lease = acquire(&a, "a").await.expect("it is free");
    assert_eq!(lease.ttl, Duration::from_secs(60));
    assert_eq!(renew(&a, lease, "1").await.expect("it is ours").ttl, Duration::from_secs(60));
}

/// CONS-10.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_gone_is_followed_by_another() {
    let Some(agent) = Agent::start(1) else { return };
    let a = member("a", &section(&agent, "")).await;
    a.touch_member(BUDGET, b"1".to_vec()).await.expect("it is written");
    let lease = acquire(&a, "a").await.expect("it is free");
    agent.ask("PUT", &format!("session/destroy/{}", lease.session), "").expect("it is destroyed");
    assert!(renew(&a, lease.clone(), "1").await.is_none(), "with the session went the lock");
    assert!(load(&a).await.entries.is_empty());
    let again = acquire(&a, "a").await.expect("it is free");
    assert_ne!(again.session, lease.session);
    a.touch_member(BUDGET, b"1".to_vec()).await.expect("it is written");
    let snapshot = load(&a).await;
    let own = Key { kind: KeyKind::Member, name: "a".to_owned() };
    assert_eq!(find(&snapshot, &own).expect("its key").session, again.session);
}

/// CONS-09: heartbeats fail while nobody leads the store, and what was ours is ours afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_stores_leader_costs_nothing() {
    let Some(mut agents) = Agent::cluster(3) else { return };
    let leading = agents.iter().position(Agent::leads).expect("somebody leads");
    let leader = agents.remove(leading);
    let a = member("a", &section(&agents[0], "")).await;
    a.touch_member(BUDGET, b"1".to_vec()).await.expect("it is written");
    let lease = acquire(&a, "a").await.expect("it is free");
    drop(leader);
    let mut failed = 0;
    for round in 0..100 {
        let short = Duration::from_secs(2);
        match a.touch_member(short, format!("round {round}").into_bytes()).await {
            Ok(()) => break,
            Err(error) => {
                let known = [ErrorKind::Unavailable, ErrorKind::Indeterminate].contains(&error.kind);
                assert!(known, "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed < 100, "no other server leads");
    assert!(renew(&a, lease, "1").await.is_some(), "the lock is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_takes_over_what_it_had() {
    let Some(agent) = Agent::start(1) else { return };
    let (before, b) = (member("a", &section(&agent, "")).await, member("b", &section(&agent, "")).await);
    before.touch_member(BUDGET, b"1".to_vec()).await.expect("it is written");
    let lease = acquire(&before, "a").await.expect("it is free");
    let after = member("a", &section(&agent, "")).await;
    load(&after).await;
    after.touch_member(BUDGET, b"2".to_vec()).await.expect("it is written");
    let new = acquire(&after, "a").await.expect("it carries its name");
    assert_ne!(new.session, lease.session);
    assert!(renew(&before, lease, "1").await.is_none(), "the lock hangs on the other session");
    assert!(renew(&after, new.clone(), "1").await.is_some());
    assert!(acquire(&b, "b").await.is_none());
    // A lease that the host still knows is moved to the session of another ttl.
    after.set_ttl(Duration::from_secs(40));
    let moved = renew(&after, new.clone(), "2").await.expect("it is ours");
    assert_eq!((moved.ttl, moved.session == new.session), (Duration::from_secs(40), false));
    assert!(after.release_leader(BUDGET, moved, vec![]).await.expect("a verdict"));
    assert!(acquire(&b, "b").await.is_some());
}

/// CONS-08.
#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_knows_where_the_server_is() {
    let Some(agent) = Agent::start(1) else { return };
    let a = member("a", &section(&agent, ", \"register_service\": true, \"service_tags\": [\"x\"]")).await;
    let touch = async |state: &str, role: &str| {
        let value = format!(
            "{{\"conn_url\":\"postgres://127.0.0.1:5433/postgres\",\"api_url\":\"http://127.0.0.1:8008/patroni\",\
             \"state\":\"{state}\",\"role\":\"{role}\"}}"
        );
        a.touch_member(BUDGET, value.into_bytes()).await.expect("it is written");
        body(&agent.get("agent/services").expect("it answers")).to_owned()
    };
    assert!(!touch("starting", "replica").await.contains("5433"), "not before it runs");
    let services = touch("running", "replica").await;
    for part in ["\"ID\": \"demo/a\"", "\"Service\": \"demo\"", "\"Port\": 5433", "\"replica\"", "\"x\""] {
        assert!(services.contains(part), "{part} in {services}");
    }
    let services = touch("running", "primary").await;
    assert!(services.contains("\"primary\"") && services.contains("\"master\""), "{services}");
    let checks = agent.get("agent/checks").expect("it answers");
    assert!(checks.contains("\"ServiceID\": \"demo/a\"") && checks.contains("\"Type\": \"http\""), "{checks}");
    assert!(!touch("stopped", "primary").await.contains("demo/a"), "not after it stopped");
}

/// CONS-03, CONS-06, CONS-11.
#[tokio::test(flavor = "multi_thread")]
async fn requests_say_who_asks_and_for_how_long() {
    let listener = Listener::start(true);
    let section = format!("{{{}, \"token\": \"hush\", \"dc\": \"east\"}}", listener.section());
    let a = member("a", &section).await;
    let snapshot = load(&a).await;
    assert!(snapshot.entries.is_empty() && snapshot.cursor == "5");
    let mut heads = listener.heads();
    let head = heads.pop().expect("it was asked");
    assert!(head.starts_with("get /v1/kv/service/demo/?recurse&dc=east "), "{head}");
    assert!(head.contains("x-consul-token: hush") && !head.contains("token=hush"), "{head}");
}

/// CONS-02: nobody waits longer than the budget, and a write that left may have been applied.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_no_verdict() {
    let listener = Listener::start(false);
    let a = member("a", &format!("{{{}}}", listener.section())).await;
    let short = Duration::from_millis(1500);
    let error = a.load(Duration::from_secs(4)).await.expect_err("nobody answers");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(listener.heads().len() >= 2, "a try takes a third of the retry timeout");
    let put = a.put(short, key(KeyKind::Config), b"1".to_vec(), Expect::Any).await;
    assert_eq!(put.expect_err("nobody answers").kind, ErrorKind::Indeterminate);

    let refused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = refused.local_addr().expect("it is bound");
    drop(refused);
    let b = member("b", &format!("{{\"url\": \"http://{address}\"}}")).await;
    let put = b.put(short, key(KeyKind::Config), b"1".to_vec(), Expect::Any).await;
    assert_eq!(put.expect_err("nobody is there").kind, ErrorKind::Unavailable);
}

/// What this member does itself wakes nobody in it; what others do, does.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_of_others() {
    let Some(agent) = Agent::start(1) else { return };
    let (a, b) = (member("a", &section(&agent, "")).await, member("b", &section(&agent, "")).await);
    b.touch_member(BUDGET, b"{\"x\":1}".to_vec()).await.expect("it is written");
    let mut changes = a.changes();
    a.set_cursor(load(&a).await.cursor);
    a.touch_member(BUDGET, b"1".to_vec()).await.expect("it is written");
    let lease = acquire(&b, "b").await.expect("it is free");
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("the lock of another wakes").expect("it is open");
    let snapshot = load(&a).await;
    assert_eq!(find(&snapshot, &key(KeyKind::Leader)).expect("the lock").value, b"b");
    a.set_cursor(snapshot.cursor);
    assert!(b.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("the end of the lock wakes").expect("it is open");
}
