//! Wakes a watch when any process has committed: by inotify on the store's write-ahead log, and by an event of our own.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a watch waits on.
pub(crate) struct Wake {
    inotify: Inotify,
    event: Arc<EventFd>,
}

impl Wake {
    /// Begins to hear of changes to the files beside `path` that carry its name.
    pub fn open(path: &Path) -> nix::Result<Wake> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        inotify.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE)?;
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Wake { inotify, event: Arc::new(event) })
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
