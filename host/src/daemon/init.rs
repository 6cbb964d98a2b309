//! The first process of a container: it starts the daemon as a child, passes signals on, and collects the processes that
//! lost their parents (OPS-05). It knows nothing of what the daemon does.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::process::{Command, ExitCode};

/// What is passed on to the daemon.
const PASSED_ON: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGABRT,
    Signal::SIGTERM,
];

/// This process is the first one of its namespace.
pub fn is_first() -> bool {
    nix::unistd::getpid().as_raw() == 1
}

/// Lets signals through that whoever started us had blocked.
pub(super) fn hear_all_signals() {
    if let Err(errno) = SigSet::all().thread_unblock() {
        tracing::warn!("signals may be blocked: {errno}");
    }
}

/// Runs this program once more, with the same arguments, and ends as it ends: with its code, or with 128 and the number
/// of the signal that killed it.
pub fn run() -> ExitCode {
    match supervise() {
        Ok(code) => ExitCode::from(code),
        Err(error) => super::startup::refuse(&format!("the daemon can not be run as the child of process 1: {error}")),
    }
}

fn supervise() -> std::io::Result<u8> {
    // Blocked before the child is there, so that no signal is missed; the daemon lifts the block as its first act.
    let mut heard: SigSet = PASSED_ON.into_iter().collect();
    heard.add(Signal::SIGCHLD);
    heard.thread_block()?;
    let child = Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).spawn()?;
    let daemon = Pid::from_raw(child.id().cast_signed());
    loop {
        match heard.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = collect(daemon)? {
                    return Ok(code);
                }
            }
            // It may have ended a moment ago, which SIGCHLD tells.
            signal => drop(kill(daemon, signal)),
        }
    }
}

/// Collects everything that has ended; the code to end with if the daemon is among it.
fn collect(daemon: Pid) -> nix::Result<Option<u8>> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == daemon => code = Some(u8::try_from(status).unwrap_or(1)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == daemon => {
                code = Some(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0)));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(code),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
