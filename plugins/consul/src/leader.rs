//! The lock: a key that our session locks. Every statement about it is one transaction that looks before it writes.

use crate::backend::Consul;
use crate::call::Repeat;
use crate::kv::{Kv, Op, Tried, Trouble, Txn};
use crate::session::Held;
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, Lease, Result, Write, log};
use std::time::Duration;

/// How often a transaction is tried again with what turned out to be there.
const LOOKS: usize = 4;

impl Consul {
    /// Takes the lock if it is free or carries our name already.
    pub(crate) async fn acquire(&self, cx: &Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let mut session = self.session.lock().await;
        for last in [false, true] {
            let held = session.fresh(cx, self.ttl()).await?;
            match self.take(cx, &held, value, also).await {
                Err(Trouble::SessionGone) if !last => session.forget(),
                other => return Ok(other?),
            }
        }
        Ok(None)
    }

    async fn take(&self, cx: &Cx, held: &Held, value: &[u8], also: &[Write]) -> Tried<Option<Lease>> {
        let leader = self.keys.leader();
        let along = self.along(also);
        // The version in which our name is locked by a session of an earlier life.
        let mut stale = None;
        for _ in 0..LOOKS {
            let begun = clock::now();
            let mut ops = Vec::new();
            if let Some(index) = stale {
                log::info("Recreating the leader key due to session mismatch");
                ops.extend([Op::CheckIndex(&leader, index), Op::Delete(&leader)]);
            }
            ops.push(Op::Lock(&leader, value, &held.id));
            ops.extend(along.iter().map(|(path, value)| Op::Set(path, value)));
            let txn = self.agent.txn(cx, Repeat::Write, &ops).await?;
            if txn.written.is_some() {
                return Ok(self.taken(held, &txn, value, &along, begun));
            }
            match self.lock_now(cx).await? {
                None => stale = None,
                Some(lock) if lock.value != value => {
                    log::debug("Could not take out TTL lock");
                    return Ok(None);
                }
                Some(lock) if lock.session == held.id && txn.unsure => return Ok(Some(lease_of(held, lock.index))),
                Some(lock) => stale = Some(lock.index),
            }
        }
        Ok(None)
    }

    /// Keeps the lock: a message to the session, and a transaction only where there is something to write or to find
    /// out.
    pub(crate) async fn renew(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let mut session = self.session.lock().await;
        let wanted = self.ttl();
        let ours = session.held(wanted).is_some_and(|held| held.id == lease.session);
        let held = match session.keep(cx, wanted).await? {
            Some(held) => held,
            // With the session went the lock.
            None if ours => {
                log::info("the session of the lock is gone");
                return Ok(None);
            }
            None => session.fresh(cx, wanted).await?,
        };
        let answer = if held.id == lease.session {
            self.confirm(cx, &held, also).await
        } else {
            self.relock(cx, &held, lease, also).await
        };
        match answer {
            Err(Trouble::SessionGone) => {
                session.forget();
                Ok(None)
            }
            other => Ok(other?),
        }
    }

    /// Our session has the lock, or has lost it.
    async fn confirm(&self, cx: &Cx, held: &Held, also: &[Write]) -> Tried<Option<Lease>> {
        let leader = self.keys.leader();
        let news = self.news(also);
        let mut unsure = false;
        for _ in 0..LOOKS {
            let known = self.memory().lock_of(&held.id, self.lock_age_max());
            if let Some(index) = known.filter(|_| news.is_empty()) {
                return Ok(Some(lease_of(held, index)));
            }
            let begun = clock::now();
            let mut ops = vec![Op::CheckSession(&leader, &held.id)];
            // Over the versions that are known: a late request of an earlier loop must not bring its values back.
            let versions: Vec<_> = news.iter().map(|(path, _)| self.version(path)).collect();
            let write = |((path, value), index)| Op::Cas(path, value, index);
            ops.extend(news.iter().map(|(path, value)| (path.as_str(), value.as_slice())).zip(versions).map(write));
            let txn = self.agent.txn(cx, Repeat::Write, &ops).await?;
            unsure |= txn.unsure;
            if txn.written.is_some() {
                self.note(&txn, &news);
                self.memory().confirm_lock(begun);
            }
            let seen =
                self.memory().seen(&leader).filter(|lock| txn.written.is_some() && lock.session == held.id).cloned();
            let lock = match seen {
                Some(lock) => Some(lock),
                None => self.lock_now(cx).await?,
            };
            let Some(lock) = lock.filter(|lock| lock.session == held.id) else {
                return Ok(None);
            };
            let there = |(path, value): &(String, Vec<u8>)| self.memory().index_if(path, value, "").is_some();
            if txn.written.is_some() || (unsure && news.iter().all(there)) {
                return Ok(Some(lease_of(held, lock.index)));
            }
        }
        Err(Trouble::Error(busy()))
    }

