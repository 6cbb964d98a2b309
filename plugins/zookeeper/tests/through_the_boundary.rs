//! The built library against a real ZooKeeper, loaded and called as the daemon does it.

mod support;

use regent_plugin_api::host::{Backend, ErrorKind, Expect, KeyKind, OpenOptions};
use std::time::Duration;
use support::server::Server;
use support::{BUDGET, acquire, find, key, load, member, open, options, own, renew, section, touch, until};

const TTL: Duration = Duration::from_secs(2);

/// ZK-01: as the peer writes and reads it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_lie_where_patroni_looks_for_them() {
    let Some(server) = Server::start() else { return };
    let a = member("a", &server).await;
    touch(&a, "{}").await;
    let lease = acquire(&a, "a").await.expect("it is free");
    renew(&a, lease.clone(), "1").await.expect("it is ours");
    a.put(BUDGET, key(KeyKind::Sync), b"{\"leader\":\"a\"}".to_vec(), Expect::Any).await.expect("it is written");
    let dump = server.command("dump").expect("it answers");
    for line in [&format!("0x{}:", lease.session), "\t/service/demo/leader", "\t/service/demo/members/a"] {
        assert!(dump.contains(line), "{line} in {dump}");
    }
    assert!(!dump.contains("status") && !dump.contains("demo/sync"), "those hang on no session: {dump}");

    // Somebody who looks from above sees the nodes themselves.
    let section = section(std::slice::from_ref(&server), "");
    let above = open(OpenOptions { namespace: "/".to_owned(), scope: "service".to_owned(), ..options("x", &section) });
    let above = above.await;
    let names = async || {
        let mut names: Vec<_> = load(&above).await.entries.into_iter().map(|entry| entry.key.name).collect();
        names.sort();
        names
    };
    assert_eq!(names().await, ["demo/leader", "demo/members/a", "demo/status", "demo/sync"]);
    // The peer never removes that key: it holds an empty mapping instead.
    assert!(a.delete(BUDGET, key(KeyKind::Sync), Expect::Any).await.expect("a verdict"));
    assert_eq!(find(&a, &key(KeyKind::Sync)).await.expect("it is there").value, b"{}");
    assert!(a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
    assert_eq!(names().await, ["demo/members/a", "demo/status", "demo/sync"], "the member stays");
    // A path after the servers is where everything lies.
    let below = open(OpenOptions {
        namespace: "/".to_owned(),
        ..options("b", &format!("{{\"hosts\": \"{}/service\"}}", server.address()))
    });
    assert!(find(&below.await, &own("a")).await.is_some());
}

/// A version belongs to one value, and not to one that was written after the node was removed and made again.
#[tokio::test(flavor = "multi_thread")]
async fn versions_do_not_come_back() {
    let Some(server) = Server::start() else { return };
    let (a, config) = (member("a", &server).await, || key(KeyKind::Config));
    let first = a.put(BUDGET, config(), b"1".to_vec(), Expect::Absent).await.expect("a verdict").expect("it is new");
    assert!(a.delete(BUDGET, config(), Expect::Any).await.expect("a verdict"));
    a.put(BUDGET, config(), b"2".to_vec(), Expect::Absent).await.expect("a verdict").expect("it is new");
    for expect in [Expect::Is(first.clone()), Expect::Is("0".to_owned()), Expect::Is("x".to_owned())] {
        assert_eq!(a.put(BUDGET, config(), b"3".to_vec(), expect.clone()).await, Ok(None), "{expect:?}");
        assert_eq!(a.delete(BUDGET, config(), expect).await, Ok(false));
    }
}

/// ZK-01: with the session go the nodes, and both come back on the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_gone_is_followed_by_another() {
    let Some(server) = Server::start() else { return };
    let section = section(std::slice::from_ref(&server), "");
    let a = open(OpenOptions { ttl: TTL, ..options("a", &section) }).await;
    let b = member("b", &server).await;
    touch(&a, "1").await;
    let lease = acquire(&a, "a").await.expect("it is free");
    until("the session ends", async || load(&b).await.entries.is_empty()).await;
    assert!(renew(&a, lease.clone(), "1").await.is_none(), "with the session went the lock");
    a.set_ttl(Duration::from_secs(60));
    let again = acquire(&a, "a").await.expect("it is free");
    touch(&a, "1").await;
    assert_ne!(again.session, lease.session);
    for key in [key(KeyKind::Leader), own("a")] {
        assert_eq!(find(&b, &key).await.expect("it is there").session, again.session);
    }
}

