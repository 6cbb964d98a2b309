//! Does a thing once, or again and again until somebody ends it.

use super::{Result, output};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often.
pub(super) struct Pace(Option<Interval>);

impl Pace {
    /// Every so many seconds, or once.
    pub fn new(seconds: Option<f64>) -> Pace {
        let every =
            seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Pace(every.map(|every| {
            // The first tick is not waited for: the thing was just done.
            let mut ticks = interval(every.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset_at(Instant::now() + every);
            ticks
        }))
    }

    /// It is done again and again.
    pub fn repeats(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the next time; false where it was the last.
    pub async fn again(&mut self) -> bool {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
                true
            }
            None => false,
        }
    }
}

/// Empties the screen before something is shown again and again.
pub(super) fn fresh_screen(pace: &Pace) -> Result<()> {
    if pace.repeats() {
        output::clear();
    }
    Ok(())
}
