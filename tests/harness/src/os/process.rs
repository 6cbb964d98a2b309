//! What `/proc` says about a process, and finding every process that belongs to a folder.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How long killed processes may take to disappear: a loaded machine writes back memory first.
const KILL_DEADLINE: Duration = Duration::from_secs(20);

/// How often to look whether killed processes are gone.
const KILL_POLL: Duration = Duration::from_millis(5);

/// The fields of `/proc/PID/stat` that the harness uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Process id.
    pub pid: i32,
    /// One letter: R, S, D, T (stopped), Z (zombie), X (dead)...
    pub state: char,
    /// Parent.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// User and system time, in clock ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u64,
}

impl Stat {
    /// Reads a process, or `None` when there is none.
    pub fn read(pid: i32) -> Option<Self> {
        parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it has ended and waits for its parent to notice.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The name, in parentheses, may hold anything; the fields follow its last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split_whitespace().next()?.parse().ok()?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<i64>().ok());
    Some(Stat {
        pid,
        state: fields.first()?.chars().next()?,
        parent: number(1)? as i32,
        group: number(2)? as i32,
        session: number(3)? as i32,
        cpu_ticks: (number(11)? + number(12)?) as u64,
        threads: number(17)? as u64,
    })
}

/// Whether the process exists and has not ended.
pub fn is_alive(pid: i32) -> bool {
    Stat::read(pid).is_some_and(|stat| !stat.is_zombie())
}

/// Every process of the machine, ended ones included.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Stat::read).collect()
}

/// The command line, its arguments separated by blanks.
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

/// The living processes that run a program of the folder, work in it, or have it in their arguments
/// or environment. One of these signs is enough: PostgreSQL overwrites its environment, a guard may
/// leave its working folder.
pub fn in_folder(folder: &Path) -> Vec<i32> {
    let own = std::process::id() as i32;
    all()
        .into_iter()
        .filter(|stat| !stat.is_zombie() && stat.pid != own)
        .map(|stat| stat.pid)
        .filter(|&pid| belongs(pid, folder))
        .collect()
}

fn belongs(pid: i32, folder: &Path) -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}"));
    let text = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    ["exe", "cwd"].iter().any(|name| link(name).is_ok_and(|path| path.starts_with(folder)))
        || ["cmdline", "environ"].iter().any(|name| names(&text(name), folder))
}

/// Whether a text names the folder itself or something in it, and not a longer name.
fn names(text: &[u8], folder: &Path) -> bool {
    let folder = folder.as_os_str().as_encoded_bytes();
    text.windows(folder.len().max(1)).enumerate().any(|(at, window)| {
        let after = text.get(at + folder.len()).copied().unwrap_or(0);
        window == folder && matches!(after, 0 | b'/' | b' ' | b':' | b',' | b'\'' | b'"')
    })
}

/// Sends a signal; a process that is gone already is no error.
///
/// # Errors
/// When the process is not ours to signal.
pub fn send(pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => bail!("cannot send {signal} to process {pid}: {error}"),
    }
}

/// Kills every process that belongs to the folder, except the one named, until none is left:
/// a process may be forking while its siblings die.
///
/// # Errors
/// When some of them outlive a generous deadline.
pub fn kill_folder(folder: &Path, except: Option<i32>) -> Result<()> {
    let left = || {
        let mut pids = in_folder(folder);
        pids.retain(|&pid| Some(pid) != except);
        pids
    };
    let gone = wait::block_until(KILL_DEADLINE, KILL_POLL, || {
        let pids = left();
        for &pid in &pids {
            // What cannot be killed is reported below, by its command line.
            let _ = send(pid, Signal::SIGKILL);
        }
        pids.is_empty()
    });
    if gone {
        return Ok(());
    }
    let lines: Vec<String> = left().into_iter().map(|pid| format!("{pid}: {}", command_line(pid))).collect();
    bail!("processes outlive SIGKILL: {}", lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_trap() {
        let line = "42 (a) b (c)) S 7 42 41 0 -1 4194560 1 2 3 4 10 5 0 0 20 0 3 0 99 1000 50";
        let stat = parse_stat(line).expect("the line is well formed");
        let expected = Stat { pid: 42, state: 'S', parent: 7, group: 42, session: 41, cpu_ticks: 15, threads: 3 };
        assert_eq!(stat, expected);
        assert_eq!(parse_stat("garbage"), None);
    }

    #[test]
    fn a_folder_is_not_its_longer_neighbour() {
        let folder = Path::new("/t/node1");
        let check = |text: &str, expected: bool| {
            assert_eq!(names(text.as_bytes(), folder), expected, "{text}");
        };
        check("-D\0/t/node1/data\0", true);
        check("-D\0/t/node1", true);
        check("A=/t/node1:/x\0", true);
        check("-D\0/t/node10/data\0", false);
        check("", false);
    }

    #[test]
    fn this_process_is_alive() {
        let own = std::process::id() as i32;
        assert!(is_alive(own));
        assert!(all().iter().any(|stat| stat.pid == own));
    }
}
