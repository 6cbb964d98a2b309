//! etcd servers on free ports of the loopback interface, ended with the test.

use super::eventually;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const ETCD: &str = "/usr/bin/etcd";
const NOBODY: u32 = 65534;

/// Servers that are one store.
pub struct Store {
    pub servers: Vec<Server>,
    _folder: TempDir,
}

/// One server.
pub struct Server {
    child: Child,
    arguments: Vec<String>,
    log: std::path::PathBuf,
    pub client_port: u16,
    pub peer_port: u16,
}

/// How a store is to be.
#[derive(Default, Clone)]
pub struct Setup {
    /// How many servers; none is one.
    pub servers: usize,
    /// More arguments for each.
    pub arguments: Vec<String>,
    /// Clients are to use TLS.
    pub tls: bool,
}

impl Store {
    /// One server.
    pub async fn start() -> Store {
        Store::with(Setup::default()).await
    }

    /// Several servers.
    pub async fn cluster(servers: usize) -> Store {
        Store::with(Setup { servers, ..Setup::default() }).await
    }

    pub async fn with(setup: Setup) -> Store {
        assert!(Path::new(ETCD).exists(), "{ETCD} is missing: install etcd (Debian: etcd-server) to run these tests");
        let folder = tempfile::tempdir().expect("a folder");
        let count = setup.servers.max(1);
        // All are held until all are known, or two could be the same.
        let held: Vec<_> = (0..count * 2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<_> = held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
        drop(held);
        let peers: Vec<_> =
            (0..count).map(|index| format!("s{index}=http://127.0.0.1:{}", ports[index * 2 + 1])).collect();
        let start = |index: usize| {
            Server::start(folder.path(), index, (ports[index * 2], ports[index * 2 + 1]), &peers.join(","), &setup)
        };
        let store = Store { servers: (0..count).map(start).collect(), _folder: folder };
        for server in &store.servers {
            server.wait_until_healthy(setup.tls).await;
        }
        store
    }

    /// The section with all servers.
    pub fn section(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(Server::address).collect();
        format!("{{\"hosts\": {hosts:?}}}")
    }

    /// A client that is not ours, to look and to interfere.
    pub async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect([self.servers[0].address()], None).await.expect("it connects")
    }

    /// The number of the server that leads the store.
    pub async fn leader(&self) -> usize {
        eventually("a leader of the store", async || {
            for (index, server) in self.servers.iter().enumerate() {
                if server.metric("etcd_server_is_leader").await == Some(1.0) {
                    return Some(index);
                }
            }
            None
        })
        .await
    }
}

impl Server {
    fn start(folder: &Path, index: usize, ports: (u16, u16), peers: &str, setup: &Setup) -> Server {
        let scheme = if setup.tls { "https" } else { "http" };
        let data = folder.join(format!("s{index}"));
        std::fs::create_dir(&data).expect("a folder");
        let log = folder.join(format!("s{index}.log"));
        let mut arguments: Vec<String> = Vec::new();
        let mut set = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        set("name", format!("s{index}"));
        set("data-dir", data.display().to_string());
        set("listen-client-urls", format!("{scheme}://127.0.0.1:{}", ports.0));
        set("advertise-client-urls", format!("{scheme}://127.0.0.1:{}", ports.0));
        set("listen-peer-urls", format!("http://127.0.0.1:{}", ports.1));
        set("initial-advertise-peer-urls", format!("http://127.0.0.1:{}", ports.1));
        set("initial-cluster", peers.to_owned());
        set("heartbeat-interval", "50".to_owned());
        set("election-timeout", "500".to_owned());
        set("logger", "zap".to_owned());
        arguments.extend(setup.arguments.iter().cloned());
        if is_root() {
            for path in [folder, &data] {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
            }
        }
        let child = spawn(&arguments, &log);
        Server { child, arguments, log, client_port: ports.0, peer_port: ports.1 }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// Kills it, without a word of farewell.
    pub fn kill(&mut self) {
        // It may be frozen.
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().expect("it can be waited for");
    }

    /// Starts it again with its data.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.arguments, &self.log);
        self.wait_until_healthy(false).await;
    }

    /// Removes what it knows, while it is not running.
    pub fn wipe(&self) {
        let data = self.arguments.iter().skip_while(|argument| *argument != "--data-dir").nth(1).expect("it is set");
        std::fs::remove_dir_all(Path::new(data).join("member")).expect("it can be removed");
    }

    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // A process that ended already needs no signal.
        let _gone = rustix::process::kill_process(pid.expect("a process has a number"), signal).is_err();
    }

    async fn wait_until_healthy(&self, tls: bool) {
        let port = self.client_port;
        eventually("a healthy etcd", async || {
            if tls {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                return log.contains("serving client traffic").then_some(());
            }
            get(port, "/health").filter(|body| body.contains("\"true\"")).map(drop)
        })
        .await;
    }

    /// The sum of a counter over all its labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        self.metric_where(name, &|_| true)
    }

    /// The sum of a counter over those labels.
    pub fn metric_where(&self, name: &str, labels: &dyn Fn(&str) -> bool) -> Option<f64> {
        let body = get(self.client_port, "/metrics")?;
        let values = body.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (label, value) = rest.rsplit_once(' ')?;
            (label.is_empty() || label.starts_with('{')).then_some(())?;
            labels(label).then(|| value.parse::<f64>().ok()).flatten()
        });
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        let _gone = self.child.wait().is_err();
    }
}

fn spawn(arguments: &[String], log: &Path) -> Child {
    let open = || std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
    let mut command = Command::new(ETCD);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(open()).stderr(open());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.spawn().expect("etcd starts")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The body of a plain HTTP answer.
pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}
