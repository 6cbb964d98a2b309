//! The DCS backend for Kubernetes: the cluster's keys are annotations of Endpoints or ConfigMaps, each member's key is
//! an annotation of its pod. It knows keys and bytes; of values it reads those that Kubernetes keeps field by field, and
//! the member's own, to label its pod.
//!
//! **Requests.** A reading is two lists, of the pods and of the objects, from the store behind the API server. The lock,
//! the status and the failsafe topology are annotations of one object, so that a renewal is one patch. Two watches stay
//! open between the calls.
//!
//! **The lock.** No server ends it. Who looks on notes when he last saw it change, and takes it for free once it stayed
//! the same for its ttl. Every statement about it is a patch of the version that was seen, so two can not have it.
//!
//! **Time.** What ends a lock is counted on the observer's boot-time clock. The times in the annotations are for people.
//!
//! **Rooms.** `config` reads the section, `access` finds the API server, `http` sends a request, `call` repeats it and
//! says what its fate means; `object` is what the server keeps, `place` where a key lies in it and `fields` how its value
//! is written there; `memory` is what is known; `leader`, `member`, `write`, `watch` and `backend` are the operations.

mod access;
mod backend;
mod call;
mod config;
mod fields;
mod http;
mod leader;
mod member;
mod memory;
mod object;
mod place;
mod watch;
mod write;

pub use backend::Kubernetes;

regent_plugin_sdk::export_backend!(Kubernetes, "kubernetes");
