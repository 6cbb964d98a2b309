//! The lock: a key that hangs on our lease. Every statement about it is one transaction that looks before it writes.

use crate::backend::Etcd3;
use crate::call::{Answer, Repeat, Tried, Trouble};
use crate::session::Granted;
use crate::write::{found, revision_of};
use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp};
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, ErrorKind, Lease, Result, Write, log};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a transaction on the lock came to.
enum Outcome {
    /// It was as expected, and was written at that revision.
    Done(i64),
    /// It is like that.
    Found(KeyValue),
    /// There is no lock.
    Absent,
}

impl Etcd3 {
    /// Takes the lock if it is free or carries our name already.
    pub(crate) async fn acquire(&self, cx: &Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let mut session = self.session.lock().await;
        for last in [false, true] {
            let granted = session.fresh(cx, self.ttl()).await?;
            self.memory().use_lease(granted.id);
            match self.take(cx, granted, value, also).await {
                Err(Trouble::LeaseGone) if !last => session.forget(),
                Ok(None) => {
                    self.settle_lock(cx, &mut session).await;
                    return Ok(None);
                }
                other => return Ok(other?),
            }
        }
        Ok(None)
    }

    async fn take(&self, cx: &Cx, granted: Granted, value: &[u8], also: &[Write]) -> Tried<Option<Lease>> {
        let begun = clock::now();
        let leader = self.keys.leader();
        let absent = Compare::create_revision(leader.as_str(), CompareOp::Equal, 0);
        let kv = match self.lock_txn(cx, vec![absent], self.put_lock(granted.id, value, also), &[]).await?.value {
            Outcome::Done(revision) => return Ok(Some(self.taken(granted, revision, begun, also))),
            Outcome::Found(kv) => kv,
            Outcome::Absent => return Ok(None),
        };
        if kv.value() != value {
            log::debug("the lock is held by another member");
            return Ok(None);
        }
        // Written anew where a request to remove it went unanswered: that one was for another revision.
        if kv.lease() == granted.id && also.is_empty() && !self.lock_unsure.load(Ordering::Acquire) {
            return Ok(Some(self.taken(granted, kv.mod_revision(), begun, also)));
        }
        // Our name on another lease is that of an earlier life of this member: we take it over.
        let same = Compare::mod_revision(leader.as_str(), CompareOp::Equal, kv.mod_revision());
        let answer = self.lock_txn(cx, vec![same], self.put_lock(granted.id, value, also), &[]).await?;
        Ok(match answer.value {
            Outcome::Done(revision) => Some(self.taken(granted, revision, begun, also)),
            Outcome::Found(kv) if answer.unsure && kv.lease() == granted.id => {
                Some(self.taken(granted, kv.mod_revision(), begun, also))
            }
            _ => None,
        })
    }

    /// Keeps the lock: a message to the lease, and a transaction only where there is something to write or to find out.
    pub(crate) async fn renew(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let mut session = self.session.lock().await;
        let wanted = self.ttl();
        let had_lease = session.id(wanted).is_some();
        let granted = match session.keep(cx, wanted).await? {
            Some(granted) => granted,
            // With the lease went the lock.
            None if had_lease => {
                log::info("the lease of the lock is gone");
                return Ok(None);
            }
            None => session.fresh(cx, wanted).await?,
        };
        self.memory().use_lease(granted.id);
        let news = self.news(also);
        let known = self.memory().lock_is(granted.id, self.lock_age_max());
        if known && news.is_empty() {
            return Ok(Some(self.lease_of(granted, self.lock_revision())));
        }
        match self.confirm(cx, granted, lease, &news).await {
            Err(Trouble::LeaseGone) => {
                session.forget();
                Ok(None)
            }
            other => Ok(other?),
        }
    }