/// ZK-01: nodes of an earlier life are made anew on the new session, the lock and the member's key together, so that
/// nobody else's is ever taken for ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_takes_over_what_it_had() {
    let Some(server) = Server::start() else { return };
    let (before, b) = (member("a", &server).await, member("b", &server).await);
    touch(&before, "1").await;
    let lease = acquire(&before, "a").await.expect("it is free");
    let after = member("a", &server).await;
    touch(&after, "2").await;
    assert!(acquire(&b, "b").await.is_none());
    let new = acquire(&after, "a").await.expect("it carries its name");
    assert_ne!(new.session, lease.session);
    for key in [key(KeyKind::Leader), own("a")] {
        assert_eq!(find(&b, &key).await.expect("it is there").session, new.session);
    }
    assert!(renew(&before, lease, "1").await.is_none(), "the lock hangs on the other session");
    assert!(renew(&after, new.clone(), "1").await.is_some() && acquire(&b, "b").await.is_none());

    // A lease that the host still knows is moved to the next object's session.
    let third = member("a", &server).await;
    let moved = renew(&third, new.clone(), "2").await.expect("it is ours");
    assert_ne!(moved.session, new.session);
    // Where nothing tells that the session is ours, it is left alone until it ends.
    assert!(third.delete(BUDGET, own("a"), Expect::Any).await.expect("a verdict"));
    let fourth = member("a", &server).await;
    assert!(acquire(&fourth, "a").await.is_none());
    assert!(!fourth.release_leader(BUDGET, moved.clone(), vec![]).await.expect("a verdict"));
    assert!(renew(&third, moved.clone(), "3").await.is_some());
    assert!(third.release_leader(BUDGET, moved, vec![]).await.expect("a verdict"));
    assert!(acquire(&b, "b").await.is_some());
}

/// ZK-04: another time of the loop is for a new connection, another ttl is agreed upon for the same session.
#[tokio::test(flavor = "multi_thread")]
async fn times_are_agreed_upon_anew() {
    let Some(server) = Server::start() else { return };
    let text = format!("\"hosts\": \"{}\"", server.address());
    let object = support::plugin().open_bare(&options("a", &format!("{{{text}}}"))).expect("it opens");
    let connections = || {
        let text = server.command("cons").expect("it answers");
        text.lines().filter(|line| line.contains("sid=0x")).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let port = |line: &String| line.split_once('[').map(|(address, _)| address.to_owned());
    let call = || regent_plugin_api::abi::Call { id: 1, budget_ms: 20_000 };
    assert!(object.touch_member(call(), b"1".as_slice().into()).is_ok());
    let before = connections();
    let [one] = &before[..] else { panic!("{before:?}") };
    assert!(one.contains("to=60000"), "{one}");
    let session = one.split_once("sid=").and_then(|(_, rest)| rest.split_once(',')).map(|(id, _)| id.to_owned());

    let reload = |more: &str| object.reload(format!("{{{text}{more}}}").as_str().into()).into_result().ok();
    let applied = regent_plugin_api::abi::Reload::APPLIED;
    // The server may see the old connection a little longer.
    let alone = async |what: &str, fits: &dyn Fn(&String) -> bool| {
        until(what, async || matches!(&connections()[..], [one] if fits(one))).await;
    };
    assert_eq!(reload(", \"loop_wait\": 1"), Some(applied));
    assert!(object.touch_member(call(), b"2".as_slice().into()).is_ok());
    assert_eq!(port(&connections()[0]), port(one), "the same time");
    assert_eq!(reload(", \"loop_wait\": 5"), Some(applied));
    assert!(object.touch_member(call(), b"3".as_slice().into()).is_ok());
    alone("another connection", &|new| port(new) != port(one)).await;

    assert_eq!(object.set_ttl(30_000).into_result().ok(), Some(30_000));
    assert!(object.touch_member(call(), b"4".as_slice().into()).is_ok());
    alone("another time", &|new| new.contains("to=30000")).await;
    let session = session.expect("it has a number");
    alone("the same session", &|new| new.contains(&format!("sid={session},"))).await;
    assert!(object.close(call()).is_ok());
}

/// What a daemon holds that does nothing any more ends, though its watch hears of changes all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_stands_still_loses_the_lock() {
    let Some(server) = Server::start() else { return };
    let section = section(std::slice::from_ref(&server), "");
    let a = open(OpenOptions { ttl: TTL, ..options("a", &section) }).await;
    let b = member("b", &server).await;
    assert!(acquire(&a, "a").await.is_some());
    a.set_cursor(load(&a).await.cursor);
    let mut beat = 0;
    until("the lock ends", async || {
        beat += 1;
        touch(&b, &format!("{{\"xlog_location\":{beat}}}")).await;
        acquire(&b, "b").await.is_some()
    })
    .await;
}

