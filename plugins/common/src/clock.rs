//! The clock that leases are counted on: it goes on while the machine is suspended, as the server's does.

use std::time::Duration;

/// Time since the machine was started.
pub fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
