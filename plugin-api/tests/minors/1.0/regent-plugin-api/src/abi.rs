//! The stable ABI, version 1.0: the types that cross the boundary between the daemon and a backend's shared library.
//!
//! Append only: methods and fields go to the end, numbers are never reused. Anything else is a new major version.
#![allow(non_local_definitions, missing_docs, reason = "expansion of #[sabi_trait] and #[derive(StableAbi)]")]
#![allow(unsafe_code, reason = "the derive macros of abi_stable expand to unsafe code")]

use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, ROption, RResult, RSlice, RStr, RString, RVec, Tuple2};
use abi_stable::{StableAbi, declare_root_module_statics, package_version_strings, sabi_trait};

/// The API that this build speaks.
pub const API_MAJOR: u32 = 1;
/// Its minor: grows with each addition.
pub const API_MINOR: u32 = 0;

/// The key in a plugin's capabilities under which it names the settings of its section, with commas between.
pub const SETTINGS: &str = "settings";

macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident: $repr:ty { $($variant:ident = $value:expr),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name(pub $repr);
        impl $name {
            $(pub const $variant: Self = Self($value);)+
        }
    };
}

open_enum!(
    /// Which key; a kind that the other side does not know is stored all the same.
    KeyKind: u32 { INITIALIZE = 1, CONFIG = 2, LEADER = 3, MEMBER = 4, STATUS = 5, SYNC = 6, FAILOVER = 7, HISTORY = 8, FAILSAFE = 9 }
);
open_enum!(
    /// Why there is no verdict. UNAVAILABLE: surely not applied; INDETERMINATE: perhaps.
    ErrorKind: u32 { UNAVAILABLE = 1, INDETERMINATE = 2, AUTH = 3, INVALID = 4, UNSUPPORTED = 5, CANCELLED = 6, PANIC = 7, INTERNAL = 8, CLOSED = 9 }
);
open_enum!(
    /// How a watch ended.
    WatchEnd: u32 { CHANGED = 1, DEADLINE = 2, CANCELLED = 3, UNSUPPORTED = 4 }
);
open_enum!(
    /// What a reload came to.
    Reload: u32 { APPLIED = 1, REOPEN_NEEDED = 2 }
);
open_enum!(
    /// Log levels.
    Level: u8 { ERROR = 1, WARN = 2, INFO = 3, DEBUG = 4, TRACE = 5 }
);
/// A set of flags of [`Capabilities`]: changes are told by the server itself.
pub const NATIVE_WATCH: u64 = 1;
/// Leader calls write `also` in the same transaction.
pub const ATOMIC_MULTI_WRITE: u64 = 2;
/// The server ends leases, whatever the client does.
pub const SERVER_SIDE_TTL: u64 = 4;

/// The result of every call.
pub type Res<T> = RResult<T, Error>;
/// Room to grow for structs that cross by value.
pub type Ext = RVec<Tuple2<RString, RString>>;

/// Why there is no verdict.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: RString,
    pub retry_after_ms: u64,
    pub ext: Ext,
}

/// The opaque version of a value.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub token: RString,
}

/// A key: its kind, and the member's name where it has one.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub kind: KeyKind,
    pub name: RString,
}

/// A key and its value.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Entry {
    pub key: Key,
    pub value: RVec<u8>,
    pub version: Version,
    pub session: RString,
}

/// One consistent reading.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Snapshot {
    pub entries: RVec<Entry>,
    pub cursor: RString,
    pub ext: Ext,
}

/// The lock as its holder holds it.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Lease {
    pub session: RString,
    pub version: Version,
    pub ttl_ms: u64,
    pub ext: Ext,
}

/// A value to write together with the lock.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Write {
    pub key: Key,
    pub value: RVec<u8>,
}

/// What must be there for a write to happen.
#[repr(u8)]
#[derive(StableAbi, Clone, Debug)]
pub enum Expect {
    Any,
    Absent,
    Is(Version),
}

/// One call: its number, for `cancel`, and the time that it may take.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct Call {
    pub id: u64,
    pub budget_ms: u64,
}

/// What a backend can do.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Capabilities {
    pub flags: u64,
    pub min_ttl_ms: u64,
    pub max_ttl_ms: u64,
    pub max_value_bytes: u64,
    pub ext: Ext,
}

