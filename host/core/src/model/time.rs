//! Points in time as numbers: the core is told what time it is, it never asks.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the boot-time clock (`CLOCK_BOOTTIME`), in milliseconds since the machine booted.
///
/// The boot-time clock goes on while the machine is suspended and never jumps with the wall clock, which is what a
/// lease needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// How much later `self` is than `earlier`; zero if it is not later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The earlier of two moments.
    pub fn or_sooner(self, other: Moment) -> Moment {
        self.min(other)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, later_by: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(later_by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, sooner_by: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(sooner_by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}

/// A point on the wall clock, in microseconds since 1970-01-01 UTC. For people and for schedules, never for leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// The time from `earlier` to this; zero where that is not earlier.
    pub fn since(self, earlier: WallTime) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// What is known of one fact: a value with the moment of its reading, or why it could not be found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed<T> {
    /// The value, and when the reading that gave it was begun.
    Seen {
        /// What was read.
        value: T,
        /// When the reading was begun.
        at: Moment,
    },
    /// It could not be found out; the text says why, for the log and the journal.
    Unseen(String),
}

impl<T> Observed<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Observed::Seen { value, .. } => Some(value),
            Observed::Unseen(_) => None,
        }
    }

    /// When the value was read.
    pub fn at(&self) -> Option<Moment> {
        match self {
            Observed::Seen { at, .. } => Some(*at),
            Observed::Unseen(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Moment(5) - Duration::from_secs(1), Moment(0));
        assert_eq!(Moment(u64::MAX) + Duration::from_secs(1), Moment(u64::MAX));
        assert_eq!(Moment(10).since(Moment(20)), Duration::ZERO);
    }
}
