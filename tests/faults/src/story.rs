//! What happened, with times: told while it happens, kept if the round fails.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The events of a cluster.
#[derive(Debug)]
pub struct Story {
    started: Instant,
    events: Mutex<Vec<(Duration, String)>>,
    is_silent: bool,
}

impl Default for Story {
    fn default() -> Self {
        Self { started: Instant::now(), events: Mutex::default(), is_silent: false }
    }
}

impl Story {
    /// A story that is told to nobody unless it is kept.
    pub fn silent() -> Self {
        Self { is_silent: true, ..Self::default() }
    }

    /// Adds an event that happens now.
    pub fn tell(&self, event: impl Into<String>) {
        let (at, event) = (self.started.elapsed(), event.into());
        if !self.is_silent {
            eprintln!("{}", line(at, &event));
        }
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push((at, event));
    }

    /// All of it.
    pub fn text(&self) -> String {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|(at, event)| line(*at, event) + "\n").collect()
    }
}

fn line(at: Duration, event: &str) -> String {
    format!("{:9.3}  {event}", at.as_secs_f64())
}
