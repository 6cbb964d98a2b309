//! The local server: its process, its files, connections to it, and what is done to it. How, never whether or when: the
//! rules decide that. Knows nothing of the cluster, the store or other members, except addresses that it is given.

mod archive;
mod backends;
mod binaries;
mod callbacks;
mod connection;
mod conninfo;
mod control;
mod error;
mod files;
mod history;
mod mark;
mod monitor;
mod orphans;
mod passwords;
mod process;
mod promote;
mod readable;
mod remove;
mod replication;
mod rewind;
mod run;
mod settings;
mod slots;
mod spawn;
mod start;
mod stop;
#[cfg(test)]
mod testing;
mod watch;
mod words;

pub use backends::clients_gone;
pub use binaries::{Binaries, Tool};
pub use callbacks::Callbacks;
pub use connection::{Connection, Purpose};
pub(crate) use connection::{identifier, literal};
pub use conninfo::{Dsn, password_file, primary_conninfo};
pub use control::{ControlFile, control_data, control_file, data_directory, peek_state};
pub use error::PgError;
pub(crate) use error::blocking;
pub use files::{AccessRules, FollowTarget, PendingRestart, Recovery, Wanted, Written, has_recovery_signal};
pub use history::{HistoryRow, parse_history};
pub use monitor::monitor;
pub use orphans::{end_orphans, end_strays};
pub use passwords::check_password_file;
pub use process::{Ended, PidFile, ended, find_running, is_alive, postmaster_status};
pub use promote::Followed;
pub use replication::{Identity, Replication};
pub(crate) use rewind::option_arguments;
pub(crate) use run::Conversation;
pub use run::{NO_LIMIT, Output, Program, describe, settled};
pub use slots::SlotCopy;
pub use start::Started;
pub use stop::{ShutDown, StopMode, end_of_record, shutdown_checkpoint, stop};
pub use watch::{FileEvent, StatusWatch};
pub use words::{SplitError, split};

use regent_core::model::ServerSettings;
use std::sync::Arc;

/// The local server as it is configured: cheap to clone, made anew when the configuration changes.
#[derive(Clone, Debug)]
pub struct Server {
    /// How it is set up.
    pub settings: Arc<ServerSettings>,
    /// Its programs.
    pub binaries: Binaries,
}
