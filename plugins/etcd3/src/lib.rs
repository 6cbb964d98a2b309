//! The DCS backend for etcd, over its v3 API: keys below `/namespace/scope/`, one lease per member, a watch of the
//! whole prefix. It knows keys and bytes; what the values mean is the daemon's matter.
//!
//! **Reading.** Every `load` is one linearizable range of the prefix. A cache fed by the watch would save that
//! request, but a cache can only be *recent*: a member that was cut off from its peers, or is slow to apply, goes on
//! confirming an old state, and nothing but a round of the quorum tells the difference. A leader that reads an old
//! `sync` or `failover` key is what must not happen, so that round is paid for, once per reading.
//!
//! **Requests.** In exchange nothing else costs one where nothing changed. The lease is kept alive by a message on a
//! standing stream, the watch is a standing stream too, the lock is known to be ours from the last reading or write as
//! long as that is young, and values that are in the store already are not written. An idle member costs one request
//! per loop, the reading; a leader whose `status` moved costs one transaction more.
//!
//! **Late requests.** A request that went unanswered may be applied when its server wakes up, long after. So nothing is
//! written but over the revision that it was meant for, and where a request for the lock has an unknown fate and we do
//! not hold it, the lease in that request is ended.
//!
//! **Rooms.** The section, and where servers are, is what `regent_dcs_common::etcd` reads; `transport` says how to
//! reach one; `call` chooses a server for each request and keeps the budget; `fault` says what an
//! error means for a request; `session` is the lease; `memory` is what is known of the keys;
//! `leader`, `member`, `write`, `watch` and `backend` are the operations.

mod backend;
mod call;
mod fault;
mod leader;
mod member;
mod memory;
mod session;
mod transport;
mod watch;
mod write;

pub use backend::Etcd3;

regent_plugin_sdk::export_backend!(Etcd3, "etcd3");
