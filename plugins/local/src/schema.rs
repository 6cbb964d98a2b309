//! The file: its tables, its clock, and what a failed statement means for the caller.

use crate::patience;
use regent_plugin_sdk::{DcsError, ErrorKind};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// One row a key; `expires` in milliseconds on the boot-time clock of `boot`; one row of counters.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        path TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,
        session TEXT NOT NULL DEFAULT '', expires INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS counter (
        only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL, boot TEXT NOT NULL);
    INSERT OR IGNORE INTO counter VALUES (1, 1, '');
";

/// Milliseconds since boot, on the clock that goes on while the machine sleeps.
pub(crate) fn now() -> i64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    time.map_or(0, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Opens the file, makes it if it is missing, and ends leases of before the last boot.
pub(crate) fn open(path: &Path) -> Result<Connection, DcsError> {
    let wrong = |error: &dyn std::fmt::Display| {
        DcsError::new(ErrorKind::Unavailable, format!("the local store {} can not be used: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| wrong(&error))?;
    }
    if !path.exists() {
        create(path).map_err(|error| wrong(&error))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| wrong(&error))?;
    prepare(&mut connection).map_err(|error| wrong(&error))?;
    Ok(connection)
}

/// Makes the file, readable for the folder's owner only: root's first look at a cluster must not shut its members out.
/// A file that exists must not even be opened here: closing it would drop every lock that other connections of this
/// process have on it, for POSIX locks belong to the process.
fn create(path: &Path) -> std::io::Result<()> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            if let Some(folder) = path.parent().and_then(|folder| folder.metadata().ok()) {
                // Only root may give it away, and only root has to.
                let _ours = fchown(&file, Some(folder.uid()), Some(folder.gid()));
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    patience::give(connection)?;
    // With a write-ahead log nobody waits for the disk while the file is locked, and readers wait for nobody: a daemon
    // that is frozen at a bad moment would keep all others out for as long as it stands still.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What has to outlive a power cut is synced after its commit, without the lock; a lease is none of it.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -64)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    let boot = boot();
    let known: String = transaction.query_row("SELECT boot FROM counter", [], |row| row.get(0))?;
    if known != boot {
        transaction.execute("DELETE FROM entry WHERE expires IS NOT NULL", [])?;
        transaction.execute("UPDATE counter SET boot = ?1, revision = revision + 1", [&boot])?;
    }
    transaction.commit()
}

/// Makes what was committed until now outlive a power cut. A log that is gone went into the file, which was synced.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match std::fs::File::open(log) {
        Ok(log) => log.sync_data(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Counts the revision up; gives the new one.
pub(crate) fn next_revision(transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
    transaction.query_row("UPDATE counter SET revision = revision + 1 RETURNING revision", [], |row| row.get(0))
}

/// A statement that failed before the commit changed nothing.
pub(crate) fn unapplied(error: rusqlite::Error) -> DcsError {
    DcsError::new(ErrorKind::Unavailable, format!("the local store: {error}"))
}

/// A commit that failed may have happened, unless the store was only busy.
pub(crate) fn uncertain(error: rusqlite::Error) -> DcsError {
    let busy = matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    );
    let kind = if busy { ErrorKind::Unavailable } else { ErrorKind::Indeterminate };
    DcsError::new(kind, format!("the local store: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

    /// An operator's first look, as root, must not leave a file that the members can not open.
    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        if chown(folder.path(), Some(65_534), Some(65_533)).is_err() {
            eprintln!("only root can give files away: skipped");
            return;
        }
        let path = folder.path().join("store.db");
        let connection = open(&path).unwrap();
        for name in ["store.db", "store.db-wal", "store.db-shm"] {
            let found = std::fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (65_534, 65_533, 0o600), "{name}");
        }
        drop(connection);
    }
}
