//! The nouns: everything that can be known about a cluster, a server and a store, as plain data.

mod cluster;
mod failsafe;
mod lsn;
mod sandbox;
mod server;
mod server_settings;
mod settings;
mod slots;
mod standby_names;
mod tags;
#[cfg(test)]
pub(crate) mod testing;
mod time;
mod view;

pub use cluster::*;
pub use failsafe::*;
pub use lsn::*;
pub use sandbox::*;
pub use server::*;
pub use server_settings::*;
pub use settings::*;
pub use slots::*;
pub use standby_names::*;
pub use tags::*;
pub use time::*;
pub use view::*;
