//! What a call carries: its deadline, and whether the host took it back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Hook = Box<dyn Fn(u64) + Send + Sync>;

/// The calls that the host took back, and who wants to know at once.
#[derive(Clone, Default)]
pub struct Cancellations {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    cancelled: Mutex<BTreeSet<u64>>,
    hooks: Mutex<Vec<Hook>>,
}

impl Cancellations {
    /// Runs `hook` with the call's number whenever a call is taken back, from any thread: to wake a waiting watch.
    pub fn on_cancel(&self, hook: impl Fn(u64) + Send + Sync + 'static) {
        self.inner.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    pub(crate) fn cancel(&self, call: u64) {
        {
            let mut cancelled = self.inner.cancelled.lock().unwrap_or_else(PoisonError::into_inner);
            cancelled.insert(call);
            // A late cancellation is harmless, but its number must not be kept for ever.
            while cancelled.len() > 64 {
                cancelled.pop_first();
            }
        }
        for hook in self.inner.hooks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hook(call);
        }
    }

    fn contains(&self, call: u64) -> bool {
        self.inner.cancelled.lock().unwrap_or_else(PoisonError::into_inner).contains(&call)
    }
}

/// One call's context.
#[derive(Clone)]
pub struct Cx {
    id: u64,
    deadline: Instant,
    cancellations: Cancellations,
}

impl Cx {
    #[allow(clippy::disallowed_methods, reason = "a budget is counted on the plugin's own clock: none crosses over")]
    pub(crate) fn new(id: u64, budget: Duration, cancellations: Cancellations) -> Cx {
        let now = Instant::now();
        let deadline = now.checked_add(budget).unwrap_or(now);
        Cx { id, deadline, cancellations }
    }

    /// The call's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How much of the budget is left; zero past the deadline.
    #[allow(clippy::disallowed_methods, reason = "a budget is counted on the plugin's own clock: none crosses over")]
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The host took the call back.
    pub fn cancelled(&self) -> bool {
        self.cancellations.contains(self.id)
    }
}
