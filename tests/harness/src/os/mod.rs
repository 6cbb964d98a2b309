//! The operating system's side: processes, their owner, their end, and what they leave behind.

pub mod memory;
pub mod ports;
pub mod process;
pub mod reaper;
pub mod sentinel;
pub mod user;
