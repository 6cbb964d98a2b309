//! The DCS backend for ZooKeeper, for whichever way its servers are found: nodes below `/namespace/scope/`, one session
//! per member, and a client that was written for it. It knows keys and bytes, and nothing of what is in them.
//!
//! **The session.** The lock and the member's own key are ephemeral nodes of one session, which lives for the ttl after
//! each message. No message is sent but in the daemon's own calls, and the watch sends none once those have stopped:
//! what a daemon holds that does nothing any more ends after its ttl. That is why the client is our own: libraries keep
//! a session alive from a task of theirs, and do not tell a request that never left from one whose answer was lost.
//!
//! **Readings.** A reading is one exchange as far as the nodes are known from before, begun by `sync`, so that it shows
//! all that was written before it. It is made again where something changed while it was made.
//!
//! **The lock.** It is renewed by a question that goes through the ensemble's leader, and a transaction only where there
//! is something to write along. Where it hangs on another session of this member, it is moved in one transaction with
//! the member's own key, which hangs on that session too: only while that session lives can it be done, so that nobody
//! else's lock is ever taken for ours.
//!
//! **Versions** are the numbers of the changes that wrote a node: no two have the same, not even of nodes that were
//! removed and made again.
//!
//! **Rooms.** `config` and `server` read the section; `jute` and `message` are the protocol, `transport` and
//! `connection` what it goes over; `session` is the session; `call` repeats a request and says what its fate means;
//! `tree` are readings, `memory` what is known of the nodes, `path` where keys lie; `leader`, `member`, `write`, `watch`
//! and `backend` are the operations.

mod backend;
mod call;
mod config;
mod connection;
mod jute;
mod leader;
mod member;
mod memory;
mod message;
mod path;
pub mod server;
mod session;
mod transport;
mod tree;
mod watch;
mod write;

pub use backend::ZooKeeper;
pub use regent_dcs_common::Section;
pub use server::Server;

use regent_plugin_sdk::Result;
use std::time::Duration;

/// How the servers are found.
pub trait Ensemble: Send + Sync + Sized + 'static {
    /// The section's name, and the threads'.
    const NAME: &'static str;

    /// What the section says of it.
    type Place: Clone + PartialEq + Send + Sync;

    /// Reads that part of the section, and the path below which all keys lie.
    ///
    /// # Errors
    /// `Invalid`, in one line that names the key.
    fn read(section: &Section) -> Result<(Self::Place, String)>;

    /// Nothing is looked for yet.
    ///
    /// # Errors
    /// When it can not be made.
    fn new(place: Self::Place) -> Result<Self>;

    /// The servers, at least one; `patience` is how long they may be looked for.
    fn servers(&self, patience: Duration) -> impl Future<Output = std::result::Result<Vec<Server>, String>> + Send;

    /// Whether a connection to that server is to be given up for one to another.
    fn is_outdated(&self, _server: &Server) -> bool {
        false
    }
}
