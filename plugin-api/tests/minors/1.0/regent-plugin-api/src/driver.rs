//! Calls a backend object: one thread for calls in order, one for the watch, deadlines kept whatever the plugin does.
//!
//! An object that misses its deadline and a grace, or that panics, is left behind with its threads; a new one is
//! opened on new threads, unless [`LEFT_BEHIND_MAX`] of them never came back.

use crate::abi::{self, BackendBox, OpenArgs};
use crate::loader::Plugin;
use crate::services::services;
use crate::types::{DcsError, ErrorKind, Expect, Key, Lease, Snapshot, Write, convert, millis};
use abi_stable::std_types::RVec;
use queue::{Queue, Turn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

mod queue;
mod reload;

/// How long after its budget a call may still come back before its object is given up.
const GRACE: Duration = Duration::from_millis(500);

/// How many objects may be stuck or broken at a time before this process is no place for the backend any more. Those that
/// were late and came back after all do not count: each long silence of a store may make one.
const LEFT_BEHIND_MAX: u64 = 8;

/// Stacks of plugin threads: TLS and JSON recurse deeply.
const STACK_BYTES: usize = 8 << 20;

/// How long one watch call lasts at most.
const WATCH_BUDGET: Duration = Duration::from_secs(30);

/// After a watch failed: pause before the next.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// What a backend object is opened with.
#[derive(Clone)]
pub struct OpenOptions {
    /// The namespace of all clusters.
    pub namespace: String,
    /// The cluster.
    pub scope: String,
    /// This member.
    pub member: String,
    /// How long the lock lives unrenewed.
    pub ttl: Duration,
    /// Time between heartbeats.
    pub loop_wait: Duration,
    /// How long a call may be retried.
    pub retry_timeout: Duration,
    /// The backend's configuration section; it may hold secrets.
    pub config_json: String,
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenOptions({}/{} as {})", self.namespace, self.scope, self.member)
    }
}

/// A handle on a backend; clones share the object.
#[derive(Clone)]
pub struct Backend {
    shared: Arc<Shared>,
}

struct Shared {
    plugin: Plugin,
    options: Mutex<OpenOptions>,
    current: Mutex<Option<Object>>,
    /// Objects opened so far.
    opened: AtomicU64,
    /// Objects left behind so far.
    left_behind: AtomicU64,
    /// Those of them that have not come back.
    missing: Arc<AtomicU64>,
    closed: AtomicBool,
    calls: AtomicU64,
    /// The cursor to watch from, and how often it was set.
    cursor: Mutex<(u64, String)>,
    cursor_moved: Condvar,
    changes: watch::Sender<u64>,
}

/// One object and the way to its ops thread.
#[derive(Clone)]
struct Object {
    backend: Arc<BackendBox>,
    queue: Queue,
    alive: Arc<AtomicBool>,
    /// It was left behind, and is missing until its thread ends.
    late: Arc<AtomicBool>,
    watch_call: Arc<AtomicU64>,
}

/// Why an object is left behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// A call is late; its thread may come back.
    Late,
    /// It is of no more use.
    Broken,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backend({:?})", self.shared.plugin)
    }
}

impl Backend {
    /// Opens the backend. The store itself need not be reachable.
    ///
    /// # Errors
    /// When the plugin refuses the options.
    pub async fn open(plugin: &Plugin, options: OpenOptions) -> Result<Backend, DcsError> {
        let shared = Arc::new(Shared {
            plugin: *plugin,
            options: Mutex::new(options),
            current: Mutex::new(None),
            opened: AtomicU64::new(0),
            left_behind: AtomicU64::new(0),
            missing: Arc::default(),
            closed: AtomicBool::new(false),
            calls: AtomicU64::new(1),
            cursor: Mutex::new((0, String::new())),
            cursor_moved: Condvar::new(),
            changes: watch::Sender::new(0),
        });
        let backend = Backend { shared };
        backend.object().await?;
        Ok(backend)
    }

