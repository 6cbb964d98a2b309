//! Real etcd servers, each in a folder of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Etcd {
    child: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Etcd {
    pub fn start() -> Etcd {
        Etcd::ensemble(1).remove(0)
    }

    /// Several that are one store.
    pub fn ensemble(count: usize) -> Vec<Etcd> {
        // All are held until all are known, or two could be the same.
        let free: Vec<_> = (0..count * 2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<_> = free.iter().map(|held| held.local_addr().expect("it is bound").port()).collect();
        drop(free);
        let peer = |index: usize| format!("http://127.0.0.1:{}", ports[index * 2 + 1]);
        let cluster: Vec<_> = (0..count).map(|index| format!("s{index}={}", peer(index))).collect();
        let servers: Vec<_> = (0..count)
            .map(|index| Etcd::spawn(&format!("s{index}"), ports[index * 2], &peer(index), &cluster.join(",")))
            .collect();
        servers.iter().for_each(Etcd::wait);
        servers
    }

    fn spawn(name: &str, port: u16, peer: &str, cluster: &str) -> Etcd {
        let folder = tempfile::tempdir().expect("a folder");
        let client = format!("http://127.0.0.1:{port}");
        let mut command = Command::new("/usr/bin/etcd");
        command.arg("--data-dir").arg(folder.path().join("data")).args(["--name", name, "--enable-v2=true"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
        command.args(["--initial-cluster", cluster]);
        // Several must not elect another leader whenever the machine is busy.
        let (heartbeat, election) = if cluster.contains(',') { ("200", "2000") } else { ("50", "500") };
        command.args(["--heartbeat-interval", heartbeat, "--election-timeout", election]);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Etcd { child: command.spawn().expect("etcd starts"), port, _folder: folder }
    }

    /// Until the store can be asked.
    pub fn wait(&self) {
        for _ in 0..1200 {
            if self.healthy().unwrap_or(false) {
                return;
            }
            pause();
        }
        panic!("etcd is not healthy in time");
    }

    /// Ends it for good. The others have to be waited for: it may have led them.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
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
