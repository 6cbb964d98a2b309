//! The backend itself; where a rule is broken, the fault is named.

use crate::fault::{Config, Fault};
use crate::memory::{Keys, Store, now};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, Entry, Expect, Key, KeyKind, Lease, OpenArgs, Result, Snapshot, WatchEnd,
    Write,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An object on a store in memory.
pub struct Memory {
    store: Arc<Store>,
    fault: Fault,
    scope: String,
    member: String,
    session: String,
    ttl: Mutex<Duration>,
}

fn leader() -> Key {
    Key::of(KeyKind::Leader)
}

impl Memory {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn ttl(&self) -> Duration {
        *self.ttl.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn also(&self, mut keys: std::sync::MutexGuard<'_, Keys>, also: &[Write]) {
        if !self.is(Fault::TornWrites) {
            for write in also {
                keys.write(&self.scope, &write.key, &write.value, "", None);
            }
        } else {
            drop(keys);
            for write in also {
                self.store.keys().write(&self.scope, &write.key, &write.value, "", None);
                // Long beside the rest of a renewal: most readings fall into it.
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        self.store.woken.notify_all();
    }

    fn hold(&self, mut keys: std::sync::MutexGuard<'_, Keys>, value: &[u8], also: &[Write]) -> Lease {
        let ttl = self.ttl();
        let lives = match self.fault {
            Fault::NeverExpires => ttl * 1000,
            Fault::ExpiresEarly => ttl / 2,
            _ => ttl,
        };
        let version = keys.write(&self.scope, &leader(), value, &self.session, Some(now() + lives));
        self.also(keys, also);
        Lease { session: self.session.clone(), version: version.to_string(), ttl }
    }

    fn matches(&self, keys: &Keys, key: &Key, expect: &Expect) -> bool {
        let there = keys.values.get(&(self.scope.clone(), key.clone()));
        match expect {
            _ if self.is(Fault::IgnoresVersions) => true,
            Expect::Any => true,
            Expect::Absent => there.is_none(),
            Expect::Is(version) => there.is_some_and(|value| value.version.to_string() == *version),
        }
    }
}

impl Backend for Memory {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Memory> {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let config = Config::read(&args.config_json)?;
        let store = Store::of(&config.store);
        let woken = Arc::clone(&store);
        cancellations.on_cancel(move |call| {
            woken.keys().cancelled.push(call);
            woken.woken.notify_all();
        });
        match config.fault {
            Fault::LeavesThreads => drop(std::thread::spawn(std::thread::park)),
            Fault::LeavesFiles => std::mem::forget(std::fs::File::open("/dev/null")),
            Fault::ChangesFolder => drop(std::env::set_current_dir("/proc")),
            _ => {}
        }
        let session = format!("s{}", SESSIONS.fetch_add(1, Ordering::SeqCst));
        Ok(Memory {
            store,
            fault: config.fault,
            scope: args.scope.clone(),
            member: args.member.clone(),
            session,
            ttl: Mutex::new(args.ttl),
        })
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            native_watch: true,
            atomic_multi_write: true,
            server_side_ttl: true,
            min_ttl: Duration::from_millis(100),
            max_ttl: Duration::from_secs(3600),
            max_value_bytes: 1 << 20,
        }
    }

    fn check_config(config_json: &str) -> Result<()> {
        // The fault can not be read from garbage: whoever has it has this name in the environment of the test.
        if std::env::var_os("REGENT_MUTANT").is_some_and(|fault| fault == "accepts-garbage") {
            return Ok(());
        }
        Config::read(config_json).map(drop)
    }

    fn load(&self, _cx: Cx) -> Result<Snapshot> {
        let keys = self.store.keys();
        let own = keys.values.iter().filter(|((scope, _), _)| *scope == self.scope);
        let entries = own.map(|((_, key), value)| Entry {
            key: key.clone(),
            value: value.bytes.clone(),
            version: value.version.to_string(),
            session: value.session.clone(),
        });
        Ok(Snapshot { entries: entries.collect(), cursor: keys.changes.to_string() })
    }

    fn acquire_leader(&self, _cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let keys = self.store.keys();
        let held = keys.values.get(&(self.scope.clone(), leader()));
        let free = held.is_none_or(|held| held.bytes == value && !self.is(Fault::NotReentrant));
        Ok((free || self.is(Fault::LockForAll)).then(|| self.hold(keys, value, also)))
    }

    fn renew_leader(&self, _cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let keys = self.store.keys();
        let held = keys.values.get(&(self.scope.clone(), leader())).cloned();
        let ours = match &held {
            Some(held) => held.session == lease.session,
            None => self.is(Fault::RenewsExpired),
        };
        Ok(ours.then(|| self.hold(keys, self.member.as_bytes(), also)))
    }

    fn release_leader(&self, _cx: Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        let mut keys = self.store.keys();
        let place = (self.scope.clone(), leader());
        let held = keys.values.get(&place).is_some_and(|held| held.session == lease.session);
        if !held && !self.is(Fault::ReleasesAnybodys) {
            return Ok(false);
        }
        let removed = keys.values.remove(&place).is_some();
        keys.changes += 1;
        self.also(keys, also);
        Ok(removed)
    }

    fn touch_member(&self, _cx: Cx, value: &[u8]) -> Result<String> {
        let name = if self.is(Fault::OneMemberKey) { "any" } else { &self.member };
        let key = Key { kind: KeyKind::Member, name: name.to_owned() };
        let version = self.store.keys().write(&self.scope, &key, value, &self.session, None);
        self.store.woken.notify_all();
        Ok(version.to_string())
    }

    fn put(&self, _cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let mut keys = self.store.keys();
        if !self.matches(&keys, key, expect) {
            return Ok(None);
        }
        if self.is(Fault::DropsUnknownKinds) && matches!(key.kind, KeyKind::Other(_)) {
            return Ok(Some("0".to_owned()));
        }
        let text = String::from_utf8_lossy(value);
        let value = if self.is(Fault::ValuesAsText) { text.as_bytes() } else { value };
        let version = keys.write(&self.scope, key, value, "", None);
        self.store.woken.notify_all();
        Ok(Some(version.to_string()))
    }

    fn delete(&self, _cx: Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let mut keys = self.store.keys();
        if !self.matches(&keys, key, expect) {
            return Ok(false);
        }
        keys.changes += 1;
        self.store.woken.notify_all();
        Ok(keys.values.remove(&(self.scope.clone(), key.clone())).is_some())
    }

    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd> {
        let mut keys = self.store.keys();
        let from = if self.is(Fault::LosesChanges) { keys.changes } else { cursor.parse().unwrap_or(0) };
        let taken_back = keys.cancelled.len();
        loop {
            let any = self.is(Fault::CancelsAny) && !keys.cancelled.is_empty();
            let ours = keys.cancelled[taken_back..].contains(&cx.id()) || cx.cancelled();
            if keys.changes != from || self.is(Fault::AlwaysChanged) {
                return Ok(WatchEnd::Changed);
            }
            if any || (ours && !self.is(Fault::IgnoresCancel)) {
                return Ok(WatchEnd::Cancelled);
            }
            if cx.left().is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            // The end of a lock is seen at the next look.
            let look = cx.left().min(Duration::from_millis(50));
            drop(self.store.woken.wait_timeout(keys, look).unwrap_or_else(PoisonError::into_inner));
            keys = self.store.keys();
        }
    }

    fn set_ttl(&self, ttl: Duration) -> Result<Duration> {
        if !self.is(Fault::IgnoresTtl) {
            *self.ttl.lock().unwrap_or_else(PoisonError::into_inner) = ttl;
        }
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        Config::read(config_json)?;
        if self.is(Fault::ReloadDropsLock) {
            self.store.keys().values.remove(&(self.scope.clone(), leader()));
        }
        Ok(true)
    }

    fn delete_cluster(&self, _cx: Cx) -> Result<()> {
        let prefix = self.is(Fault::RemovesByPrefix);
        let mut keys = self.store.keys();
        keys.values.retain(|(scope, _), _| *scope != self.scope && !(prefix && scope.starts_with(&self.scope)));
        keys.changes += 1;
        Ok(())
    }

    fn close(&self, _cx: Cx) -> Result<()> {
        Ok(())
    }
}