    /// Reads all keys of the cluster, consistently.
    ///
    /// # Errors
    /// When there is no answer within the budget.
    pub async fn load(&self, budget: Duration) -> Result<Snapshot, DcsError> {
        self.call(budget, ErrorKind::Unavailable, |backend, call| {
            convert::result_from(backend.load(call), convert::snapshot_from)
        })
        .await
    }

    /// Takes the lock, if it is free or already carries our name. `None`: somebody else has it.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn acquire_leader(
        &self,
        budget: Duration,
        value: Vec<u8>,
        also: Vec<Write>,
    ) -> Result<Option<Lease>, DcsError> {
        self.call(budget, ErrorKind::Indeterminate, move |backend, call| {
            let also = convert::writes_to(&also);
            let answer = backend.acquire_leader(call, value.as_slice().into(), also.as_rslice());
            convert::result_from(answer, |lease| convert::option_from(lease, |lease| convert::lease_from(&lease)))
        })
        .await
    }

    /// Keeps the lock. `None`: it is lost.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn renew_leader(
        &self,
        budget: Duration,
        lease: Lease,
        also: Vec<Write>,
    ) -> Result<Option<Lease>, DcsError> {
        self.call(budget, ErrorKind::Indeterminate, move |backend, call| {
            let also = convert::writes_to(&also);
            let answer = backend.renew_leader(call, &convert::lease_to(&lease), also.as_rslice());
            convert::result_from(answer, |lease| convert::option_from(lease, |lease| convert::lease_from(&lease)))
        })
        .await
    }

    /// Gives the lock back, if it is ours. `false`: it was not.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn release_leader(&self, budget: Duration, lease: Lease, also: Vec<Write>) -> Result<bool, DcsError> {
        self.call(budget, ErrorKind::Indeterminate, move |backend, call| {
            let also = convert::writes_to(&also);
            let answer = backend.release_leader(call, &convert::lease_to(&lease), also.as_rslice());
            convert::result_from(answer, |released| released)
        })
        .await
    }

    /// Writes our member key.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn touch_member(&self, budget: Duration, value: Vec<u8>) -> Result<(), DcsError> {
        self.call(budget, ErrorKind::Indeterminate, move |backend, call| {
            convert::result_from(backend.touch_member(call, value.as_slice().into()), |_| ())
        })
        .await
    }

    /// Writes a key, if what is there is as expected; gives the new version. `None`: it is not.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn put(
        &self,
        budget: Duration,
        key: Key,
        value: Vec<u8>,
        expect: Expect,
    ) -> Result<Option<String>, DcsError> {
        self.call(budget, ErrorKind::Indeterminate, move |backend, call| {
            let (key, expect) = (convert::key_to(&key), convert::expect_to(&expect));
            let answer = backend.put(call, &key, value.as_slice().into(), &expect);
            convert::result_from(answer, |version| convert::option_from(version, |version| version.token.into()))
        })
        .await
    }

    /// Removes a key, if what is there is as expected. `false`: it is not.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn delete(&self, budget: Duration, key: Key, expect: Expect) -> Result<bool, DcsError> {
        self.call(budget, ErrorKind::Indeterminate, move |backend, call| {
            let (key, expect) = (convert::key_to(&key), convert::expect_to(&expect));
            convert::result_from(backend.delete(call, &key, &expect), |deleted| deleted)
        })
        .await
    }

    /// Removes every key of the cluster.
    ///
    /// # Errors
    /// When there is no verdict within the budget.
    pub async fn delete_cluster(&self, budget: Duration) -> Result<(), DcsError> {
        self.call(budget, ErrorKind::Indeterminate, |backend, call| {
            convert::result_from(backend.delete_cluster(call), |()| ())
        })
        .await
    }

    /// Lets the watch begin after this reading.
    pub fn set_cursor(&self, cursor: String) {
        let mut current = lock(&self.shared.cursor);
        *current = (current.0 + 1, cursor);
        drop(current);
        self.shared.cursor_moved.notify_all();
    }

    /// Counts up whenever something changed in the store, or may have.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Changes the ttl for leases taken or renewed from now on.
    pub fn set_ttl(&self, ttl: Duration) {
        let changed = {
            let mut options = lock(&self.shared.options);
            let changed = options.ttl != ttl;
            options.ttl = ttl;
            changed
        };
        let object = lock(&self.shared.current).clone();
        if let Some(object) = object.filter(|_| changed) {
            // A dead object learns the ttl when it is opened anew.
            object.queue.add(GRACE, move |backend| {
                if let Err(error) = convert::result_from(backend.set_ttl(millis(ttl)), |_| ()) {
                    tracing::warn!(target: "dcs_plugin", "the new ttl was not taken: {error}");
                }
            });
        }
    }

    /// Ends the object; later calls fail.
    pub async fn close(&self, budget: Duration) {
        self.shared.closed.store(true, Ordering::Release);
        let object = lock(&self.shared.current).take();
        self.shared.cursor_moved.notify_all();
        let Some(object) = object else { return };
        object.alive.store(false, Ordering::Release);
        object.backend.cancel(object.watch_call.load(Ordering::Acquire));
        let (done, closed) = oneshot::channel();
        let call = abi::Call { id: self.shared.next_call(), budget_ms: millis(budget) };
        let added = object.queue.add(budget, move |backend| {
            if let Err(error) = convert::result_from(backend.close(call), |()| ()) {
                tracing::debug!(target: "dcs_plugin", "closing: {error}");
            }
            let _gone = done.send(());
        });
        if added {
            drop(tokio::time::timeout(budget + GRACE, closed).await);
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        budget: Duration,
        late: ErrorKind,
        work: impl FnOnce(&BackendBox, abi::Call) -> Result<T, DcsError> + Send + 'static,
    ) -> Result<T, DcsError> {
        let object = self.object().await?;
        let (answer, answered) = oneshot::channel();
        let (id, deadline) = (self.shared.next_call(), Instant::now() + budget);
        let turn = Arc::new(Turn::default());
        let its_turn = Arc::clone(&turn);
        // Other calls may come first: what they took is no longer ours to spend.
        let added = object.queue.add(budget, move |backend| {
            let left = deadline.saturating_duration_since(Instant::now());
            if !left.is_zero() && its_turn.begin() {
                drop(answer.send(work(backend, abi::Call { id, budget_ms: millis(left) })));
            }
        });
        if !added {
            self.leave_behind(&object, Fate::Broken, "its thread ended");
            return Err(DcsError::new(ErrorKind::Unavailable, "the backend's thread ended"));
        }
        match tokio::time::timeout(budget + GRACE, answered).await {
            Ok(Ok(Err(error))) if matches!(error.kind, ErrorKind::Panic | ErrorKind::Closed) => {
                self.leave_behind(&object, Fate::Broken, &error.message);
                Err(error)
            }
            Ok(Ok(answer)) => answer,
            // It was not begun, so the object is not to blame, unless it holds up all calls.
            _ if turn.give_up() => {
                if object.queue.is_stuck() {
                    self.leave_behind(&object, Fate::Late, "an earlier call did not come back in time");
                }
                let why = format!("the backend was busy with other calls for {} ms", millis(budget));
                Err(DcsError::new(ErrorKind::Unavailable, why))
            }
            Ok(Err(_)) => {
                self.leave_behind(&object, Fate::Broken, "a call ended without an answer");
                Err(DcsError::new(late, "the backend gave no answer"))
            }
            Err(_) => {
                self.leave_behind(&object, Fate::Late, "a call did not come back in time");
                Err(DcsError::new(late, format!("the backend did not come back within {} ms", millis(budget))))
            }
        }
    }

    fn leave_behind(&self, object: &Object, fate: Fate, why: &str) {
        if !object.alive.swap(false, Ordering::AcqRel) {
            return;
        }
        object.late.store(fate == Fate::Late, Ordering::Release);
        self.shared.missing.fetch_add(1, Ordering::AcqRel);
        let count = self.shared.left_behind.fetch_add(1, Ordering::AcqRel) + 1;
        tracing::error!(target: "dcs_plugin", "a backend object is left behind ({count} so far): {why}");
        let mut current = lock(&self.shared.current);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.backend, &object.backend)) {
            *current = None;
        }
    }

    async fn object(&self) -> Result<Object, DcsError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(DcsError::new(ErrorKind::Closed, "the backend was closed"));
        }
        if let Some(object) = lock(&self.shared.current).clone() {
            return Ok(object);
        }
        if self.shared.missing.load(Ordering::Acquire) > LEFT_BEHIND_MAX {
            let why = "too many backend objects were left behind: the daemon must be restarted";
            return Err(DcsError::new(ErrorKind::Unavailable, why));
        }
        let (opened, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        spawn("dcs-open", move || drop(opened.send(shared.open_object())))?;
        let budget = lock(&self.shared.options).retry_timeout + GRACE;
        match tokio::time::timeout(budget, answer).await {
            Ok(Ok(object)) => object,
            _ => Err(DcsError::new(ErrorKind::Unavailable, "the backend could not be opened in time")),
        }
    }
}

