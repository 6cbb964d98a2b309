//! What a postmaster leaves behind that ended without its children: they notice only when they next wait for something.
//! Until then they go on answering their clients, commits included, and a server that is started on the same data
//! directory refuses while one of them has the old shared memory.

use super::error::{PgError, blocking, within};
use super::process;
use regent_core::model::Postmaster;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Killing takes milliseconds, unless a process hangs in the kernel; then it never comes back to serve its client.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills the processes of servers on `data_dir` whose postmaster is gone, and waits for their end; gives how many.
pub async fn end_orphans(data_dir: &Path) -> Result<usize, PgError> {
    let data_dir = data_dir.to_owned();
    within(LIMIT, "the end of processes whose postmaster is gone", async move {
        let mut count = 0;
        loop {
            let folder = data_dir.clone();
            let orphans = blocking(move || Ok(orphans(&folder))).await?;
            if orphans.is_empty() {
                return Ok(count);
            }
            for orphan in &orphans {
                match process::signal(*orphan, Signal::KILL) {
                    Ok(()) => count += 1,
                    Err(PgError::NotRunning) => {}
                    Err(error) => return Err(error),
                }
            }
            for orphan in orphans {
                process::ended(orphan).await?;
            }
        }
    })
    .await
}

/// A server's processes work in its data directory and are titled `postgres: ...`. Those whose parent works there too
/// still have their postmaster.
fn orphans(data_dir: &Path) -> Vec<Postmaster> {
    let here = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let works_here = |pid: i32| working_directory(pid).is_some_and(|there| there == here);
    let is_child =
        |pid: i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"postgres: "));
    process::all()
        .into_iter()
        .filter(|pid| works_here(*pid) && is_child(*pid))
        .filter(|pid| !process::parent(*pid).is_some_and(works_here))
        .filter_map(process::identify)
        .collect()
}

fn working_directory(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}
