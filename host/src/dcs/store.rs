//! Typed calls to the store. Each answers with one of a closed set: done, a definite no, surely not, perhaps.

use super::codec::{Snapshot, decode_cluster, encode_failover, encode_history, encode_status, encode_sync};
use super::document::MemberDocument;
use regent_core::model::{HistoryRow, StatusView, SyncState, Version};
use regent_plugin_api::host::{Backend, DcsError, ErrorKind, Expect, Key, KeyKind, Write};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// It was done.
    Done(T),
    /// A definite no.
    Refused(String),
    /// Surely nothing was applied.
    Unreachable(String),
    /// It was perhaps applied.
    Unknown(String),
}

/// The lock as we hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease(regent_plugin_api::host::Lease);

impl Lease {
    /// How long it lives unrenewed.
    pub fn ttl(&self) -> Duration {
        self.0.ttl
    }
}

/// The store of one cluster; clones share the connection.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    member: String,
}

impl Store {
    pub(super) fn new(backend: Backend, member: String) -> Store {
        Store { backend, member }
    }

    /// Reads everything, consistently.
    pub async fn load(&self, budget: Duration) -> Answer<Snapshot> {
        match self.backend.load(budget).await {
            Ok(snapshot) => Answer::Done(decode_cluster(&snapshot.entries, snapshot.cursor)),
            Err(error) => failed(error),
        }
    }

    /// Lets the watch go on from this reading.
    pub fn watch_from(&self, snapshot: &Snapshot) {
        self.backend.set_cursor(snapshot.cursor.clone());
    }

