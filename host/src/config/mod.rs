//! Configuration: the local file or folder, the environment and the store's document, merged into typed settings.
//!
//! It reads files and an environment that it is given; it knows no server, no store and no loop.

mod accounts;
mod changes;
mod dynamic;
mod effective;
mod environment;
mod errors;
mod lines;
mod local;
mod parameters;
mod schema;
mod sections;
mod server;
mod settings;
mod value;

pub use changes::{Changes, changes};
pub use dynamic::{DynamicConfig, deep_equal, merge_patch};
pub use effective::{CtlSettings, DcsSettings, Effective, LogSettings, RestApiSettings};
pub use errors::{ConfigError, ConfigErrors};
pub use local::{LocalConfig, Source};
