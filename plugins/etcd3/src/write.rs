//! Writes and deletions of single keys. All of them compare a revision, also those that the host wants whatever is
//! there: a request that went unanswered may be applied much later, when its server wakes up, and must not undo then
//! what came after it.

use crate::backend::Etcd3;
use crate::call::{Answer, Repeat, Tried};
use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use regent_plugin_sdk::{Cx, Expect, Key, Result};

/// What a conditional write came to.
enum Outcome {
    /// It was as expected, and was written at that revision.
    Done(i64),
    /// It was not; this is there.
    Found(Option<KeyValue>),
}

impl Etcd3 {
    /// Writes a key if what is there is as expected; gives the new version.
    pub(crate) async fn write(&self, cx: &Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let path = self.keys.path(key);
        let put = TxnOp::put(path.as_str(), value, None);
        let revision = match expect {
            Expect::Any => Some(self.overwrite(cx, &path, value, 0).await?),
            Expect::Absent => self.once(cx, &path, 0, put).await?,
            Expect::Is(version) => match version_of(version) {
                Some(revision) => self.once(cx, &path, revision, put).await?,
                None => None,
            },
        };
        if let Some(revision) = revision.filter(|_| *expect != Expect::Any) {
            self.memory().put(path.as_bytes(), value, 0, revision);
        }
        Ok(revision.map(|revision| revision.to_string()))
    }

    /// Removes a key if what is there is as expected. `false`: it is not, or nothing is there.
    pub(crate) async fn remove(&self, cx: &Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let path = self.keys.path(key);
        let revision = match expect {
            Expect::Any => self.remove_any(cx, &path).await?,
            Expect::Absent => None,
            Expect::Is(version) => match version_of(version) {
                Some(revision) => self.once(cx, &path, revision, TxnOp::delete(path.as_str(), None)).await?,
                None => None,
            },
        };
        if let Some(revision) = revision {
            self.memory().gone(path.as_bytes(), revision);
        }
        Ok(revision.is_some())
    }

    /// Writes over the revision that is known, or over the one that turns out to be there, until it is done; on a
    /// lease, or 0.
    pub(crate) async fn overwrite(&self, cx: &Cx, path: &str, value: &[u8], lease: i64) -> Tried<i64> {
        let mut known = self.known(path);
        let mut unsure = false;
        let revision = loop {
            let put = TxnOp::put(path, value, Some(PutOptions::new().with_lease(lease)));
            let answer = self.over(cx, Repeat::Write, path, known, put).await?;
            unsure |= answer.unsure;
            known = match answer.value {
                Outcome::Done(revision) => break revision,
                // An earlier try of ours did it.
                Outcome::Found(Some(kv)) if unsure && kv.value() == value && kv.lease() == lease => {
                    break kv.mod_revision();
                }
                Outcome::Found(kv) => kv.map_or(0, |kv| kv.mod_revision()),
            };
        };
        self.memory().put(path.as_bytes(), value, lease, revision);
        Ok(revision)
    }

    /// The same for a deletion. `None`: nothing was there.
    async fn remove_any(&self, cx: &Cx, path: &str) -> Result<Option<i64>> {
        let mut known = self.known(path);
        let mut unsure = false;
        loop {
            let answer = self.over(cx, Repeat::Write, path, known, TxnOp::delete(path, None)).await?;
            unsure |= answer.unsure;
            match answer.value {
                // Over nothing, there was nothing to delete, unless an earlier try did.
                Outcome::Done(revision) => return Ok((known != 0 || unsure).then_some(revision)),
                Outcome::Found(Some(kv)) => known = kv.mod_revision(),
                Outcome::Found(None) => known = 0,
            }
        }
    }

    /// Once, for who must know: after a try that went unanswered, the condition could fail because of that very try.
    async fn once(&self, cx: &Cx, path: &str, revision: i64, then: TxnOp) -> Tried<Option<i64>> {
        Ok(match self.over(cx, Repeat::Once, path, revision, then).await?.value {
            Outcome::Done(revision) => Some(revision),
            Outcome::Found(_) => None,
        })
    }

    /// Does something where a key has that revision; none is 0.
    async fn over(&self, cx: &Cx, repeat: Repeat, path: &str, revision: i64, then: TxnOp) -> Tried<Answer<Outcome>> {
        let txn = Txn::new()
            .when(vec![Compare::mod_revision(path, CompareOp::Equal, revision)])
            .and_then(vec![then])
            .or_else(vec![TxnOp::get(path, None)]);
        let answer = self.servers.run(cx, repeat, async |connection| Ok(connection.kv().txn(txn.clone()).await?));
        let Answer { value, unsure } = answer.await?;
        let outcome = if value.succeeded() {
            Outcome::Done(revision_of(&value))
        } else {
            Outcome::Found(found(&value).pop().flatten())
        };
        Ok(Answer { value: outcome, unsure })
    }

    fn known(&self, path: &str) -> i64 {
        self.memory().revision(path.as_bytes()).unwrap_or(0)
    }
}

/// The revision at which a transaction was applied.
pub(crate) fn revision_of(answer: &TxnResponse) -> i64 {
    answer.header().map_or(0, etcd_client::ResponseHeader::revision)
}

/// What a transaction read: one answer for each key that it asked for.
pub(crate) fn found(answer: &TxnResponse) -> Vec<Option<KeyValue>> {
    let read = |response| match response {
        TxnOpResponse::Get(mut get) => Some(get.take_kvs().pop()),
        _ => None,
    };
    answer.op_responses().into_iter().filter_map(read).collect()
}

fn version_of(version: &str) -> Option<i64> {
    version.parse().ok().filter(|revision| *revision > 0)
}
