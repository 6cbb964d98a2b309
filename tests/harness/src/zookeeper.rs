//! A real ZooKeeper on loopback: one server alone, with a small Java machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::folder::Folder;
use crate::os::ports::{self, Port};
use crate::os::reaper;
use crate::os::user::Account;
use crate::wait;

/// How long it may take to come up, or to answer.
const UP: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);

/// Where Debian has the servers' archive.
const ARCHIVE: &str = "/usr/share/java/zookeeper.jar";

/// A single server. Dropping it ends it.
pub struct ZooKeeper {
    _folder: Folder,
    port: Port,
    pid: i32,
}

impl ZooKeeper {
    /// The archive, if it is on this machine, and Java too.
    pub fn archive() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let java = std::env::split_paths(&path).any(|folder| folder.join("java").is_file());
        Some(Path::new(ARCHIVE).to_owned()).filter(|archive| java && archive.is_file())
    }

    /// Starts an empty one and waits until it answers.
    ///
    /// # Errors
    /// When there is no ZooKeeper on this machine, or it does not come up.
    pub async fn start() -> Result<Self> {
        let archive = Self::archive().context("cannot start ZooKeeper: tests/setup.sh says how to get it")?;
        let folder = Folder::create(Account::unprivileged()?)?;
        let port = ports::claim()?;
        let data = folder.root().join("zookeeper");
        folder.make(&data)?;
        let file = folder.root().join("zoo.cfg");
        let text = format!(
            "tickTime=500\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             maxSessionTimeout=60000\n4lw.commands.whitelist=*\n",
            data.display(),
            port.number
        );
        folder.write(&file, &text)?;
        let mut command = Command::new("java");
        // A small one that is there soon; the disk need not keep what the test does not.
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no"]);
        command.arg("-cp").arg(archive).arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(file);
        command.current_dir(folder.root()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let pid = reaper::spawn(folder.account().apply(&mut command)).context("cannot start java")?;
        let zookeeper = Self { _folder: folder, port, pid };
        wait::until("ZooKeeper", UP, async || {
            let answer = zookeeper.command("srvr").await.map_err(|error| format!("{error:#}"))?;
            if answer.contains("Mode: ") { Ok(()) } else { Err(answer) }
        })
        .await?;
        Ok(zookeeper)
    }

    /// Where clients reach it: `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port that clients reach it at.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// How many packets its clients have sent it, pings too.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> Result<f64> {
        let answer = self.command("mntr").await?;
        let count = answer.lines().find_map(|line| line.strip_prefix("zk_packets_received"));
        count.and_then(|count| count.trim().parse().ok()).context("it does not say how many packets it received")
    }

    /// What it answers to one of its commands of four letters.
    ///
    /// # Errors
    /// When it does not.
    pub async fn command(&self, name: &str) -> Result<String> {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port())).await?;
            stream.write_all(name.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        tokio::time::timeout(ANSWER, ask).await.with_context(|| format!("{name}: no answer in time"))?
    }
}
