//! A backend on a server in memory that keeps the contract, or breaks one rule of it on demand: proof that the kit can
//! fail.

mod backend;
mod fault;
mod link;
mod server;
mod wire;

pub use backend::Mutant;
pub use fault::Fault;
pub use server::Server;

regent_plugin_sdk::export_backend!(Mutant, "mutants");
