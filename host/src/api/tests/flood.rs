//! Health checks while others connect and keep silent, or speak slowly.

use super::support::*;
use super::tls::{Identity, ask};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How many hang on the API at once.
const SILENT: usize = 2000;

/// Both ends are in this process.
const FILES: u64 = 2 * SILENT as u64 + 500;

/// The first bytes of a client that begins a handshake and never ends it.
const BEGINNING: [u8; 9] = [0x16, 3, 1, 0x02, 0, 1, 0, 0x01, 0xfc];

/// As many open files as this test needs, where the system lets it have them.
fn may_open_files() -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= FILES) {
        return true;
    }
    let current = limit.maximum.map_or(FILES, |maximum| maximum.min(FILES));
    current >= FILES && setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }).is_ok()
}

/// API-12, API-18: silent and slow TLS clients, four times as many as there are places, hold up no health check.
#[tokio::test]
async fn a_flood_of_silent_clients_holds_up_no_health_check() {
    if !may_open_files() {
        eprintln!("SKIPPED: a flood of silent clients: this needs {FILES} open files");
        return;
    }
    let identity = Identity::make();
    let served = Served::start(leader(), identity.options("none")).await;
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(&BEGINNING[..5]).await.unwrap();
        }
        silent.push(stream);
    }
    for round in 0..20 {
        let answer = ask(&served, &identity, None, "GET /primary HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{round}: {answer}");
        // Slow ones say one byte more; those that had to go are not missed.
        for stream in silent.iter_mut().step_by(2) {
            let _gone = stream.try_write(&BEGINNING[5..6]).is_err();
        }
    }
}
