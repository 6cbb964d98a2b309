//! The postmaster as a process: finding it, telling it from strangers, signalling it, and noticing its end.

use super::control::peek_state;
use super::error::PgError;
use regent_core::model::{ControlState, Postmaster, PostmasterStatus};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How far the start time in the pid file may be from the kernel's: the file has whole seconds, and the server writes
/// it a little after its start.
const START_TIME_SLACK_SECONDS: i64 = 3;

/// Kernels without pidfd_open (before 5.3) are asked this often instead.
const FALLBACK_POLL: Duration = Duration::from_millis(200);

/// postmaster.pid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PidFile {
    /// The postmaster; negative for a single-user server.
    pub pid: i32,
    /// When it started, in seconds since 1970.
    pub started: i64,
    /// Its port.
    pub port: Option<u16>,
    /// Where its first Unix socket is, if it has one.
    pub socket_dir: Option<PathBuf>,
    /// The first address that it listens on; empty for none.
    pub listen_address: Option<String>,
    /// What it says of itself (10 and later). It says `ready` also as a hot standby: that is told apart by the control
    /// file, which says `in production` from the very instant at which recovery has ended.
    pub status: Option<PostmasterStatus>,
}

impl PidFile {
    /// Reads the pid file of `data_dir`; `None` where there is none or it is not complete.
    pub fn read(data_dir: &Path) -> Option<PidFile> {
        let mut file = PidFile::parse(&std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?)?;
        let recovers = |state| {
            matches!(state, ControlState::InArchiveRecovery | ControlState::InCrashRecovery | ControlState::StartingUp)
        };
        if file.status == Some(PostmasterStatus::Ready) && peek_state(data_dir).is_some_and(recovers) {
            file.status = Some(PostmasterStatus::Standby);
        }
        Some(file)
    }

    fn parse(text: &str) -> Option<PidFile> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let filled = |at: usize| lines.get(at).copied().filter(|line| !line.is_empty());
        Some(PidFile {
            pid: filled(0)?.parse().ok()?,
            started: filled(2)?.parse().ok()?,
            port: filled(3).and_then(|port| port.parse().ok()),
            socket_dir: filled(4).map(PathBuf::from),
            listen_address: lines.get(5).map(|address| (*address).to_owned()),
            status: filled(7).and_then(status_from),
        })
    }
}

fn status_from(text: &str) -> Option<PostmasterStatus> {
    match text {
        // `standby` is said with hot_standby=off: nobody can connect before recovery has ended.
        "starting" | "standby" => Some(PostmasterStatus::Starting),
        "stopping" => Some(PostmasterStatus::Stopping),
        "ready" => Some(PostmasterStatus::Ready),
        _ => None,
    }
}

/// What the pid file says of this very postmaster.
pub fn postmaster_status(data_dir: &Path, postmaster: Postmaster) -> Option<PostmasterStatus> {
    PidFile::read(data_dir).filter(|file| file.pid == postmaster.pid).and_then(|file| file.status)
}

/// The running postmaster of `data_dir`. A pid that belongs to somebody else, or to a zombie, is no postmaster (HA-15).
pub fn find_running(data_dir: &Path) -> Option<Postmaster> {
    let file = PidFile::read(data_dir)?;
    let stat = Stat::read(file.pid).filter(Stat::alive)?;
    is_postmaster(data_dir, &file, &stat).then_some(Postmaster { pid: file.pid, start_ticks: stat.start_ticks })
}

/// The pid in a left-over pid file, where a living process of another kind has that number now. PostgreSQL must be told
/// that this process is no server, or it refuses to start (HA-16).
pub fn stranger(data_dir: &Path) -> Option<i32> {
    let file = PidFile::read(data_dir)?;
    let stat = Stat::read(file.pid.saturating_abs()).filter(Stat::alive)?;
    if is_postmaster(data_dir, &file, &stat) {
        return None;
    }
    tracing::info!(
        "the pid file names pid {}, which is another program now ({}): taking no notice of it",
        stat.pid,
        stat.command
    );
    Some(stat.pid)
}

