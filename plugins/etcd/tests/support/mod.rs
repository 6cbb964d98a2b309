//! Real etcd servers with the older API, and members that use the built library.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../etcd3/tests/support/certificates.rs"]
pub mod certificates;
#[path = "../../../etcd3/tests/support/server.rs"]
pub mod server;

use regent_plugin_api::host::{Backend, Key, KeyKind, OpenOptions, Plugin, Snapshot};
use server::{Setup, Store};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

/// What a call may take.
pub const BUDGET: Duration = Duration::from_secs(20);

/// How long something may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn store(servers: usize) -> Store {
    Store::with(Setup { servers, arguments: vec!["--enable-v2=true".to_owned()], tls: false }).await
}

/// The library beside this test's executable; cargo builds it together with the test.
pub fn plugin() -> Plugin {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let candidates = [folder.join("libregent_dcs_etcd.so"), folder.join("../libregent_dcs_etcd.so")];
    let library: PathBuf = candidates.into_iter().find(|path| path.exists()).expect("cargo built the library");
    Plugin::load(&library, None).expect("our own plugin loads")
}

/// A member whose lock outlives any test.
pub async fn member(name: &str, section: &str) -> Backend {
    let options = OpenOptions {
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        member: name.to_owned(),
        ttl: Duration::from_secs(60),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: section.to_owned(),
    };
    Backend::open(&plugin(), options).await.expect("the store opens")
}

pub fn key(kind: KeyKind) -> Key {
    Key::of(kind)
}

pub async fn load(member: &Backend) -> Snapshot {
    member.load(BUDGET).await.expect("it can be read")
}

/// A request of nobody's client.
pub fn ask(port: u16, method: &str, path: &str, more: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(BUDGET)).expect("a timeout");
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{more}Content-Length: {length}\r\n\r\n{body}")
        .expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
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
async fn pause() {
    // pace: the next look
    tokio::time::sleep(Duration::from_millis(20)).await;
}