/// What a backend object is opened with.
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct OpenArgs {
    pub namespace: RString,
    pub scope: RString,
    pub member: RString,
    pub ttl_ms: u64,
    pub loop_wait_ms: u64,
    pub retry_timeout_ms: u64,
    pub config_json: RString,
    pub plugin_id: u64,
    pub host: HostServicesRef,
    pub ext: Ext,
}

/// A backend object.
#[sabi_trait]
pub trait Backend: Send + Sync {
    fn load(&self, call: Call) -> Res<Snapshot>;
    fn acquire_leader(&self, call: Call, value: RSlice<'_, u8>, also: RSlice<'_, Write>) -> Res<ROption<Lease>>;
    fn renew_leader(&self, call: Call, lease: &Lease, also: RSlice<'_, Write>) -> Res<ROption<Lease>>;
    fn release_leader(&self, call: Call, lease: &Lease, also: RSlice<'_, Write>) -> Res<bool>;
    fn touch_member(&self, call: Call, value: RSlice<'_, u8>) -> Res<Version>;
    fn put(&self, call: Call, key: &Key, value: RSlice<'_, u8>, expect: &Expect) -> Res<ROption<Version>>;
    fn delete(&self, call: Call, key: &Key, expect: &Expect) -> Res<bool>;
    fn watch(&self, call: Call, cursor: RStr<'_>) -> Res<WatchEnd>;
    fn cancel(&self, call_id: u64);
    fn set_ttl(&self, ttl_ms: u64) -> Res<u64>;
    fn reload(&self, config_json: RStr<'_>) -> Res<Reload>;
    fn delete_cluster(&self, call: Call) -> Res<()>;
    #[sabi(last_prefix_field)]
    fn close(&self, call: Call) -> Res<()>;
}

/// A backend object as the host holds it.
pub type BackendBox = Backend_TO<'static, RBox<()>>;

/// One log record on its way to the host.
#[repr(C)]
#[derive(StableAbi)]
pub struct LogRecord<'a> {
    pub level: Level,
    pub plugin_id: u64,
    pub target: RStr<'a>,
    pub message: RStr<'a>,
    pub file: RStr<'a>,
    pub line: u32,
    pub fields: RSlice<'a, Tuple2<RStr<'a>, RStr<'a>>>,
}

/// What the host offers to a plugin.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostServicesRef, prefix_fields = HostServicesPrefix)), missing_field(option))]
pub struct HostServices {
    pub log_enabled: extern "C" fn(plugin_id: u64, level: Level, target: RStr<'_>) -> bool,
    pub log: extern "C" fn(record: &LogRecord<'_>),
    pub counter_add: extern "C" fn(plugin_id: u64, name: RStr<'_>, label: RStr<'_>, delta: u64),
    #[sabi(last_prefix_field)]
    pub gauge_set: extern "C" fn(plugin_id: u64, name: RStr<'_>, label: RStr<'_>, value: i64),
}

/// What a plugin offers to the host.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = DcsPluginRef, prefix_fields = DcsPluginPrefix)), missing_field(option))]
pub struct DcsPlugin {
    pub name: extern "C" fn() -> RStr<'static>,
    pub capabilities: extern "C" fn() -> Capabilities,
    pub check_config: extern "C" fn(config_json: RStr<'_>) -> Res<()>,
    #[sabi(last_prefix_field)]
    pub open: extern "C" fn(OpenArgs) -> Res<BackendBox>,
}

impl RootModule for DcsPluginRef {
    declare_root_module_statics! {DcsPluginRef}
    const BASE_NAME: &'static str = "dcs_plugin";
    const NAME: &'static str = "dcs_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// The first thing a loader reads: plain C, so that it can be understood whatever built it.
#[repr(C)]
#[derive(Debug)]
pub struct Manifest {
    /// [`MANIFEST_MAGIC`].
    pub magic: [u8; 8],
    /// `size_of::<Manifest>()` of the plugin's build.
    pub size: u32,
    pub api_major: u32,
    pub api_minor: u32,
    /// 1: panics unwind.
    pub unwind: u32,
    /// Name, NUL-padded.
    pub name: [u8; 32],
    /// Version, NUL-padded.
    pub version: [u8; 32],
}

/// How a manifest begins.
pub const MANIFEST_MAGIC: [u8; 8] = *b"REGENTD1";

/// A text as the fixed-size field of a manifest; too long a text is cut.
pub const fn padded(text: &str) -> [u8; 32] {
    let mut field = [0; 32];
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() && index < 31 {
        field[index] = bytes[index];
        index += 1;
    }
    field
}