    async fn confirm(&self, cx: &Cx, granted: Granted, lease: &Lease, also: &[Write]) -> Tried<Option<Lease>> {
        let begun = clock::now();
        let leader = self.keys.leader();
        let kv = match self.write_along(cx, granted, also).await? {
            Outcome::Done(_) => {
                self.memory().confirm_lock(begun);
                return Ok(Some(self.lease_of(granted, self.lock_revision())));
            }
            Outcome::Found(kv) => kv,
            // A lock that hung on a lease that ended is lost, whoever had it since.
            Outcome::Absent if granted.id.to_string() != lease.session => return Ok(None),
            Outcome::Absent => return self.create_again(cx, granted, also).await,
        };
        let member = self.keys.member().as_bytes();
        let mine = kv.lease() == granted.id || kv.lease().to_string() == lease.session;
        if kv.value() != member || !mine {
            return Ok(None);
        }
        // The lock hangs on the lease that we had before: the ttl changed, or this object is new.
        let same = Compare::mod_revision(leader.as_str(), CompareOp::Equal, kv.mod_revision());
        let answer = self.lock_txn(cx, vec![same], self.put_lock(granted.id, member, also), &[]).await?;
        Ok(match answer.value {
            Outcome::Done(revision) => Some(self.taken(granted, revision, begun, also)),
            Outcome::Found(kv) if answer.unsure && kv.lease() == granted.id => {
                Some(self.taken(granted, kv.mod_revision(), begun, also))
            }
            _ => None,
        })
    }

    /// Removes the lock if it is ours on that lease, in the revision that is known or turns out to be there: a late
    /// request must not remove a lock that was taken again.
    async fn delete_lock(&self, cx: &Cx, lease: i64, also: &[Write]) -> Tried<Answer<bool>> {
        let leader = self.keys.leader();
        let mut unsure = false;
        loop {
            let known = self.memory().revision(leader.as_bytes()).unwrap_or(0);
            let when = vec![
                Compare::lease(leader.as_str(), CompareOp::Equal, lease),
                Compare::value(leader.as_str(), CompareOp::Equal, self.keys.member()),
                Compare::mod_revision(leader.as_str(), CompareOp::Equal, known),
            ];
            let mut then = self.put_also(also);
            then.push(TxnOp::delete(leader.as_str(), None));
            let answer = self.lock_txn(cx, when, then, &[]).await?;
            unsure |= answer.unsure;
            match answer.value {
                Outcome::Done(revision) => {
                    self.memory().gone(leader.as_bytes(), revision);
                    self.note_writes(also, revision);
                    return Ok(Answer { value: true, unsure });
                }
                Outcome::Found(kv)
                    if kv.lease() == lease
                        && kv.value() == self.keys.member().as_bytes()
                        && kv.mod_revision() != known => {}
                _ => return Ok(Answer { value: false, unsure }),
            }
        }
    }

    /// Writes what goes along, if the lock hangs on our lease, and over the revisions that are known or turn out to be
    /// there: a late request of an earlier loop must not bring its values back.
    async fn write_along(&self, cx: &Cx, granted: Granted, also: &[Write]) -> Tried<Outcome> {
        let leader = self.keys.leader();
        let paths: Vec<_> = also.iter().map(|write| self.keys.path(&write.key)).collect();
        let mut unsure = false;
        loop {
            let mut when = vec![Compare::lease(leader.as_str(), CompareOp::Equal, granted.id)];
            for path in &paths {
                let known = self.memory().revision(path.as_bytes()).unwrap_or(0);
                when.push(Compare::mod_revision(path.as_str(), CompareOp::Equal, known));
            }
            let answer = self.lock_txn(cx, when, self.put_also(also), &paths).await?;
            unsure |= answer.unsure;
            match answer.value {
                Outcome::Done(revision) => {
                    self.note_writes(also, revision);
                    return Ok(Outcome::Done(revision));
                }
                Outcome::Found(kv) if kv.lease() == granted.id => {
                    // The lock is ours; what goes along is there already, or has another revision than we knew.
                    if unsure && self.news(also).is_empty() {
                        return Ok(Outcome::Done(kv.mod_revision()));
                    }
                }
                other => return Ok(other),
            }
        }
    }

    /// The lock was removed by hand while our lease lives: we write it again, unless somebody else had it
    /// meanwhile, as far as the watch and the readings showed.
    async fn create_again(&self, cx: &Cx, granted: Granted, also: &[Write]) -> Tried<Option<Lease>> {
        if self.memory().lock_was_foreign() {
            return Ok(None);
        }
        let begun = clock::now();
        let member = self.keys.member().as_bytes();
        let absent = Compare::create_revision(self.keys.leader(), CompareOp::Equal, 0);
        Ok(match self.lock_txn(cx, vec![absent], self.put_lock(granted.id, member, also), &[]).await?.value {
            Outcome::Done(revision) => Some(self.taken(granted, revision, begun, also)),
            Outcome::Found(kv) if kv.lease() == granted.id => Some(self.taken(granted, kv.mod_revision(), begun, also)),
            _ => None,
        })
    }

