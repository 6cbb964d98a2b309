//! Every write that was tried, and what its client knows about it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, on this timeline.
    Acknowledged(u64),
    /// The server said no: it is not done.
    Refused,
    /// Nothing, or not whether: it may be done.
    Unknown,
}

/// One write. Times count from the start of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The number that was written; no other attempt has it.
    pub id: u64,
    /// Who wrote.
    pub client: usize,
    /// The place of the node that was written to.
    pub node: usize,
    /// When it was sent.
    pub sent: Duration,
    /// When its answer had arrived, or was given up.
    pub answered: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

impl Attempt {
    /// The timeline that it was acknowledged on, if it was.
    pub fn timeline(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Acknowledged(timeline) => Some(timeline),
            Outcome::Refused | Outcome::Unknown => None,
        }
    }

    /// As a line of a kept history.
    pub fn json(&self) -> Value {
        let outcome = match self.outcome {
            Outcome::Acknowledged(_) => "acknowledged",
            Outcome::Refused => "refused",
            Outcome::Unknown => "unknown",
        };
        json!({
            "id": self.id, "client": self.client, "node": format!("node{}", self.node + 1), "outcome": outcome,
            "timeline": self.timeline(),
            "sent": self.sent.as_secs_f64(), "answered": self.answered.as_secs_f64(),
        })
    }
}

/// All attempts on one cluster.
#[derive(Debug)]
pub struct History {
    started: Instant,
    next: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
    acknowledged: AtomicU64,
    newest: AtomicU64,
}

impl Default for History {
    fn default() -> Self {
        let (acknowledged, newest) = Default::default();
        Self { started: Instant::now(), next: AtomicU64::new(1), attempts: Mutex::default(), acknowledged, newest }
    }
}

impl History {
    /// A history whose numbers begin here: another one has had those before.
    pub fn starting_at(number: u64) -> Self {
        Self { next: AtomicU64::new(number), ..Self::default() }
    }

    /// The time on its clock.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A number that was not written yet.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps an attempt.
    pub fn add(&self, attempt: Attempt) {
        self.lock().push(attempt);
        if let Some(timeline) = attempt.timeline() {
            self.newest.fetch_max(timeline, Ordering::Relaxed);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those answered so far, in the order of their answers.
    pub fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = self.lock().clone();
        attempts.sort_by_key(|attempt| (attempt.answered, attempt.id));
        attempts
    }

    /// Whether a write that was sent after this moment is acknowledged.
    pub fn is_written_after(&self, moment: Duration) -> bool {
        self.lock().iter().rev().any(|attempt| attempt.timeline().is_some() && attempt.sent > moment)
    }

    /// How many writes were acknowledged so far, and the newest timeline of them.
    pub fn acknowledged(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::Relaxed), self.newest.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
