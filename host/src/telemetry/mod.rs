//! What the daemon says of itself: the log, and what it counted and measured.

pub mod logging;
pub mod metrics;
