//! The embedded backend: one SQLite file shared by the nodes of one machine. For trying Regent, for tests and for
//! single-host setups; a cluster over several machines needs a store of its own.

mod patience;
mod schema;
mod store;
mod wake;

pub use store::Local;

regent_plugin_sdk::export_backend!(Local, "local");
