//! The backend itself: the operations of the contract, each an exchange or two.

use crate::Ensemble;
use crate::call::{Answer, Repeat, failed, run};
use crate::config::{Common, Pace};
use crate::memory::Memory;
use crate::message::Op;
use crate::path::Paths;
use crate::session::{Held, Session};
use crate::transport::Connector;
use crate::tree::{Nodes, Reading, Wants, is_folder};
use regent_dcs_common::{Runtime, Section, clock};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, Entry, ErrorKind, Expect, Key, Lease, OpenArgs, Result, Snapshot,
    WatchEnd, Write,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Servers count sessions in ticks, and grant two of them at least: no usual one grants less than a second.
const TTL_MIN: Duration = Duration::from_secs(1);

/// Servers grant what they are set up for, which is forty seconds unless they are told otherwise.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// A server's usual limit for a message is a mebibyte; a transaction holds more than one value.
const VALUE_BYTES_MAX: u64 = 256 << 10;

/// How often a reading is made again because something changed while it was made.
const READINGS: usize = 100;

/// How long the server is waited for when the object ends.
const GOODBYE: Duration = Duration::from_millis(500);

/// One member's object.
pub struct ZooKeeper<E: Ensemble> {
    place: E::Place,
    chroot: String,
    common: Common,
    runtime: Arc<Runtime>,
    session: Session<E>,
    pub(crate) paths: Paths,
    ttl_ms: AtomicU64,
    loop_wait_ms: AtomicU64,
    memory: Mutex<Memory>,
    /// Some node may hang on the session.
    pub(crate) holds: AtomicBool,
    /// When the daemon last did something, in milliseconds of the boot-time clock.
    active_ms: AtomicU64,
}

/// What a section says.
struct Config<E: Ensemble> {
    place: E::Place,
    chroot: String,
    common: Common,
    /// The host copies it into the section.
    loop_wait: Option<Duration>,
}

impl<E: Ensemble> Config<E> {
    fn read(config_json: &str) -> Result<Config<E>> {
        let section = Section::read(E::NAME, config_json)?;
        let (place, chroot) = E::read(&section)?;
        let loop_wait = section.text("loop_wait")?.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        Ok(Config { place, chroot, common: Common::read(&section)?, loop_wait })
    }
}

impl<E: Ensemble> Backend for ZooKeeper<E> {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self> {
        let config = Config::<E>::read(&args.config_json)?;
        let runtime = Arc::new(Runtime::new(E::NAME)?);
        let bell = Arc::downgrade(&runtime);
        cancellations.on_cancel(move |_| {
            if let Some(runtime) = bell.upgrade() {
                runtime.ring();
            }
        });
        let connector = Connector::new(config.common.tls.as_ref()).map_err(|why| failed(ErrorKind::Invalid, &why))?;
        let paths = Paths::new(&config.chroot, &args.namespace, &args.scope, &args.member);
        let pace = Pace { loop_wait: args.loop_wait };
        // Members begin with different servers.
        let turn = args.member.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let session = Session::new(E::new(config.place.clone())?, connector, config.common.clone(), pace, turn);
        Ok(ZooKeeper {
            place: config.place,
            chroot: config.chroot,
            common: config.common,
            runtime,
            session,
            ttl_ms: AtomicU64::new(millis(args.ttl.clamp(TTL_MIN, TTL_MAX))),
            loop_wait_ms: AtomicU64::new(millis(args.loop_wait)),
            memory: Mutex::new(Memory::new(paths.clone())),
            paths,
            holds: AtomicBool::new(false),
            active_ms: AtomicU64::new(0),
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

    fn check_config(config_json: &str) -> Result<()> {
        Config::<E>::read(config_json).map(drop)
    }

    fn load(&self, cx: Cx) -> Result<Snapshot> {
        self.call(&cx, ErrorKind::Unavailable, self.snapshot(&cx))
    }

    fn acquire_leader(&self, cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        self.call(&cx, ErrorKind::Indeterminate, self.acquire(&cx, value, also))
    }

    fn renew_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        self.call(&cx, ErrorKind::Indeterminate, self.renew(&cx, lease, also))
    }

    fn release_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        self.call(&cx, ErrorKind::Indeterminate, self.release(&cx, lease, also))
    }

    fn touch_member(&self, cx: Cx, value: &[u8]) -> Result<String> {
        self.call(&cx, ErrorKind::Indeterminate, self.touch(&cx, value))
    }

    fn put(&self, cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        self.call(&cx, ErrorKind::Indeterminate, self.write(&cx, key, value, expect))
    }

    fn delete(&self, cx: Cx, key: &Key, expect: &Expect) -> Result<bool> {
        self.call(&cx, ErrorKind::Indeterminate, self.remove(&cx, key, expect))
    }

    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd> {
        match self.runtime.call(&cx, ErrorKind::Unavailable, self.listen(&cx, cursor)) {
            Err(error) if error.kind == ErrorKind::Cancelled => Ok(WatchEnd::Cancelled),
            other => other,
        }
    }

