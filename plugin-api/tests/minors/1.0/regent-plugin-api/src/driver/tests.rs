//! A backend that hangs is left behind and replaced; the caller hears in time, and what it hears is true.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test looks again until its deadline")]

use super::*;
use abi::{Call, DcsPlugin, Expect as AbiExpect, Key as AbiKey, Lease as AbiLease, Res, Version};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString};
use std::sync::atomic::AtomicUsize;

/// What the objects of a test share.
struct Stage {
    /// Objects opened so far.
    opened: AtomicUsize,
    /// How many of them, from the first on, wait in every call for the door to open.
    waiting: usize,
    door: Mutex<bool>,
    moved: Condvar,
    /// Calls begun so far.
    begun: AtomicUsize,
    /// With which sections objects were opened, and which they were told of.
    sections: Mutex<Vec<String>>,
}

impl Stage {
    const fn new(waiting: usize) -> Stage {
        let (opened, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Stage { opened, waiting, door: Mutex::new(false), moved: Condvar::new(), begun, sections: Mutex::new(Vec::new()) }
    }

    fn set_door(&self, open: bool) {
        *self.door.lock().unwrap() = open;
        self.moved.notify_all();
    }

    fn open_object(&'static self, args: &OpenArgs) -> RResult<BackendBox, abi::Error> {
        self.sections.lock().unwrap().push(format!("open {}", args.config_json));
        let waits = self.opened.fetch_add(1, Ordering::SeqCst) < self.waiting;
        RResult::ROk(abi::Backend_TO::from_value(Sometimes { stage: self, waits }, TD_Opaque))
    }
}

struct Sometimes {
    stage: &'static Stage,
    waits: bool,
}

impl Sometimes {
    fn answer<T>(&self, value: T) -> Res<T> {
        self.stage.begun.fetch_add(1, Ordering::SeqCst);
        if self.waits {
            drop(self.stage.moved.wait_while(self.stage.door.lock().unwrap(), |open| !*open).unwrap());
        }
        RResult::ROk(value)
    }
}

impl abi::Backend for Sometimes {
    fn load(&self, _: Call) -> Res<abi::Snapshot> {
        self.answer(abi::Snapshot { entries: RVec::new(), cursor: RString::from("1"), ext: RVec::new() })
    }

    fn acquire_leader(&self, _: Call, _: RSlice<'_, u8>, _: RSlice<'_, abi::Write>) -> Res<ROption<AbiLease>> {
        self.answer(ROption::RNone)
    }

    fn renew_leader(&self, _: Call, _: &AbiLease, _: RSlice<'_, abi::Write>) -> Res<ROption<AbiLease>> {
        self.answer(ROption::RNone)
    }

    fn release_leader(&self, _: Call, _: &AbiLease, _: RSlice<'_, abi::Write>) -> Res<bool> {
        self.answer(false)
    }

    fn touch_member(&self, _: Call, _: RSlice<'_, u8>) -> Res<Version> {
        self.answer(Version { token: RString::new() })
    }

    fn put(&self, _: Call, _: &AbiKey, _: RSlice<'_, u8>, _: &AbiExpect) -> Res<ROption<Version>> {
        self.answer(ROption::RNone)
    }

    fn delete(&self, _: Call, _: &AbiKey, _: &AbiExpect) -> Res<bool> {
        self.answer(true)
    }

    fn watch(&self, _: Call, _: RStr<'_>) -> Res<abi::WatchEnd> {
        self.answer(abi::WatchEnd::CHANGED)
    }

    fn cancel(&self, _: u64) {}

    fn set_ttl(&self, ttl_ms: u64) -> Res<u64> {
        self.answer(ttl_ms)
    }

    fn reload(&self, section: RStr<'_>) -> Res<abi::Reload> {
        self.stage.sections.lock().unwrap().push(section.to_string());
        match section.as_str() {
            "restart" => self.answer(abi::Reload::REOPEN_NEEDED),
            "nonsense" => convert::result_to(Err::<abi::Reload, _>(DcsError::new(ErrorKind::Invalid, "no sense")), |said| said),
            _ => self.answer(abi::Reload::APPLIED),
        }
    }

    fn delete_cluster(&self, _: Call) -> Res<()> {
        self.answer(())
    }

    fn close(&self, _: Call) -> Res<()> {
        self.answer(())
    }
}

extern "C" fn name() -> RStr<'static> {
    RStr::from_str("sometimes")
}

extern "C" fn capabilities() -> abi::Capabilities {
    abi::Capabilities { flags: 0, min_ttl_ms: 1, max_ttl_ms: 1, max_value_bytes: 1, ext: RVec::new() }
}

extern "C" fn check_config(_: RStr<'_>) -> Res<()> {
    RResult::ROk(())
}

