//! Carries a plain [`Backend`] over the boundary: the ABI's trait implemented by converting and guarding each call.

use crate::guard::{catch, guarded};
use crate::{Backend, Cancellations, Cx, DcsError, ErrorKind, OpenArgs, Result, WatchEnd};
use regent_plugin_api::abi;
use regent_plugin_api::millis;
use regent_plugin_api::private::abi_stable::sabi_trait::TD_Opaque;
use regent_plugin_api::private::abi_stable::std_types::{ROption, RSlice, RStr, Tuple2};
use regent_plugin_api::private::convert;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

struct Exported<B> {
    backend: Option<B>,
    poisoned: AtomicBool,
    closed: AtomicBool,
    cancellations: Cancellations,
}

/// The body of the exported `capabilities`.
pub fn capabilities<B: Backend>() -> abi::Capabilities {
    let nothing = crate::Capabilities {
        native_watch: false,
        atomic_multi_write: false,
        server_side_ttl: false,
        min_ttl: Duration::from_secs(1),
        max_ttl: Duration::from_secs(1),
        max_value_bytes: 0,
    };
    let mut capabilities = convert::capabilities_to(catch(B::capabilities).unwrap_or(nothing));
    let settings = catch(B::settings).unwrap_or_default();
    if !settings.is_empty() {
        capabilities.ext.push(Tuple2(abi::SETTINGS.into(), settings.join(",").into()));
    }
    capabilities
}

/// The body of the exported `check_config`.
pub fn check_config<B: Backend>(config: RStr<'_>) -> abi::Res<()> {
    let never = AtomicBool::new(false);
    convert::result_to(guarded(&never, "check_config", || B::check_config(config.as_str())), |()| ())
}