/// The server's working directory is its data directory, which tells it from everybody whose directory can be read. The
/// start time of the pid file confirms it; alone, it would be fooled by a wall clock that was set since.
fn is_postmaster(data_dir: &Path, file: &PidFile, stat: &Stat) -> bool {
    let same_start =
        started_at(stat.start_ticks).is_none_or(|at| (at - file.started).abs() <= START_TIME_SLACK_SECONDS);
    let here = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    match std::fs::read_link(format!("/proc/{}/cwd", stat.pid)) {
        Ok(there) => there == here && (same_start || stat.command.starts_with("post")),
        Err(_) => same_start,
    }
}

/// Does this very process still run?
pub fn is_alive(postmaster: Postmaster) -> bool {
    Stat::read(postmaster.pid).is_some_and(|stat| stat.alive() && stat.start_ticks == postmaster.start_ticks)
}

/// Gives the process with this pid its identity.
pub(super) fn identify(pid: i32) -> Option<Postmaster> {
    Stat::read(pid).map(|stat| Postmaster { pid, start_ticks: stat.start_ticks })
}

/// The processes whose parent is `pid`.
pub(super) fn children(pid: i32) -> Vec<i32> {
    all().into_iter().filter(|candidate| parent(*candidate) == Some(pid)).collect()
}

/// Every process.
pub(super) fn all() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The parent of the process `pid`.
pub(super) fn parent(pid: i32) -> Option<i32> {
    Stat::read(pid).map(|stat| stat.parent)
}

/// The part of /proc/PID/stat that identifies a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: i32,
    command: String,
    state: char,
    parent: i32,
    start_ticks: u64,
}

/// The name of a process' program, while it lives.
pub fn command_of(pid: i32) -> Option<String> {
    Stat::read(pid).map(|stat| stat.command)
}

impl Stat {
    fn read(pid: i32) -> Option<Stat> {
        if pid <= 0 {
            return None;
        }
        Stat::parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command is in parentheses and may itself hold any character, parentheses too: the last one ends it.
    fn parse(pid: i32, text: &str) -> Option<Stat> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, command) = before.split_once('(')?;
        let mut fields = after.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the line; the state is field 3.
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Stat { pid, command: command.to_owned(), state, parent, start_ticks })
    }

    fn alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// A start in ticks after boot, in seconds since 1970.
fn started_at(start_ticks: u64) -> Option<i64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??.max(1);
    Some(boot + i64::try_from(start_ticks).ok()? / per_second)
}

/// Sends a signal to this very process; a reused pid gets nothing.
pub fn signal(postmaster: Postmaster, signal: Signal) -> Result<(), PgError> {
    let failed = || format!("could not signal pid {}", postmaster.pid);
    match open(postmaster).map_err(PgError::errno(failed()))? {
        Opened::Gone | Opened::Zombie(_) => Err(PgError::NotRunning),
        Opened::Handle(handle) => match rustix::process::pidfd_send_signal(handle, signal) {
            Err(rustix::io::Errno::SRCH) => Err(PgError::NotRunning),
            other => other.map_err(PgError::errno(failed())),
        },
        Opened::Unsupported(pid) => rustix::process::kill_process(pid, signal).map_err(PgError::errno(failed())),
    }
}

enum Opened {
    Handle(OwnedFd),
    /// It has ended, and nobody has asked how yet.
    Zombie(OwnedFd),
    Gone,
    Unsupported(Pid),
}

fn open(postmaster: Postmaster) -> rustix::io::Result<Opened> {
    let Some(pid) = Pid::from_raw(postmaster.pid) else {
        return Ok(Opened::Gone);
    };
    let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(Opened::Gone),
        Err(rustix::io::Errno::NOSYS) if is_alive(postmaster) => {
            return Ok(Opened::Unsupported(pid));
        }
        Err(rustix::io::Errno::NOSYS) => return Ok(Opened::Gone),
        Err(error) => return Err(error),
    };
    // The pid may have been given to somebody else before it was opened; the handle keeps it from now on.
    Ok(if is_alive(postmaster) {
        Opened::Handle(handle)
    } else if identify(postmaster.pid) == Some(postmaster) {
        Opened::Zombie(handle)
    } else {
        Opened::Gone
    })
}

