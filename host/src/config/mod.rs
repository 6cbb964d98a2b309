//! Configuration: the local file or folder, the environment and the store's document, merged into typed settings.
//!
//! It reads files and an environment that it is given; it knows no server, no store and no loop. The way of a value:
//! `sources` gathers texts into one document, `legacy` brings it to present spelling, `check` holds it against `schema`,
//! and `effective` merges it with the dynamic document into types.

mod accounts;
mod addresses;
mod bootstrap;
mod changes;
mod check;
mod dcs_section;
mod dynamic;
mod effective;
mod environment;
mod errors;
mod explain;
mod fencing;
mod gucs;
mod judge;
mod legacy;
mod local;
mod log;
mod machine;
mod merge;
mod methods;
mod parameters;
mod reading;
mod redact;
mod restapi;
mod sandbox;
mod schema;
mod server;
mod settings;
mod sources;
mod tags;
mod time;
mod timing;
mod units;
mod validate;
mod yaml;

pub use changes::{Area, Changes, changed_parameters, changes};
pub use dcs_section::{DcsSettings, no_store};
pub use dynamic::{DynamicConfig, DynamicError};
pub use effective::{CitusSettings, Effective};
pub use environment::{is_hidden_from_children, recognised};
pub use errors::{ConfigError, ConfigErrors, Place};
pub use explain::{Explanation, explain};
pub use fencing::WatchdogSettings;
pub use local::LocalConfig;
pub use log::{LogForm, LogSettings};
pub use machine::programs_and_directory;
pub use merge::{deep_equal, merge_patch};
pub use methods::method;
pub use restapi::{CallError, CtlSettings, RestApiSettings, Verify, member_client};
pub use schema::Applied;
pub use sources::Source;
pub use time::{GivenTime, read_time};
pub use validate::{Failure, Look, remarks, validate};
pub use yaml::document;
