//! One backend object, called directly and in plain Rust forms; each call has its own number.

use regent_plugin_api::abi::{BackendBox, Call, WatchEnd};
use regent_plugin_api::host::{DcsError, Expect, Key, KeyKind, Lease, Snapshot, Write};
use regent_plugin_api::millis;
use regent_plugin_api::private::convert;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a call may take where nothing is wrong; it takes longer on no machine that a backend could be used on.
pub(crate) const BUDGET: Duration = Duration::from_secs(20);

pub(crate) struct Object {
    inner: BackendBox,
    pub name: String,
}

type Answer<T> = Result<T, DcsError>;

/// A number for a call.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn call(budget: Duration) -> Call {
    Call { id: number(), budget_ms: millis(budget) }
}

impl Object {
    pub(crate) fn new(inner: BackendBox, name: &str) -> Object {
        Object { inner, name: name.to_owned() }
    }

    pub(crate) fn load_in(&self, budget: Duration) -> Answer<Snapshot> {
        convert::result_from(self.inner.load(call(budget)), convert::snapshot_from)
    }

    pub(crate) fn load(&self) -> Answer<Snapshot> {
        self.load_in(BUDGET)
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &Key) -> Answer<Option<Vec<u8>>> {
        let found = self.load()?.entries.into_iter().find(|entry| entry.key == *key);
        Ok(found.map(|entry| entry.value))
    }

    pub(crate) fn acquire_in(&self, budget: Duration) -> Answer<Option<Lease>> {
        let also = convert::writes_to(&[]);
        let answer = self.inner.acquire_leader(call(budget), self.name.as_bytes().into(), also.as_rslice());
        convert::result_from(answer, |lease| convert::option_from(lease, |lease| convert::lease_from(&lease)))
    }

    pub(crate) fn acquire(&self) -> Answer<Option<Lease>> {
        self.acquire_in(BUDGET)
    }

    pub(crate) fn renew_in(&self, budget: Duration, lease: &Lease, also: &[Write]) -> Answer<Option<Lease>> {
        let also = convert::writes_to(also);
        let answer = self.inner.renew_leader(call(budget), &convert::lease_to(lease), also.as_rslice());
        convert::result_from(answer, |lease| convert::option_from(lease, |lease| convert::lease_from(&lease)))
    }

    pub(crate) fn renew(&self, lease: &Lease) -> Answer<Option<Lease>> {
        self.renew_in(BUDGET, lease, &[])
    }

    pub(crate) fn release_in(&self, budget: Duration, lease: &Lease) -> Answer<bool> {
        let also = convert::writes_to(&[]);
        let answer = self.inner.release_leader(call(budget), &convert::lease_to(lease), also.as_rslice());
        convert::result_from(answer, |released| released)
    }

    pub(crate) fn release(&self, lease: &Lease) -> Answer<bool> {
        self.release_in(BUDGET, lease)
    }

    pub(crate) fn touch_in(&self, budget: Duration, value: &[u8]) -> Answer<()> {
        convert::result_from(self.inner.touch_member(call(budget), value.into()), |_| ())
    }

    pub(crate) fn put_in(
        &self,
        budget: Duration,
        kind: KeyKind,
        value: &[u8],
        expect: &Expect,
    ) -> Answer<Option<String>> {
        let (key, expect) = (convert::key_to(&Key::of(kind)), convert::expect_to(expect));
        let answer = self.inner.put(call(budget), &key, value.into(), &expect);
        convert::result_from(answer, |version| convert::option_from(version, |version| version.token.to_string()))
    }

    pub(crate) fn put(&self, kind: KeyKind, value: &[u8], expect: &Expect) -> Answer<Option<String>> {
        self.put_in(BUDGET, kind, value, expect)
    }

    pub(crate) fn delete_in(&self, budget: Duration, kind: KeyKind, expect: &Expect) -> Answer<bool> {
        let (key, expect) = (convert::key_to(&Key::of(kind)), convert::expect_to(expect));
        convert::result_from(self.inner.delete(call(budget), &key, &expect), |deleted| deleted)
    }

    pub(crate) fn delete(&self, kind: KeyKind, expect: &Expect) -> Answer<bool> {
        self.delete_in(BUDGET, kind, expect)
    }

    pub(crate) fn watch_as(&self, id: u64, budget: Duration, cursor: &str) -> Answer<WatchEnd> {
        let call = Call { id, budget_ms: millis(budget) };
        convert::result_from(self.inner.watch(call, cursor.into()), |end| end)
    }

    pub(crate) fn watch(&self, budget: Duration, cursor: &str) -> Answer<WatchEnd> {
        self.watch_as(number(), budget, cursor)
    }

    pub(crate) fn cancel(&self, id: u64) {
        self.inner.cancel(id);
    }

    pub(crate) fn set_ttl(&self, ttl: Duration) -> Answer<Duration> {
        convert::result_from(self.inner.set_ttl(millis(ttl)), Duration::from_millis)
    }

    pub(crate) fn reload(&self, config: &str) -> Answer<regent_plugin_api::abi::Reload> {
        convert::result_from(self.inner.reload(config.into()), |reload| reload)
    }

    pub(crate) fn delete_cluster_in(&self, budget: Duration) -> Answer<()> {
        convert::result_from(self.inner.delete_cluster(call(budget)), |()| ())
    }

    pub(crate) fn close(&self) -> Answer<()> {
        convert::result_from(self.inner.close(call(BUDGET)), |()| ())
    }
}
