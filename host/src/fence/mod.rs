//! What stops a server that may no longer write: the lease guard, a process of its own, and the Linux watchdog, which
//! covers a hung host.

pub mod device;
pub mod guard;
mod kill;
mod message;
mod socket;
pub mod watchdog;

pub use guard::{FenceError, Guard, GuardOptions};
pub use watchdog::{Watchdog, WatchdogOptions};