impl Shared {
    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn open_object(self: &Arc<Self>) -> Result<Object, DcsError> {
        let options = lock(&self.options).clone();
        let args = OpenArgs {
            namespace: options.namespace.into(),
            scope: options.scope.into(),
            member: options.member.into(),
            ttl_ms: millis(options.ttl),
            loop_wait_ms: millis(options.loop_wait),
            retry_timeout_ms: millis(options.retry_timeout),
            config_json: options.config_json.into(),
            plugin_id: self.opened.fetch_add(1, Ordering::AcqRel) + 1,
            host: services(),
            ext: RVec::new(),
        };
        let backend = Arc::new(convert::result_from((self.plugin.root.open())(args), |backend| backend)?);
        let late = Arc::new(AtomicBool::new(false));
        let (is_late, missing) = (Arc::clone(&late), Arc::clone(&self.missing));
        let queue = Queue::start(Arc::clone(&backend), move || {
            if is_late.load(Ordering::Acquire) {
                missing.fetch_sub(1, Ordering::AcqRel);
            }
        })?;
        let (alive, watch_call) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let object = Object { backend, queue, alive, late, watch_call };
        let (shared, watched) = (Arc::clone(self), object.clone());
        let watched = Watched { backend: watched.backend, alive: watched.alive, call: watched.watch_call };
        spawn("dcs-watch", move || shared.watch(&watched))?;
        *lock(&self.current) = Some(object.clone());
        Ok(object)
    }

