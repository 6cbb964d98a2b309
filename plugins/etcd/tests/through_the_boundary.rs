//! The built library on real servers: who may come in, where it goes when a server is lost, and what it forgets.

mod support;

use regent_plugin_api::host::{ErrorKind, Expect, KeyKind};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{BUDGET, ask, eventually, key, load, member, store};

/// ETCD-07: the other servers are learnt from the one that is named, and stay known when it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_servers_are_found() {
    let mut store = store(3).await;
    let relay = Relay::before(store.servers[0].client_port);
    let a = member("a", &format!("{{\"host\": \"127.0.0.1:{}\"}}", relay.port)).await;
    load(&a).await;
    let lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    eventually("the others were asked for, and told", async || relay.told.load(Ordering::SeqCst).then_some(())).await;
    load(&a).await;
    store.servers[0].kill();
    let kept = eventually("the lock is kept over another server", async || {
        a.renew_leader(BUDGET, lease.clone(), vec![]).await.ok()
    });
    assert!(kept.await.is_some(), "it was lost");
    assert_eq!(load(&a).await.entries.len(), 1);
}

/// A renewal that arrives after the ttl was made longer must not let the lock end sooner again.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_renewal_with_the_former_ttl_is_refused() {
    let store = store(1).await;
    let port = store.servers[0].client_port;
    let relay = Relay::before(port);
    let a = member("a", &format!("{{\"host\": \"127.0.0.1:{}\"}}", relay.port)).await;
    let lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    let lease = a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").expect("it is ours");
    let renewal = relay.renewal.lock().expect("nobody panicked").clone();
    assert!(renewal.contains("ttl=60"), "{renewal}");
    a.set_ttl(Duration::from_secs(600));
    let lease = a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").expect("it is ours");
    let (_, form) = renewal.split_once("\r\n\r\n").expect("a head and a form");
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = ask(port, "PUT", "/v2/keys/service/demo/leader", kind, form);
    assert!(answer.contains("412 Precondition Failed"), "{answer}");
    // An unanswered renewal that was carried out is another matter: the lock is still ours.
    let answer = ask(port, "PUT", "/v2/keys/service/demo/leader", kind, "value=a&ttl=500&prevValue=a");
    assert!(answer.contains("200 OK"), "{answer}");
    a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").expect("it is ours");
    let lock = ask(port, "GET", "/v2/keys/service/demo/leader", "", "");
    let ttl = lock.split_once("\"ttl\":").and_then(|(_, rest)| rest.split(',').next()?.parse::<u32>().ok());
    assert!(ttl > Some(500), "{lock}");
}

/// Leads to a server, and tells whether it was asked about the others, and answered; and what the last write of the lock
/// said.
struct Relay {
    port: u16,
    told: Arc<AtomicBool>,
    renewal: Arc<Mutex<String>>,
}

impl Relay {
    fn before(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (told, renewal) = (Arc::<AtomicBool>::default(), Arc::<Mutex<String>>::default());
        let (shared, lock) = (Arc::clone(&told), Arc::clone(&renewal));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (back, there) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
                let asked = Arc::<AtomicBool>::default();
                let (sees, told, lock) = (Arc::clone(&asked), Arc::clone(&shared), Arc::clone(&lock));
                std::thread::spawn(move || {
                    carry(client, server, |part| {
                        let text = String::from_utf8_lossy(part);
                        sees.fetch_or(text.contains("GET /v2/machines"), Ordering::SeqCst);
                        if text.starts_with("PUT ") && text.contains("/leader ") {
                            *lock.lock().expect("nobody panicked") = text.into_owned();
                        }
                    });
                });
                std::thread::spawn(move || {
                    carry(there, back, |_| {
                        told.fetch_or(asked.load(Ordering::SeqCst), Ordering::SeqCst);
                    });
                });
            }
        });
        Relay { port, told, renewal }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, sees: impl Fn(&[u8])) {
    let mut part = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut part) {
        // Before it goes on: what follows from it is seen later.
        sees(&part[..count]);
        if to.write_all(&part[..count]).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both).is_err(), to.shutdown(Shutdown::Both).is_err());
}

/// ETCD-04: name and password, from the section or from the URL.
#[tokio::test(flavor = "multi_thread")]
async fn users_are_asked_for_their_password() {
    let store = store(1).await;
    let port = store.servers[0].client_port;
    let json = "Content-Type: application/json\r\n";
    let made = ask(port, "PUT", "/v2/auth/users/root", json, r#"{"user": "root", "password": "pa ss"}"#);
    assert!(made.contains("201 Created"), "{made}");
    assert!(ask(port, "PUT", "/v2/auth/enable", json, "").contains("200 OK"));
    // Guests may do nothing from now on.
    let root = "Authorization: Basic cm9vdDpwYSBzcw==\r\n";
    let gone = ask(port, "DELETE", "/v2/auth/roles/guest", root, "");
    assert!(gone.contains("200 OK"), "{gone}");
    let address = store.servers[0].address();
    let with = |more: &str| format!("{{\"host\": \"{address}\"{more}}}");
    let a = member("a", &with(", \"username\": \"root\", \"password\": \"pa ss\"")).await;
    a.put(BUDGET, key(KeyKind::Config), b"{}".to_vec(), Expect::Any).await.expect("it may").expect("it did");
    let b = member("b", &format!("{{\"url\": \"http://root:pa%20ss@{address}\"}}")).await;
    assert_eq!(load(&b).await.entries.len(), 1);
    let wrong = member("c", &with(", \"username\": \"root\", \"password\": \"secret\"")).await;
    let error = wrong.load(BUDGET).await.expect_err("no such password");
    assert!(error.kind == ErrorKind::Auth && !error.message.contains("secret"), "{error}");
}

/// ETCD-09: the servers keep the last thousand changes; what is older counts as a change.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_servers_forgot_counts_as_a_change() {
    let store = store(1).await;
    let a = member("a", &store.section()).await;
    a.put(BUDGET, key(KeyKind::Config), b"{}".to_vec(), Expect::Any).await.expect("a verdict");
    let old = load(&a).await;
    let port = store.servers[0].client_port;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for round in 0..1100 {
        ask(port, "PUT", "/v2/keys/elsewhere", form, &format!("value={round}"));
    }
    let mut changes = a.changes();
    let before = *changes.borrow_and_update();
    a.set_cursor(old.cursor);
    tokio::time::timeout(BUDGET, changes.wait_for(|count| *count > before))
        .await
        .expect("it is told")
        .expect("it lives");
}

/// A server without the older API says so in words that help.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_api_is_told_from_one_that_is_away() {
    let store = support::server::Store::start().await;
    let a = member("a", &store.section()).await;
    let error = a.load(BUDGET).await.expect_err("there is no such API");
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("--enable-v2"), "{error}");
}
