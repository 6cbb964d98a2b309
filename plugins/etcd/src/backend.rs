//! The backend itself: the operations of the contract, each a request or two.

use crate::api::{Request, Said, failed};
use crate::call::Servers;
use crate::memory::{self, Memory};
use regent_dcs_common::etcd::{Config, SETTINGS};
use regent_dcs_common::retry::Repeat;
use regent_dcs_common::{Keys, Runtime};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, ErrorKind, Expect, Key, Lease, OpenArgs, Result, Snapshot, WatchEnd,
    Write,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The servers look for what has ended every half second.
const TTL_MIN: Duration = Duration::from_secs(2);

/// Longer would be of no use.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// A server's usual limit for one request is 1.5 MiB, and values grow by a third where they are no text.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// One member's object.
pub struct Etcd {
    runtime: Arc<Runtime>,
    pub(crate) servers: Arc<Servers>,
    pub(crate) keys: Keys,
    pub(crate) loop_wait: Duration,
    ttl_seconds: AtomicU64,
    memory: Mutex<Memory>,
}

impl Backend for Etcd {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self> {
        let config = Config::read("etcd", &args.config_json)?;
        let runtime = Arc::new(Runtime::new("etcd")?);
        let bell = Arc::downgrade(&runtime);
        cancellations.on_cancel(move |_| {
            if let Some(runtime) = bell.upgrade() {
                runtime.ring();
            }
        });
        let keys = Keys::new(&args.namespace, &args.scope, &args.member);
        Ok(Etcd {
            runtime,
            servers: Arc::new(Servers::new(config, args)?),
            loop_wait: args.loop_wait,
            ttl_seconds: AtomicU64::new(seconds(args.ttl)),
            memory: Mutex::new(Memory::new(keys.clone())),
            keys,
        })
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            native_watch: true,
            atomic_multi_write: false,
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
        Config::read("etcd", config_json).map(drop)
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
        let ttl = Duration::from_secs(seconds(ttl));
        self.ttl_seconds.store(ttl.as_secs(), Ordering::Release);
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        // Nothing here is kept on a connection: other servers, another name or other certificates change nothing else.
        self.servers.change(Config::read("etcd", config_json)?)?;
        Ok(true)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.runtime.call(&cx, ErrorKind::Indeterminate, self.remove_all(&cx))
    }

    fn close(&self, cx: Cx) -> Result<()> {
        self.runtime.close(cx.left());
        Ok(())
    }
}

impl Etcd {
    /// How long the lock and the member's key are to live.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds.load(Ordering::Acquire))
    }

    /// What is known of the keys. Not to be held over a wait.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, cx: &Cx) -> Result<Snapshot> {
        let answer = self.servers.run(cx, Repeat::Read, &Request::read(self.keys.prefix())).await?;
        let nodes = match answer.said {
            Said::Done(event) => event.node.keys(),
            // Nothing was ever written, or all was removed.
            Said::No(_) => Vec::new(),
            Said::Cleared => return Err(odd()),
        };
        let place = answer.place;
        self.memory().load(&nodes, place.clone());
        let entries = nodes.iter().filter_map(|node| memory::entry(&self.keys, node));
        Ok(Snapshot { entries: entries.collect(), cursor: place.text() })
    }
}

/// Whole seconds, and rather more.
fn seconds(ttl: Duration) -> u64 {
    let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

/// An answer to another question.
pub(crate) fn odd() -> regent_plugin_sdk::DcsError {
    failed(ErrorKind::Indeterminate, "an answer that makes no sense")
}
