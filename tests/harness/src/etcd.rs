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
use crate::{http, wait};

/// How long it may take to come up, to go, or to answer.
const UP: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(3);

/// How many messages there were, by method.
pub type Requests = BTreeMap<String, f64>;

/// A single etcd. Dropping it ends it and removes what it wrote.
pub struct Etcd {
    folder: Folder,
    client: Port,
    peer: Port,
    pid: Mutex<i32>,
}

impl Etcd {
    /// Starts an empty one and waits until it answers.
    ///
    /// # Errors
    /// When there is no etcd on this machine, or it does not come up.
    pub async fn start() -> Result<Self> {
        let folder = Folder::create(Account::unprivileged()?)?;
        let etcd = Self { folder, client: ports::claim()?, peer: ports::claim()?, pid: Mutex::new(0) };
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
        command.args(["--heartbeat-interval", "50", "--election-timeout", "250"]);
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

    /// How many messages its clients have sent it, by method: each request, and each message on a stream.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> Result<Requests> {
        Ok(count_messages(&self.get("/metrics").await?))
    }

    async fn get(&self, path: &str) -> Result<String> {
        Ok(http::request(self.client.number, "GET", path, None, ANSWER).await?.body)
    }
}

fn count_messages(metrics: &str) -> Requests {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("grpc_server_msg_received_total{"));
    let counts = lines.filter_map(|line| {
        let method = line.split_once("grpc_method=\"")?.1.split_once('"')?.0;
        Some((method.to_owned(), line.rsplit_once(' ')?.1.parse::<f64>().ok()?))
    });
    counts.filter(|(_, count)| *count > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_counted() {
        let metrics = "# TYPE grpc_server_msg_received_total counter\n\
             grpc_server_msg_received_total{grpc_method=\"Txn\",grpc_type=\"unary\"} 12\n\
             grpc_server_msg_received_total{grpc_method=\"LeaseKeepAlive\",grpc_type=\"bidi_stream\"} 3\n\
             grpc_server_msg_sent_total{grpc_method=\"Txn\",grpc_type=\"unary\"} 7\n";
        let counts = count_messages(metrics);
        let text: Vec<String> = counts.iter().map(|(method, count)| format!("{method} {count}")).collect();
        assert_eq!(text, ["LeaseKeepAlive 3", "Txn 12"]);
    }
}
