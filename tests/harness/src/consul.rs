//! A real Consul on loopback: an agent that is the only server, in memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::binaries::WORKSPACE;
use crate::folder::Folder;
use crate::os::ports::{self, Port};
use crate::os::reaper;
use crate::os::user::Account;
use crate::{http, metrics, wait};

/// How long it may take to come up, or to answer.
const UP: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);

/// A single agent. Dropping it ends it.
pub struct Consul {
    _folder: Folder,
    http: Port,
    _others: [Port; 2],
    pid: i32,
}

impl Consul {
    /// The program: the machine's own, or what `tests/setup.sh` unpacked.
    pub fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.push(Path::new(WORKSPACE).join(".cache/consul/usr/bin"));
        folders.into_iter().map(|folder| folder.join("consul")).find(|program| program.is_file())
    }

    /// Starts an empty one and waits until it answers.
    ///
    /// # Errors
    /// When there is no Consul on this machine, or it does not come up.
    pub async fn start() -> Result<Self> {
        let program = Self::program().context("cannot start consul: tests/setup.sh says how to get it")?;
        let folder = Folder::create(Account::unprivileged()?)?;
        // The cache may lie where the account may not look.
        let placed = folder.root().join("consul");
        folder.place(&program, &placed)?;
        let (http, lan, rpc) = (ports::claim()?, ports::claim()?, ports::claim()?);
        let mut command = Command::new(placed);
        command.args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-dns-port=-1", "-grpc-port=-1"]);
        command.arg(format!("-http-port={}", http.number)).arg(format!("-serf-lan-port={}", lan.number));
        // Otherwise it does not count.
        command.arg("-hcl=telemetry { prometheus_retention_time = \"24h\", disable_hostname = true }");
        command.arg("-serf-wan-port=-1").arg(format!("-server-port={}", rpc.number));
        command.current_dir(folder.root()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let pid = reaper::spawn(folder.account().apply(&mut command)).context("cannot start consul")?;
        let consul = Self { _folder: folder, http, _others: [lan, rpc], pid };
        wait::until("consul", UP, async || {
            let answer = consul.get("/v1/status/leader").await.map_err(|error| format!("{error:#}"))?;
            if answer.contains(':') { Ok(()) } else { Err(answer) }
        })
        .await?;
        Ok(consul)
    }

    /// Where clients reach it: `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http.number)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// How many requests it has answered; those for its figures are left out.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> Result<f64> {
        let text = self.get("/v1/agent/metrics?format=prometheus").await?;
        let counts = |name: &str| {
            name.starts_with("consul_http_") && name.ends_with("_count") && !name.contains("v1_agent_metrics")
        };
        Ok(metrics::sum(&text, counts))
    }

    /// What it answers.
    ///
    /// # Errors
    /// When it does not, or not well.
    pub async fn get(&self, path: &str) -> Result<String> {
        let answer = http::request(self.http.number, "GET", path, None, ANSWER).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.body)
    }
}
