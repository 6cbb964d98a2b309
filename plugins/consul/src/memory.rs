//! What is known of the cluster's keys from readings and own writes, each with its version. It saves writes and
//! requests; no answer to the daemon is made of it.

use crate::kv::Kv;
use regent_dcs_common::{Keys, clock, differ_in_figures_only};
use regent_plugin_sdk::KeyKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// How soon the daemon should hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It did it itself.
    None,
    /// A heartbeat of somebody else: nothing but figures moved. The next reading shows it soon enough.
    Late,
    /// At once.
    Now,
}

/// What is known.
pub(crate) struct Memory {
    keys: Keys,
    /// From the last reading, and writes since.
    known: BTreeMap<String, Kv>,
    /// From the last reading that was handed to the daemon, and writes since.
    loaded: BTreeMap<String, Kv>,
    /// That reading's place in the store's history.
    cursor: u64,
    /// When the last request began that showed who has the lock.
    lock_checked: Option<Duration>,
    /// What we wrote or tried to write, by path.
    intended: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// Nothing is known.
    pub fn new(keys: Keys) -> Memory {
        Memory {
            keys,
            known: BTreeMap::new(),
            loaded: BTreeMap::new(),
            cursor: 0,
            lock_checked: None,
            intended: BTreeMap::new(),
        }
    }

    /// Everything was read, by a request that began then.
    pub fn read(&mut self, kvs: &[Kv], begun: Duration) {
        self.known = kvs.iter().map(|kv| (kv.key.clone(), kv.clone())).collect();
        self.lock_checked = Some(begun);
    }

    /// The same for the daemon.
    pub fn load(&mut self, kvs: &[Kv], cursor: u64, begun: Duration) {
        self.read(kvs, begun);
        self.loaded = self.known.clone();
        self.cursor = cursor;
    }

    /// We wrote a key.
    pub fn wrote(&mut self, path: &str, value: &[u8], session: &str, index: u64) {
        let kv = Kv { key: path.to_owned(), value: value.to_vec(), session: session.to_owned(), index };
        self.known.insert(path.to_owned(), kv.clone());
        self.loaded.insert(path.to_owned(), kv);
    }

    /// We removed a key.
    pub fn gone(&mut self, path: &str) {
        self.known.remove(path);
        self.loaded.remove(path);
    }

    /// The store said that the lock is ours, to a request that began then.
    pub fn confirm_lock(&mut self, begun: Duration) {
        self.lock_checked = Some(begun);
    }

    /// A key as it was last seen.
    pub fn seen(&self, path: &str) -> Option<&Kv> {
        self.known.get(path)
    }

    /// The version of a key that holds that value for that session.
    pub fn index_if(&self, path: &str, value: &[u8], session: &str) -> Option<u64> {
        self.seen(path).filter(|kv| kv.value == value && kv.session == session).map(|kv| kv.index)
    }

    /// The lock's version, if that session has it, as far as was seen no longer ago than `age`.
    pub fn lock_of(&self, session: &str, age: Duration) -> Option<u64> {
        let young = self.lock_checked.is_some_and(|at| clock::now() <= at + age);
        let lock = self.seen(&self.keys.leader()).filter(|kv| young && kv.session == session);
        lock.map(|kv| kv.index)
    }

    /// We are about to write that: its change is no news to us.
    pub fn intend(&mut self, path: &str, value: &[u8]) {
        self.intended.insert(path.to_owned(), value.to_vec());
    }

    /// What has changed since the reading with that cursor, in a later one.
    pub fn weigh(&self, cursor: u64, kvs: &[Kv], index: u64) -> Weight {
        if index == cursor {
            return Weight::None;
        }
        if cursor != self.cursor || index < cursor {
            return Weight::Now;
        }
        let is_there = |path: &String| kvs.iter().any(|kv| kv.key == *path);
        // What was written after that later reading is no loss.
        if self.loaded.values().any(|kv| kv.index <= index && !is_there(&kv.key)) {
            return Weight::Now;
        }
        kvs.iter().map(|kv| self.weigh_one(kv)).max().unwrap_or(Weight::None)
    }

