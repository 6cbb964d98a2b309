//! What stops a server that may no longer write: the lease guard, a process of its own. The Linux watchdog, which
//! covers a hung host, joins it here.

pub mod guard;
mod kill;
mod message;
mod socket;

pub use guard::{FenceError, Guard, GuardOptions};
