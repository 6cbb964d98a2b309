//! The configuration: which store, and which rule is broken.

use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use serde::Deserialize;

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
    /// The working folder of the process is another.
    ChangesFolder,
}

/// The configuration section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Objects with the same store see the same keys.
    pub store: String,
    /// The rule that is broken.
    #[serde(default)]
    pub fault: Fault,
}

impl Config {
    /// Reads the section.
    pub fn read(text: &str) -> Result<Config> {
        serde_json::from_str(text).map_err(|error| DcsError::new(ErrorKind::Invalid, error.to_string()))
    }
}
