//! The store: plugin loading, typed calls, and the wire documents, which live in this room only.

mod codec;
mod document;
mod locate;
mod store;
#[cfg(test)]
mod testing;

pub use codec::{Snapshot, decode_cluster};
pub use document::{MemberDocument, reasons, tags_value};
pub use locate::{LocateError, StoreOptions, find, folders, open, plugins_in};
pub use regent_plugin_api::host::{API, Examination, examine};
pub use store::{Answer, Lease, Store};

#[cfg(test)]
pub(crate) use testing::read_keys;

/// The version that members publish: that of the peer whose documents these are, since peers compare it.
pub const PEER_VERSION: &str = "4.1.5";
