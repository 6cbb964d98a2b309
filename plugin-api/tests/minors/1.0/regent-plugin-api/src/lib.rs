//! The stable ABI between Regent and its DCS backends, and the host's side of it. The only crate that names abi_stable.

pub mod abi;
mod driver;
mod elf;
mod examine;
mod loader;
mod services;
mod types;

/// What the generated code of the SDK needs; not for authors.
#[doc(hidden)]
pub mod private {
    pub use crate::types::convert;
    pub use abi_stable;
}

pub use types::{
    Capabilities, DcsError, Entry, ErrorKind, Expect, Key, KeyKind, Lease, Snapshot, WatchEnd, Write, millis,
};

/// The host's side: loading a plugin and calling its objects.
pub mod host {
    pub use crate::driver::{Backend, OpenOptions};
    pub use crate::examine::{API, Examination, FileFacts, ManifestFacts, examine};
    pub use crate::loader::{LoadError, Plugin};
    pub use crate::types::{Capabilities, DcsError, Entry, ErrorKind, Expect, Key, KeyKind, Lease, Snapshot, Write};
}
