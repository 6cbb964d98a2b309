//! The plugin's own runtime. Calls block on it from the host's threads, and end by their deadline, when they are taken
//! back, or when the object is closed.

use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// Calls keep their deadline themselves and know best what to say; this is for those that do not.
const GRACE: Duration = Duration::from_millis(100);

/// Runs calls until it is closed.
pub struct Runtime {
    store: &'static str,
    inner: RwLock<Option<tokio::runtime::Runtime>>,
    /// Rung whenever some call was taken back; `true` once it is closed.
    bell: watch::Sender<bool>,
}

impl Runtime {
    /// One thread for sockets and timers, named after the store.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(store: &'static str) -> Result<Runtime> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name(store)
            .enable_all()
            .build()
            .map_err(|error| DcsError::new(ErrorKind::Internal, format!("no runtime for {store}: {error}")))?;
        Ok(Runtime { store, inner: RwLock::new(Some(runtime)), bell: watch::Sender::new(false) })
    }

    /// Lets every call look whether it was taken back.
    pub fn ring(&self) {
        self.bell.send_modify(|_| {});
    }

    /// Runs one call. `late` is what it means that the call did not end by itself.
    pub fn call<T>(&self, cx: &Cx, late: ErrorKind, work: impl Future<Output = Result<T>>) -> Result<T> {
        let guard = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let Some(runtime) = guard.as_ref() else {
            return Err(closed());
        };
        let mut bell = self.bell.subscribe();
        runtime.block_on(async {
            tokio::select! {
                biased;
                error = taken_back(&mut bell, cx) => Err(error),
                outcome = tokio::time::timeout(cx.left() + GRACE, work) => outcome.unwrap_or_else(|_| {
                    Err(DcsError::new(late, format!("{} did not answer in time", self.store)))
                }),
            }
        })
    }

    /// Ends all calls, then the runtime with everything that runs on it. Waits as long as the call allows.
    pub fn close(&self, patience: Duration) {
        self.bell.send_replace(true);
        let runtime = self.inner.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(patience);
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}

/// Comes back once the call is of no more use.
async fn taken_back(bell: &mut watch::Receiver<bool>, cx: &Cx) -> DcsError {
    loop {
        if *bell.borrow_and_update() {
            return closed();
        }
        if cx.cancelled() {
            return DcsError::new(ErrorKind::Cancelled, "the call was taken back");
        }
        if bell.changed().await.is_err() {
            return closed();
        }
    }
}

fn closed() -> DcsError {
    DcsError::new(ErrorKind::Closed, "the backend was closed")
}
