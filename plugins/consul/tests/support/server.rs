//! A real Consul agent on free ports of the loopback interface, ended with the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NOBODY: u32 = 65534;

/// A server that is an agent too.
pub struct Agent {
    child: Child,
    port: u16,
    https: u16,
    rpc: u16,
    _folder: tempfile::TempDir,
}

/// The ports of an agent.
#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    serf: u16,
    rpc: u16,
}

/// Free ones; all are held until all are known, or two could be the same.
fn ports(agents: usize) -> Vec<Ports> {
    let held: Vec<_> = (0..agents * 4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let ports: Vec<_> = held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
    ports.chunks(4).map(|four| Ports { http: four[0], https: four[1], serf: four[2], rpc: four[3] }).collect()
}

/// The program: the machine's own, or what `make test` unpacked; `None`, and a word why, where there is none.
#[allow(clippy::print_stderr, reason = "a test that could not run says so")]
fn program() -> Option<PathBuf> {
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join(".cache/consul/usr/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(cached).collect();
    let found = folders.into_iter().map(|folder| folder.join("consul")).find(|program| program.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no Consul on this machine: tests/setup.sh says how to get it");
    }
    found
}

impl Agent {
    /// One whose sessions live at least that many seconds.
    pub fn start(least_session: u64) -> Option<Agent> {
        Agent::with(&format!("session_ttl_min = \"{least_session}s\""))
    }

    /// One with more configuration, in memory; `@` stands for the port on which it is to encrypt.
    pub fn with(configuration: &str) -> Option<Agent> {
        let (program, ports) = (program()?, ports(1)[0]);
        let configuration = configuration.replace('@', &ports.https.to_string());
        let agent = Agent::spawn(&program, ports, &["-dev".to_owned(), format!("-hcl={configuration}")]);
        agent.wait();
        Some(agent)
    }

    /// Several that are one store; each knows who leads.
    pub fn cluster(count: usize) -> Option<Vec<Agent>> {
        let (program, ports) = (program()?, ports(count));
        let join = ports.iter().map(|ports| format!("-retry-join=127.0.0.1:{}", ports.serf));
        let join: Vec<_> = join.collect();
        let agents = ports.iter().enumerate().map(|(index, ports)| {
            let mut more = vec!["-server".to_owned(), "-data-dir=data".to_owned(), format!("-node=n{index}")];
            more.extend([format!("-bootstrap-expect={count}"), "-retry-interval=1s".to_owned()]);
            more.push("-hcl=performance { raft_multiplier = 1 } session_ttl_min = \"1s\"".to_owned());
            more.extend(join.clone());
            Agent::spawn(&program, *ports, &more)
        });
        let agents: Vec<_> = agents.collect();
        agents.iter().for_each(Agent::wait);
        Some(agents)
    }

    fn spawn(program: &Path, ports: Ports, more: &[String]) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        command.args(["agent", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1"]);
        command.arg(format!("-http-port={}", ports.http)).arg(format!("-serf-lan-port={}", ports.serf));
        command.arg("-serf-wan-port=-1").arg(format!("-server-port={}", ports.rpc));
        // As a test's store it is asked far more often than any agent is.
        command.arg("-hcl=limits { http_max_conns_per_client = 10000 }").args(more);
        command.env_clear().current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("it is ours to give");
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().expect("consul starts");
        Agent { child, port: ports.http, https: ports.https, rpc: ports.rpc, _folder: folder }
    }

    /// Until somebody leads.
    fn wait(&self) {
        for _ in 0..1200 {
            if self.get("status/leader").is_ok_and(|answer| answer.contains("127.0.0.1:") && answer.contains("200 OK"))
            {
                return;
            }
            pause();
        }
        panic!("consul has no leader in time");
    }

    /// Until somebody else leads than one that is gone.
    pub fn wait_without(&self, gone: u16) {
        for _ in 0..1200 {
            if self.get("status/leader").is_ok_and(|answer| !answer.contains(&format!(":{gone}\""))) {
                return self.wait();
            }
            pause();
        }
        panic!("consul has no other leader in time");
    }

    /// The port by which servers name each other.
    pub fn rpc(&self) -> u16 {
        self.rpc
    }

    /// It leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.get("status/leader").is_ok_and(|answer| answer.contains(&format!("\"127.0.0.1:{}\"", self.rpc)))
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
