//! Wakes a watch when any process has committed: by inotify on a file beside the store that is written after each
//! commit (what a commit itself writes, it writes before others can see it), and by an event of our own.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use regent_plugin_sdk::log;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a watch waits on.
pub(crate) struct Wake {
    inotify: Inotify,
    event: Arc<EventFd>,
    commits: PathBuf,
}

impl Wake {
    /// Begins to hear of changes to the files beside `path` that carry its name.
    pub fn open(path: &Path) -> nix::Result<Wake> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        inotify.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE)?;
        let mut commits = path.as_os_str().to_owned();
        commits.push("-commits");
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Wake { inotify, event: Arc::new(event), commits: commits.into() })
    }

    /// Tells every process that something was committed. Who does not hear of it looks at its next expiry.
    pub fn tell(&self) {
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&self.commits);
        if let Err(error) = file.and_then(|file| file.write_at(b"1", 0)) {
            log::warn(&format!("{} can not be written: {error}", self.commits.display()));
        }
    }

    /// What ends a wait from another thread.
    pub fn bell(&self) -> Arc<EventFd> {
        Arc::clone(&self.event)
    }

    /// Waits until something happened beside the store, the bell rang, or the time is over.
    pub fn wait(&self, time: Duration) {
        let millis = u16::try_from(time.as_millis().saturating_add(1)).unwrap_or(u16::MAX);
        let mut sources =
            [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN), PollFd::new(self.event.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short wait: the caller looks and waits again.
        let _interrupted = poll(&mut sources, PollTimeout::from(millis)).is_err();
    }

    /// Forgets what was heard so far: to be called before looking, so that nothing between is missed.
    pub fn quiet(&self) {
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        let _silent = self.event.read().is_err();
    }
}
