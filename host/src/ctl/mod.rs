//! The operator's commands: they read the cluster through the store's plugin and act through the members' REST API.

mod cli;
mod configuration;
mod context;
mod doctor;
mod document;
mod dsn;
mod explain;
mod flush;
mod generate;
mod history;
mod list;
mod members;
mod output;
mod pause;
mod programs;
mod query;
mod reinit;
mod remove;
mod restart;
mod role;
mod rolling;
mod rows;
mod scaffold;
mod sheet;
mod standby;
mod store_url;
mod switch;
mod table;
#[cfg(test)]
mod testing;
mod usage;
mod version;
mod watch;
mod when;
mod why;

pub use cli::run;
pub use generate::{Model, generate};
pub use query::ask_server;

/// What went wrong: the text after `Error: `. The exit code is 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CtlError(pub String);

impl CtlError {
    /// An error with that text.
    pub fn new(text: impl Into<String>) -> CtlError {
        CtlError(text.into())
    }

    /// Nobody answered a question.
    fn aborted() -> CtlError {
        CtlError("Aborted!".to_owned())
    }
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, CtlError>;
