//! Cleans up after a test that was killed itself and could not.
//!
//! A small shell process waits for the end of a pipe whose other end only the test holds. When the
//! test is gone, however it went, the shell kills what belongs to the folder and removes it.

use std::io;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::os::{process, reaper};
use crate::wait::block_until;

/// How long a killed shell may take to be gone: both cores may be taken.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// How often to look whether it is.
const END_POLL: Duration = Duration::from_millis(2);

/// `$1` is the folder. A few rounds are enough: whoever forks while its siblings die, dies in the next.
/// The last field of line 7 of `postmaster.pid` is the server's System V shared memory.
const SCRIPT: &str = r#"
read -r _
for round in 1 2 3 4 5 6 7 8 9 10; do
    found=
    for entry in /proc/[0-9]*; do
        pid=${entry#/proc/}
        [ "$pid" = "$$" ] && continue
        case "$(readlink "$entry/exe" 2>/dev/null) $(readlink "$entry/cwd" 2>/dev/null)/" in
            *"$1"/*) ;;
            *) grep -qsaF -e "$1/" "$entry/cmdline" "$entry/environ" || continue ;;
        esac
        kill -9 "$pid" 2>/dev/null && found=1
    done
    [ -z "$found" ] && break
    sleep 0.1
done
for note in "$1"/*/data/postmaster.pid; do
    segment=$(sed -n '7s/.* //p' "$note" 2>/dev/null)
    [ -n "$segment" ] && ipcrm -m "$segment" 2>/dev/null
done
rm -rf "$1"
"#;

/// The waiting shell. Dropping it sends it away without any cleaning: that is for the living.
pub struct Sentinel {
    pid: i32,
    /// Held, never written to: its end is the signal.
    _lifeline: Option<ChildStdin>,
}

impl Sentinel {
    /// Posts a sentinel for a folder.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn post(folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "sentinel"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (pid, lifeline) = reaper::spawn_with_input(&mut command)?;
        Ok(Self { pid, _lifeline: lifeline })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It is our child, so the signal cannot be refused. Whoever looks for processes of the folder
        // after this must not find the shell in the middle of its end.
        let _ = process::send(self.pid, Signal::SIGKILL);
        block_until(END_DEADLINE, END_POLL, || reaper::exit_of(self.pid).is_some());
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    #[test]
    fn it_cleans_up_when_the_test_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        let mut sleeper = Command::new("sleep");
        let pid = reaper::spawn(sleeper.arg("600").current_dir(&folder)).expect("sleep starts");
        let mut sentinel = Sentinel::post(&folder).expect("sh starts");
        drop(sentinel._lifeline.take());
        let gone = block_until(Duration::from_secs(20), Duration::from_millis(10), || {
            !folder.exists() && reaper::exit_of(pid) == Some(reaper::Exit::Signal(9))
        });
        assert!(gone, "the sleeper or its folder is still there");
        mem::drop(sentinel);
    }

    #[test]
    fn sent_away_it_touches_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sentinel = Sentinel::post(folder.path()).expect("sh starts");
        let pid = sentinel.pid();
        drop(sentinel);
        let ended = block_until(Duration::from_secs(10), Duration::from_millis(5), || {
            reaper::exit_of(pid) == Some(reaper::Exit::Signal(9))
        });
        assert!(ended && folder.path().exists());
    }
}
