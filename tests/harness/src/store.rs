//! Takes the store away from a running cluster, and gives it back: an etcd is stopped by its signal.
//!
//! The embedded store is one SQLite file. Whoever holds SQLite's own locks on it makes every other process
//! wait: to a daemon the store is there and does not answer, as a DCS behind a dead network does.
//! SQLite waits as long as its busy timeout says; only a reader of a write-ahead log waits longer,
//! about ten seconds, and then reports a protocol error.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::Signal;

use crate::os::process;
use crate::wait;

/// What a range of SQLite's lock bytes stops: its first byte and its length.
type Range = (i64, i64);

/// The lock bytes of a write-ahead log's index: write, checkpoint, recover and five read marks.
const WAL_ALL: Range = (120, 8);
const WAL_WRITE: Range = (120, 1);
/// The lock bytes of the file itself: pending, reserved and 510 shared ones.
const FILE_ALL: Range = (0x4000_0000, 512);
const FILE_WRITE: Range = (0x4000_0001, 1);

/// How long to wait until no transaction is under way.
const DEADLINE: Duration = Duration::from_secs(10);

/// The store is away as long as this lives.
#[derive(Debug)]
pub struct StoreOutage(Away);

#[derive(Debug)]
enum Away {
    Locked { _file: File },
    Frozen(i32),
}

impl StoreOutage {
    /// Stops a server: connections are accepted, nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(pid: i32) -> Result<Self> {
        process::send(pid, Signal::SIGSTOP)?;
        Ok(Self(Away::Frozen(pid)))
    }

    /// Locks everybody out of the store.
    ///
    /// # Errors
    /// When there is no store, or somebody never lets go of it.
    pub fn begin(store: &Path) -> Result<Self> {
        Self::lock(store, WAL_ALL, FILE_ALL)
    }

    /// Locks out those who write; reading goes on.
    ///
    /// # Errors
    /// When there is no store, or somebody never stops writing.
    pub fn begin_for_writes(store: &Path) -> Result<Self> {
        Self::lock(store, WAL_WRITE, FILE_WRITE)
    }

    fn lock(store: &Path, with_log: Range, without: Range) -> Result<Self> {
        let mut index = store.as_os_str().to_owned();
        index.push("-shm");
        let index = Path::new(&index);
        let (path, range) = if index.exists() { (index, with_log) } else { (store, without) };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if wait::block_until(DEADLINE, Duration::from_micros(200), || lock(&file, range)) {
            return Ok(Self(Away::Locked { _file: file }));
        }
        bail!("{} is locked by somebody else for more than {DEADLINE:?}", path.display())
    }

    /// Gives it back.
    pub fn end(self) {}
}

impl Drop for StoreOutage {
    fn drop(&mut self) {
        if let Away::Frozen(pid) = self.0
            && let Err(error) = process::send(pid, Signal::SIGCONT)
        {
            eprintln!("harness: {error:#}");
        }
    }
}

/// Tries to lock a range for this open file.
fn lock(file: &File, (start, length): Range) -> bool {
    let wanted = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&wanted)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_can_hold_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = folder.path().join("demo.db");
        assert!(StoreOutage::begin(&store).is_err());
        std::fs::write(&store, "").expect("a file can be written");
        let outage = StoreOutage::begin(&store).expect("it is free");
        let other = OpenOptions::new().read(true).write(true).open(&store).expect("it exists");
        assert!(!lock(&other, FILE_ALL) && !lock(&other, FILE_WRITE));
        outage.end();
        assert!(lock(&other, FILE_ALL));
    }
}
