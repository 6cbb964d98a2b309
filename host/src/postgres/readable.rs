//! Waits on a file descriptor that the kernel makes readable: a process handle, an inotify queue.

use std::io;
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `source`, which owns its descriptor for as long as it lives, as something to wait on.
pub(super) fn readable<T: AsRawFd>(source: T) -> io::Result<AsyncFd<T>> {
    // The constructor is deprecated for callers whose descriptor could be closed behind its back; its replacement is
    // `unsafe` for the same reason. Here the owner itself moves in, and nothing else closes it.
    #[expect(deprecated, reason = "the successor is unsafe; the owner of the descriptor moves in")]
    AsyncFd::with_interest(source, Interest::READABLE)
}