/// A backend whose objects are on a stage of their own.
macro_rules! backend_on {
    ($stage:ident) => {{
        extern "C" fn open(args: OpenArgs) -> Res<BackendBox> {
            $stage.open_object(&args)
        }
        let root = DcsPlugin { name, capabilities, check_config, open }.leak_into_prefix();
        Backend::open(&Plugin::of_root(root), options()).await.unwrap()
    }};
}

fn options() -> OpenOptions {
    OpenOptions {
        namespace: String::new(),
        scope: "demo".to_owned(),
        member: "a".to_owned(),
        ttl: Duration::from_secs(20),
        loop_wait: Duration::from_secs(2),
        retry_timeout: Duration::from_secs(3),
        config_json: "{}".to_owned(),
    }
}

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

async fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, wait).await.is_ok(), "{what}");
}

#[tokio::test]
async fn an_object_that_hangs_is_replaced() {
    static STAGE: Stage = Stage::new(1);
    let backend = backend_on!(STAGE);
    // Long enough to be begun on a busy machine.
    let budget = Duration::from_millis(500);
    let error = backend.put(budget, Key::of(crate::KeyKind::Config), Vec::new(), Expect::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Indeterminate, "a write that hangs may have been applied");
    assert_eq!(backend.load(LONG).await.unwrap().cursor, "1", "a new object answers");
    assert_eq!(STAGE.opened.load(Ordering::SeqCst), 2);

    let mut changes = backend.changes();
    backend.set_cursor("1".to_owned());
    tokio::time::timeout(LONG, changes.changed()).await.unwrap().unwrap();
    backend.close(budget).await;
    assert_eq!(backend.load(budget).await.unwrap_err().kind, ErrorKind::Closed);
}

/// `make faults`: requests that waited behind each other while the store was silent cost one object after the other.
#[tokio::test]
async fn who_waits_behind_another_call_gives_up_and_costs_nothing() {
    static STAGE: Stage = Stage::new(1);
    let backend = backend_on!(STAGE);
    let slow = tokio::spawn({
        let backend = backend.clone();
        async move { backend.load(LONG).await }
    });
    eventually("the slow call begins", || STAGE.begun.load(Ordering::SeqCst) == 1).await;
    let error = backend.put(SHORT, Key::of(crate::KeyKind::Config), Vec::new(), Expect::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "a write that was not begun is surely not applied: {error}");
    STAGE.set_door(true);
    assert!(slow.await.unwrap().is_ok(), "the slow call has its own time");
    assert!(backend.load(LONG).await.is_ok());
    assert_eq!(STAGE.begun.load(Ordering::SeqCst), 2, "what was given up is not done later");
    assert_eq!(STAGE.opened.load(Ordering::SeqCst), 1);
}

/// A caller that is gone blames nobody; the next one does.
#[tokio::test]
async fn a_stuck_object_is_replaced_though_its_caller_is_gone() {
    static STAGE: Stage = Stage::new(1);
    let backend = backend_on!(STAGE);
    let gone = tokio::spawn({
        let backend = backend.clone();
        async move { backend.load(SHORT).await }
    });
    eventually("the call begins", || STAGE.begun.load(Ordering::SeqCst) == 1).await;
    gone.abort();
    eventually("the object is given up", || {
        let current = lock(&backend.shared.current).clone();
        current.is_none_or(|object| object.queue.is_stuck())
    })
    .await;
    assert_eq!(backend.load(SHORT).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(backend.load(LONG).await.is_ok());
    assert_eq!(STAGE.opened.load(Ordering::SeqCst), 2);
}

/// Each long silence of a store may leave an object behind: in the life of a daemon there are more than eight of them.
#[tokio::test]
async fn objects_that_come_back_are_forgiven() {
    static STAGE: Stage = Stage::new(usize::MAX);
    let backend = backend_on!(STAGE);
    while backend.shared.left_behind.load(Ordering::SeqCst) <= LEFT_BEHIND_MAX {
        STAGE.set_door(false);
        assert!(backend.load(SHORT).await.is_err(), "nobody opens the door");
        STAGE.set_door(true);
        eventually("it comes back", || backend.shared.missing.load(Ordering::SeqCst) == 0).await;
    }
    assert!(backend.load(LONG).await.is_ok());
}

/// CONS-08: what a backend takes while it runs counts for the objects to come; what it does not take changes nothing.
#[tokio::test]
async fn a_new_section_reaches_the_object() {
    static STAGE: Stage = Stage::new(0);
    let backend = backend_on!(STAGE);
    for section in ["taken", "restart", "nonsense"] {
        backend.reload(section.to_owned());
    }
    // The calls of an object follow each other.
    assert!(backend.load(LONG).await.is_ok());
    let object = backend.object().await.unwrap();
    backend.leave_behind(&object, Fate::Broken, "the test says so");
    assert!(backend.load(LONG).await.is_ok());
    let seen = STAGE.sections.lock().unwrap().clone();
    assert_eq!(seen, ["open {}", "taken", "restart", "nonsense", "open taken"]);
}
