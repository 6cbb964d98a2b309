//! The DCS backend for etcd, over its v2 API: keys below `/namespace/scope/`, those of members and of the lock with a
//! time to live of their own. It knows keys and bytes; what the values mean is the daemon's matter.
//!
//! **When.** For clusters that have it already. It is the older API: servers up to 3.5 offer it where they are started
//! with `--enable-v2=true`, later ones do not. `etcd3` is the better choice for everything new.
//!
//! **Reading.** Every `load` asks the quorum, or a member that was cut off would go on telling of the past.
//!
//! **The lock** is a key with a ttl. Each renewal writes it again, only over our own name in the version that was seen; it
//! is taken only where it is absent, and given back only in such a version. What goes with it is written by requests of
//! its own: the API has no transactions. On renewal and acquisition after the lock, over the version that was known, so
//! that whoever lost the lock in between overwrites nothing; on release before it.
//!
//! **Late requests.** A request that went unanswered may be applied when its server wakes up. None can give away or
//! prolong another's lock, as all of them name what they expect. One that takes the lock may take it for a member that
//! no longer waits for it: then nobody has it for one ttl. There is no lease here that could be ended to prevent that.
//!
//! **Clocks.** The server that answers a write counts the ttl on its wall clock, and the leader of the servers ends it
//! on its own. They must not differ: a key whose server is behind by five seconds ends five seconds early.
//!
//! **Rooms.** `api` is requests and answers; `call` chooses a server for each request and keeps the budget; `value` is
//! how bytes become text; `memory` is what is known of the keys; `lock`, `write`, `watch` and `backend` are the
//! operations.

mod api;
mod backend;
mod call;
mod lock;
mod memory;
mod value;
mod watch;
mod write;

pub use backend::Etcd;

regent_plugin_sdk::export_backend!(Etcd, "etcd");
