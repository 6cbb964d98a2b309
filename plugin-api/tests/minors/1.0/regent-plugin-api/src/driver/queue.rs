//! The calls of one object, one after the other on its thread: whose turn it is, who has given up waiting for it, and
//! whether the thread is stuck. It knows no call.

use super::{GRACE, lock, spawn};
use crate::abi::BackendBox;
use crate::types::DcsError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::time::Instant;

/// The way to an object's thread; it ends with the last clone.
#[derive(Clone)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    /// When the job that runs should be over at the latest.
    due: Arc<Mutex<Option<Instant>>>,
}

struct Job {
    budget: Duration,
    work: Box<dyn FnOnce(&BackendBox) + Send>,
}

impl Queue {
    /// Starts the thread. `ended` runs on it once nobody sends jobs any more and the last one is done.
    pub fn start(backend: Arc<BackendBox>, ended: impl FnOnce() + Send + 'static) -> Result<Queue, DcsError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let due = Arc::new(Mutex::new(None));
        let running = Arc::clone(&due);
        spawn("dcs-ops", move || {
            while let Ok(job) = queue.recv() {
                *lock(&running) = Some(Instant::now() + job.budget + GRACE);
                (job.work)(&backend);
                *lock(&running) = None;
            }
            ended();
        })?;
        Ok(Queue { jobs, due })
    }

    /// Adds a job that takes so long at most; `false`: the thread has ended.
    pub fn add(&self, budget: Duration, work: impl FnOnce(&BackendBox) + Send + 'static) -> bool {
        self.jobs.send(Job { budget, work: Box::new(work) }).is_ok()
    }

    /// Whether the job that runs should have been over.
    pub fn is_stuck(&self) -> bool {
        lock(&self.due).is_some_and(|due| Instant::now() >= due)
    }
}

/// A call's place in the queue: it is begun or given up, never both.
#[derive(Default)]
pub(super) struct Turn(AtomicU8);

const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Turn {
    /// The thread comes to it: whether it is still wanted.
    pub fn begin(&self) -> bool {
        self.take(BEGUN)
    }

    /// The caller waits no longer: whether it was not begun, and never will be.
    pub fn give_up(&self) -> bool {
        self.take(GIVEN_UP)
    }

    fn take(&self, end: u8) -> bool {
        self.0.compare_exchange(0, end, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
