//! A real etcd on loopback, for clusters that several kinds of nodes share.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::folder::Folder;
use crate::os::ports::{self, Port};
use crate::os::user::Account;
use crate::os::{process, reaper};
use crate::{http, metrics, wait};

/// How long it may take to come up, to go, or to answer.
const UP: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(3);

/// How many there were, by method.
pub type Counts = BTreeMap<String, f64>;

/// A single etcd. Dropping it ends it and removes what it wrote.
pub struct Etcd {
    folder: Folder,
    client: Port,
    peer: Port,
    pid: Mutex<i32>,
    /// More arguments.
    arguments: &'static [&'static str],
}

impl Etcd {
    /// Starts an empty one and waits until it answers.
    ///
    /// # Errors
    /// When there is no etcd on this machine, or it does not come up.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// The same with the older API, which servers offer only when they are told to.
    ///
    /// # Errors
    /// As [`Etcd::start`].
    pub async fn start_with_v2() -> Result<Self> {
        Self::with(&["--enable-v2=true"]).await
    }

    async fn with(arguments: &'static [&'static str]) -> Result<Self> {
        let folder = Folder::create(Account::unprivileged()?)?;
        let etcd = Self { folder, client: ports::claim()?, peer: ports::claim()?, pid: Mutex::new(0), arguments };
        etcd.up().await?;
        Ok(etcd)
    }

    /// Starts it on what it has.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn up(&self) -> Result<()> {
        let root = self.folder.root();
        let log = OpenOptions::new().create(true).append(true).open(root.join("etcd.log"))?;
        let client = format!("http://{}", self.address());
        let peer = format!("http://127.0.0.1:{}", self.peer.number);
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(root.join("etcd"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        // Alone it has nobody to wait for when it comes back: an outage ends when it is started again.
        command.args(["--heartbeat-interval", "50", "--election-timeout", "250"]).args(self.arguments);
        command.current_dir(root).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let pid = reaper::spawn(self.folder.account().apply(&mut command))
            .context("cannot start etcd: tests/setup.sh says how to get it")?;
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = pid;
        wait::until("etcd", UP, async || {
            let answer = self.get("/health").await.map_err(|error| format!("{error:#}"))?;
            if answer.contains("true") { Ok(()) } else { Err(answer) }
        })
        .await
    }

    /// Kills it; what it has written stays.
    ///
    /// # Errors
    /// When it does not go.
    pub fn down(&self) -> Result<()> {
        let pid = self.pid();
        self.folder.kill_all()?;
        let gone = wait::block_until(UP, Duration::from_millis(1), || !process::is_alive(pid));
        ensure!(gone, "etcd outlives SIGKILL");
        Ok(())
    }

    /// Where clients reach it: `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client.number)
    }

    /// The port that clients reach it at.
    pub fn port(&self) -> u16 {
        self.client.number
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it be silent: connections are accepted, nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        process::send(self.pid(), Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        process::send(self.pid(), Signal::SIGCONT)
    }

    /// How many requests it has answered, by method. A stream is one, when it ends.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> Result<Counts> {
        Ok(count(&self.get("/metrics").await?, "grpc_server_handled_total"))
    }

    /// How many messages its clients have sent it, by method: each request, and each message on a stream.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn messages(&self) -> Result<Counts> {
        Ok(count(&self.get("/metrics").await?, "grpc_server_msg_received_total"))
    }

    /// How many requests of its older API it has taken.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn plain_requests(&self) -> Result<f64> {
        Ok(metrics::sum(&self.get("/metrics").await?, |name| name == "etcd_http_received_total"))
    }

    async fn get(&self, path: &str) -> Result<String> {
        Ok(http::request(self.client.number, "GET", path, None, ANSWER).await?.body)
    }
}

fn count(metrics: &str, counter: &str) -> Counts {
    let mut counts = Counts::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(counter)?.strip_prefix('{')) {
        let method = line.split_once("grpc_method=\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0));
        let value = line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        if let Some((method, value)) = method.zip(value.filter(|value| *value > 0.0)) {
            *counts.entry(method.to_owned()).or_default() += value;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_messages_are_counted() {
        let metrics = "# TYPE grpc_server_msg_received_total counter\n\
             grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Txn\",grpc_type=\"unary\"} 11\n\
             grpc_server_handled_total{grpc_code=\"Aborted\",grpc_method=\"Txn\",grpc_type=\"unary\"} 1\n\
             grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_type=\"unary\"} 0\n\
             grpc_server_msg_received_total{grpc_method=\"Txn\",grpc_type=\"unary\"} 12\n\
             grpc_server_msg_received_total{grpc_method=\"LeaseKeepAlive\",grpc_type=\"bidi_stream\"} 3\n";
        let check = |counter: &str, expected: &[&str]| {
            let counts = count(metrics, counter);
            let text: Vec<String> = counts.iter().map(|(method, count)| format!("{method} {count}")).collect();
            assert_eq!(text, expected, "{counter}");
        };
        check("grpc_server_handled_total", &["Txn 12"]);
        check("grpc_server_msg_received_total", &["LeaseKeepAlive 3", "Txn 12"]);
    }
}