    /// The lock hangs on the session that we had before: the ttl changed, or this object is new.
    async fn relock(&self, cx: &Cx, held: &Held, lease: &Lease, also: &[Write]) -> Tried<Option<Lease>> {
        let (leader, member) = (self.keys.leader(), self.keys.member().as_bytes());
        let (along, begun) = (self.along(also), clock::now());
        log::info("Recreating the leader key due to session mismatch");
        let mut ops = vec![Op::CheckSession(&leader, &lease.session), Op::Delete(&leader)];
        ops.push(Op::Lock(&leader, member, &held.id));
        ops.extend(along.iter().map(|(path, value)| Op::Set(path, value)));
        let txn = self.agent.txn(cx, Repeat::Write, &ops).await?;
        if txn.written.is_some() {
            return Ok(self.taken(held, &txn, member, &along, begun));
        }
        let lock = self.lock_now(cx).await?;
        // Moved by an earlier renewal, or by a try of this one that went unanswered.
        let lock = lock.filter(|lock| lock.session == held.id && lock.value == member);
        Ok(lock.map(|lock| lease_of(held, lock.index)))
    }

    /// Gives the lock back, in the version that is there: a late request must not remove a lock that was taken again.
    pub(crate) async fn release(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        let session = self.session.lock().await;
        let ours = session.held(self.ttl()).map(|held| held.id.clone());
        let leader = self.keys.leader();
        let along = self.along(also);
        let mut unsure = false;
        for _ in 0..LOOKS {
            let lock = self.lock_now(cx).await?;
            let is_ours =
                |lock: &Kv| lock.session == lease.session || ours.as_ref().is_some_and(|id| *id == lock.session);
            let Some(lock) = lock.filter(|lock| is_ours(lock) && lock.value == self.keys.member().as_bytes()) else {
                // It is not ours any more; if an earlier try went unanswered, that one gave it back.
                return Ok(unsure);
            };
            let mut ops = vec![Op::CheckIndex(&leader, lock.index)];
            ops.extend(along.iter().map(|(path, value)| Op::Set(path, value)));
            ops.push(Op::Delete(&leader));
            let txn = self.agent.txn(cx, Repeat::Write, &ops).await?;
            unsure |= txn.unsure;
            if txn.written.is_some() {
                self.memory().gone(&leader);
                self.note(&txn, &along);
                return Ok(true);
            }
        }
        Err(busy())
    }

    /// The lock as it is, with everything else.
    async fn lock_now(&self, cx: &Cx) -> Result<Option<Kv>> {
        let begun = clock::now();
        let (kvs, _) = self.agent.read(cx, self.keys.prefix()).await?;
        self.memory().read(&kvs, begun);
        let leader = self.keys.leader();
        Ok(kvs.into_iter().find(|kv| kv.key == leader))
    }

    fn taken(
        &self,
        held: &Held,
        txn: &Txn,
        value: &[u8],
        along: &[(String, Vec<u8>)],
        begun: Duration,
    ) -> Option<Lease> {
        let leader = self.keys.leader();
        let index = txn.index(&leader)?;
        let mut memory = self.memory();
        memory.wrote(&leader, value, &held.id, index);
        memory.confirm_lock(begun);
        drop(memory);
        self.note(txn, along);
        Some(lease_of(held, index))
    }

    /// What goes along, by path. Its changes will be no news to us.
    fn along(&self, also: &[Write]) -> Vec<(String, Vec<u8>)> {
        let mut memory = self.memory();
        let along = also.iter().map(|write| {
            let path = self.keys.path(&write.key);
            memory.intend(&path, &write.value);
            (path, write.value.clone())
        });
        along.collect()
    }

    /// Those writes that the store does not hold already.
    fn news(&self, also: &[Write]) -> Vec<(String, Vec<u8>)> {
        let mut along = self.along(also);
        let memory = self.memory();
        along.retain(|(path, value)| memory.index_if(path, value, "").is_none());
        along
    }

    fn note(&self, txn: &Txn, written: &[(String, Vec<u8>)]) {
        let mut memory = self.memory();
        for (path, value) in written {
            if let Some(index) = txn.index(path) {
                memory.wrote(path, value, "", index);
            }
        }
    }

    fn version(&self, path: &str) -> u64 {
        self.memory().seen(path).map_or(0, |kv| kv.index)
    }

    /// How old the knowledge may be that the lock is ours, before the store is asked: older than a loop's reading, and
    /// well below the ttl.
    fn lock_age_max(&self) -> Duration {
        (self.loop_wait * 2).min(self.ttl() / 2)
    }
}

fn lease_of(held: &Held, index: u64) -> Lease {
    Lease { session: held.id.clone(), version: index.to_string(), ttl: held.ttl }
}

/// Somebody writes the same keys all the time: nothing of ours was applied.
fn busy() -> regent_plugin_sdk::DcsError {
    regent_plugin_sdk::DcsError::new(regent_plugin_sdk::ErrorKind::Indeterminate, "consul: the keys changed each time")
}
