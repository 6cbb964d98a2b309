//! `make faults`: clusters on a real etcd under several writing clients, while servers, daemons, nodes, connections and
//! the store are killed, frozen and cut off by the dice of a seed; and a checker that knows every acknowledged write.
//!
//! A run is a number of rounds for each durability mode. A round draws its faults ([`plan`]), does and undoes them
//! ([`inject`]) while clients write ([`clients`]), waits until the cluster is whole again ([`whole`]), reads the table
//! on every node, and compares it with the history of the clients ([`check`]).
//!
//! `make drills` does one thing at a time to them, and many times over ([`drill`]).
//!
//! Like the harness it sees programs, ports and files only, and uses no crate of the product.
#![allow(clippy::disallowed_methods, reason = "faults and writes are paced and timed by a clock of their own")]
#![allow(clippy::print_stderr, reason = "the story is told while it happens")]

pub mod bed;
pub mod check;
pub mod clients;
pub mod drill;
pub mod history;
pub mod inject;
pub mod link;
pub mod options;
pub mod plan;
pub mod round;
pub mod run;
pub mod story;
pub mod summary;
pub mod whole;
