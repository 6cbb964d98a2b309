//! A backend that hangs is left behind and replaced; the caller hears in time, and what it hears is true.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use abi::{Call, DcsPlugin, Expect as AbiExpect, Key as AbiKey, Lease as AbiLease, Res, Version};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString};
use std::sync::atomic::AtomicUsize;

/// Objects opened so far; the first hangs in every call.
static OPENED: AtomicUsize = AtomicUsize::new(0);

struct Sometimes {
    hangs: bool,
}

impl Sometimes {
    fn answer<T>(&self, value: T) -> Res<T> {
        if self.hangs {
            loop {
                std::thread::park();
            }
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

    fn reload(&self, _: RStr<'_>) -> Res<abi::Reload> {
        self.answer(abi::Reload::APPLIED)
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

extern "C" fn open(_: OpenArgs) -> Res<BackendBox> {
    let hangs = OPENED.fetch_add(1, Ordering::SeqCst) == 0;
    RResult::ROk(abi::Backend_TO::from_value(Sometimes { hangs }, TD_Opaque))
}

#[tokio::test]
async fn an_object_that_hangs_is_replaced() {
    let root = DcsPlugin { name, capabilities, check_config, open }.leak_into_prefix();
    let options = OpenOptions {
        namespace: String::new(),
        scope: "demo".to_owned(),
        member: "a".to_owned(),
        ttl: Duration::from_secs(20),
        loop_wait: Duration::from_secs(2),
        retry_timeout: Duration::from_secs(3),
        config_json: "{}".to_owned(),
    };
    let backend = Backend::open(&Plugin::of_root(root), options).await.unwrap();
    let budget = Duration::from_millis(20);
    let error = backend.put(budget, Key::of(crate::KeyKind::Config), Vec::new(), Expect::Any).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Indeterminate, "a write that hangs may have been applied");
    assert_eq!(backend.load(budget).await.unwrap().cursor, "1", "a new object answers");
    assert_eq!(OPENED.load(Ordering::SeqCst), 2);

    let mut changes = backend.changes();
    backend.set_cursor("1".to_owned());
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
    backend.close(budget).await;
    assert_eq!(backend.load(budget).await.unwrap_err().kind, ErrorKind::Closed);
}
