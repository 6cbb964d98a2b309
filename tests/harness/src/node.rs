//! One node: its daemon, its server, its files, and every way to hurt it.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::config::NodeLayout;
use crate::folder::write_private;
use crate::http::{self, Answer};
use crate::os::process;
use crate::os::reaper::{self, Exit};
use crate::os::user::Account;
use crate::sql::{self, Rows};
use crate::wait;

/// How long a killed process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// How long a read of the REST API may take, and an action.
const READ_DEADLINE: Duration = Duration::from_secs(3);
const ACTION_DEADLINE: Duration = Duration::from_secs(90);
/// How long a statement may take.
const SQL_DEADLINE: Duration = Duration::from_secs(10);

/// A member of the cluster.
pub struct Node {
    /// The member's name.
    pub name: String,
    /// Its files and ports.
    pub layout: NodeLayout,
    account: Account,
    environment: Vec<(String, String)>,
    daemon: Mutex<Option<i32>>,
}

/// What the daemon uses of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Resident memory, shared pages counted by share, in bytes.
    pub proportional: u64,
    /// Processor time since its start.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// Times it gave up or lost the processor: wake-ups, roughly.
    pub switches: u64,
}

impl Node {
    pub(crate) fn new(layout: NodeLayout, account: Account, environment: Vec<(String, String)>) -> Self {
        Self { name: layout.name.clone(), layout, account, environment, daemon: Mutex::new(None) }
    }

    // === the daemon ===

    /// Starts the daemon.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&self) -> Result<()> {
        if self.is_running() {
            bail!("the daemon of {} runs already", self.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.layout.log_path)?;
        self.account.own(&self.layout.log_path)?;
        let mut command = self.command("regent");
        command.arg(&self.layout.config_path).stdout(log.try_clone()?).stderr(log);
        let pid = reaper::spawn(&mut command)
            .with_context(|| format!("cannot start {}", self.layout.bin.join("regent").display()))?;
        self.set_daemon(Some(pid));
        Ok(())
    }

    /// A program of this node, under its account, with an environment of its own.
    pub fn command(&self, program: &str) -> Command {
        self.command_at(&self.layout.bin.join(program))
    }

