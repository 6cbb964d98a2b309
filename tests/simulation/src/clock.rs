//! A machine's clocks: each runs at its own rate, and the wall clock jumps. Suspended machines miss time altogether.

use regent_core::model::{Moment, WallTime};

/// The clocks of one machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// So many millionths it is fast.
    pub fast: i64,
    /// Milliseconds that it missed.
    pub missed: u64,
    /// Milliseconds that the wall clock was set forward.
    pub set_forward: i64,
}

const MILLION: i64 = 1_000_000;

impl Clock {
    /// What its boot-time clock shows at a moment of the world.
    pub fn shows(&self, world: Moment) -> Moment {
        let passed = signed(world.0);
        Moment(unsigned(passed + passed * self.fast / MILLION).saturating_sub(self.missed))
    }

    /// The first moment of the world at which it shows that.
    pub fn world(&self, shown: Moment) -> Moment {
        let passed = signed(shown.0.saturating_add(self.missed).min(u64::MAX / 4_000_000));
        let mut world = Moment(unsigned(passed * MILLION / (MILLION + self.fast)));
        while self.shows(world) < shown {
            world.0 += 1;
        }
        world
    }

    /// What its wall clock shows when the other shows that.
    pub fn wall(&self, shown: Moment) -> WallTime {
        WallTime((signed(shown.0) + self.set_forward) * 1000)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for fast in [-500, 0, 333] {
            for missed in [0, 700] {
                let clock = Clock { fast, missed, set_forward: 0 };
                for world in [1_000, 5_001, 99_999] {
                    let back = clock.world(clock.shows(Moment(world)));
                    assert!(back.0.abs_diff(world) <= 1, "{clock:?} {world} {back:?}");
                }
            }
        }
    }
}