    /// Gives the lock back, if it hangs on the lease that the host knows, or on ours.
    pub(crate) async fn release(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        let mut session = self.session.lock().await;
        let known: i64 = lease.session.parse().unwrap_or(0);
        let ours = session.id(self.ttl());
        let mut unsure = false;
        for id in [Some(known), ours.filter(|id| *id != known)].into_iter().flatten().filter(|id| *id != 0) {
            let answer = self.delete_lock(cx, id, also).await?;
            unsure |= answer.unsure;
            if answer.value {
                self.settle_lock(cx, &mut session).await;
                return Ok(true);
            }
        }
        self.settle_lock(cx, &mut session).await;
        // It is not ours any more; if an earlier try went unanswered, that one gave it back.
        Ok(unsure)
    }

    /// One transaction that looks at the lock, writes, or else reads the lock and those other keys, which are
    /// remembered.
    async fn lock_txn(
        &self,
        cx: &Cx,
        when: Vec<Compare>,
        then: Vec<TxnOp>,
        others: &[String],
    ) -> Tried<Answer<Outcome>> {
        let leader = self.keys.leader();
        let paths = std::iter::once(&leader).chain(others);
        let reads: Vec<_> = paths.clone().map(|path| TxnOp::get(path.as_str(), None)).collect();
        let txn = Txn::new().when(when).and_then(then).or_else(reads);
        // Until there is an answer, also if the call is given up meanwhile.
        let before = self.lock_unsure.swap(true, Ordering::AcqRel);
        let answer =
            self.servers.run(cx, Repeat::Write, async |connection| Ok(connection.kv().txn(txn.clone()).await?)).await;
        let sure = match &answer {
            Ok(answer) => !answer.unsure,
            Err(Trouble::LeaseGone) => true,
            Err(Trouble::Error(error)) => error.kind == ErrorKind::Unavailable,
        };
        self.lock_unsure.store(before || !sure, Ordering::Release);
        let Answer { value, unsure } = answer?;
        let revision = revision_of(&value);
        if value.succeeded() {
            return Ok(Answer { value: Outcome::Done(revision), unsure });
        }
        let mut read = found(&value);
        let mut memory = self.memory();
        for (path, kv) in paths.zip(&read) {
            memory.read(path.as_bytes(), kv.as_ref(), revision);
        }
        let lock = read.drain(..).next().flatten();
        Ok(Answer { value: lock.map_or(Outcome::Absent, Outcome::Found), unsure })
    }

    fn put_lock(&self, lease: i64, value: &[u8], also: &[Write]) -> Vec<TxnOp> {
        let options = PutOptions::new().with_lease(lease);
        let mut then = vec![TxnOp::put(self.keys.leader(), value, Some(options))];
        then.append(&mut self.put_also(also));
        then
    }

    /// The writes that go along. Their events will be no news to us.
    fn put_also(&self, also: &[Write]) -> Vec<TxnOp> {
        let mut memory = self.memory();
        let put = |write: &Write| {
            let path = self.keys.path(&write.key);
            memory.intend(path.as_bytes(), &write.value);
            TxnOp::put(path, write.value.as_slice(), None)
        };
        also.iter().map(put).collect()
    }

    /// Those writes that the store does not hold already.
    fn news(&self, also: &[Write]) -> Vec<Write> {
        let memory = self.memory();
        let is_news = |write: &&Write| !memory.is(self.keys.path(&write.key).as_bytes(), &write.value, 0);
        also.iter().filter(is_news).cloned().collect()
    }

    fn taken(&self, granted: Granted, revision: i64, begun: Duration, also: &[Write]) -> Lease {
        self.memory().took_lock(granted.id, revision, begun);
        self.note_writes(also, revision);
        self.lease_of(granted, revision)
    }

    fn note_writes(&self, also: &[Write], revision: i64) {
        let mut memory = self.memory();
        for write in also {
            memory.put(self.keys.path(&write.key).as_bytes(), &write.value, 0, revision);
        }
    }

    fn lock_revision(&self) -> i64 {
        self.memory().revision(self.keys.leader().as_bytes()).unwrap_or(0)
    }

    fn lease_of(&self, granted: Granted, revision: i64) -> Lease {
        Lease { session: granted.id.to_string(), version: revision.to_string(), ttl: granted.ttl }
    }

    /// How old the knowledge may be that the lock is ours, before the store is asked: older than a loop's reading, and
    /// well below the ttl.
    fn lock_age_max(&self) -> Duration {
        (self.loop_wait * 2).min(self.ttl() / 2)
    }
}
