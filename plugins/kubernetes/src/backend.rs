//! The backend itself: the operations of the contract, each a request or two.

use crate::call::{Repeat, Server, failed};
use crate::config::{Config, Fixed};
use crate::fields::{self, Annotations};
use crate::http::{Request, encoded};
use crate::memory::Memory;
use crate::object::{Object, list};
use crate::place::{Keeper, Place};
use crate::watch::Streams;
use regent_dcs_common::{Runtime, clock};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, Entry, ErrorKind, Expect, Key, KeyKind, Lease, OpenArgs, Result,
    Snapshot, WatchEnd, Write,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Objects tell their ttl in whole seconds.
const TTL_MIN: Duration = Duration::from_secs(1);

const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// All annotations of an object may have 256 KiB together, and values that are no text grow by a third.
const VALUE_BYTES_MAX: u64 = 96 << 10;

/// One member's object.
pub struct Kubernetes {
    pub(crate) fixed: Fixed,
    runtime: Arc<Runtime>,
    pub(crate) server: Server,
    pub(crate) scope: String,
    pub(crate) member: String,
    pub(crate) loop_wait: Duration,
    ttl_s: AtomicU64,
    memory: Mutex<Memory>,
    pub(crate) streams: tokio::sync::Mutex<Streams>,
    /// The headless service is there, or may not be made.
    pub(crate) service_made: AtomicBool,
}

impl Backend for Kubernetes {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self> {
        let config = Config::read(&args.config_json)?;
        let runtime = Arc::new(Runtime::new("kubernetes")?);
        let bell = Arc::downgrade(&runtime);
        cancellations.on_cancel(move |_| {
            if let Some(runtime) = bell.upgrade() {
                runtime.ring();
            }
        });
        Ok(Kubernetes {
            server: Server::new(&config.fixed, config.soft, args.retry_timeout)?,
            fixed: config.fixed,
            runtime,
            scope: args.scope.clone(),
            member: args.member.clone(),
            loop_wait: args.loop_wait,
            ttl_s: AtomicU64::new(args.ttl.max(TTL_MIN).as_secs()),
            memory: Mutex::default(),
            streams: tokio::sync::Mutex::default(),
            service_made: AtomicBool::new(false),
        })
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            native_watch: true,
            atomic_multi_write: true,
            server_side_ttl: false,
            min_ttl: TTL_MIN,
            max_ttl: TTL_MAX,
            max_value_bytes: VALUE_BYTES_MAX,
        }
    }

    fn settings() -> &'static [&'static str] {
        crate::config::SETTINGS
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
        // The next renewal says so.
        let seconds = ttl.clamp(TTL_MIN, TTL_MAX).as_secs();
        self.ttl_s.store(seconds, Ordering::Release);
        Ok(Duration::from_secs(seconds))
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        let config = Config::read(config_json)?;
        let applies = config.fixed == self.fixed;
        if applies {
            self.server.change(config.soft);
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

impl Kubernetes {
    /// How long the lock is to live.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s.load(Ordering::Acquire))
    }

    /// What is known. Not to be held over a wait.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The labels of all that belongs to the cluster.
    pub(crate) fn labels(&self) -> Annotations {
        let mut labels = self.fixed.labels.clone();
        labels.insert(self.fixed.scope_label.clone(), self.scope.clone());
        labels
    }

    /// The path of a resource's collection.
    pub(crate) fn collection(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", encoded(&self.fixed.namespace))
    }

    /// The path of an object.
    pub(crate) fn path(&self, place: Place) -> String {
        let keeper = self.fixed.keeper;
        format!("{}/{}", self.collection(keeper.resource()), encoded(&keeper.name(&self.scope, place)))
    }

    /// The path of this member's pod.
    pub(crate) fn own_pod(&self) -> String {
        format!("{}/{}", self.collection("pods"), encoded(&self.member))
    }

    /// A collection, narrowed to the cluster.
    pub(crate) fn selection(&self, resource: &str) -> String {
        let labels = self.labels();
        let selector = labels.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(",");
        format!("{}?labelSelector={}", self.collection(resource), encoded(&selector))
    }

    /// Which group an object of that name is.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        Place::ALL.into_iter().find(|place| self.fixed.keeper.name(&self.scope, *place) == name)
    }

    /// All keys. Both lists come from the store behind the servers, not from some server's memory.
    async fn read(&self, cx: &Cx) -> Result<Snapshot> {
        let keeper: Keeper = self.fixed.keeper;
        let (objects, pods) = tokio::try_join!(self.list(cx, keeper.resource()), self.list(cx, "pods"))?;
        // Only now: what the answer tells was true before.
        let at = clock::now();
        let places: BTreeMap<Place, Object> =
            objects.0.into_iter().filter_map(|object| Some((self.place(&object.name)?, object))).collect();
        let cursor = format!("{} {}", objects.1, pods.1);
        let mut entries = Vec::new();
        for pod in &pods.0 {
            let key = Key { kind: KeyKind::Member, name: pod.name.clone() };
            let value = fields::read(&key, &pod.annotations);
            entries.extend(value.map(|value| entry(key, value, pod)));
        }
        let mut memory = self.memory();
        memory.load(places.clone(), pods.0, cursor.clone(), at);
        let ended = memory.end_of_lock(self.ttl()).is_none_or(|end| end <= at);
        drop(memory);
        for (place, object) in &places {
            let known = place.kinds().iter().map(|kind| Key::of(*kind));
            let others = if *place == Place::Leader { fields::others(&object.annotations) } else { Vec::new() };
            for key in known.chain(others).filter(|key| !(ended && key.kind == KeyKind::Leader)) {
                let value = fields::read(&key, &object.annotations);
                let value = value.filter(|value| key.kind != KeyKind::Leader || !value.is_empty());
                entries.extend(value.map(|value| entry(key, value, object)));
            }
        }
        Ok(Snapshot { entries, cursor })
    }

    pub(crate) async fn list(&self, cx: &Cx, resource: &str) -> Result<(Vec<Object>, String)> {
        let request = Request::get(self.selection(resource));
        let reply = self.server.run(cx, Repeat::Read, &request, &[]).await?.reply;
        let listed = if reply.status == 200 { list(&reply.body) } else { None };
        listed.ok_or_else(|| failed(ErrorKind::Unavailable, &format!("the list of {resource}: {}", reply.text())))
    }
}

fn entry(key: Key, value: Vec<u8>, object: &Object) -> Entry {
    // The lock's session is its holder: Kubernetes knows no other.
    let session =
        if key.kind == KeyKind::Leader { String::from_utf8_lossy(&value).into_owned() } else { String::new() };
    Entry { key, value, version: object.version.clone(), session }
}
