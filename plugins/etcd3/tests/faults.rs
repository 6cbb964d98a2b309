//! Servers that are killed, frozen, cut off or silent: every call ends within its budget, and no answer is invented.

mod support;

use regent_plugin_api::host::{Backend, DcsError, ErrorKind, Expect, KeyKind, Lease, Write};
use std::net::TcpListener;
use std::time::Duration;
use support::proxy::Proxy;
use support::server::Store;
use support::{BUDGET, eventually, find, key, lasting, load, member_key};

/// Enough for three servers to be tried.
const SHORT: Duration = Duration::from_secs(3);

async fn acquire(member: &Backend) -> Lease {
    member.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free")
}

fn status(value: &str) -> Vec<Write> {
    vec![Write { key: key(KeyKind::Status), value: value.as_bytes().to_vec() }]
}

/// The error of a call, which came from the backend and not from the host's patience.
#[track_caller]
fn failed<T: std::fmt::Debug>(answer: Result<T, DcsError>) -> ErrorKind {
    let error = answer.expect_err("there can be no answer");
    assert!(!error.message.contains("did not come back"), "the budget was not kept: {error}");
    error.kind
}

/// What a member does in a loop works.
async fn heartbeat(a: &Backend, lease: Lease, value: &str) -> Lease {
    let lease = a.renew_leader(BUDGET, lease, status(value)).await.expect("a verdict").expect("it is ours");
    a.touch_member(BUDGET, value.as_bytes().to_vec()).await.expect("it is written");
    let snapshot = load(a).await;
    assert_eq!(find(&snapshot, &key(KeyKind::Status)).expect("it was written").value, value.as_bytes());
    assert_eq!(find(&snapshot, &member_key("a")).expect("it was written").value, value.as_bytes());
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_of_three_may_be_killed_whichever_it_is() {
    let mut store = Store::cluster(3).await;
    let a = lasting("a", &store.section()).await;
    let mut lease = heartbeat(&a, acquire(&a).await, "1").await;
    for round in 0..2 {
        let victim = if round == 0 { store.leader().await } else { 0 };
        store.servers[victim].kill();
        lease = heartbeat(&a, lease, &format!("2{round}")).await;
        store.servers[victim].restart().await;
        lease = heartbeat(&a, lease, &format!("3{round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_of_three_may_be_frozen_whichever_it_is() {
    let store = Store::cluster(3).await;
    let a = lasting("a", &store.section()).await;
    let mut lease = heartbeat(&a, acquire(&a).await, "1").await;
    for round in 0..4 {
        // The three, and the one that leads.
        let victim = if round == 3 { store.leader().await } else { round };
        store.servers[victim].freeze();
        lease = heartbeat(&a, lease, &format!("2{round}")).await;
        store.servers[victim].thaw();
        lease = heartbeat(&a, lease, &format!("3{round}")).await;
    }
}

/// ETCD-11
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_at_another_server_and_loses_nothing() {
    let mut store = Store::cluster(3).await;
    let (a, b) = (lasting("a", &store.section()).await, lasting("b", &store.section()).await);
    let mut changes = b.changes();
    for round in 0..6_u8 {
        let victim = usize::from(round / 2);
        b.set_cursor(load(&b).await.cursor);
        match round % 2 {
            0 => store.servers[victim].kill(),
            _ => store.servers[victim].restart().await,
        }
        a.put(BUDGET, key(KeyKind::Config), vec![round], Expect::Any).await.expect("a verdict");
        tokio::time::timeout(support::PATIENCE, changes.changed()).await.expect("it wakes").expect("it is open");
        let expected = [round];
        eventually("the change can be read", async || {
            let snapshot = b.load(BUDGET).await.ok()?;
            (find(&snapshot, &key(KeyKind::Config))?.value == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_takes_no_watch_with_it() {
    // A machine that is busy may be too slow for that, but not each time.
    for _ in 0..4 {
        if wakes_beside_a_frozen_server().await {
            return;
        }
    }
    panic!("a watch hears only after its server was found to be dead");
}

async fn wakes_beside_a_frozen_server() -> bool {
    let store = Store::cluster(3).await;
    let (a, b) = (lasting("a", &store.section()).await, lasting("b", &store.section()).await);
    let mut changes = b.changes();
    b.set_cursor(load(&b).await.cursor);
    store.servers[0].freeze();
    // The reading moves the watch to another server too.
    let cursor = load(&b).await.cursor;
    a.put(BUDGET, key(KeyKind::Config), b"1".to_vec(), Expect::Any).await.expect("a verdict");
    if tokio::time::timeout(SHORT, changes.changed()).await.is_err() {
        return false;
    }
    assert_ne!(load(&b).await.cursor, cursor);
    true
}

/// ETCD-06, ETCD-10
#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_frozen_the_budget_is_kept_and_all_goes_on_afterwards() {
    let store = Store::cluster(3).await;
    let a = lasting("a", &store.section()).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    store.servers.iter().for_each(support::server::Server::freeze);
    assert_eq!(failed(a.load(SHORT).await), ErrorKind::Unavailable);
    assert_eq!(failed(a.renew_leader(SHORT, lease.clone(), status("2")).await), ErrorKind::Indeterminate);
    store.servers.iter().for_each(support::server::Server::thaw);
    let lease = eventually("it answers again", async || {
        a.renew_leader(BUDGET, lease.clone(), status("3")).await.ok().map(|lease| lease.expect("it is ours"))
    })
    .await;
    heartbeat(&a, lease, "4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_emptied_is_a_new_beginning() {
    let mut store = Store::start().await;
    let a = lasting("a", &store.section()).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    let mut changes = a.changes();
    a.set_cursor(load(&a).await.cursor);
    store.servers[0].kill();
    store.servers[0].wipe();
    store.servers[0].restart().await;
    tokio::time::timeout(support::PATIENCE, changes.changed()).await.expect("it wakes").expect("it is open");
    assert!(a.renew_leader(BUDGET, lease, status("1")).await.expect("a verdict").is_none());
    assert!(eventually("it can be read", async || a.load(BUDGET).await.ok()).await.entries.is_empty());
    let lease = acquire(&a).await;
    let lease = heartbeat(&a, lease, "1").await;
    // Where the history is shorter than the one that was known.
    a.set_cursor(load(&a).await.cursor);
    changes.mark_unchanged();
    let b = lasting("b", &store.section()).await;
    b.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    tokio::time::timeout(support::PATIENCE, changes.changed()).await.expect("it wakes").expect("it is open");
    assert!(a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
}

/// Nothing but the watch is going on: pings find out.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_noticed_by_the_watch_alone() {
    let store = Store::cluster(3).await;
    let b = lasting("b", &store.section()).await;
    let hosts = format!("{{\"hosts\": [{:?}, {:?}]}}", store.servers[1].address(), store.servers[2].address());
    let a = lasting("a", &hosts).await;
    let mut changes = b.changes();
    b.set_cursor(load(&b).await.cursor);
    store.servers[0].freeze();
    a.put(BUDGET, key(KeyKind::Config), b"1".to_vec(), Expect::Any).await.expect("a verdict");
    tokio::time::timeout(support::PATIENCE, changes.changed()).await.expect("it wakes").expect("it is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_read_and_nothing_is_sure() {
    let mut store = Store::cluster(3).await;
    let a = lasting("a", &store.section()).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    store.servers[1].kill();
    store.servers[2].kill();
    assert_eq!(failed(a.load(SHORT).await), ErrorKind::Unavailable);
    let put = a.put(SHORT, key(KeyKind::Config), b"1".to_vec(), Expect::Absent).await;
    assert!(matches!(failed(put), ErrorKind::Unavailable | ErrorKind::Indeterminate));
    let _no_verdict = failed(a.renew_leader(SHORT, lease.clone(), status("2")).await);
    store.servers[1].restart().await;
    heartbeat(&a, lease, "3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_costs_the_budget_and_no_more() {
    let store = Store::start().await;
    let proxy = Proxy::before(store.servers[0].client_port).await;
    // A proxy is not asked for members, which would lead around it (ETCD-03).
    let section = format!("{{\"proxy\": \"http://{}\"}}", proxy.address());
    let a = lasting("a", &section).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    proxy.swallow(true);
    assert_eq!(failed(a.load(SHORT).await), ErrorKind::Unavailable);
    let before = proxy.swallowed();
    assert_eq!(failed(a.renew_leader(SHORT, lease.clone(), status("2")).await), ErrorKind::Indeterminate);
    let put = a.put(SHORT, key(KeyKind::Config), b"1".to_vec(), Expect::Absent).await;
    assert!(proxy.swallowed() > before, "requests left");
    assert_eq!(failed(put), ErrorKind::Indeterminate);
    assert_eq!(failed(a.acquire_leader(SHORT, b"a".to_vec(), vec![]).await), ErrorKind::Indeterminate);
    let _no_verdict = failed(a.touch_member(SHORT, b"5".to_vec()).await);
    let _no_verdict = failed(a.release_leader(SHORT, lease.clone(), vec![]).await);
    let _no_verdict = failed(a.delete_cluster(SHORT).await);
    proxy.swallow(false);
    assert!(a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").is_some(), "it was ours");
    heartbeat(&a, lease, "6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_says_a_word_is_passed_over() {
    let store = Store::start().await;
    // The kernel accepts, nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address)).expect("it is bound");
    let section = format!("{{\"hosts\": \"{},{}\"}}", silent.1, store.servers[0].address());
    let a = lasting("a", &section).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    heartbeat(&a, lease, "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_was_surely_not_applied() {
    let mut store = Store::start().await;
    let a = lasting("a", &store.section()).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    store.servers[0].kill();
    // What was on its way when the connection broke is another matter.
    eventually("the end of the connection is seen", async || {
        (failed(a.load(SHORT).await) == ErrorKind::Unavailable).then_some(())
    })
    .await;
    let short = Duration::from_millis(300);
    assert_eq!(failed(a.load(short).await), ErrorKind::Unavailable);
    assert_eq!(failed(a.put(short, key(KeyKind::Config), b"1".to_vec(), Expect::Any).await), ErrorKind::Unavailable);
    assert_eq!(failed(a.renew_leader(short, lease.clone(), vec![]).await), ErrorKind::Unavailable);
    // A call that finds the store down waits for it.
    let (restarted, snapshot) = tokio::join!(store.servers[0].restart(), a.load(BUDGET));
    let () = restarted;
    assert!(find(&snapshot.expect("it is back within the budget"), &key(KeyKind::Leader)).is_some());
    heartbeat(&a, lease, "2").await;
}

/// A request that went unanswered reaches the store at last, when everything has moved on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_late_undoes_nothing() {
    let store = Store::start().await;
    let slow = Proxy::before(store.servers[0].client_port).await;
    let section =
        format!("{{\"hosts\": [\"{}\", \"{}\"], \"use_proxies\": true}}", slow.address(), store.servers[0].address());
    let a = lasting("a", &section).await;
    load(&a).await;
    slow.swallow(true);
    let request = a.put(BUDGET, key(KeyKind::Failover), b"now".to_vec(), Expect::Any).await;
    request.expect("a verdict").expect("the second server took it");
    assert!(slow.swallowed() > 0, "the first got it too");
    a.put(BUDGET, key(KeyKind::Failover), b"{}".to_vec(), Expect::Any).await.expect("a verdict").expect("written");
    let version = find(&load(&a).await, &key(KeyKind::Failover)).expect("it is there").version.clone();
    let applied = || store.servers[0].metric_where("grpc_server_handled_total", &|labels| labels.contains("Txn"));
    let before = applied();
    slow.deliver_late();
    eventually("the late request is handled", async || (applied() > before).then_some(())).await;
    let snapshot = load(&a).await;
    let after = find(&snapshot, &key(KeyKind::Failover)).expect("it is there");
    assert_eq!((after.value.as_slice(), &after.version), (b"{}".as_slice(), &version));
}

/// The same for the lock: a request for it that comes late must not take it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_not_taken_by_a_request_of_long_ago() {
    let store = Store::start().await;
    let slow = Proxy::before(store.servers[0].client_port).await;
    let section = |first: &str, second: &str| format!("{{\"hosts\": [{first:?}, {second:?}], \"use_proxies\": true}}");
    let a = lasting("a", &section(&slow.address(), &store.servers[0].address())).await;
    a.touch_member(BUDGET, b"1".to_vec()).await.expect("it is written");
    let lease = acquire(&a).await;
    assert!(a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
    let txns = || store.servers[0].metric_where("grpc_server_started_total", &|labels| labels.contains("Txn"));
    // The message to the lease passes, the transaction does not.
    slow.swallow_from("/service/demo/leader");
    let lease = acquire(&a).await;
    assert!(slow.swallowed() > 0, "a server did not get it");
    assert!(a.release_leader(BUDGET, lease.clone(), vec![]).await.expect("a verdict"));
    let before = txns();
    slow.deliver_late();
    eventually("the late request is handled", async || (txns() > before).then_some(())).await;
    let snapshot = load(&a).await;
    assert!(find(&snapshot, &key(KeyKind::Leader)).is_none());
    assert!(find(&snapshot, &member_key("a")).is_some());
    let b = lasting("b", &store.section()).await;
    b.acquire_leader(BUDGET, b"b".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
}

/// And a request to give the lock back must not remove it once it was taken again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_not_removed_by_a_request_of_long_ago() {
    let store = Store::start().await;
    let slow = Proxy::before(store.servers[0].client_port).await;
    let a = lasting("a", &format!("{{\"proxy\": \"http://{}\"}}", slow.address())).await;
    let lease = heartbeat(&a, acquire(&a).await, "1").await;
    slow.swallow(true);
    assert_eq!(failed(a.release_leader(SHORT, lease, vec![]).await), ErrorKind::Indeterminate);
    slow.swallow(false);
    let lease = acquire(&a).await;
    let txns = || store.servers[0].metric_where("grpc_server_handled_total", &|labels| labels.contains("Txn"));
    let before = txns();
    slow.deliver_late();
    eventually("the late request is handled", async || (txns() > before).then_some(())).await;
    let snapshot = load(&a).await;
    assert_eq!(find(&snapshot, &key(KeyKind::Leader)).expect("it is there").session, lease.session);
    heartbeat(&a, lease, "2").await;
}
