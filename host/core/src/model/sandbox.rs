//! What a sandboxed method may reach: exactly what its section of the configuration grants. Data only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A method that is a WebAssembly component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// The component's file.
    pub component: PathBuf,
    /// What the file's SHA-256 digest must be, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Folders besides the data directory.
    pub directories: Vec<GrantedDirectory>,
    /// `host:port` of every server that it may connect to.
    pub hosts: Vec<String>,
    /// A file of certificates that HTTPS servers are trusted by, besides the usual authorities.
    pub certificates: Option<PathBuf>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// How many bytes of memory it may take.
    pub memory_bytes_max: u64,
    /// How long it may take; without an end where nothing is said.
    pub timeout: Option<Duration>,
    /// The connection string holds the password.
    pub with_password: bool,
}

/// A folder that a sandboxed method sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Under which path the method sees it.
    pub seen_as: String,
    /// The method may change what is in it.
    pub writable: bool,
    /// `pg_wal` or `pg_tblspc/OID`: the place in the data directory that becomes a link to it.
    pub link: Option<String>,
}
