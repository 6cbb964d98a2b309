//! The backend itself, a client of the server; where a rule is broken, the fault is named.

use crate::fault::{Config, Fault};
use crate::link::{Link, Lost};
use crate::wire::{Condition, Place, Request, Response, Written, bytes_of, text_of};
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, DcsError, Entry, ErrorKind, Expect, Key, KeyKind, Lease, OpenArgs,
    Result, Snapshot, WatchEnd, Write,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks of a watch.
const LOOK: Duration = Duration::from_millis(20);

/// An object on a server in memory.
pub struct Mutant {
    fault: Fault,
    panics_in: String,
    mood: Option<PathBuf>,
    calls: Link,
    watching: Link,
    scope: String,
    member: String,
    session: String,
    ttl: Mutex<Duration>,
    held_at: Mutex<Instant>,
    cancelled: Arc<AtomicU64>,
}

fn leader() -> Key {
    Key::of(KeyKind::Leader)
}

fn odd() -> DcsError {
    DcsError::new(ErrorKind::Internal, "an answer to another question")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mutant {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn ttl(&self) -> Duration {
        *lock(&self.ttl)
    }

    fn mood(&self) -> Option<String> {
        let mood = std::fs::read_to_string(self.mood.as_ref()?).ok()?;
        Some(mood.trim().to_owned())
    }

    fn may_panic(&self, entry: &str) {
        assert!(self.panics_in != entry, "{entry} was asked to panic");
        match self.mood().as_deref() {
            Some("crash") => std::process::abort(),
            Some("panic") => panic!("{entry} is in no mood"),
            // For ever, and for longer than any budget.
            Some("hang") => loop {
                std::thread::park();
            },
            Some("overrun") => std::thread::park_timeout(Duration::from_secs(60)),
            _ => {}
        }
    }

    /// A reading is asked for again over a new connection: the old one may have ended while nobody looked.
    fn read(&self, link: &Link, cx: &Cx) -> Result<(Vec<Entry>, u64)> {
        let request = Request::Read { scope: self.scope.clone() };
        let left = || cx.left();
        let answer = link.ask(&request, &left).or_else(|_| link.ask(&request, &left));
        let answer = answer.map_err(|lost| match lost {
            Lost::Unsent(why) | Lost::Unsure(why) => DcsError::new(ErrorKind::Unavailable, why),
        });
        let Response::State { found, changes } = answer? else { return Err(odd()) };
        let entries = found.into_iter().map(|found| Entry {
            key: found.key.key(),
            value: bytes_of(&found.text),
            version: found.version.to_string(),
            session: found.session,
        });
        Ok((entries.collect(), changes))
    }

    /// The version of what was changed; `None` if it was not as it must be.
    fn write(&self, cx: &Cx, request: &Request) -> Result<Option<u64>> {
        let answer = self.calls.ask(request, &|| cx.left()).map_err(|lost| match lost {
            Lost::Unsure(why) if !self.is(Fault::SurelyNot) => DcsError::new(ErrorKind::Indeterminate, why),
            Lost::Unsent(why) | Lost::Unsure(why) => DcsError::new(ErrorKind::Unavailable, why),
        });
        match answer? {
            Response::Done(version) => Ok(Some(version)),
            Response::Refused => Ok(None),
            Response::State { .. } => Err(odd()),
        }
    }

    fn change(&self, key: &Key, when: Condition, write: Option<Written>, also: &[Write]) -> Request {
        let also = also.iter().map(|write| (Place::of(&write.key), text_of(&write.value))).collect();
        Request::Change { scope: self.scope.clone(), key: Place::of(key), when, write, also }
    }

    fn hold(&self, cx: &Cx, when: Condition, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let ttl = self.ttl();
        let lives = match self.fault {
            Fault::NeverExpires => ttl * 1000,
            Fault::ExpiresEarly => ttl / 2,
            _ => ttl,
        };
        let lives_ms = u64::try_from(lives.as_millis()).ok();
        let written = Written { text: text_of(value), session: self.session.clone(), lives_ms };
        let torn = self.is(Fault::TornWrites);
        let along = if torn { &[] } else { also };
        let Some(version) = self.write(cx, &self.change(&leader(), when, Some(written), along))? else {
            return Ok(None);
        };
        *lock(&self.held_at) = now();
        for one in also.iter().filter(|_| torn) {
            self.write(cx, &self.change(&one.key, Condition::Any, Some(lasting(&one.value)), &[]))?;
            // Long beside the rest of a renewal: most readings fall into it.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(Some(Lease { session: self.session.clone(), version: version.to_string(), ttl }))
    }

    fn condition(&self, expect: &Expect) -> Condition {
        match expect {
            _ if self.is(Fault::IgnoresVersions) => Condition::Any,
            Expect::Any => Condition::Any,
            Expect::Absent => Condition::Absent,
            Expect::Is(version) => Condition::Version(version.clone()),
        }
    }
}

fn lasting(value: &[u8]) -> Written {
    Written { text: text_of(value), session: String::new(), lives_ms: None }
}

impl Backend for Mutant {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Mutant> {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let config = Config::read(&args.config_json)?;
        assert!(config.panics_in != "open", "open was asked to panic");
        let cancelled = Arc::new(AtomicU64::new(0));
        let (count, panics) = (Arc::clone(&cancelled), config.panics_in == "cancel");
        cancellations.on_cancel(move |_| {
            assert!(!panics, "cancel was asked to panic");
            count.fetch_add(1, Ordering::SeqCst);
        });
        match config.fault {
            Fault::LeavesThreads => drop(std::thread::spawn(std::thread::park)),
            Fault::LeavesFiles => std::mem::forget(std::fs::File::open("/dev/null")),
            Fault::LeavesMemory => std::mem::forget(vec![1_u8; 256 << 10]),
            Fault::ChangesFolder => drop(std::env::set_current_dir("/proc")),
            _ => {}
        }
        let session = SESSIONS.fetch_add(1, Ordering::SeqCst);
        Ok(Mutant {
            fault: config.fault,
            panics_in: config.panics_in,
            mood: config.mood,
            calls: Link::new(config.server, config.fault),
            watching: Link::new(config.server, config.fault),
            scope: args.scope.clone(),
            member: args.member.clone(),
            session: format!("{}-{session}", std::process::id()),
            ttl: Mutex::new(args.ttl),
            held_at: Mutex::new(now()),
            cancelled,
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
        let config = Config::read(config_json)?;
        assert!(config.panics_in != "check_config", "check_config was asked to panic");
        Ok(())
    }

    fn load(&self, cx: Cx) -> Result<Snapshot> {
        self.may_panic("load");
        let (mut entries, changes) = self.read(&self.calls, &cx)?;
        if self.mood().as_deref() == Some("garbage") {
            for entry in &mut entries {
                entry.value = b"{\xff\x00 no text at all".to_vec();
                entry.version = "\u{1}".to_owned();
            }
        }
        Ok(Snapshot { entries, cursor: changes.to_string() })
    }

    fn acquire_leader(&self, cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        self.may_panic("acquire_leader");
        let when = match self.fault {
            Fault::LockForAll => Condition::Any,
            Fault::NotReentrant => Condition::Absent,
            _ => Condition::AbsentOrValue(text_of(value)),
        };
        self.hold(&cx, when, value, also)
    }

    fn renew_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        self.may_panic("renew_leader");
        let paused = now().duration_since(*lock(&self.held_at)) > self.ttl();
        let when = match self.fault {
            Fault::RenewsExpired => Condition::AbsentOrSession(lease.session.clone()),
            Fault::TakesBack if paused => Condition::Any,
            _ => Condition::Session(lease.session.clone()),
        };
        match self.hold(&cx, when, self.member.as_bytes(), also) {
            Err(_) if self.is(Fault::LostWithoutServer) => Ok(None),
            answer => answer,
        }
    }

    fn release_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        self.may_panic("release_leader");
        let session = lease.session.clone();
        let when = if self.is(Fault::ReleasesAnybodys) { Condition::Any } else { Condition::Session(session) };
        Ok(self.write(&cx, &self.change(&leader(), when, None, also))?.is_some())
    }

    fn touch_member(&self, cx: Cx, value: &[u8]) -> Result<String> {
        self.may_panic("touch_member");
        let name = if self.is(Fault::OneMemberKey) { "any" } else { &self.member };
        let key = Key { kind: KeyKind::Member, name: name.to_owned() };
        let version = self.write(&cx, &self.change(&key, Condition::Any, Some(lasting(value)), &[]))?;
        version.map(|version| version.to_string()).ok_or_else(odd)
    }

    fn put(&self, cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        self.may_panic("put");
        if self.is(Fault::DropsUnknownKinds) && matches!(key.kind, KeyKind::Other(_)) {
            return Ok(Some("0".to_owned()));
        }
        let text = String::from_utf8_lossy(value);
        let value = if self.is(Fault::ValuesAsText) { text.as_bytes() } else { value };
        let change = self.change(key, self.condition(expect), Some(lasting(value)), &[]);
        Ok(self.write(&cx, &change)?.map(|version| version.to_string()))
    }

    fn delete(&self, cx: Cx, key: &Key, expect: &Expect) -> Result<bool> {
        self.may_panic("delete");
        Ok(self.write(&cx, &self.change(key, self.condition(expect), None, &[]))?.is_some())
    }

    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd> {
        self.may_panic("watch");
        let mut from = cursor.to_owned();
        let mut first = true;
        loop {
            let any = self.is(Fault::CancelsAny) && self.cancelled.load(Ordering::SeqCst) > 0;
            if any || (cx.cancelled() && !self.is(Fault::IgnoresCancel)) {
                return Ok(WatchEnd::Cancelled);
            }
            let at = match self.read(&self.watching, &cx) {
                Err(_) if cx.left() <= LOOK => return Ok(WatchEnd::Deadline),
                answer => answer?.1.to_string(),
            };
            if first && self.is(Fault::LosesChanges) {
                from.clone_from(&at);
            }
            first = false;
            if at != from || self.is(Fault::AlwaysChanged) {
                return Ok(WatchEnd::Changed);
            }
            if cx.left() <= LOOK {
                return Ok(WatchEnd::Deadline);
            }
            std::thread::park_timeout(LOOK);
        }
    }

    fn set_ttl(&self, ttl: Duration) -> Result<Duration> {
        self.may_panic("set_ttl");
        if !self.is(Fault::IgnoresTtl) {
            *lock(&self.ttl) = ttl;
        }
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        self.may_panic("reload");
        Config::read(config_json)?;
        if self.is(Fault::ReloadDropsLock) {
            let left = || Duration::from_secs(5);
            drop(self.calls.ask(&self.change(&leader(), Condition::Any, None, &[]), &left));
        }
        Ok(true)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.may_panic("delete_cluster");
        let and_longer = self.is(Fault::RemovesByPrefix);
        self.write(&cx, &Request::Clear { scope: self.scope.clone(), and_longer }).map(drop)
    }

    fn close(&self, _cx: Cx) -> Result<()> {
        self.may_panic("close");
        self.calls.close();
        self.watching.close();
        Ok(())
    }
}

impl Drop for Mutant {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.may_panic("drop");
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a plugin has its own clock")]
fn now() -> Instant {
    Instant::now()
}
