//! A real Consul agent on free ports of the loopback interface, ended with the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NOBODY: u32 = 65534;

/// A store of one server, in memory.
pub struct Agent {
    child: Child,
    port: u16,
    https: u16,
    _folder: tempfile::TempDir,
}

/// The program: the machine's own, or what `make test` unpacked.
fn program() -> Option<PathBuf> {
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join(".cache/consul/usr/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(cached).collect();
    folders.into_iter().map(|folder| folder.join("consul")).find(|program| program.is_file())
}

impl Agent {
    /// Starts one whose sessions live at least that many seconds; `None`, and a word why, where there is no Consul.
    pub fn start(least_session: u64) -> Option<Agent> {
        Agent::with(&format!("session_ttl_min = \"{least_session}s\""))
    }

    /// Starts one with more configuration; `@` stands for the port on which it is to encrypt.
    #[allow(clippy::print_stderr, reason = "a test that could not run says so")]
    pub fn with(configuration: &str) -> Option<Agent> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: there is no Consul on this machine: tests/setup.sh says how to get it");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let held: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<_> = held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
        drop(held);
        let [port, serf, rpc, https] = ports[..] else { panic!("four ports") };
        let mut command = Command::new(program);
        command.args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1"]);
        command.arg(format!("-http-port={port}")).arg(format!("-serf-lan-port={serf}"));
        command.arg("-serf-wan-port=-1").arg(format!("-server-port={rpc}"));
        command.arg(format!("-hcl={}", configuration.replace('@', &https.to_string())));
        // As a test's store it is asked far more often than any agent is.
        command.arg("-hcl=limits { http_max_conns_per_client = 10000 }");
        command.env_clear().current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let agent = Agent { child: command.spawn().expect("consul starts"), port, https, _folder: folder };
        for _ in 0..1200 {
            if agent.get("status/leader").is_ok_and(|answer| answer.contains(':') && answer.contains("200 OK")) {
                return Some(agent);
            }
            pause();
        }
        panic!("consul has no leader in time");
    }

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same, encrypted.
    pub fn secure_address(&self) -> String {
        format!("127.0.0.1:{}", self.https)
    }

    /// Its answer, as it comes.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        self.ask("GET", path, "")
    }

    /// The same for any method.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let length = body.len();
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
pub fn pause() {
    // pace: the next look
    std::thread::sleep(Duration::from_millis(50));
}