    fn set_ttl(&self, ttl: Duration) -> Result<Duration> {
        let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
        // The session in use was agreed upon for another time: the next use agrees anew.
        self.ttl_ms.store(millis(ttl), Ordering::Release);
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        let config = Config::<E>::read(config_json)?;
        if config.place != self.place || config.common != self.common || config.chroot != self.chroot {
            return Ok(false);
        }
        let loop_wait = config.loop_wait.filter(|loop_wait| *loop_wait != self.loop_wait());
        if let Some(loop_wait) = loop_wait {
            self.loop_wait_ms.store(millis(loop_wait), Ordering::Release);
            self.session.set_pace(Pace { loop_wait });
            self.session.reconnect();
        }
        Ok(true)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.call(&cx, ErrorKind::Indeterminate, self.remove_all(&cx))
    }

    fn close(&self, cx: Cx) -> Result<()> {
        // What hangs on the session is left to end with it: this member may be about to be opened anew.
        if !self.holds.load(Ordering::Acquire) && self.session.connected().is_some() {
            let goodbye = async {
                drop(tokio::time::timeout(GOODBYE.min(cx.left() / 2), self.session.close()).await);
                Ok(())
            };
            drop(self.runtime.call(&cx, ErrorKind::Unavailable, goodbye));
        }
        self.runtime.close(cx.left());
        Ok(())
    }
}

impl<E: Ensemble> ZooKeeper<E> {
    /// One of the daemon's own calls: it shows that its loop goes on.
    fn call<T>(&self, cx: &Cx, late: ErrorKind, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.active_ms.store(millis(clock::now()), Ordering::Release);
        self.runtime.call(cx, late, work)
    }

    /// How long the daemon has done nothing.
    pub(crate) fn idle(&self) -> Duration {
        clock::now().saturating_sub(Duration::from_millis(self.active_ms.load(Ordering::Acquire)))
    }

    /// How long the lock is to live.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms.load(Ordering::Acquire))
    }

    /// Time between heartbeats.
    pub(crate) fn loop_wait(&self) -> Duration {
        Duration::from_millis(self.loop_wait_ms.load(Ordering::Acquire))
    }

    /// What is known of the nodes. Not to be held over a wait.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, and the connection under it.
    pub(crate) fn session(&self) -> &Session<E> {
        &self.session
    }

    /// Asks until there are answers.
    pub(crate) async fn ask(&self, cx: &Cx, repeat: Repeat, ops: &[Op<'_>]) -> Result<Answer> {
        run(&self.session, cx, (self.ttl(), repeat), ops).await
    }

    /// Reads all nodes, and whether it was at one moment is for the caller to see. With `sync` it shows all that was
    /// written before; we are told of the next change of whatever is read.
    pub(crate) async fn survey(&self, cx: &Cx, sync: bool) -> Result<Option<Reading>> {
        let root = self.paths.root();
        let mut reading = Reading::of(root);
        let mut wants = reading.guess(self.memory().known());
        let mut first = sync.then_some(Op::Sync(root));
        while wants != Wants::default() {
            let sync = first.take();
            let before = usize::from(sync.is_some());
            let ops: Vec<_> = sync.into_iter().chain(wants.ops(root, true)).collect();
            let answer = self.ask(cx, Repeat::Read, &ops).await?;
            if !reading.add(&wants, &answer, before)? {
                return Ok(None);
            }
            wants = reading.wants();
        }
        Ok(Some(reading))
    }

    async fn snapshot(&self, cx: &Cx) -> Result<Snapshot> {
        for _ in 0..READINGS {
            let told = *self.session.shared.news.borrow();
            let Some(reading) = self.survey(cx, true).await? else { continue };
            if let Some(nodes) = reading.at_one_moment() {
                self.memory().load(&nodes, reading.since(), (reading.serial(), told));
                return Ok(self.entries(nodes, reading.since()));
            }
        }
        Err(failed(ErrorKind::Unavailable, "the nodes changed during each reading"))
    }

    fn entries(&self, nodes: Nodes, since: i64) -> Snapshot {
        let is_key = |path: &str, node: &crate::tree::Node| {
            let above_others = node.stat.children > 0 && node.value.is_empty();
            !is_folder(self.paths.root(), path) && !above_others
        };
        let entries = nodes.into_iter().filter(|(path, node)| is_key(path, node)).filter_map(|(path, node)| {
            Some(Entry {
                key: self.paths.key(&path)?,
                value: node.value,
                version: node.stat.modified.to_string(),
                session: session_text(node.stat.owner),
            })
        });
        Snapshot { entries: entries.collect(), cursor: since.to_string() }
    }

    pub(crate) fn lease(&self, held: &Held, version: i64) -> Lease {
        Lease { session: session_text(held.id), version: version.to_string(), ttl: held.ttl }
    }
}

/// A session's number as others show it; nothing for none.
pub(crate) fn session_text(id: i64) -> String {
    if id == 0 { String::new() } else { format!("{id:x}") }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