/// The body of the exported `open`.
pub fn open<B: Backend>(args: abi::OpenArgs) -> abi::Res<abi::BackendBox> {
    let never = AtomicBool::new(false);
    crate::log::connect(args.host, args.plugin_id);
    let plain = OpenArgs {
        namespace: args.namespace.into(),
        scope: args.scope.into(),
        member: args.member.into(),
        ttl: Duration::from_millis(args.ttl_ms),
        loop_wait: Duration::from_millis(args.loop_wait_ms),
        retry_timeout: Duration::from_millis(args.retry_timeout_ms),
        config_json: args.config_json.into(),
    };
    let cancellations = Cancellations::default();
    let opened = guarded(&never, "open", || B::open(&plain, cancellations.clone()));
    convert::result_to(opened, |backend| {
        let (poisoned, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        let exported = Exported { backend: Some(backend), poisoned, closed, cancellations };
        abi::Backend_TO::from_value(exported, TD_Opaque)
    })
}

impl<B: Backend> Exported<B> {
    fn run<T>(&self, call: abi::Call, operation: &str, work: impl FnOnce(&B, Cx) -> Result<T>) -> Result<T> {
        let cx = Cx::new(call.id, Duration::from_millis(call.budget_ms), self.cancellations.clone());
        guarded(&self.poisoned, operation, || match &self.backend {
            Some(_) if self.closed.load(Ordering::Acquire) => {
                Err(DcsError::new(ErrorKind::Closed, "the backend object was closed"))
            }
            Some(backend) => work(backend, cx),
            None => Err(DcsError::new(ErrorKind::Closed, "the backend object was dropped")),
        })
    }
}

impl<B: Backend> abi::Backend for Exported<B> {
    fn load(&self, call: abi::Call) -> abi::Res<abi::Snapshot> {
        convert::result_to(self.run(call, "load", |backend, cx| backend.load(cx)), convert::snapshot_to)
    }

    fn acquire_leader(
        &self,
        call: abi::Call,
        value: RSlice<'_, u8>,
        also: RSlice<'_, abi::Write>,
    ) -> abi::Res<ROption<abi::Lease>> {
        let also = convert::writes_from(also.as_slice());
        let answer =
            self.run(call, "acquire_leader", |backend, cx| backend.acquire_leader(cx, value.as_slice(), &also));
        convert::result_to(answer, |lease| convert::option_to(lease, |lease| convert::lease_to(&lease)))
    }

    fn renew_leader(
        &self,
        call: abi::Call,
        lease: &abi::Lease,
        also: RSlice<'_, abi::Write>,
    ) -> abi::Res<ROption<abi::Lease>> {
        let (lease, also) = (convert::lease_from(lease), convert::writes_from(also.as_slice()));
        let answer = self.run(call, "renew_leader", |backend, cx| backend.renew_leader(cx, &lease, &also));
        convert::result_to(answer, |lease| convert::option_to(lease, |lease| convert::lease_to(&lease)))
    }

    fn release_leader(&self, call: abi::Call, lease: &abi::Lease, also: RSlice<'_, abi::Write>) -> abi::Res<bool> {
        let (lease, also) = (convert::lease_from(lease), convert::writes_from(also.as_slice()));
        let answer = self.run(call, "release_leader", |backend, cx| backend.release_leader(cx, &lease, &also));
        convert::result_to(answer, |released| released)
    }

    fn touch_member(&self, call: abi::Call, value: RSlice<'_, u8>) -> abi::Res<abi::Version> {
        let answer = self.run(call, "touch_member", |backend, cx| backend.touch_member(cx, value.as_slice()));
        convert::result_to(answer, |version| convert::version_to(&version))
    }

    fn put(
        &self,
        call: abi::Call,
        key: &abi::Key,
        value: RSlice<'_, u8>,
        expect: &abi::Expect,
    ) -> abi::Res<ROption<abi::Version>> {
        let (key, expect) = (convert::key_from(key), convert::expect_from(expect));
        let answer = self.run(call, "put", |backend, cx| backend.put(cx, &key, value.as_slice(), &expect));
        convert::result_to(answer, |version| convert::option_to(version, |version| convert::version_to(&version)))
    }

    fn delete(&self, call: abi::Call, key: &abi::Key, expect: &abi::Expect) -> abi::Res<bool> {
        let (key, expect) = (convert::key_from(key), convert::expect_from(expect));
        let answer = self.run(call, "delete", |backend, cx| backend.delete(cx, &key, &expect));
        convert::result_to(answer, |deleted| deleted)
    }

    fn watch(&self, call: abi::Call, cursor: RStr<'_>) -> abi::Res<abi::WatchEnd> {
        let answer = self.run(call, "watch", |backend, cx| backend.watch(cx, cursor.as_str()));
        convert::result_to(answer, |end| match end {
            WatchEnd::Changed => abi::WatchEnd::CHANGED,
            WatchEnd::Deadline => abi::WatchEnd::DEADLINE,
            WatchEnd::Cancelled => abi::WatchEnd::CANCELLED,
            WatchEnd::Unsupported => abi::WatchEnd::UNSUPPORTED,
        })
    }

    fn cancel(&self, call_id: u64) {
        if let Err(message) = catch(|| self.cancellations.cancel(call_id)) {
            crate::log::error(&format!("panic in plugin while cancelling, {message}"));
        }
    }

    fn set_ttl(&self, ttl_ms: u64) -> abi::Res<u64> {
        let call = abi::Call { id: 0, budget_ms: 1000 };
        let answer = self.run(call, "set_ttl", |backend, _| backend.set_ttl(Duration::from_millis(ttl_ms)));
        convert::result_to(answer, millis)
    }

    fn reload(&self, config_json: RStr<'_>) -> abi::Res<abi::Reload> {
        let call = abi::Call { id: 0, budget_ms: 1000 };
        let answer = self.run(call, "reload", |backend, _| backend.reload(config_json.as_str()));
        convert::result_to(answer, |applied| if applied { abi::Reload::APPLIED } else { abi::Reload::REOPEN_NEEDED })
    }

    fn delete_cluster(&self, call: abi::Call) -> abi::Res<()> {
        convert::result_to(self.run(call, "delete_cluster", |backend, cx| backend.delete_cluster(cx)), |()| ())
    }

    fn close(&self, call: abi::Call) -> abi::Res<()> {
        let answer = self.run(call, "close", |backend, cx| backend.close(cx));
        self.closed.store(true, Ordering::Release);
        convert::result_to(answer, |()| ())
    }
}

impl<B> Drop for Exported<B> {
    fn drop(&mut self) {
        let backend = self.backend.take();
        if let Err(message) = catch(move || drop(backend)) {
            crate::log::error(&format!("panic in plugin while an object was dropped, {message}"));
        }
    }
}