    /// Counts up whenever something changed, or may have.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.backend.changes()
    }

    /// Changes the ttl for leases from now on.
    pub fn set_ttl(&self, ttl: Duration) {
        self.backend.set_ttl(ttl);
    }

    /// Hands the backend its section as it is configured now; the log says what came of it.
    pub fn reload(&self, section: &Value) {
        self.backend.reload(section.to_string());
    }

    /// Takes the lock; `status` goes with it.
    pub async fn acquire(&self, status: Option<&StatusView>, budget: Duration) -> Answer<Lease> {
        let name = self.member.clone().into_bytes();
        match self.backend.acquire_leader(budget, name, also(status)).await {
            Ok(Some(lease)) => Answer::Done(Lease(lease)),
            Ok(None) => Answer::Refused("another member has the lock".to_owned()),
            Err(error) => failed(error),
        }
    }

    /// Keeps the lock; `status` goes with it.
    pub async fn renew(&self, lease: Lease, status: Option<&StatusView>, budget: Duration) -> Answer<Lease> {
        match self.backend.renew_leader(budget, lease.0, also(status)).await {
            Ok(Some(lease)) => Answer::Done(Lease(lease)),
            Ok(None) => Answer::Refused("the lock is lost".to_owned()),
            Err(error) => failed(error),
        }
    }

    /// Gives the lock back, leaving the last position and the slots in `status`, which is written whole: whoever calls
    /// says of the slots what was known last. `None` leaves the key as it is.
    pub async fn release(&self, lease: Lease, status: Option<&StatusView>, budget: Duration) -> Answer<()> {
        match self.backend.release_leader(budget, lease.0, also(status)).await {
            Ok(true) => Answer::Done(()),
            Ok(false) => Answer::Refused("the lock was no longer ours".to_owned()),
            Err(error) => failed(error),
        }
    }

    /// Writes our member key.
    pub async fn touch_member(&self, document: &MemberDocument, budget: Duration) -> Answer<()> {
        match self.backend.touch_member(budget, document.to_bytes()).await {
            Ok(()) => Answer::Done(()),
            Err(error) => failed(error),
        }
    }

    /// Claims the bootstrap: the key must be absent.
    pub async fn claim_initialize(&self, budget: Duration) -> Answer<()> {
        self.put(KeyKind::Initialize, Vec::new(), Expect::Absent, budget).await
    }

    /// Says which cluster this is, where nobody has said so.
    pub async fn initialize_as(&self, system_id: &str, budget: Duration) -> Answer<()> {
        self.put(KeyKind::Initialize, system_id.as_bytes().to_vec(), Expect::Absent, budget).await
    }

    /// Writes our member key and a lock that we hold, both without an end: for a cluster that no daemon runs.
    pub async fn install_leader(&self, member: &Value, budget: Duration) -> Answer<()> {
        let key = Key { kind: KeyKind::Member, name: self.member.clone() };
        match self.backend.put(budget, key, member.to_string().into_bytes(), Expect::Absent).await {
            Ok(Some(_)) => self.put(KeyKind::Leader, self.member.clone().into_bytes(), Expect::Absent, budget).await,
            Ok(None) => Answer::Refused("there is a member of this name".to_owned()),
            Err(error) => failed(error),
        }
    }

    /// Says which cluster this is.
    pub async fn set_initialize(&self, system_id: &str, budget: Duration) -> Answer<()> {
        self.put(KeyKind::Initialize, system_id.as_bytes().to_vec(), Expect::Any, budget).await
    }

    /// Gives the claim back.
    pub async fn cancel_initialize(&self, budget: Duration) -> Answer<()> {
        match self.backend.delete(budget, Key::of(KeyKind::Initialize), Expect::Any).await {
            Ok(_) => Answer::Done(()),
            Err(error) => failed(error),
        }
    }

    /// Writes the dynamic configuration; over that version only, where one is given.
    pub async fn write_config(&self, config: &Value, over: Option<Version>, budget: Duration) -> Answer<()> {
        self.put(KeyKind::Config, config.to_string().into_bytes(), expect(over), budget).await
    }

    /// Asks for a switchover or failover.
    pub async fn write_failover(
        &self,
        leader: Option<&str>,
        candidate: Option<&str>,
        scheduled_at: Option<&str>,
        budget: Duration,
    ) -> Answer<()> {
        let value = encode_failover(leader, candidate, scheduled_at);
        self.put(KeyKind::Failover, value, Expect::Any, budget).await
    }

    /// Clears the request; that version only, where one is given.
    pub async fn clear_failover(&self, over: Option<Version>, budget: Duration) -> Answer<()> {
        self.put(KeyKind::Failover, encode_failover(None, None, None), expect(over), budget).await
    }

    /// Says which standbys may take over without loss: over that version only, or where the key is absent.
    pub async fn write_sync(&self, sync: &SyncState, over: Option<Version>, budget: Duration) -> Answer<()> {
        let expect = over.map_or(Expect::Absent, |version| Expect::Is(version.0));
        self.put(KeyKind::Sync, encode_sync(sync), expect, budget).await
    }

    /// Removes the sync key; that version only.
    pub async fn delete_sync(&self, over: Version, budget: Duration) -> Answer<()> {
        match self.backend.delete(budget, Key::of(KeyKind::Sync), Expect::Is(over.0)).await {
            Ok(true) => Answer::Done(()),
            Ok(false) => Answer::Refused("somebody else changed the key".to_owned()),
            Err(error) => failed(error),
        }
    }

    /// Writes the history of timelines.
    pub async fn write_history(&self, rows: &[HistoryRow], budget: Duration) -> Answer<()> {
        self.put(KeyKind::History, encode_history(rows), Expect::Any, budget).await
    }

    /// Says which members have to be asked in failsafe mode.
    pub async fn write_failsafe(&self, members: &BTreeMap<String, String>, budget: Duration) -> Answer<()> {
        let value = serde_json::json!(members).to_string().into_bytes();
        self.put(KeyKind::Failsafe, value, Expect::Any, budget).await
    }

    /// Removes every key of the cluster.
    pub async fn delete_cluster(&self, budget: Duration) -> Answer<()> {
        match self.backend.delete_cluster(budget).await {
            Ok(()) => Answer::Done(()),
            Err(error) => failed(error),
        }
    }

    /// Ends the connection.
    pub async fn close(&self, budget: Duration) {
        self.backend.close(budget).await;
    }

    async fn put(&self, kind: KeyKind, value: Vec<u8>, expect: Expect, budget: Duration) -> Answer<()> {
        match self.backend.put(budget, Key::of(kind), value, expect).await {
            Ok(Some(_)) => Answer::Done(()),
            Ok(None) => Answer::Refused("somebody else changed the key".to_owned()),
            Err(error) => failed(error),
        }
    }
}

fn expect(over: Option<Version>) -> Expect {
    over.map_or(Expect::Any, |version| Expect::Is(version.0))
}

fn also(status: Option<&StatusView>) -> Vec<Write> {
    let status = status.map(|status| Write { key: Key::of(KeyKind::Status), value: encode_status(status) });
    status.into_iter().collect()
}

fn failed<T>(error: DcsError) -> Answer<T> {
    match error.kind {
        ErrorKind::Indeterminate | ErrorKind::Panic | ErrorKind::Internal | ErrorKind::Cancelled => {
            Answer::Unknown(error.message)
        }
        _ => Answer::Unreachable(error.message),
    }
}
