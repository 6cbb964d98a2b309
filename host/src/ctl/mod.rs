//! The operator's commands: they read the cluster through the store's plugin and act through the members' REST API.

mod cli;
mod configuration;
mod context;
mod list;
mod members;
mod output;
mod pause;
mod switch;
mod table;
mod why;

pub use cli::{Arguments, run};

/// What went wrong: the text after `Error: `. The exit code is 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CtlError(pub String);

impl CtlError {
    /// An error with that text.
    pub fn new(text: impl Into<String>) -> CtlError {
        CtlError(text.into())
    }
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, CtlError>;
