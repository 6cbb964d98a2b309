//! What the daemon says of itself: the log.

pub mod logging;
