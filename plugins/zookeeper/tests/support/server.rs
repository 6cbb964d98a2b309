//! Real ZooKeeper servers on free ports of the loopback interface, ended with the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NOBODY: u32 = 65534;

/// What the servers count sessions in, in milliseconds: two of them are the shortest session.
const TICK: u32 = 200;

/// A server, alone or one of several.
pub struct Server {
    child: Child,
    port: u16,
    secure_port: u16,
    _folder: tempfile::TempDir,
}

/// The ports of a server.
#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    secure: u16,
    peer: u16,
    election: u16,
}

/// Free ones; all are held until all are known, or two could be the same.
fn ports(servers: usize) -> Vec<Ports> {
    let held: Vec<_> = (0..servers * 4).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let ports: Vec<_> = held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
    let four = |four: &[u16]| Ports { client: four[0], secure: four[1], peer: four[2], election: four[3] };
    ports.chunks(4).map(four).collect()
}

/// The servers' archive; `None`, and a word why, where there is none, or no Java.
#[allow(clippy::print_stderr, reason = "a test that could not run says so")]
fn archive() -> Option<PathBuf> {
    let archive = PathBuf::from("/usr/share/java/zookeeper.jar");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&path).any(|folder| folder.join("java").is_file());
    let found = java && archive.is_file();
    if !found {
        eprintln!("SKIPPED: there is no ZooKeeper on this machine, or no Java: tests/setup.sh says how to get them");
    }
    found.then_some(archive)
}

impl Server {
    /// One alone, with more configuration; `@` stands for the port on which it is to encrypt.
    pub fn with(configuration: &str) -> Option<Server> {
        let (archive, ports) = (archive()?, ports(1)[0]);
        let server = Server::spawn(&archive, ports, configuration, None);
        server.wait();
        Some(server)
    }

    /// One alone.
    pub fn start() -> Option<Server> {
        Server::with("")
    }

    /// Several that are one store.
    pub fn ensemble(count: usize) -> Option<Vec<Server>> {
        let (archive, ports) = (archive()?, ports(count));
        let line = |(place, ports): (usize, &Ports)| {
            format!("server.{}=127.0.0.1:{}:{}\n", place + 1, ports.peer, ports.election)
        };
        let lines: String = ports.iter().enumerate().map(line).collect();
        let configuration = format!("initLimit=150\nsyncLimit=50\n{lines}");
        let servers = ports.iter().enumerate();
        let servers = servers.map(|(place, ports)| Server::spawn(&archive, *ports, &configuration, Some(place + 1)));
        let servers: Vec<_> = servers.collect();
        servers.iter().for_each(Server::wait);
        Some(servers)
    }

    fn spawn(archive: &Path, ports: Ports, configuration: &str, number: Option<usize>) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        if let Some(number) = number {
            std::fs::write(data.join("myid"), number.to_string()).expect("its number");
        }
        let configuration = configuration.replace('@', &ports.secure.to_string());
        let text = format!(
            "tickTime={TICK}\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nmaxSessionTimeout=86400000\n\
             maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n{configuration}\n",
            data.display(),
            ports.client
        );
        let file = folder.path().join("zoo.cfg");
        std::fs::write(&file, text).expect("its configuration");
        let mut command = Command::new("java");
        // A small one that is there soon; the disk need not keep what the test does not.
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no"]);
        // The archive names what it needs, but for what encryption takes.
        let more = ["netty-codec", "netty-resolver"].map(|name| format!(":/usr/share/java/{name}.jar")).concat();
        command
            .arg("-cp")
            .arg(format!("{}{more}", archive.display()))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&file);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            for path in [folder.path(), &data, &file] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("it is ours to give");
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().expect("java starts");
        Server { child, port: ports.client, secure_port: ports.secure, _folder: folder }
    }

    /// Until it serves.
    pub fn wait(&self) {
        for _ in 0..2400 {
            if self.mode().is_some() {
                return;
            }
            pause();
        }
        panic!("ZooKeeper does not serve in time");
    }

    /// What it is: `standalone`, `leader` or `follower`.
    pub fn mode(&self) -> Option<String> {
        let answer = self.command("srvr").ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// Where clients reach it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same, encrypted.
    pub fn secure_address(&self) -> String {
        format!("127.0.0.1:{}", self.secure_port)
    }

    /// Its answer to one of its commands of four letters.
    pub fn command(&self, name: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(name.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Server {
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
