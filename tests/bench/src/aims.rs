//! What is aimed at, and whether it is met. An aim is a ratio to Patroni's figure of the same run wherever there is one:
//! machines differ.

use crate::metric::Metric;
use crate::results::median;
use crate::system::Timing;

/// The most that a figure may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// Of Patroni's.
    Ratio(f64),
    /// In the metric's unit.
    AtMost(f64),
    /// It must not happen: judged by the worst round, not by the median.
    Never,
}

/// A ratio is judged as it is shown, with two decimals: nobody waits longer for half a percent.
const ROUNDING: f64 = 0.005;

impl Aim {
    /// Whether these samples meet it. `None` when there is nothing to compare with.
    pub fn is_met(self, ours: &[f64], theirs: Option<&[f64]>) -> Option<bool> {
        match self {
            Self::Never => Some(ours.iter().all(|value| *value <= 0.0)),
            Self::AtMost(bound) => Some(median(ours) <= bound),
            Self::Ratio(bound) => theirs.map(|theirs| median(ours) <= median(theirs) * (bound + ROUNDING)),
        }
    }

    /// For the table.
    pub fn text(self) -> String {
        match self {
            Self::Never => "never".to_owned(),
            Self::AtMost(bound) => format!("at most {bound}"),
            Self::Ratio(bound) if bound < 1.0 => format!("1/{:.0}", 1.0 / bound),
            Self::Ratio(bound) => format!("{bound} x"),
        }
    }
}

/// The aim of a metric at these intervals.
pub fn aim(metric: &Metric, timing: Timing) -> Option<Aim> {
    let aim = match metric.id {
        "idle.leader.rss" | "idle.leader.pss" | "idle.replica.rss" | "idle.replica.pss" => Aim::Ratio(1.0 / 3.0),
        "idle.requests" => Aim::Ratio(1.0),
        "health.primary.cpu" | "health.kept.cpu" | "health.replica.cpu" => Aim::Ratio(0.1),
        "flood.p99" => Aim::AtMost(50.0),
        "methods.more" => Aim::AtMost(1.0),
        "switchover.gap" => Aim::Ratio(0.25),
        // At a short loop the peer, which finds the crash by its loop, is not slow enough to promise this.
        "crash.gap" | "handover.gap" if timing.loop_wait >= 10 => Aim::Ratio(0.125),
        "death.gap" if timing.is_short() => Aim::AtMost(6000.0),
        "death.gap" => Aim::Ratio(1.0),
        "outage.away" | "hang.away" => Aim::Ratio(0.5),
        "killed.overlap" | "killed.late" | "killed.lost" | "frozen.overlap" | "frozen.late" | "frozen.lost" => {
            Aim::Never
        }
        _ => return None,
    };
    Some(aim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_judged_as_it_is_shown() {
        let check = |aim: Aim, ours: f64, theirs: Option<f64>, expected: Option<bool>| {
            let theirs = theirs.map(|theirs| [theirs]);
            let found = aim.is_met(&[ours], theirs.as_ref().map(<[f64; 1]>::as_slice));
            assert_eq!(found, expected, "{aim:?} {ours} {theirs:?}");
        };
        check(Aim::Ratio(0.25), 400.0, Some(1600.0), Some(true));
        check(Aim::Ratio(0.25), 420.0, Some(1600.0), Some(false));
        check(Aim::Ratio(1.0), 20_050.0, Some(20_000.0), Some(true));
        check(Aim::Ratio(0.25), 400.0, None, None);
        check(Aim::AtMost(6000.0), 5000.0, None, Some(true));
        check(Aim::AtMost(6000.0), 6001.0, None, Some(false));
        check(Aim::Never, 0.0, Some(2706.0), Some(true));
        assert_eq!(Aim::Never.is_met(&[0.0, 0.0, 1.0], None), Some(false), "once is too often");
    }

    #[test]
    fn the_crash_is_judged_at_the_default_loop() {
        let timing = |loop_wait| Timing { ttl: 30, loop_wait, retry_timeout: 10 };
        assert_eq!(aim(crate::metric::CRASH_GAP, timing(10)), Some(Aim::Ratio(0.125)));
        assert_eq!(aim(crate::metric::CRASH_GAP, timing(2)), None);
    }
}
