//! The DCS backend for Consul, over its HTTP API: keys below `namespace/scope/`, one session per member, a blocking
//! query of the whole prefix. It knows keys and bytes; of values it reads the member's own, to tell the catalogue of
//! services where the server is.
//!
//! **Requests.** A reading is one request. Every write is one transaction, which tells the version of what it wrote; a
//! write that asks for a version is sent once, others again until the budget ends. The lock costs one message to the
//! session in each loop, and a transaction only where there is something to write along.
//!
//! **Time.** A session lives for half of the ttl, since Consul ends it at twice its time.
//!
//! **Rooms.** `config` reads the section, `duration` Go's durations; `http` sends a request, `call` repeats it and says
//! what its fate means; `kv` are transactions and readings; `session` is the session; `memory` is what is known of the
//! keys; `leader`, `member`, `write`, `watch`, `service` and `backend` are the operations.

mod backend;
mod call;
mod config;
mod duration;
mod http;
mod kv;
mod leader;
mod member;
mod memory;
mod service;
mod session;
mod watch;
mod write;

pub use backend::Consul;

regent_plugin_sdk::export_backend!(Consul, "consul");
