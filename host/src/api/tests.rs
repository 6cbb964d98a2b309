//! The API from outside: real sockets on one side, a loop played by the test on the other.

mod access;
mod connections;
mod description;
mod documents;
mod failsafe;
mod figures;
mod flood;
mod fuzz;
pub(super) mod support;
mod tls;
