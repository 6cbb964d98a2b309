//! What the tests of the backend share.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod server;
