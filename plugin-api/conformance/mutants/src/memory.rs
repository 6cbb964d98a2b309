//! The stores: maps in this process, one for each name, each with a counter of changes.

use regent_plugin_sdk::Key;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A value, its version, and its session and end where it is the lock.
#[derive(Clone, Debug)]
pub struct Value {
    pub bytes: Vec<u8>,
    pub version: u64,
    pub session: String,
    pub end: Option<Instant>,
}

/// All clusters of a store; the first part of a place is the scope.
#[derive(Default)]
pub struct Keys {
    pub values: BTreeMap<(String, Key), Value>,
    pub changes: u64,
    /// The last call that was taken back, and how often any was.
    pub cancelled: Vec<u64>,
}

/// A store, and what wakes its watchers.
#[derive(Default)]
pub struct Store {
    keys: Mutex<Keys>,
    pub woken: Condvar,
}

impl Store {
    /// The store of that name.
    pub fn of(name: &str) -> Arc<Store> {
        static STORES: Mutex<BTreeMap<String, Arc<Store>>> = Mutex::new(BTreeMap::new());
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.entry(name.to_owned()).or_default())
    }

    /// The keys, without those that ended.
    pub fn keys(&self) -> MutexGuard<'_, Keys> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, now) = (keys.values.len(), now());
        keys.values.retain(|_, value| value.end.is_none_or(|end| end > now));
        if keys.values.len() != before {
            keys.changes += 1;
        }
        keys
    }
}

impl Keys {
    /// Writes a value; gives its version.
    pub fn write(&mut self, scope: &str, key: &Key, bytes: &[u8], session: &str, end: Option<Instant>) -> u64 {
        self.changes += 1;
        let value = Value { bytes: bytes.to_vec(), version: self.changes, session: session.to_owned(), end };
        self.values.insert((scope.to_owned(), key.clone()), value);
        self.changes
    }
}

#[allow(clippy::disallowed_methods, reason = "a plugin has its own clock")]
pub fn now() -> Instant {
    Instant::now()
}
