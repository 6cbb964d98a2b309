//! What the tests of the backend share.

pub mod server;
