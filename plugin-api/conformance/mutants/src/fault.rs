//! The configuration: which store, and which rule is broken.

use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The rule that is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// Any configuration is accepted.
    AcceptsGarbage,
    /// Versions are not compared.
    IgnoresVersions,
    /// Values are kept as text.
    ValuesAsText,
    /// Keys of unknown kinds are thrown away.
    DropsUnknownKinds,
    /// All members share a key.
    OneMemberKey,
    /// Removing a cluster removes those whose names begin alike.
    RemovesByPrefix,
    /// The lock is given to everybody.
    LockForAll,
    /// The holder is refused its own lock.
    NotReentrant,
    /// Anybody may give the lock back.
    ReleasesAnybodys,
    /// The lock never ends.
    NeverExpires,
    /// The lock ends at half its ttl.
    ExpiresEarly,
    /// A lock that ended is kept all the same.
    RenewsExpired,
    /// A new ttl is told, not used.
    IgnoresTtl,
    /// Values are written one by one, besides the lock.
    TornWrites,
    /// A watch sees only what happens while it waits.
    LosesChanges,
    /// A watch always tells of changes.
    AlwaysChanged,
    /// A cancelled watch goes on.
    IgnoresCancel,
    /// Any cancellation ends any watch.
    CancelsAny,
    /// A new configuration ends the lock.
    ReloadDropsLock,
    /// A thread goes on after the object was closed.
    LeavesThreads,
    /// A file stays open after the object was closed.
    LeavesFiles,
    /// Memory is not freed when the object was closed.
    LeavesMemory,
    /// The working folder of the process is another.
    ChangesFolder,
    /// After a pause longer than the ttl the lock is taken back from whoever has it.
    TakesBack,
    /// Without a server the lock is told to be lost.
    LostWithoutServer,
    /// A call waits as long as it pleases.
    IgnoresBudget,
    /// A request that went unanswered is told to be surely not applied.
    SurelyNot,
    /// A server that takes its time is given up long before the budget ends.
    Impatient,
    /// A connection that does not answer is used again and again.
    KeepsDeadConnections,
}

/// The configuration section.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The server, as an address and a port.
    pub server: SocketAddr,
    /// The rule that is broken.
    #[serde(default)]
    pub fault: Fault,
    /// The entry point that panics.
    #[serde(default)]
    pub panics_in: String,
    /// A file that says what every call does instead of its work, from when it is there: `crash`, `hang`, `panic` or
    /// `overrun`. So one of a cluster's members can be spoiled while it runs.
    #[serde(default)]
    pub mood: Option<PathBuf>,
}

impl Config {
    /// Reads the section.
    pub fn read(text: &str) -> Result<Config> {
        serde_json::from_str(text).map_err(|error| DcsError::new(ErrorKind::Invalid, error.to_string()))
    }
}
