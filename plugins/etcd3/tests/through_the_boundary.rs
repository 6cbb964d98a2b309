//! The built library against a real etcd, loaded and called as the daemon does it (ETCD3-01).

mod support;

use etcd_client::{CompactionOptions, PutOptions};
use regent_plugin_api::host::{Backend, Expect, Key, KeyKind, OpenOptions, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::server::Store;
use support::{BUDGET, eventually, find, key, lasting, load, member, member_key, open, options, pause};

async fn acquire(member: &Backend, name: &str) -> Option<regent_plugin_api::host::Lease> {
    member.acquire_leader(BUDGET, name.as_bytes().to_vec(), vec![]).await.expect("a verdict")
}

fn status(value: &str) -> Vec<Write> {
    vec![Write { key: key(KeyKind::Status), value: value.as_bytes().to_vec() }]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_member_has_the_lock_and_it_ends_with_the_ttl() {
    let store = Store::start().await;
    let (a, b) = (member("a", &store.section()).await, member("b", &store.section()).await);
    let lease = acquire(&a, "a").await.expect("it is free");
    assert_eq!(lease.ttl, Duration::from_secs(2));
    assert!(acquire(&b, "b").await.is_none());
    assert!(acquire(&a, "a").await.is_some(), "re-entrant");
    let lease = a.renew_leader(BUDGET, lease, status("1")).await.expect("a verdict").expect("it is ours");
    let snapshot = load(&b).await;
    assert_eq!(find(&snapshot, &key(KeyKind::Leader)).expect("the lock").session, lease.session);
    assert_eq!(find(&snapshot, &key(KeyKind::Status)).expect("the status").value, b"1");

    let mut changes = b.changes();
    b.set_cursor(snapshot.cursor);
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("the end of the lock wakes").expect("it is open");
    assert!(find(&load(&b).await, &key(KeyKind::Leader)).is_none());
    assert!(acquire(&b, "b").await.is_some());
    assert!(a.renew_leader(BUDGET, lease.clone(), vec![]).await.expect("a verdict").is_none(), "it is lost");
    assert!(!a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"), "only its own");
    assert!(acquire(&a, "a").await.is_none());
    // An expired lease is not used again: the loser can win the next time.
    eventually("the lock of b ends", async || acquire(&a, "a").await).await;
}

/// ETCD-13
#[tokio::test(flavor = "multi_thread")]
async fn many_want_the_lock_and_one_has_it() {
    let store = Store::start().await;
    let (holders, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let contend = async |name: String| {
        let member = lasting(&name, &store.section()).await;
        while taken.load(Ordering::SeqCst) < 200 {
            let Some(lease) = acquire(&member, &name).await else { continue };
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
            taken.fetch_add(1, Ordering::SeqCst);
            let lease =
                member.renew_leader(BUDGET, lease, status(&name)).await.expect("a verdict").expect("it is ours");
            holders.fetch_sub(1, Ordering::SeqCst);
            assert!(member.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
        }
    };
    tokio::join!(contend("a".into()), contend("b".into()), contend("c".into()), contend("d".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_lease_ended_is_lost_even_if_nobody_took_it() {
    let store = Store::start().await;
    let a = member("a", &store.section()).await;
    let lease = acquire(&a, "a").await.expect("it is free");
    let client = store.client().await;
    client.lease_client().revoke(lease.session.parse().expect("a number")).await.expect("it is revoked");
    assert!(a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").is_none());
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("with a new lease");
    let lease = acquire(&a, "a").await.expect("it is free again");
    client.lease_client().revoke(lease.session.parse().expect("a number")).await.expect("it is revoked");
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("kept alive lately: the key is known to be there");
    load(&a).await;
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("the reading showed that it is gone");
    assert!(a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").is_none(), "a new lease is no lock");
    assert!(find(&load(&a).await, &member_key("a")).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_member_takes_its_own_lock_over() {
    let store = Store::start().await;
    let before = lasting("a", &store.section()).await;
    let old = acquire(&before, "a").await.expect("it is free");
    let after = lasting("a", &store.section()).await;
    let again = after.renew_leader(BUDGET, old.clone(), vec![]).await.expect("a verdict").expect("known by its lease");
    assert_ne!(again.session, old.session);
    load(&before).await;
    assert!(before.renew_leader(BUDGET, old, vec![]).await.expect("a verdict").is_none(), "the old session lost it");
    let third = lasting("a", &store.section()).await;
    let third_lease = acquire(&third, "a").await.expect("it is our name");
    assert!(third.release_leader(BUDGET, third_lease, status("9")).await.expect("a verdict"));
    let snapshot = load(&third).await;
    assert!(find(&snapshot, &key(KeyKind::Leader)).is_none());
    assert_eq!(find(&snapshot, &key(KeyKind::Status)).expect("it was written").value, b"9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_removed_by_hand_is_written_again_unless_somebody_had_it() {
    let store = Store::start().await;
    let a = lasting("a", &store.section()).await;
    let mut client = store.client().await;
    let lease = acquire(&a, "a").await.expect("it is free");
    client.delete("/service/demo/leader", None).await.expect("deleted");
    load(&a).await;
    let lease = a.renew_leader(BUDGET, lease, status("5")).await.expect("a verdict").expect("nobody had it");
    let snapshot = load(&a).await;
    assert_eq!(find(&snapshot, &key(KeyKind::Leader)).expect("the lock").session, lease.session);
    client.put("/service/demo/leader", "b", None).await.expect("written");
    load(&a).await;
    assert!(a.renew_leader(BUDGET, lease.clone(), status("6")).await.expect("a verdict").is_none());
    client.delete("/service/demo/leader", None).await.expect("deleted");
    load(&a).await;
    assert!(a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").is_none(), "b may have promoted");
    assert_eq!(find(&load(&a).await, &key(KeyKind::Status)).expect("it stays").value, b"5");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ttl_needs_another_lease_and_the_lock_moves_to_it() {
    let store = Store::start().await;
    let a = lasting("a", &store.section()).await;
    let lease = acquire(&a, "a").await.expect("it is free");
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    a.set_ttl(Duration::from_secs(30));
    let renewed = a.renew_leader(BUDGET, lease.clone(), vec![]).await.expect("a verdict").expect("it is ours");
    assert_eq!(renewed.ttl, Duration::from_secs(30));
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    let snapshot = load(&a).await;
    for found in [key(KeyKind::Leader), member_key("a")] {
        assert_eq!(find(&snapshot, &found).expect("it is there").session, renewed.session);
    }
    assert_ne!(lease.session, renewed.session);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_compare_versions_and_wake_watchers() {
    let store = Store::start().await;
    let (a, b) = (lasting("a", &store.section()).await, lasting("b", &store.section()).await);
    let config = || key(KeyKind::Config);
    let first = a.put(BUDGET, config(), b"1".to_vec(), Expect::Absent).await.expect("a verdict").expect("absent");
    assert!(a.put(BUDGET, config(), b"2".to_vec(), Expect::Absent).await.expect("a verdict").is_none());
    let mut changes = b.changes();
    b.set_cursor(load(&b).await.cursor);
    let is = Expect::Is(first.clone());
    let second = a.put(BUDGET, config(), b"\xff\xfe".to_vec(), is).await.expect("a verdict").expect("it matches");
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("a write wakes").expect("it is open");
    let snapshot = load(&b).await;
    let entry = find(&snapshot, &config()).expect("it is there");
    assert_eq!((entry.value.as_slice(), &entry.version), (b"\xff\xfe".as_slice(), &second));
    for stale in [Expect::Is(first), Expect::Absent, Expect::Is("no version".to_owned())] {
        assert!(a.put(BUDGET, config(), b"3".to_vec(), stale.clone()).await.expect("a verdict").is_none());
        assert!(!a.delete(BUDGET, config(), stale).await.expect("a verdict"));
    }
    assert!(a.delete(BUDGET, config(), Expect::Is(second)).await.expect("a verdict"));
    assert!(!a.delete(BUDGET, config(), Expect::Any).await.expect("a verdict"));
    let third = a.put(BUDGET, config(), b"3".to_vec(), Expect::Any).await.expect("a verdict").expect("no condition");
    assert_eq!(find(&load(&b).await, &config()).expect("it is there").version, third);
    assert!(a.delete(BUDGET, config(), Expect::Any).await.expect("a verdict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_patroni_wrote_is_read_and_what_nobody_knows_survives() {
    let store = Store::start().await;
    let a = lasting("a", &store.section()).await;
    let mut client = store.client().await;
    let lease = client.lease_client().grant(60, None).await.expect("a lease").id();
    let with_lease = || Some(PutOptions::new().with_lease(lease));
    client.put("/service/demo/leader", "pg1", with_lease()).await.expect("written");
    client.put("/service/demo/members/pg1", r#"{"role":"primary"}"#, with_lease()).await.expect("written");
    client.put("/service/demo/optime/leader", "123", None).await.expect("written");
    client.put(b"/service/demo/odd\xff".to_vec(), b"\xff".to_vec(), None).await.expect("written");
    let future = Key { kind: KeyKind::Other(77), name: "x/y".to_owned() };
    a.put(BUDGET, future.clone(), b"\x00\xff".to_vec(), Expect::Absent).await.expect("a verdict").expect("absent");
    let snapshot = load(&a).await;
    assert_eq!(snapshot.entries.len(), 5);
    let leader = find(&snapshot, &key(KeyKind::Leader)).expect("it is there");
    assert_eq!((leader.value.as_slice(), &leader.session), (b"pg1".as_slice(), &lease.to_string()));
    assert!(find(&snapshot, &member_key("pg1")).is_some());
    let optime = Key { kind: KeyKind::Other(0), name: "optime/leader".to_owned() };
    assert_eq!(find(&snapshot, &optime).expect("it is there").session, "");
    assert_eq!(find(&snapshot, &future).expect("it is there").value, b"\x00\xff");
    assert!(acquire(&a, "a").await.is_none(), "the peer's lock counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_whose_names_begin_alike_do_not_meet() {
    let store = Store::start().await;
    let demo = lasting("a", &store.section()).await;
    let other = OpenOptions { scope: "demo2".to_owned(), ..options("a", &store.section()) };
    let demo2 = open(OpenOptions { ttl: Duration::from_secs(60), ..other }).await;
    for cluster in [&demo, &demo2] {
        cluster.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    }
    demo.delete_cluster(BUDGET).await.expect("it is removed");
    assert!(load(&demo).await.entries.is_empty());
    assert_eq!(load(&demo2).await.entries[0].key, member_key("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_loses_nothing_and_compaction_is_a_change() {
    let store = Store::start().await;
    let (a, b) = (lasting("a", &store.section()).await, lasting("b", &store.section()).await);
    let old = load(&b).await.cursor;
    let mut changes = b.changes();
    // Before the watch began, and again and again while nobody may be listening.
    for round in 0..30 {
        a.put(BUDGET, key(KeyKind::Config), vec![b'0' + round % 10], Expect::Any).await.expect("a verdict");
        b.set_cursor(if round == 0 { old.clone() } else { load(&b).await.cursor });
        if round > 0 {
            a.put(BUDGET, key(KeyKind::History), vec![round], Expect::Any).await.expect("a verdict");
        }
        tokio::time::timeout(BUDGET, changes.changed()).await.expect("every change wakes").expect("it is open");
    }
    let late = lasting("c", &store.section()).await;
    let revision: i64 = load(&late).await.cursor.split_once(':').expect("its form").1.parse().expect("a number");
    let mut client = store.client().await;
    let options = Some(CompactionOptions::new().with_physical());
    client.compact(revision, options).await.expect("compacted");
    let mut changes = late.changes();
    late.set_cursor(old);
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("compaction is a change (ETCD-09)").expect("open");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_heartbeats_wake_nobody_here_and_others_heartbeats_wake_late() {
    let store = Store::start().await;
    let (a, b) = (lasting("a", &store.section()).await, lasting("b", &store.section()).await);
    let mut lease = acquire(&a, "a").await.expect("it is free");
    a.touch_member(BUDGET, br#"{"xlog_location":1}"#.to_vec()).await.expect("it is written");
    let (mut own, mut others) = (a.changes(), b.changes());
    for member in [&a, &b] {
        member.set_cursor(load(member).await.cursor);
    }
    lease = a.renew_leader(BUDGET, lease, status(r#"{"optime":2}"#)).await.expect("a verdict").expect("it is ours");
    a.touch_member(BUDGET, br#"{"xlog_location":2}"#.to_vec()).await.expect("it is written");
    tokio::time::timeout(BUDGET, others.changed()).await.expect("the leader's status wakes").expect("it is open");
    b.set_cursor(load(&b).await.cursor);
    for _ in 0..5 {
        pause().await;
    }
    assert!(!own.has_changed().expect("it is open"), "its own heartbeat woke it");
    a.touch_member(BUDGET, br#"{"xlog_location":3}"#.to_vec()).await.expect("it is written");
    tokio::time::timeout(BUDGET, others.changed()).await.expect("a heartbeat is told late").expect("it is open");
    b.set_cursor(load(&b).await.cursor);
    a.touch_member(BUDGET, br#"{"role":"x"}"#.to_vec()).await.expect("it is written");
    tokio::time::timeout(BUDGET, others.changed()).await.expect("a role is told at once").expect("it is open");
    assert!(a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
    tokio::time::timeout(BUDGET, own.changed()).await.expect("the end of the lock wakes all").expect("it is open");
}

/// What one loop of a leader and of a replica costs, by the server's own count.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_loop_costs_one_request() {
    let store = Store::start().await;
    let (a, b) = (lasting("a", &store.section()).await, lasting("b", &store.section()).await);
    let mut lease = acquire(&a, "a").await.expect("it is free");
    let requests = || {
        let ours = |labels: &str| !labels.contains("MemberList");
        store.servers[0].metric_where("grpc_server_started_total", &ours).expect("etcd counts")
    };
    let messages = || {
        let keep_alive = |labels: &str| labels.contains("LeaseKeepAlive");
        store.servers[0].metric_where("grpc_server_msg_received_total", &keep_alive).unwrap_or(0.0)
    };
    let loops = 10;
    let mut costs = Vec::new();
    for (moves, steps) in [(false, loops), (true, loops)] {
        // The first of each kind makes the streams.
        for step in 0..=steps {
            if step == 1 {
                costs.push((requests(), messages()));
            }
            let value = if moves { format!("{{\"optime\":{step}}}") } else { "{}".to_owned() };
            lease = a.renew_leader(BUDGET, lease, status(&value)).await.expect("a verdict").expect("it is ours");
            a.set_cursor(load(&a).await.cursor);
            a.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
        }
        costs.push((requests(), messages()));
    }
    let per_loop = |from: usize, to: usize| (costs[to].0 - costs[from].0) / f64::from(loops);
    let quiet = per_loop(0, 1);
    let busy = per_loop(2, 3);
    let kept = (costs[1].1 - costs[0].1) / f64::from(loops);
    eprintln!("leader: {quiet} requests per quiet loop, {busy} per busy loop, {kept} messages to the lease");
    assert!(quiet <= 1.1, "the reading only: {quiet}");
    assert!(busy <= 2.1, "the reading and the status: {busy}");
    assert!((0.9..=1.1).contains(&kept), "the lease is kept alive in every loop: {kept}");

    b.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    let (before, sent) = (requests(), messages());
    let begun = now();
    for _ in 0..loops {
        b.set_cursor(load(&b).await.cursor);
        b.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    }
    // With a ttl of 60 s one message counts for a loop and a half.
    let (kept, most) = (messages() - sent, 1.0 + now().duration_since(begun).as_secs_f64() / 1.5);
    assert!(kept <= most, "{kept} messages to the lease of a replica, {most} are enough");
    // One more: the stream of its watch, or of its lease.
    let replica = (requests() - before) / f64::from(loops);
    eprintln!("replica: {replica} requests per quiet loop");
    assert!(replica <= 1.2, "{replica}");
}

#[allow(clippy::disallowed_methods, reason = "a test measures how long it took")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_object_answers_at_once_and_leaves_no_thread() {
    let store = Store::start().await;
    let threads = || std::fs::read_dir("/proc/self/task").expect("it can be read").count();
    let a = lasting("a", &store.section()).await;
    a.set_cursor(load(&a).await.cursor);
    let before = threads();
    let b = lasting("b", &store.section()).await;
    b.set_cursor(load(&b).await.cursor);
    b.close(BUDGET).await;
    let error = b.load(BUDGET).await.expect_err("it is closed");
    assert_eq!(error.kind, regent_plugin_api::host::ErrorKind::Closed);
    eventually("the threads end", async || (threads() <= before).then_some(())).await;
    load(&a).await;
}
