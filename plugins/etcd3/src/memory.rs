//! What is known of the cluster's keys from readings, own writes and events, each with its revision. It saves writes
//! and requests; no answer to the daemon is made of it.

use etcd_client::KeyValue;
use regent_dcs_common::{Keys, clock, differ_in_figures_only};
use regent_plugin_sdk::KeyKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// A key as it was at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    revision: i64,
    /// Value and lease; `None`: it was not there.
    state: Option<(Vec<u8>, i64)>,
}

/// How soon the daemon should hear of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It is our own heartbeat.
    None,
    /// A heartbeat of somebody else: nothing but figures moved. The next reading shows it soon enough.
    Late,
    /// At once.
    Now,
}

/// What is known.
#[derive(Debug)]
pub(crate) struct Memory {
    keys: Keys,
    seen: BTreeMap<Vec<u8>, Seen>,
    /// The revision of the last reading that was handed out.
    loaded: i64,
    /// When the last request began that showed who has the lock.
    lock_checked: Option<Duration>,
    /// Somebody else had the lock since we took it.
    foreign: bool,
    /// Heartbeats that we sent or tried to send, by path.
    intended: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The lease of our keys.
    lease: i64,
}

impl Memory {
    /// Nothing is known.
    pub fn new(keys: Keys) -> Memory {
        Memory {
            keys,
            seen: BTreeMap::new(),
            loaded: 0,
            lock_checked: None,
            foreign: false,
            intended: BTreeMap::new(),
            lease: 0,
        }
    }

    /// Everything was read at that revision, by a request that began then.
    pub fn reading(&mut self, kvs: &[KeyValue], revision: i64, begun: Duration) {
        if revision < self.loaded {
            // The store's history never goes backwards: it is another store, or was restored.
            self.seen.clear();
            self.loaded = 0;
        }
        self.seen.retain(|_, seen| seen.revision > revision);
        for kv in kvs {
            self.put(kv.key(), kv.value(), kv.lease(), kv.mod_revision());
        }
        self.loaded = self.loaded.max(revision);
        self.lock_checked = Some(begun);
    }

    /// A key was read at that revision: whatever was known of it before counts no more.
    pub fn read(&mut self, path: &[u8], kv: Option<&KeyValue>, revision: i64) {
        self.seen.remove(path);
        match kv {
            Some(kv) => self.put(path, kv.value(), kv.lease(), kv.mod_revision()),
            None => self.gone(path, revision),
        }
    }

    /// The revision up to which the daemon has read.
    pub fn loaded(&self) -> i64 {
        self.loaded
    }

    /// A key had that value at that revision.
    pub fn put(&mut self, path: &[u8], value: &[u8], lease: i64, revision: i64) {
        if self.is_news(path, revision) {
            self.foreign |= path == self.keys.leader().as_bytes() && value != self.keys.member().as_bytes();
            let state = Some((value.to_vec(), lease));
            self.seen.insert(path.to_vec(), Seen { revision, state });
        }
    }

    /// A key was gone at that revision.
    pub fn gone(&mut self, path: &[u8], revision: i64) {
        if self.is_news(path, revision) {
            self.seen.insert(path.to_vec(), Seen { revision, state: None });
        }
    }

    /// We took the lock, by a request that began then.
    pub fn took_lock(&mut self, lease: i64, revision: i64, begun: Duration) {
        let (path, member) = (self.keys.leader(), self.keys.member().to_owned());
        self.put(path.as_bytes(), member.as_bytes(), lease, revision);
        self.foreign = false;
        self.lock_checked = Some(begun);
    }

    /// The store said that the lock hangs on our lease, to a request that began then.
    pub fn confirm_lock(&mut self, begun: Duration) {
        self.lock_checked = Some(begun);
    }

    /// Somebody else had the lock since we took it.
    pub fn lock_was_foreign(&self) -> bool {
        self.foreign
    }

    /// Whether the lock hangs on that lease, as far as was seen no longer ago than `age`.
    pub fn lock_is(&self, lease: i64, age: Duration) -> bool {
        let young = self.lock_checked.is_some_and(|at| clock::now() <= at + age);
        young && self.is(self.keys.leader().as_bytes(), self.keys.member().as_bytes(), lease)
    }

