//! One real etcd in a folder of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Etcd {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Etcd {
    pub fn start() -> Etcd {
        let folder = tempfile::tempdir().expect("a folder");
        let free = [0, 0].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [port, peer] = [0, 1].map(|index: usize| free[index].local_addr().expect("it is bound").port());
        drop(free);
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("/usr/bin/etcd");
        command.arg("--data-dir").arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let etcd = Etcd { child: command.spawn().expect("etcd starts"), port, _folder: folder };
        for _ in 0..400 {
            if etcd.healthy().unwrap_or(false) {
                return etcd;
            }
            pause();
        }
        panic!("etcd is not healthy in time");
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn healthy(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.contains("\"true\""))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}

#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
fn pause() {
    // pace: the next look
    std::thread::sleep(Duration::from_millis(50));
}