    /// The same, for a program anywhere.
    pub fn command_at(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.layout.folder)
            .env("USER", &self.account.name)
            .env("LANG", "C.UTF-8")
            .env("RUST_BACKTRACE", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.layout.folder)
            .stdin(Stdio::null());
        self.account.apply(&mut command);
        command
    }

    /// The daemon's process id, while it runs.
    pub fn daemon_pid(&self) -> Option<i32> {
        let pid = (*self.daemon.lock().unwrap_or_else(PoisonError::into_inner))?;
        (reaper::exit_of(pid).is_none() && process::is_alive(pid)).then_some(pid)
    }

    /// Whether the daemon runs.
    pub fn is_running(&self) -> bool {
        self.daemon_pid().is_some()
    }

    fn set_daemon(&self, pid: Option<i32>) {
        *self.daemon.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }

    fn running_daemon(&self) -> Result<i32> {
        self.daemon_pid().with_context(|| format!("the daemon of {} does not run", self.name))
    }

    /// Sends the daemon a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        process::send(self.running_daemon()?, signal)
    }

    /// Asks the daemon to stop, and waits until it has.
    ///
    /// # Errors
    /// When it does not run, or is still there at the deadline.
    pub async fn sigterm_and_wait(&self, deadline: Duration) -> Result<Exit> {
        let pid = self.running_daemon()?;
        process::send(pid, Signal::SIGTERM)?;
        let exit = exit_within(pid, deadline).await;
        exit.with_context(|| format!("the daemon of {} after SIGTERM", self.name))
    }

    /// Waits until the daemon ends by itself.
    ///
    /// # Errors
    /// When it is still there at the deadline, or was never started.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<Exit> {
        let pid = *self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = pid.with_context(|| format!("the daemon of {} was never started", self.name))?;
        exit_within(pid, deadline).await.with_context(|| format!("the daemon of {}", self.name))
    }

    /// Kills the daemon with SIGKILL; the server and the guard are left to themselves.
    ///
    /// # Errors
    /// When it does not run or does not go.
    pub fn kill_daemon(&self) -> Result<()> {
        let pid = self.running_daemon()?;
        process::send(pid, Signal::SIGKILL)?;
        wait_gone(pid)
    }

    /// Stops the daemon's clock: it stays, and does nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen daemon go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// What the daemon uses.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.running_daemon()?;
        usage(pid).with_context(|| format!("cannot read the usage of process {pid}"))
    }

    // === the server ===

    /// The postmaster's process id, while it runs.
    pub fn postmaster_pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.layout.data_dir.join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        process::is_alive(pid).then_some(pid)
    }

    /// Kills the postmaster alone; its children notice by themselves.
    ///
    /// # Errors
    /// When it does not run or does not go.
    pub fn kill_postmaster(&self) -> Result<()> {
        let pid = self.postmaster_pid().with_context(|| format!("no server runs on {}", self.name))?;
        process::send(pid, Signal::SIGKILL)?;
        wait_gone(pid)
    }

    // === the whole node ===

    /// Every process of the node: daemon, guard, server and their children, with their commands.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let pids = process::in_folder(&self.layout.folder);
        pids.into_iter().map(|pid| (pid, process::command_line(pid))).collect()
    }

    /// The guard process, found by its command line.
    pub fn guard_pid(&self) -> Option<i32> {
        let is_guard = |command: &str| command.split(' ').nth(1) == Some("guard");
        self.processes().into_iter().find(|(_, command)| is_guard(command)).map(|(pid, _)| pid)
    }

    /// Kills everything at once, as a power cut does.
    ///
    /// # Errors
    /// When a process does not go.
    pub fn kill_node(&self) -> Result<()> {
        process::kill_folder(&self.layout.folder, None)
    }

    /// Freezes every process of the node, as a hung host does.
    ///
    /// # Errors
    /// When a process cannot be signalled.
    pub fn freeze_node(&self) -> Result<()> {
        // A process may be forking: its child is found in the next round.
        for _ in 0..3 {
            self.signal_all(Signal::SIGSTOP)?;
        }
        Ok(())
    }

    /// Lets every process of the node go on.
    ///
    /// # Errors
    /// When a process cannot be signalled.
    pub fn thaw_node(&self) -> Result<()> {
        self.signal_all(Signal::SIGCONT)
    }

    /// The same, the guard last: everything else goes on before it can do anything.
    ///
    /// # Errors
    /// When a process cannot be signalled.
    pub fn thaw_node_guard_last(&self) -> Result<()> {
        let guard = self.guard_pid();
        let pids = process::in_folder(&self.layout.folder).into_iter().rev();
        pids.filter(|pid| Some(*pid) != guard).chain(guard).try_for_each(|pid| process::send(pid, Signal::SIGCONT))
    }

    /// Freezes or lets go on those processes of the node whose command says this, and gives how many there are.
    ///
    /// # Errors
    /// When one of them cannot be signalled.
    pub fn signal_those(&self, command: &str, signal: Signal) -> Result<usize> {
        let named: Vec<_> = self.processes().into_iter().filter(|(_, found)| found.contains(command)).collect();
        named.iter().try_for_each(|(pid, _)| process::send(*pid, signal))?;
        Ok(named.len())
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        process::in_folder(&self.layout.folder).into_iter().try_for_each(|pid| process::send(pid, signal))
    }

    // === REST and SQL ===

    /// Sends a request to the node's REST API.
    ///
    /// # Errors
    /// When there is no answer: 3 s for GET, 90 s for what acts.
    pub async fn rest(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        let is_read = matches!(method, "GET" | "HEAD" | "OPTIONS");
        let deadline = if is_read { READ_DEADLINE } else { ACTION_DEADLINE };
        http::request(self.layout.rest_port, method, path, body.as_ref(), deadline).await
    }

    /// The status code of a health check; `None` when nobody answers.
    pub async fn health(&self, path: &str) -> Option<u16> {
        self.rest("GET", path, None).await.ok().map(|answer| answer.status)
    }

    /// Runs statements on this node's server and gives their rows.
    ///
    /// # Errors
    /// When the server refuses or does not answer within ten seconds.
    pub async fn sql(&self, statements: &str) -> Result<Rows> {
        let client = sql::connect(self.layout.pg_port, SQL_DEADLINE).await?;
        sql::query(&client, statements, SQL_DEADLINE).await
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// Like [`Node::sql`], and when there is no row or it is null.
    pub async fn sql_value(&self, statements: &str) -> Result<String> {
        let rows = self.sql(statements).await?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten())
            .ok_or_else(|| anyhow!("no value: {statements}"))
    }

    // === files ===

    /// All the daemon has said.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.layout.log_path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until the log holds a text.
    ///
    /// # Errors
    /// When it does not at the deadline.
    pub async fn wait_log(&self, text: &str, deadline: Duration) -> Result<()> {
        let what = format!("{text:?} in the log of {}", self.name);
        wait::until(&what, deadline, async || {
            if self.log().contains(text) { Ok(()) } else { Err(format!("its end is\n{}", self.log_tail(10))) }
        })
        .await
    }

    /// Changes the node's configuration file; a running daemon needs a reload to see it.
    ///
    /// # Errors
    /// When the file is no YAML or cannot be written.
    pub fn edit_config(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let path = &self.layout.config_path;
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config: Value = serde_yaml::from_str(&text)?;
        change(&mut config);
        self.write_config(&serde_yaml::to_string(&config)?)
    }

    /// Replaces the node's configuration file by any text, good or bad.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) -> Result<()> {
        write_private(&self.account, &self.layout.config_path, text)
    }
}

async fn exit_within(pid: i32, deadline: Duration) -> Result<Exit> {
    wait::until("its end", deadline, async || reaper::exit_of(pid).ok_or_else(|| format!("process {pid} still runs")))
        .await
}

/// Waits until a process is gone from the process table, reaped by whoever is its parent.
fn wait_gone(pid: i32) -> Result<()> {
    let gone = wait::block_until(KILL_DEADLINE, Duration::from_millis(1), || !process::is_alive(pid));
    if gone { Ok(()) } else { bail!("process {pid} is still there {KILL_DEADLINE:?} after SIGKILL") }
}

fn usage(pid: i32) -> Option<Usage> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let stat = process::Stat::read(pid)?;
    let status = read("status")?;
    let rollup = read("smaps_rollup")?;
    let switches = fs::read_dir(format!("/proc/{pid}/task"))
        .ok()?
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
        .filter_map(|text| {
            Some(field(&text, "voluntary_ctxt_switches:")? + field(&text, "nonvoluntary_ctxt_switches:")?)
        })
        .sum();
    let ticks_per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(Usage {
        resident: field(&status, "VmRSS:")? * 1024,
        proportional: field(&rollup, "Pss:")? * 1024,
        cpu: Duration::from_millis(stat.cpu_ticks * 1000 / ticks_per_second.max(1) as u64),
        threads: stat.threads,
        switches,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_a_process_is_read() {
        let usage = usage(std::process::id() as i32).expect("this process exists");
        assert!(usage.resident > 100_000 && usage.proportional > 0, "{usage:?}");
        assert!(usage.threads >= 1 && usage.switches > 0, "{usage:?}");
    }
}
