//! The backend itself: the operations of the contract, each a request or two.

use crate::call::Agent;
use crate::config::{Config, Fixed, SETTINGS};
use crate::memory::Memory;
use crate::service::Catalogue;
use crate::session::Session;
use regent_dcs_common::{Keys, Runtime, clock};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, Entry, ErrorKind, Expect, Key, Lease, OpenArgs, Result, Snapshot,
    WatchEnd, Write,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shorter sessions end before they can be renewed. Servers grant none below ten seconds, unless they are told to.
const TTL_MIN: Duration = Duration::from_secs(2);

/// Servers grant no longer session.
pub(crate) const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// A transaction's usual limit is 512 KiB, and values grow by a third in it.
const VALUE_BYTES_MAX: u64 = 256 << 10;

/// One member's object.
pub struct Consul {
    fixed: Fixed,
    runtime: Arc<Runtime>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) keys: Keys,
    pub(crate) scope: String,
    pub(crate) loop_wait: Duration,
    ttl_ms: AtomicU64,
    pub(crate) session: tokio::sync::Mutex<Session>,
    pub(crate) catalogue: tokio::sync::Mutex<Catalogue>,
    memory: Mutex<Memory>,
    /// A transaction on the lock went unanswered: it may be applied yet, as long as the session in it lives.
    pub(crate) lock_unsure: AtomicBool,
}

impl Backend for Consul {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self> {
        let config = Config::read(&args.config_json)?;
        let runtime = Arc::new(Runtime::new("consul")?);
        let bell = Arc::downgrade(&runtime);
        cancellations.on_cancel(move |_| {
            if let Some(runtime) = bell.upgrade() {
                runtime.ring();
            }
        });
        let agent = Arc::new(Agent::new(&config.fixed, config.soft, args.retry_timeout)?);
        let name = format!("{}-{}", args.scope, args.member);
        let session = Session::new(Arc::clone(&agent), name, config.fixed.checks.clone(), args.loop_wait);
        let keys = Keys::relative(&args.namespace, &args.scope, &args.member);
        Ok(Consul {
            fixed: config.fixed,
            runtime,
            agent,
            scope: args.scope.clone(),
            loop_wait: args.loop_wait,
            ttl_ms: AtomicU64::new(millis(args.ttl)),
            session: tokio::sync::Mutex::new(session),
            catalogue: tokio::sync::Mutex::default(),
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
        Config::read(config_json).map(drop)
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
        // The session in use is for another time: the next use makes a new one.
        self.ttl_ms.store(millis(ttl), Ordering::Release);
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        let config = Config::read(config_json)?;
        let applies = config.fixed == self.fixed;
        if applies {
            self.agent.change(config.soft);
        }
        Ok(applies)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.remove_all(&cx))
    }

    fn close(&self, cx: Cx) -> Result<()> {
        self.runtime.close(cx.left());
        Ok(())
    }
}

impl Consul {
    /// How long the lock is to live.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms.load(Ordering::Acquire))
    }

    /// What is known of the keys. Not to be held over a wait.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, cx: &Cx) -> Result<Snapshot> {
        let begun = clock::now();
        let (kvs, index) = self.agent.read(cx, self.keys.prefix()).await?;
        self.memory().load(&kvs, index, begun);
        let entries = kvs.into_iter().filter_map(|kv| {
            Some(Entry {
                key: self.keys.key(kv.key.as_bytes())?,
                value: kv.value,
                version: kv.index.to_string(),
                session: kv.session,
            })
        });
        Ok(Snapshot { entries: entries.collect(), cursor: index.to_string() })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