    /// Watches until the object is given up or closed. The first watch begins once there is a cursor.
    fn watch(&self, object: &Watched) {
        let mut told = 0;
        while object.alive.load(Ordering::Acquire) && !self.closed.load(Ordering::Acquire) {
            let Some((number, cursor)) = self.next_cursor(told) else {
                continue;
            };
            let id = self.next_call();
            object.call.store(id, Ordering::Release);
            let call = abi::Call { id, budget_ms: millis(WATCH_BUDGET) };
            match convert::result_from(object.backend.watch(call, cursor.as_str().into()), |end| end) {
                Ok(end) if end == abi::WatchEnd::DEADLINE => {}
                Ok(end) if end == abi::WatchEnd::CHANGED => {
                    told = number;
                    self.tell();
                }
                Ok(_) => self.pause(),
                Err(error) => {
                    tracing::debug!(target: "dcs_plugin", "the watch failed: {error}");
                    self.tell();
                    self.pause();
                }
            }
        }
    }

    /// The cursor to watch from: not the one whose change was told already, which the host has yet to read past.
    fn next_cursor(&self, told: u64) -> Option<(u64, String)> {
        let cursor = lock(&self.cursor);
        if cursor.0 > told {
            return Some(cursor.clone());
        }
        let waited = self.cursor_moved.wait_timeout(cursor, WATCH_PAUSE);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        None
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn pause(&self) {
        let guard = lock(&self.cursor);
        drop(self.cursor_moved.wait_timeout(guard, WATCH_PAUSE).unwrap_or_else(PoisonError::into_inner));
    }
}

struct Watched {
    backend: Arc<BackendBox>,
    alive: Arc<AtomicBool>,
    call: Arc<AtomicU64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), DcsError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work);
    thread.map(drop).map_err(|error| DcsError::new(ErrorKind::Internal, format!("no thread for the backend: {error}")))
}

#[cfg(test)]
mod tests;
