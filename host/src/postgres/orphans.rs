//! What is left behind by those who died. The children of a postmaster notice its end only when they next wait for
//! something: until then they go on answering their clients, commits included, and a server that is started on the same
//! data directory refuses while one of them has the old shared memory. The programs of a daemon that was killed do not
//! notice at all: a clone or a rewind goes on writing, beside whatever the next daemon does.

use super::error::{PgError, blocking, within};
use super::process;
use super::run::WORK_VARIABLE;
use regent_core::model::Postmaster;
use rustix::process::Signal;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
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
            count += kill_all(orphans).await?;
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

/// Kills what daemons that died left working on `data_dir` (a clone, a rewind, what these started), and waits for its end;
/// gives how many there were. The work of a daemon that lives is left alone.
pub async fn end_strays(data_dir: &Path) -> Result<usize, PgError> {
    let data_dir = data_dir.to_owned();
    within(LIMIT, "the end of what a former daemon left working", async move {
        let mut count = 0;
        loop {
            let folder = data_dir.clone();
            let strays = blocking(move || Ok(strays(&folder))).await?;
            if strays.is_empty() {
                return Ok(count);
            }
            for stray in &strays {
                let command = process::command_of(stray.pid).unwrap_or_default();
                tracing::warn!("{command} (pid {}) still works for a daemon that is gone: it is ended", stray.pid);
            }
            count += kill_all(strays).await?;
        }
    })
    .await
}

async fn kill_all(processes: Vec<Postmaster>) -> Result<usize, PgError> {
    let mut count = 0;
    for process in &processes {
        match process::signal(*process, Signal::KILL) {
            Ok(()) => count += 1,
            Err(PgError::NotRunning) => {}
            Err(error) => return Err(error),
        }
    }
    for process in processes {
        process::ended(process).await?;
    }
    Ok(count)
}

fn strays(data_dir: &Path) -> Vec<Postmaster> {
    let is_stray = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        work_of(&environment).is_some_and(|(daemon, there)| there == data_dir && !process::is_alive(daemon))
    };
    process::all().into_iter().filter(|pid| is_stray(*pid)).filter_map(process::identify).collect()
}

/// For whom a process works, and on which data directory, by its environment.
fn work_of(environment: &[u8]) -> Option<(Postmaster, &Path)> {
    let value = environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(WORK_VARIABLE.as_bytes())?;
        value.strip_prefix(b"=")
    })?;
    let mut fields = value.splitn(3, |byte| *byte == b':');
    let mut number = || std::str::from_utf8(fields.next()?).ok();
    let (pid, start_ticks) = (number()?.parse().ok()?, number()?.parse().ok()?);
    Some((Postmaster { pid, start_ticks }, Path::new(OsStr::from_bytes(fields.next()?))))
}

#[cfg(test)]
mod tests {
    use super::super::run::Program;
    use super::*;

    /// OPS-02: of two programs that sleep, the one whose daemon is gone is ended, with what it started.
    #[tokio::test]
    async fn what_a_dead_daemon_left_working_is_ended_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let sleep = || Program::new("/bin/sh").arg("-c").arg("sleep 600 & wait");
        let mut ours = sleep().works_on(&data_dir).start().unwrap();
        let elsewhere = format!("1:1:{}", folder.path().join("other").display());
        let mut other = sleep().env(WORK_VARIABLE, elsewhere).start().unwrap();
        let mut stray = sleep().env(WORK_VARIABLE, format!("1:1:{}", data_dir.display())).start().unwrap();
        let patience = std::time::Duration::from_secs(60);
        let ended = async {
            // The shell may not have started its child yet; in the end both are gone.
            while tokio::time::timeout(std::time::Duration::from_millis(20), stray.wait()).await.is_err() {
                end_strays(&data_dir).await.unwrap();
            }
        };
        tokio::time::timeout(patience, ended).await.unwrap();
        end_strays(&data_dir).await.unwrap();
        assert!(strays(&data_dir).is_empty());
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, ours.wait()).await.is_err(), "it works for a daemon that lives");
        assert!(tokio::time::timeout(soon, other.wait()).await.is_err(), "it works elsewhere");
        ours.kill().await;
        other.kill().await;
    }

    #[test]
    fn work_is_read_from_an_environment() {
        let check = |text: &[u8], expected: Option<(i32, u64, &str)>| {
            let found = work_of(text).map(|(daemon, there)| (daemon.pid, daemon.start_ticks, there.to_str().unwrap()));
            assert_eq!(found, expected);
        };
        check(b"A=1\0REGENT_WORK=7:99:/data:x\0B=2\0", Some((7, 99, "/data:x")));
        check(b"REGENT_WORKS=7:99:/data\0", None);
        check(b"REGENT_WORK=7:x:/data\0", None);
        check(b"", None);
    }
}
