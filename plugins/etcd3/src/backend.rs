//! The backend itself: the operations of the contract, each a request or two.

use crate::call::{Repeat, Servers};
use crate::memory::Memory;
use crate::session::{Pace, Session};
use crate::transport::{Timing, Transport};
use crate::watch::{Cursor, Watching};
use etcd_client::{DeleteOptions, GetOptions};
use regent_dcs_common::etcd::{Config, SETTINGS};
use regent_dcs_common::{Keys, Runtime, clock};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, DcsError, Entry, ErrorKind, Expect, Key, Lease, OpenArgs, Result,
    Snapshot, WatchEnd, Write,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The servers grant no shorter lease with their usual timing.
const TTL_MIN: Duration = Duration::from_secs(2);

/// Longer would be of no use.
pub(crate) const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// A server's usual limit for one request is 1.5 MiB.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// One member's object.
pub struct Etcd3 {
    config: Config,
    runtime: Arc<Runtime>,
    pub(crate) servers: Arc<Servers>,
    pub(crate) keys: Keys,
    pub(crate) loop_wait: Duration,
    ttl_ms: AtomicU64,
    pub(crate) session: tokio::sync::Mutex<Session>,
    pub(crate) watching: tokio::sync::Mutex<Watching>,
    memory: Mutex<Memory>,
    /// A transaction on the lock went unanswered: it may be applied yet, as long as the lease in it lives.
    pub(crate) lock_unsure: AtomicBool,
}

impl Backend for Etcd3 {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self> {
        let config = Config::read("etcd3", &args.config_json)?;
        let runtime = Arc::new(Runtime::new("etcd3")?);
        let bell = Arc::downgrade(&runtime);
        cancellations.on_cancel(move |_| {
            if let Some(runtime) = bell.upgrade() {
                runtime.ring();
            }
        });
        let keys = Keys::new(&args.namespace, &args.scope, &args.member);
        let pace = Pace { loop_wait: args.loop_wait, retry_timeout: args.retry_timeout };
        let timing = Timing { ttl: args.ttl, loop_wait: args.loop_wait, retry_timeout: args.retry_timeout };
        let servers = Arc::new(Servers::new(Transport::new(config.clone(), timing), args.ttl));
        Ok(Etcd3 {
            config,
            runtime,
            session: tokio::sync::Mutex::new(Session::new(Arc::clone(&servers), pace)),
            servers,
            loop_wait: args.loop_wait,
            ttl_ms: AtomicU64::new(millis(args.ttl)),
            watching: tokio::sync::Mutex::default(),
            memory: Mutex::new(Memory::new(keys.clone())),
            lock_unsure: AtomicBool::new(false),
            keys,
        })
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            native_watch: true,
            atomic_multi_write: true,
            server_side_ttl: true,
            min_ttl: TTL_MIN,
            max_ttl: TTL_MAX,
            max_value_bytes: VALUE_BYTES_MAX,
        }
    }

    fn settings() -> &'static [&'static str] {
        SETTINGS
    }

    fn check_config(config_json: &str) -> Result<()> {
        Config::read("etcd3", config_json).map(drop)
    }

    fn load(&self, cx: Cx) -> Result<Snapshot> {
        self.runtime.call(&cx, ErrorKind::Unavailable, self.read(&cx))
    }

    fn acquire_leader(&self, cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.acquire(&cx, value, also))
    }

    fn renew_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.renew(&cx, lease, also))
    }

    fn release_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.release(&cx, lease, also))
    }

    fn touch_member(&self, cx: Cx, value: &[u8]) -> Result<String> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.touch(&cx, value))
    }

    fn put(&self, cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.write(&cx, key, value, expect))
    }

    fn delete(&self, cx: Cx, key: &Key, expect: &Expect) -> Result<bool> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.remove(&cx, key, expect))
    }

    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd> {
        match self.runtime.call(&cx, ErrorKind::Unavailable, self.listen(&cx, cursor)) {
            Err(error) if error.kind == ErrorKind::Cancelled => Ok(WatchEnd::Cancelled),
            other => other,
        }
    }

    fn set_ttl(&self, ttl: Duration) -> Result<Duration> {
        let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
        // The lease in use is for another time: the next use grants a new one.
        self.ttl_ms.store(millis(ttl), Ordering::Release);
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        Ok(Config::read("etcd3", config_json)? == self.config)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.remove_all(&cx))
    }

    fn close(&self, cx: Cx) -> Result<()> {
        self.runtime.close(cx.left());
        Ok(())
    }
}

impl Etcd3 {
    /// How long leases are to live.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms.load(Ordering::Acquire))
    }

    /// What is known of the keys. Not to be held over a wait.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, cx: &Cx) -> Result<Snapshot> {
        let begun = clock::now();
        let answer = self.servers.run(cx, Repeat::Read, async |connection| {
            Ok(connection.kv().get(self.keys.prefix(), Some(GetOptions::new().with_prefix())).await?)
        });
        let answer = answer.await?.value;
        let header = answer.header().ok_or_else(|| DcsError::new(ErrorKind::Internal, "an answer without a header"))?;
        let cursor = Cursor { cluster: header.cluster_id(), revision: header.revision() };
        self.memory().reading(answer.kvs(), cursor.revision, begun);
        let entries = answer.kvs().iter().filter_map(|kv| {
            Some(Entry {
                key: self.keys.key(kv.key())?,
                value: kv.value().to_vec(),
                version: kv.mod_revision().to_string(),
                session: if kv.lease() == 0 { String::new() } else { kv.lease().to_string() },
            })
        });
        Ok(Snapshot { entries: entries.collect(), cursor: cursor.text() })
    }

    async fn remove_all(&self, cx: &Cx) -> Result<()> {
        // A second try could remove what was begun anew after the first.
        let answer = self.servers.run(cx, Repeat::Once, async |connection| {
            Ok(connection.kv().delete(self.keys.prefix(), Some(DeleteOptions::new().with_prefix())).await?)
        });
        let answer = answer.await?.value;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        self.memory().reading(&[], revision, clock::now());
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