    fn weigh_one(&self, kv: &Kv) -> Weight {
        let before = self.loaded.get(&kv.key);
        if before.is_some_and(|before| kv.index <= before.index) {
            return Weight::None;
        }
        if kv.key == self.keys.own_member() || self.intended.get(&kv.key).is_some_and(|value| *value == kv.value) {
            return Weight::None;
        }
        // The leader's position goes with its renewals, as those of members go with their heartbeats.
        let kind = self.keys.key(kv.key.as_bytes()).map(|key| key.kind);
        let beats = matches!(kind, Some(KeyKind::Member | KeyKind::Status));
        match before {
            Some(before) if beats && differ_in_figures_only(&before.value, &kv.value) => Weight::Late,
            _ => Weight::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(path: &str, value: &str, session: &str, index: u64) -> Kv {
        Kv { key: format!("s/d/{path}"), value: value.as_bytes().to_vec(), session: session.to_owned(), index }
    }

    fn memory() -> Memory {
        let mut memory = Memory::new(Keys::relative("s", "d", "a"));
        let all = [kv("leader", "a", "x", 5), kv("members/a", "1", "x", 6), kv("members/b", "{\"x\":1}", "y", 7)];
        let all = all.into_iter().chain([kv("status", "{\"optime\":1}", "", 8)]).collect::<Vec<_>>();
        memory.load(&all, 10, clock::now());
        memory
    }

    #[test]
    fn changes_are_weighed() {
        let memory = memory();
        let check = |change: Option<Kv>, gone: &str, expected: Weight| {
            let mut all: Vec<_> = memory.loaded.values().filter(|kv| !kv.key.ends_with(gone)).cloned().collect();
            all.retain(|kv| change.as_ref().is_none_or(|change| change.key != kv.key));
            all.extend(change.clone());
            assert_eq!(memory.weigh(10, &all, 20), expected, "{change:?} {gone}");
        };
        check(None, "nothing", Weight::None);
        check(None, "leader", Weight::Now);
        check(Some(kv("members/a", "2", "x", 12)), "nothing", Weight::None);
        check(Some(kv("members/b", "{\"x\":22}", "y", 12)), "nothing", Weight::Late);
        check(Some(kv("members/b", "{\"y\":1}", "y", 12)), "nothing", Weight::Now);
        check(Some(kv("members/c", "", "z", 12)), "nothing", Weight::Now);
        check(Some(kv("config", "{}", "", 12)), "nothing", Weight::Now);
        check(Some(kv("status", "{\"optime\":22}", "", 12)), "nothing", Weight::Late);
        check(Some(kv("status", "{\"optime\":1,\"slots\":{}}", "", 12)), "nothing", Weight::Now);
        assert_eq!(memory.weigh(10, &[], 10), Weight::None, "no change");
        assert_eq!(memory.weigh(9, &[], 10), Weight::Now, "another reading's cursor");
        assert_eq!(memory.weigh(10, &[], 3), Weight::Now, "another store");
    }

    #[test]
    fn own_writes_are_no_news() {
        let mut memory = memory();
        memory.intend("s/d/status", b"1");
        let all = |more: Vec<Kv>| -> Vec<Kv> { memory.loaded.values().cloned().chain(more).collect() };
        assert_eq!(memory.weigh(10, &all(vec![kv("status", "1", "", 11)]), 11), Weight::None);
        assert_eq!(memory.weigh(10, &all(vec![kv("status", "2", "", 11)]), 11), Weight::Now);
        memory.wrote("s/d/config", b"{}", "", 15);
        let before: Vec<_> = memory.loaded.values().filter(|kv| kv.index < 15).cloned().collect();
        assert_eq!(memory.weigh(10, &before, 12), Weight::None, "a reading of before the write");
        memory.gone("s/d/config");
        assert_eq!(memory.weigh(10, &before, 16), Weight::None);
    }

    #[test]
    fn the_lock_is_known_for_a_while() {
        let mut memory = memory();
        let minute = Duration::from_secs(60);
        assert_eq!(memory.lock_of("x", minute), Some(5));
        assert_eq!(memory.lock_of("y", minute), None);
        assert_eq!(memory.index_if("s/d/members/a", b"1", "x"), Some(6));
        assert_eq!(memory.index_if("s/d/members/a", b"1", "y"), None);
        memory.read(&[], clock::now());
        assert_eq!(memory.lock_of("x", minute), None);
        assert_eq!(memory.weigh(10, &[], 20), Weight::Now, "a reading that was not handed out is no loss");
    }
}
