//! What the daemon and the process that runs a component say to each other: one JSON document in a line. The daemon says
//! one thing, its order; it believes nothing of what it hears.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The longest line that either side takes.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// What is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// The first data directory of a cluster.
    Bootstrap,
    /// A replica's.
    Replica,
}

/// All that the process needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The component's file.
    pub component: PathBuf,
    /// Its digest.
    pub sha256: Option<String>,
    /// What is to be made.
    pub purpose: Purpose,
    /// The cluster's name.
    pub scope: String,
    /// How to reach the server to copy. Secret where it holds the password.
    pub connection: Option<String>,
    /// The section's own keys.
    pub parameters: Vec<(String, String)>,
    /// What a plain command is called with.
    pub arguments: Vec<String>,
    /// What it sees, the data directory first.
    pub directories: Vec<Directory>,
    /// What will be links.
    pub places: Vec<(String, String)>,
    /// Where it may connect to.
    pub hosts: Vec<String>,
    /// A file of certificates that servers are trusted by besides the usual ones.
    pub certificates: Option<PathBuf>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Bytes.
    pub memory_bytes_max: u64,
    /// Milliseconds.
    pub limit: Option<u64>,
    /// The folder for compiled code, where one can be trusted.
    pub cache: Option<PathBuf>,
}

/// A folder that a component sees.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Directory {
    pub path: PathBuf,
    pub seen_as: String,
    pub writable: bool,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// What is heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// A line for the log.
    Log { level: Level, text: String },
    /// How far it is.
    Progress { bytes: u64, bytes_total: Option<u64>, files: Option<u64>, message: String },
    /// It has ended well.
    Done,
    /// It has not; another method may.
    TryNext(String),
    /// It has not, and no other method may be tried.
    Fatal(String),
}

/// A text from a component, fit for a log: one line, no control characters, not longer than `chars_max`.
pub(super) fn tame(text: &str, chars_max: usize) -> String {
    let mut tamed: String =
        text.trim_end().chars().take(chars_max).map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    if text.trim_end().chars().nth(chars_max).is_some() {
        tamed.push('…');
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_tamed() {
        assert_eq!(tame("a\nb\x1b[31mc\n", 100), "a b [31mc");
        assert_eq!(tame("abcdef", 3), "abc…");
        assert_eq!(tame("abc", 3), "abc");
    }
}
