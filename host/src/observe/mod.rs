//! Reads the world into the view: the local server's process, files and answers, and other members' status.
//!
//! It decides nothing: what it reads becomes events for the loop, each reading with the moment at which it was begun.

pub mod failsafe;
pub mod probe;
pub mod server;
mod timeline;
