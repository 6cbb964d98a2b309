//! A backend in memory that keeps the contract, or breaks one rule of it on demand: proof that the kit can fail.

mod backend;
mod fault;
mod memory;

pub use backend::Memory;
pub use fault::Fault;

regent_plugin_sdk::export_backend!(Memory, "mutants");
