//! The backend keeps the contract, on a real Redis behind the kit's proxy.

use regent_dcs_conformance::{Options, Status, run};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// `None`, and a word why, where there is no Redis.
    fn start() -> Option<Server> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).expect("a port").port();
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--maxclients", "20000"]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]).arg("--dir").arg(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else {
            eprintln!("SKIPPED: there is no Redis on this machine (Debian: sudo apt-get install redis-server)");
            return None;
        };
        let server = Server { child, address: format!("127.0.0.1:{port}"), _folder: folder };
        for _ in 0..1200 {
            if server.answers().unwrap_or(false) {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis does not answer in time");
    }

    fn answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}

/// The library beside this test's executable; cargo builds it together with the test.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let places = ["libregent_dcs_redis.so", "../libregent_dcs_redis.so"].map(|file| folder.join(file));
    places.into_iter().find(|path| path.exists()).expect("cargo built the library")
}

#[test]
fn it_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    let options = Options {
        plugin: library(),
        config: r#"{"host": "{proxy}"}"#.to_owned(),
        upstream: Some(server.address.clone()),
        ttl: Duration::from_secs(2),
        only: Vec::new(),
        skip: Vec::new(),
        // Regent's kit, if it is installed or named, starts members in processes of their own.
        command: std::env::var_os("REGENT_KIT").filter(|kit| !kit.is_empty()).map(PathBuf::from),
        soak: Duration::ZERO,
        prepare: None,
    };
    let report = run(&options).expect("the kit runs");
    for outcome in &report.outcomes {
        println!("{:?} {} {} [{} ms]", outcome.status, outcome.check, outcome.detail, outcome.millis);
    }
    let failed: Vec<_> = report.outcomes.iter().filter(|outcome| outcome.status == Status::Fail).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.passed());
}