/// Everybody is heard of: the lock that comes and goes, members, and keys of which nothing is known yet.
#[tokio::test(flavor = "multi_thread")]
async fn changes_wake() {
    let Some(server) = Server::start() else { return };
    let (a, b) = (member("a", &server).await, member("b", &server).await);
    let mut told = b.changes();
    let mut wakes = async |what: &str| {
        until(what, async || tokio::time::timeout(Duration::ZERO, told.changed()).await.is_ok()).await;
        b.set_cursor(load(&b).await.cursor);
    };
    b.set_cursor(load(&b).await.cursor);
    touch(&a, "1").await;
    wakes("the first key of all").await;
    let lease = acquire(&a, "a").await.expect("it is free");
    wakes("the lock is taken").await;
    a.put(BUDGET, key(KeyKind::Failover), b"{}".to_vec(), Expect::Any).await.expect("it is written");
    wakes("a key").await;
    assert!(a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"));
    wakes("the lock is given back").await;
    touch(&a, "{\"state\":\"stopped\"}").await;
    wakes("a member").await;
}

/// Permissions and credentials: who may not read is told so.
#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_set_and_kept() {
    let Some(server) = Server::start() else { return };
    let acls = ", \"set_acls\": {\"digest:me:Y9zHkBaDwBNp/d9qVc57Au9JmP0=\": [\"ALL\"]}";
    let me = format!("{acls}, \"auth_data\": {{\"digest\": \"me:hush\"}}");
    let a = open(options("a", &section(std::slice::from_ref(&server), &me))).await;
    touch(&a, "1").await;
    assert!(acquire(&a, "a").await.is_some() && load(&a).await.entries.len() == 2);
    for other in [acls.to_owned(), me.replace("hush", "loud")] {
        let b: Backend = open(options("b", &section(std::slice::from_ref(&server), &other))).await;
        let error = b.touch_member(BUDGET, b"1".to_vec()).await.expect_err("it is not allowed");
        assert_eq!(error.kind, ErrorKind::Auth);
        assert!(!error.message.contains("loud"), "{error}");
        assert_eq!(b.load(BUDGET).await.expect_err("it is not allowed").kind, ErrorKind::Auth);
    }
    let unknown = ", \"auth_data\": {\"magic\": \"me:hush\"}";
    let c = open(options("c", &section(std::slice::from_ref(&server), unknown))).await;
    let error = c.load(BUDGET).await.expect_err("nobody knows that scheme");
    assert!(error.kind == ErrorKind::Auth && !error.message.contains("hush"), "{error}");
}

/// ZK-01: three servers, of which the one that leads is lost: what was ours is ours afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_a_server_costs_nothing() {
    let Some(mut servers) = Server::ensemble(3) else { return };
    let a = open(options("a", &section(&servers, ""))).await;
    let b = open(options("b", &section(&servers, ""))).await;
    touch(&a, "1").await;
    let lease = acquire(&a, "a").await.expect("it is free");
    let leading = servers.iter().position(|server| server.mode().as_deref() == Some("leader")).expect("one leads");
    drop(servers.remove(leading));
    let mut round = 0;
    until("two are enough", async || {
        round += 1;
        match a.touch_member(Duration::from_secs(2), format!("round {round}").into_bytes()).await {
            Ok(()) => true,
            Err(error) => {
                assert!([ErrorKind::Unavailable, ErrorKind::Indeterminate].contains(&error.kind), "{error}");
                false
            }
        }
    })
    .await;
    let kept = renew(&a, lease.clone(), "1").await.expect("the lock is ours");
    assert_eq!(kept.session, lease.session);
    assert!(acquire(&b, "b").await.is_none());
    assert_eq!(find(&b, &key(KeyKind::Leader)).await.expect("it is there").session, lease.session);
}