    /// Whether a key holds that value with that lease.
    pub fn is(&self, path: &[u8], value: &[u8], lease: i64) -> bool {
        let state = self.seen.get(path).and_then(|seen| seen.state.as_ref());
        state.is_some_and(|(there, hangs_on)| there == value && *hangs_on == lease)
    }

    /// The revision of a key that holds that value with that lease.
    pub fn revision_if(&self, path: &[u8], value: &[u8], lease: i64) -> Option<i64> {
        self.revision(path).filter(|_| self.is(path, value, lease))
    }

    /// The value of a key that hangs on that lease.
    pub fn value_on(&self, path: &[u8], lease: i64) -> Option<Vec<u8>> {
        let (value, hangs_on) = self.seen.get(path)?.state.as_ref()?;
        (*hangs_on == lease).then(|| value.clone())
    }

    /// The revision of a key that is there.
    pub fn revision(&self, path: &[u8]) -> Option<i64> {
        self.seen.get(path).filter(|seen| seen.state.is_some()).map(|seen| seen.revision)
    }

    /// The lease that our keys hang on from now on.
    pub fn use_lease(&mut self, lease: i64) {
        self.lease = lease;
    }

    /// We are about to send a heartbeat: its event is no news to us.
    pub fn intend(&mut self, path: &[u8], value: &[u8]) {
        self.intended.insert(path.to_vec(), value.to_vec());
    }

    /// Takes an event in and weighs it.
    pub fn event(&mut self, kv: &KeyValue, deleted: bool) -> Weight {
        let weight = self.weigh(kv, deleted);
        if deleted {
            self.gone(kv.key(), kv.mod_revision());
        } else {
            self.put(kv.key(), kv.value(), kv.lease(), kv.mod_revision());
        }
        weight
    }

    fn weigh(&self, kv: &KeyValue, deleted: bool) -> Weight {
        if deleted {
            return Weight::Now;
        }
        if kv.key() == self.keys.own_member().as_bytes() {
            return if kv.lease() == self.lease { Weight::None } else { Weight::Now };
        }
        if self.intended.get(kv.key()).is_some_and(|value| value == kv.value()) {
            return Weight::None;
        }
        // The leader's position goes with its renewals, as those of members go with their heartbeats.
        let beats = self.keys.key(kv.key()).is_some_and(|key| matches!(key.kind, KeyKind::Member | KeyKind::Status));
        let before = self.seen.get(kv.key()).and_then(|seen| seen.state.as_ref());
        match before {
            Some((before, _)) if beats && differ_in_figures_only(before, kv.value()) => Weight::Late,
            _ => Weight::Now,
        }
    }

    fn is_news(&self, path: &[u8], revision: i64) -> bool {
        match self.seen.get(path) {
            Some(seen) => revision >= seen.revision,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_changes_nothing() {
        let keys = Keys::new("service", "demo", "a");
        let leader = keys.leader();
        let leader = leader.as_bytes();
        let minute = Duration::from_secs(60);
        let mut memory = Memory::new(keys);
        memory.took_lock(7, 10, clock::now());
        assert!(memory.lock_is(7, minute));
        assert!(!memory.lock_is(8, minute));
        memory.put(leader, b"b", 9, 8);
        assert!(memory.lock_is(7, minute) && !memory.lock_was_foreign(), "an event from before");
        memory.gone(leader, 12);
        assert!(!memory.lock_is(7, minute) && !memory.lock_was_foreign());
        memory.put(leader, b"a", 7, 11);
        assert!(!memory.lock_is(7, minute), "it is gone already");
        memory.put(leader, b"b", 9, 13);
        assert!(memory.lock_was_foreign());
        memory.took_lock(7, 14, clock::now());
        assert!(!memory.lock_was_foreign() && memory.revision(leader) == Some(14));
        memory.reading(&[], 15, clock::now());
        assert!(!memory.lock_is(7, minute) && memory.loaded() == 15);
        memory.put(b"/service/demo/status", b"1", 0, 20);
        memory.read(b"/service/demo/status", None, 16);
        assert_eq!(memory.revision(b"/service/demo/status"), None, "a reading is worth more than what was known");
        memory.put(b"/service/demo/status", b"1", 0, 20);
        memory.reading(&[], 3, clock::now());
        assert_eq!((memory.revision(b"/service/demo/status"), memory.loaded()), (None, 3), "another store");
    }
}
