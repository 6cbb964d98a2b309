//! Takes over processes whose parent died, as the init of a real machine would, and at once.
//!
//! A postmaster whose daemon was killed becomes a child of the nearest subreaper above it. If that
//! is a slow pid 1, a dead postmaster looks alive for seconds and the figures are wrong; so this
//! process is the subreaper, and a thread of it collects what ends.
//!
//! Commands that a test runs by itself stay its own: they are in the process group of the test.
//! Everything the harness starts has a group of its own, and its descendants never have ours.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpgrp};

use crate::os::process;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How long to leave a command of the test to its own waiter before looking again.
const FOREIGN_PACE: Duration = Duration::from_millis(5);

struct Reaper {
    exits: Mutex<HashMap<i32, Exit>>,
    spawned: Condvar,
}

static REAPER: LazyLock<Reaper> = LazyLock::new(|| {
    set_child_subreaper(true).expect("every Linux since 3.4 knows subreapers");
    thread::Builder::new().name("reaper".to_owned()).spawn(|| REAPER.run()).expect("a thread can be started");
    Reaper { exits: Mutex::new(HashMap::new()), spawned: Condvar::new() }
});

/// Starts a command in a process group of its own and gives its process id. Its end is collected
/// here: ask [`exit_of`], never `wait`.
///
/// # Errors
/// When the command cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<i32> {
    spawn_with_input(command).map(|(pid, _)| pid)
}

/// The same, with the pipe to its standard input when the command asks for one.
///
/// # Errors
/// When the command cannot be started.
pub fn spawn_with_input(command: &mut Command) -> io::Result<(i32, Option<ChildStdin>)> {
    let mut exits = REAPER.lock();
    let mut child = command.process_group(0).spawn()?;
    let pid = child.id() as i32;
    // A process that had this number before may have left its end here.
    exits.remove(&pid);
    REAPER.spawned.notify_all();
    Ok((pid, child.stdin.take()))
}

/// How a process ended, or `None` while it runs (or if it never was a child of this process).
pub fn exit_of(pid: i32) -> Option<Exit> {
    REAPER.lock().get(&pid).copied()
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Exit>> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(_) => {
                    if self.collect() == 0 {
                        thread::sleep(FOREIGN_PACE);
                    }
                }
                Err(Errno::ECHILD) => {
                    let exits = self.lock();
                    // Without a child there is no descendant either; the timeout covers children
                    // that were started without us.
                    let _ = self.spawned.wait_timeout(exits, Duration::from_millis(100));
                }
                Err(_) => thread::sleep(FOREIGN_PACE),
            }
        }
    }

    /// Collects every ended child outside our process group; returns how many there were.
    fn collect(&self) -> usize {
        let own = std::process::id() as i32;
        let own_group = getpgrp().as_raw();
        let mut exits = self.lock();
        let ended =
            process::all().into_iter().filter(|stat| stat.parent == own && stat.is_zombie() && stat.group != own_group);
        let mut count = 0;
        for stat in ended {
            let exit = match waitpid(Pid::from_raw(stat.pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Exit::Code(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
                _ => continue,
            };
            exits.insert(stat.pid, exit);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::block_until;

    const DEADLINE: Duration = Duration::from_secs(10);
    const POLL: Duration = Duration::from_millis(5);

    #[test]
    fn an_end_is_known() {
        let pid = spawn(Command::new("sh").args(["-c", "exit 7"])).expect("sh starts");
        assert!(block_until(DEADLINE, POLL, || exit_of(pid).is_some()));
        assert_eq!(exit_of(pid), Some(Exit::Code(7)));
    }

    #[test]
    fn an_orphan_is_collected() {
        // The shell leaves a sleeper in another session behind, as a daemon leaves its server.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let note = folder.path().join("pid");
        let script = format!("setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 600' &", note.display());
        spawn(Command::new("sh").args(["-c", &script])).expect("sh starts");
        assert!(block_until(DEADLINE, POLL, || note.exists()));
        let text = std::fs::read_to_string(&note).expect("the note can be read");
        let pid: i32 = text.trim().parse().expect("the note is a process id");
        assert!(process::is_alive(pid));
        process::send(pid, nix::sys::signal::Signal::SIGKILL).expect("it is ours");
        assert!(block_until(DEADLINE, POLL, || exit_of(pid) == Some(Exit::Signal(9))));
        assert!(process::Stat::read(pid).is_none());
    }

    #[test]
    fn a_command_of_the_test_stays_its_own() {
        LazyLock::force(&REAPER);
        for _ in 0..20 {
            let status = Command::new("sh").args(["-c", "exit 3"]).status().expect("sh runs");
            assert_eq!(status.code(), Some(3));
        }
    }
}