/// How a process ended, where it was our child; `None` where its parent is somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It called exit with this code.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It was not our child, or somebody else noticed first: it is gone.
    Unknown,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Exited(code) => write!(f, "exited with code={code}"),
            Ended::Killed(signal) => write!(f, "was killed by signal {signal}"),
            Ended::Unknown => f.write_str("its exit status is not known"),
        }
    }
}

/// Waits for the end of this process and reaps it if it is our child. Any number may wait, and the first of them learns
/// how it ended; cancel by dropping.
pub async fn ended(postmaster: Postmaster) -> Result<Ended, PgError> {
    let failed = || format!("could not watch pid {}", postmaster.pid);
    let handle = match open(postmaster).map_err(PgError::errno(failed()))? {
        Opened::Handle(handle) => handle,
        Opened::Zombie(handle) => return Ok(reap(&handle)),
        Opened::Gone => return Ok(Ended::Unknown),
        Opened::Unsupported(_) => return Ok(poll_until_ended(postmaster).await),
    };
    let handle = super::readable::readable(handle).map_err(PgError::io(failed()))?;
    let _ready = handle.readable().await.map_err(PgError::io(failed()))?;
    Ok(reap(handle.get_ref()))
}

async fn poll_until_ended(postmaster: Postmaster) -> Ended {
    let mut interval = tokio::time::interval(FALLBACK_POLL);
    while is_alive(postmaster) {
        interval.tick().await;
    }
    Ended::Unknown
}

fn reap(handle: &OwnedFd) -> Ended {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::PidFd(handle.as_fd()), options) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, Some(signal)) => Ended::Killed(signal),
            (None, None) => Ended::Unknown,
        },
        Ok(None) | Err(_) => Ended::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_odd_command_names() {
        let line = "77 (post) R (x) S 12 77 77 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 2000\n";
        let expected = Stat { pid: 77, command: "post) R (x".into(), state: 'S', parent: 12, start_ticks: 123456 };
        assert_eq!(Stat::parse(77, line), Some(expected));
        assert_eq!(Stat::parse(77, "77 (x"), None);
    }

    #[test]
    fn a_pid_file_is_read_as_far_as_it_is_written() {
        let full = "4711\n/data\n1700000000\n5433\n/run/postgresql\n*\n  123 456\nstandby \n";
        let file = PidFile::parse(full).unwrap();
        assert_eq!((file.pid, file.port, file.status), (4711, Some(5433), Some(PostmasterStatus::Starting)));
        assert_eq!(file.listen_address.as_deref(), Some("*"));
        assert_eq!(PidFile::parse("4711\n/data\n1700000000\n").unwrap().status, None);
        assert_eq!(PidFile::parse("4711\n"), None);
        assert_eq!(PidFile::parse(""), None);
    }

    /// HA-17, HA-18
    #[test]
    fn a_reused_pid_is_not_trusted() {
        // HA-15, HA-16: our own pid in the file, but we do not run in that directory.
        let folder = tempfile::tempdir().unwrap();
        let pid = std::process::id();
        std::fs::write(folder.path().join("postmaster.pid"), format!("{pid}\nx\n1700000000\n")).unwrap();
        assert_eq!(find_running(folder.path()), None);
        assert_eq!(stranger(folder.path()), Some(pid.cast_signed()));
        assert!(!is_alive(Postmaster { pid: pid.cast_signed(), start_ticks: 1 }));
        assert!(command_of(pid.cast_signed()).is_some());
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert_eq!(command_of(gone.id().cast_signed()), None, "it ended while it was looked at");
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_an_event() {
        let pid = super::super::spawn::spawn_session(
            Path::new("/bin/sh"),
            ["sh", "-c", "read line; exit 7"].map(Into::into).to_vec(),
            Vec::new(),
        )
        .unwrap();
        let child = identify(pid).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), ended(child)).await.unwrap().unwrap();
        assert_eq!(ended, Ended::Exited(7));
        assert!(matches!(signal(child, Signal::TERM), Err(PgError::NotRunning)));
    }
}
