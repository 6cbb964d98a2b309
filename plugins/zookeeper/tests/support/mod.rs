//! Real servers for the tests, and members that use the built library.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod server;

use regent_plugin_api::host::{Backend, Entry, Key, KeyKind, Lease, OpenOptions, Plugin, Snapshot, Write};
use server::Server;
use std::path::PathBuf;
use std::time::Duration;

/// What a call may take.
pub const BUDGET: Duration = Duration::from_secs(20);

/// The library beside this test's executable; cargo builds it together with the test.
pub fn plugin() -> Plugin {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let candidates = [folder.join("libregent_dcs_zookeeper.so"), folder.join("../libregent_dcs_zookeeper.so")];
    let library: PathBuf = candidates.into_iter().find(|path| path.exists()).expect("cargo built the library");
    Plugin::load(&library, None).expect("our own plugin loads")
}

/// The options of a member of `demo` whose lock outlives any test.
pub fn options(name: &str, section: &str) -> OpenOptions {
    OpenOptions {
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        member: name.to_owned(),
        ttl: Duration::from_secs(60),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: section.to_owned(),
    }
}

pub async fn open(options: OpenOptions) -> Backend {
    Backend::open(&plugin(), options).await.expect("the store opens")
}

/// A section that names the servers.
pub fn section(servers: &[Server], more: &str) -> String {
    let hosts: Vec<_> = servers.iter().map(|server| format!("\"{}\"", server.address())).collect();
    format!("{{\"hosts\": [{}]{more}}}", hosts.join(","))
}

pub async fn member(name: &str, server: &Server) -> Backend {
    open(options(name, &format!("{{\"hosts\": \"{}\"}}", server.address()))).await
}

pub fn key(kind: KeyKind) -> Key {
    Key::of(kind)
}

pub fn own(name: &str) -> Key {
    Key { kind: KeyKind::Member, name: name.to_owned() }
}

pub async fn load(member: &Backend) -> Snapshot {
    member.load(BUDGET).await.expect("it can be read")
}

pub async fn find(member: &Backend, key: &Key) -> Option<Entry> {
    load(member).await.entries.into_iter().find(|entry| entry.key == *key)
}

pub async fn acquire(member: &Backend, name: &str) -> Option<Lease> {
    member.acquire_leader(BUDGET, name.as_bytes().to_vec(), vec![]).await.expect("a verdict")
}

pub async fn renew(member: &Backend, lease: Lease, status: &str) -> Option<Lease> {
    let also = vec![Write { key: key(KeyKind::Status), value: status.as_bytes().to_vec() }];
    member.renew_leader(BUDGET, lease, also).await.expect("a verdict")
}

pub async fn touch(member: &Backend, value: &str) {
    member.touch_member(BUDGET, value.as_bytes().to_vec()).await.expect("it is written");
}

/// Asks until the answer is yes.
pub async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if ask().await {
            return;
        }
        tokio::task::spawn_blocking(server::pause).await.expect("it waits");
    }
    panic!("not in time: {what}");
}
