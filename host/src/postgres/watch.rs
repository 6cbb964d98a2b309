//! Events from a data directory: what the postmaster says of itself, and when the control file was written. Nobody
//! polls for these.

use super::control::peek_state;
use super::error::PgError;
use super::process::{self, PidFile};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use regent_core::model::{ControlState, Postmaster, PostmasterStatus};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// Something happened in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// The server with this pid says this of itself now: also `Ready` after `Standby` when its recovery has ended.
    Status {
        /// The postmaster.
        pid: i32,
        /// Its word.
        status: PostmasterStatus,
    },
    /// The pid file is gone or says nothing: the server stopped, or has just begun.
    NoStatus,
    /// The control file was written.
    ControlWritten,
    /// The data directory itself is gone or unmounted; no more events will come.
    DirectoryGone,
}

/// Watches one data directory.
pub struct StatusWatch {
    data_dir: PathBuf,
    inotify: AsyncFd<Descriptor>,
    control: Option<WatchDescriptor>,
    last: Option<(i32, PostmasterStatus)>,
    pending: VecDeque<FileEvent>,
}

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl StatusWatch {
    /// Watches the pid file of `data_dir`, which must exist. The first event tells the status of a server that runs
    /// already.
    pub fn open(data_dir: &Path) -> Result<StatusWatch, PgError> {
        let failed = || PgError::io_at("watch", data_dir);
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| failed()(errno.into()))?;
        // The server writes its status into the existing file and closes it: the content is complete by then.
        let wanted = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(data_dir, wanted).map_err(|errno| failed()(errno.into()))?;
        let inotify = super::readable::readable(Descriptor(inotify)).map_err(failed())?;
        let mut watch =
            StatusWatch { data_dir: data_dir.to_owned(), inotify, control: None, last: None, pending: VecDeque::new() };
        watch.note_status();
        Ok(watch)
    }

    /// Watches the control file as well. A busy standby writes it often: ask only while a stop or a promotion runs.
    pub fn watch_control(&mut self) -> Result<(), PgError> {
        if self.control.is_none() {
            let folder = self.data_dir.join("global");
            // By name it would be lost if the file were replaced; the folder stays.
            let watch = self
                .inotify
                .get_ref()
                .0
                .add_watch(&folder, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)
                .map_err(|errno| PgError::io_at("watch", &folder)(errno.into()))?;
            self.control = Some(watch);
        }
        Ok(())
    }

    /// Watches the control file no longer.
    pub fn unwatch_control(&mut self) {
        if let Some(watch) = self.control.take() {
            // The kernel has dropped it already if the folder is gone.
            let _ = self.inotify.get_ref().0.rm_watch(watch);
        }
    }

    /// The next event. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<FileEvent, PgError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            let failed = || PgError::io_at("watch", &self.data_dir);
            let mut ready = self.inotify.readable().await.map_err(failed())?;
            let events = match self.inotify.get_ref().0.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    continue;
                }
                Err(errno) => return Err(failed()(errno.into())),
            };
            drop(ready);
            let mut status = false;
            for event in events {
                let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
                let name = event.name.as_deref().and_then(|name| name.to_str());
                if event.mask.intersects(gone) && Some(event.wd) != self.control {
                    self.pending.push_back(FileEvent::DirectoryGone);
                } else if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    status = true;
                    self.pending.push_back(FileEvent::ControlWritten);
                } else if name == Some("postmaster.pid") {
                    status = true;
                } else if name == Some("pg_control") && self.pending.back() != Some(&FileEvent::ControlWritten) {
                    self.pending.push_back(FileEvent::ControlWritten);
                }
            }
            if status {
                self.note_status();
            }
        }
    }

    /// Waits until the control file of this running postmaster has one of these states; an error when it ends first.
    pub async fn until_control(&mut self, postmaster: Postmaster, wanted: &[ControlState]) -> Result<(), PgError> {
        self.watch_control()?;
        let data_dir = self.data_dir.clone();
        let reached = || peek_state(&data_dir).is_some_and(|state| wanted.contains(&state));
        let written = async {
            while !reached() {
                if self.next().await? == FileEvent::DirectoryGone {
                    return Err(PgError::NotRunning);
                }
            }
            Ok(())
        };
        tokio::select! {
            biased;
            result = written => result,
            ended = process::ended(postmaster) => {
                ended?;
                if reached() { Ok(()) } else { Err(PgError::NotRunning) }
            }
        }
    }

    /// Waits until this postmaster says that it is one of `wanted`; an error when it ends first.
    pub async fn until(
        &mut self,
        postmaster: Postmaster,
        wanted: &[PostmasterStatus],
    ) -> Result<PostmasterStatus, PgError> {
        if let Some(status) = process::postmaster_status(&self.data_dir, postmaster).filter(|s| wanted.contains(s)) {
            return Ok(status);
        }
        let said = async {
            loop {
                match self.next().await? {
                    FileEvent::Status { pid, status } if pid == postmaster.pid && wanted.contains(&status) => {
                        return Ok(status);
                    }
                    FileEvent::DirectoryGone => return Err(PgError::NotRunning),
                    _ => {}
                }
            }
        };
        tokio::select! {
            biased;
            result = said => result,
            ended = process::ended(postmaster) => Err(PgError::EndedAtStart(ended?.to_string())),
        }
    }

    fn note_status(&mut self) {
        let now = PidFile::read(&self.data_dir).and_then(|file| Some((file.pid, file.status?)));
        if now != self.last {
            self.last = now;
            self.pending.push_back(match now {
                Some((pid, status)) => FileEvent::Status { pid, status },
                None => FileEvent::NoStatus,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn next(watch: &mut StatusWatch) -> FileEvent {
        tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn changes_of_the_status_line_are_events() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("global")).unwrap();
        let pid_file = folder.path().join("postmaster.pid");
        let write = |word: &str| std::fs::write(&pid_file, format!("7\nx\n1\n5432\n\n\n\n{word}\n")).unwrap();
        let status = |status| FileEvent::Status { pid: 7, status };
        let mut watch = StatusWatch::open(folder.path()).unwrap();
        write("starting");
        assert_eq!(next(&mut watch).await, status(PostmasterStatus::Starting));
        write("starting");
        write("ready  ");
        assert_eq!(next(&mut watch).await, status(PostmasterStatus::Ready));
        write("ready  ");
        watch.watch_control().unwrap();
        std::fs::write(folder.path().join("global/pg_control"), "x").unwrap();
        assert_eq!(next(&mut watch).await, FileEvent::ControlWritten);
        watch.unwatch_control();
        std::fs::write(folder.path().join("global/pg_control"), "y").unwrap();
        std::fs::remove_file(&pid_file).unwrap();
        assert_eq!(next(&mut watch).await, FileEvent::NoStatus);
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(next(&mut watch).await, FileEvent::DirectoryGone);
    }
}
