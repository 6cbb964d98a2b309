//! What the author of a DCS backend writes against: a plain trait, and a macro that turns it into a plugin.
//!
//! ```ignore
//! struct MyStore { /* ... */ }
//! impl regent_plugin_sdk::Backend for MyStore { /* ... */ }
//! regent_plugin_sdk::export_backend!(MyStore, "mystore");
//! ```
//!
//! The crate is built as a `cdylib` named `libregent_dcs_mystore.so`.

mod context;
mod export;
mod guard;
pub mod log;

pub use context::{Cancellations, Cx};
pub use regent_plugin_api::{
    Capabilities, DcsError, Entry, ErrorKind, Expect, Key, KeyKind, Lease, Snapshot, WatchEnd, Write,
};

use std::time::Duration;

/// The result of every call.
pub type Result<T> = std::result::Result<T, DcsError>;

/// What a backend is opened with.
#[derive(Clone)]
pub struct OpenArgs {
    /// The namespace of all clusters, as configured.
    pub namespace: String,
    /// The cluster's name.
    pub scope: String,
    /// This member's name.
    pub member: String,
    /// How long the lock and the member key live unrenewed.
    pub ttl: Duration,
    /// Time between heartbeats.
    pub loop_wait: Duration,
    /// How long a call may be retried.
    pub retry_timeout: Duration,
    /// The backend's configuration section as JSON. It may hold secrets: never log it.
    pub config_json: String,
}

/// A store that can hold a cluster's keys. Calls may overlap: one operation, one watch, and cancellation.
///
/// `None` and `false` are a definite no; `Err` is no verdict: `Unavailable` where surely nothing was applied,
/// `Indeterminate` where a request may have been. Every call returns by its deadline.
pub trait Backend: Send + Sync + Sized + 'static {
    /// Opens an object. The store need not be reachable.
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self>;
    /// What the backend can do.
    fn capabilities() -> Capabilities;
    /// The settings that the section may hold, for `regent plugin check`; none where they are not told.
    fn settings() -> &'static [&'static str] {
        &[]
    }
    /// Looks at the configuration section.
    fn check_config(config_json: &str) -> Result<()>;
    /// One consistent reading of all keys that have not expired.
    fn load(&self, cx: Cx) -> Result<Snapshot>;
    /// Takes the lock if it is free, expired, or carries our own name.
    fn acquire_leader(&self, cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>>;
    /// Keeps the lock; `None` if it is lost.
    fn renew_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>>;
    /// Gives the lock back, if it is ours.
    fn release_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<bool>;
    /// Writes our member key; gives its version.
    fn touch_member(&self, cx: Cx, value: &[u8]) -> Result<String>;
    /// Writes a key; gives its version, or `None` if what is there is not as expected.
    fn put(&self, cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>>;
    /// Removes a key.
    fn delete(&self, cx: Cx, key: &Key, expect: &Expect) -> Result<bool>;
    /// Returns when anything changed after `cursor`, or at the deadline. Never misses a change.
    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd>;
    /// Changes the ttl; gives the one that will be used.
    fn set_ttl(&self, ttl: Duration) -> Result<Duration>;
    /// Takes a new configuration section; `false` if the object must be opened anew for it.
    fn reload(&self, config_json: &str) -> Result<bool>;
    /// Removes every key of this cluster, and none of another.
    fn delete_cluster(&self, cx: Cx) -> Result<()>;
    /// Ends the object: its threads, its connections.
    fn close(&self, cx: Cx) -> Result<()>;
}

/// For the generated code; not for authors.
#[doc(hidden)]
pub mod private {
    pub use crate::export::{capabilities, check_config, open};
    pub use regent_plugin_api::abi;
    pub use regent_plugin_api::private::abi_stable;
}

/// Makes a plugin of a [`Backend`]: the manifest, the root module, and a guard around every call.
#[macro_export]
macro_rules! export_backend {
    ($backend:ty, $name:literal) => {
        #[cfg(not(panic = "unwind"))]
        compile_error!("a Regent plugin must be built with panic = \"unwind\"");

        #[doc(hidden)]
        #[allow(unsafe_code, missing_docs, reason = "exported symbols")]
        pub mod regent_plugin_export {
            use super::*;
            use $crate::private::{abi, abi_stable};

            #[unsafe(no_mangle)]
            pub static REGENT_DCS_MANIFEST: abi::Manifest = abi::Manifest {
                magic: abi::MANIFEST_MAGIC,
                size: ::std::mem::size_of::<abi::Manifest>() as u32,
                api_major: abi::API_MAJOR,
                api_minor: abi::API_MINOR,
                unwind: 1,
                name: abi::padded($name),
                version: abi::padded(env!("CARGO_PKG_VERSION")),
            };

            extern "C" fn regent_name() -> abi_stable::std_types::RStr<'static> {
                abi_stable::std_types::RStr::from_str($name)
            }

            extern "C" fn regent_capabilities() -> abi::Capabilities {
                $crate::private::capabilities::<$backend>()
            }

            extern "C" fn regent_check_config(config: abi_stable::std_types::RStr<'_>) -> abi::Res<()> {
                $crate::private::check_config::<$backend>(config)
            }

            extern "C" fn regent_open(args: abi::OpenArgs) -> abi::Res<abi::BackendBox> {
                $crate::private::open::<$backend>(args)
            }

            fn regent_root() -> abi::DcsPluginRef {
                use abi_stable::prefix_type::PrefixTypeTrait;
                abi::DcsPlugin {
                    name: regent_name,
                    capabilities: regent_capabilities,
                    check_config: regent_check_config,
                    open: regent_open,
                }
                .leak_into_prefix()
            }

            extern "C" fn regent_root_module() -> abi_stable::library::RootModuleResult {
                abi_stable::library::__call_root_module_loader(regent_root)
            }

            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static REGENT_ROOT_MODULE: abi_stable::library::LibHeader = unsafe {
                abi_stable::library::LibHeader::from_constructor::<abi::DcsPluginRef>(
                    regent_root_module,
                    abi_stable::library::CheckTypeLayout::Yes,
                )
            };
        }
    };
}
