//! Real etcd servers for the tests, a proxy that fails on demand, and members that use the built library.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod certificates;
pub mod proxy;
pub mod server;

use regent_plugin_api::host::{Backend, Entry, Key, KeyKind, OpenOptions, Plugin, Snapshot};
use std::path::PathBuf;
use std::time::Duration;

/// What a call may take.
pub const BUDGET: Duration = Duration::from_secs(10);

/// How long something may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The library beside this test's executable; cargo builds it together with the test.
pub fn plugin() -> Plugin {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let candidates = [folder.join("libregent_dcs_etcd3.so"), folder.join("../libregent_dcs_etcd3.so")];
    let library: PathBuf = candidates.into_iter().find(|path| path.exists()).expect("cargo built the library");
    Plugin::load(&library, None).expect("our own plugin loads")
}

/// The options of a member of `demo` with a ttl of two seconds.
pub fn options(name: &str, section: &str) -> OpenOptions {
    OpenOptions {
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        member: name.to_owned(),
        ttl: Duration::from_secs(2),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: section.to_owned(),
    }
}

pub async fn open(options: OpenOptions) -> Backend {
    Backend::open(&plugin(), options).await.expect("the store opens")
}

/// A member whose lock lives for two seconds.
pub async fn member(name: &str, section: &str) -> Backend {
    open(options(name, section)).await
}

/// A member whose lock outlives any test.
pub async fn lasting(name: &str, section: &str) -> Backend {
    open(OpenOptions { ttl: Duration::from_secs(60), ..options(name, section) }).await
}

pub fn key(kind: KeyKind) -> Key {
    Key::of(kind)
}

pub fn member_key(name: &str) -> Key {
    Key { kind: KeyKind::Member, name: name.to_owned() }
}

pub fn find<'a>(snapshot: &'a Snapshot, key: &Key) -> Option<&'a Entry> {
    snapshot.entries.iter().find(|entry| entry.key == *key)
}

pub async fn load(member: &Backend) -> Snapshot {
    member.load(BUDGET).await.expect("it can be read")
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
pub async fn pause() {
    // pace: the next look
    tokio::time::sleep(Duration::from_millis(50)).await;
}
