//! A real Consul agent for the tests, one that only listens, and members that use the built library.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod server;

use regent_plugin_api::host::{Backend, Entry, Key, KeyKind, OpenOptions, Plugin, Snapshot};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a call may take.
pub const BUDGET: Duration = Duration::from_secs(20);

/// The library beside this test's executable; cargo builds it together with the test.
pub fn plugin() -> Plugin {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let candidates = [folder.join("libregent_dcs_consul.so"), folder.join("../libregent_dcs_consul.so")];
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

pub async fn member(name: &str, section: &str) -> Backend {
    open(options(name, section)).await
}

pub fn key(kind: KeyKind) -> Key {
    Key::of(kind)
}

pub fn find<'a>(snapshot: &'a Snapshot, key: &Key) -> Option<&'a Entry> {
    snapshot.entries.iter().find(|entry| entry.key == *key)
}

pub async fn load(member: &Backend) -> Snapshot {
    member.load(BUDGET).await.expect("it can be read")
}

/// Accepts requests for Consul, keeps their heads and answers none, or each that there are no keys.
pub struct Listener {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    pub fn start(answers: bool) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || listen(stream, answers, &kept));
            }
        });
        Listener { port, heads }
    }

    pub fn section(&self) -> String {
        format!("\"host\": \"127.0.0.1:{}\"", self.port)
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn listen(stream: TcpStream, answers: bool, kept: &Mutex<Vec<String>>) {
    let mut writer = stream.try_clone().expect("a second handle");
    let (mut head, mut body) = (String::new(), 0);
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            body = length.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            let mut rest = vec![0; body];
            std::io::Read::read_exact(&mut reader, &mut rest).expect("the body follows");
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut head));
            body = 0;
            let answer = "HTTP/1.1 404 Not Found\r\nX-Consul-Index: 5\r\nContent-Length: 0\r\n\r\n";
            if answers && writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        } else {
            head.push_str(&lower);
        }
    }
}
