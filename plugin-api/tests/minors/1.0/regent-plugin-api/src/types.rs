//! The plain Rust forms of what crosses the boundary, for the host and for authors of backends alike.

use crate::abi;
use abi_stable::std_types::{ROption, RResult, RVec};
use std::fmt;
use std::time::Duration;

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// `initialize`
    Initialize,
    /// `config`
    Config,
    /// `leader`
    Leader,
    /// `members/<name>`
    Member,
    /// `status`
    Status,
    /// `sync`
    Sync,
    /// `failover`
    Failover,
    /// `history`
    History,
    /// `failsafe`
    Failsafe,
    /// A kind that this build does not know.
    Other(u32),
}

impl KeyKind {
    const KNOWN: [(KeyKind, abi::KeyKind); 9] = [
        (KeyKind::Initialize, abi::KeyKind::INITIALIZE),
        (KeyKind::Config, abi::KeyKind::CONFIG),
        (KeyKind::Leader, abi::KeyKind::LEADER),
        (KeyKind::Member, abi::KeyKind::MEMBER),
        (KeyKind::Status, abi::KeyKind::STATUS),
        (KeyKind::Sync, abi::KeyKind::SYNC),
        (KeyKind::Failover, abi::KeyKind::FAILOVER),
        (KeyKind::History, abi::KeyKind::HISTORY),
        (KeyKind::Failsafe, abi::KeyKind::FAILSAFE),
    ];

    /// The number on the boundary.
    pub fn to_abi(self) -> abi::KeyKind {
        match self {
            KeyKind::Other(number) => abi::KeyKind(number),
            known => KeyKind::KNOWN.iter().find(|(kind, _)| *kind == known).map_or(abi::KeyKind(0), |found| found.1),
        }
    }

    /// The kind of a number on the boundary.
    pub fn from_abi(number: abi::KeyKind) -> KeyKind {
        KeyKind::KNOWN.iter().find(|(_, abi)| *abi == number).map_or(KeyKind::Other(number.0), |found| found.0)
    }
}

/// A key: its kind, and the member's name for [`KeyKind::Member`] (else empty).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: KeyKind,
    /// The member's name, where the kind has one.
    pub name: String,
}

impl Key {
    /// A key without a name.
    pub fn of(kind: KeyKind) -> Key {
        Key { kind, name: String::new() }
    }
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Vec<u8>,
    /// The value's version; only equality means anything.
    pub version: String,
    /// The session that keeps it alive; empty where it stays.
    pub session: String,
}

/// One consistent reading of a cluster's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All entries.
    pub entries: Vec<Entry>,
    /// A watch from here misses nothing.
    pub cursor: String,
}

/// The lock as we hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The session that keeps it.
    pub session: String,
    /// The leader key's version.
    pub version: String,
    /// How long it lives unrenewed.
    pub ttl: Duration,
}

/// A value to write together with the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Vec<u8>,
}

/// What must be there for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing may be there.
    Absent,
    /// This version must be there.
    Is(String),
}

/// Why a call gave no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The store could not be reached; surely nothing was applied.
    Unavailable,
    /// The request may have been applied.
    Indeterminate,
    /// The store does not accept our credentials.
    Auth,
    /// The request or the configuration makes no sense.
    Invalid,
    /// The backend can not do this.
    Unsupported,
    /// The call was cancelled.
    Cancelled,
    /// The backend panicked; the object is of no more use.
    Panic,
    /// Anything else.
    Internal,
    /// The object was closed.
    Closed,
}

impl ErrorKind {
    const KNOWN: [(ErrorKind, abi::ErrorKind); 9] = [
        (ErrorKind::Unavailable, abi::ErrorKind::UNAVAILABLE),
        (ErrorKind::Indeterminate, abi::ErrorKind::INDETERMINATE),
        (ErrorKind::Auth, abi::ErrorKind::AUTH),
        (ErrorKind::Invalid, abi::ErrorKind::INVALID),
        (ErrorKind::Unsupported, abi::ErrorKind::UNSUPPORTED),
        (ErrorKind::Cancelled, abi::ErrorKind::CANCELLED),
        (ErrorKind::Panic, abi::ErrorKind::PANIC),
        (ErrorKind::Internal, abi::ErrorKind::INTERNAL),
        (ErrorKind::Closed, abi::ErrorKind::CLOSED),
    ];

    fn to_abi(self) -> abi::ErrorKind {
        ErrorKind::KNOWN.iter().find(|(kind, _)| *kind == self).map_or(abi::ErrorKind::INTERNAL, |found| found.1)
    }

    /// An error of a kind that this build does not know may have been applied.
    fn from_abi(kind: abi::ErrorKind) -> ErrorKind {
        ErrorKind::KNOWN.iter().find(|(_, abi)| *abi == kind).map_or(ErrorKind::Indeterminate, |found| found.0)
    }
}

/// No verdict, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DcsError {
    /// What it means for the request.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

impl DcsError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> DcsError {
        DcsError { kind, message: message.into() }
    }
}

impl fmt::Display for DcsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DcsError {}

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The server tells of changes by itself.
    pub native_watch: bool,
    /// Leader calls write `also` in the same transaction.
    pub atomic_multi_write: bool,
    /// The server ends leases, whatever the client does.
    pub server_side_ttl: bool,
    /// The shortest ttl.
    pub min_ttl: Duration,
    /// The longest ttl.
    pub max_ttl: Duration,
    /// The largest value in bytes.
    pub max_value_bytes: u64,
}

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// Something changed after the cursor, or may have.
    Changed,
    /// Nothing did until the deadline.
    Deadline,
    /// It was cancelled.
    Cancelled,
    /// The backend can not watch.
    Unsupported,
}

/// Milliseconds, however long.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Conversions between the plain forms and those of the boundary.
pub mod convert {
    use super::*;

    /// A key for the boundary.
    pub fn key_to(key: &Key) -> abi::Key {
        abi::Key { kind: key.kind.to_abi(), name: key.name.as_str().into() }
    }

    /// A key from the boundary.
    pub fn key_from(key: &abi::Key) -> Key {
        Key { kind: KeyKind::from_abi(key.kind), name: key.name.to_string() }
    }

    /// Writes for the boundary.
    pub fn writes_to(writes: &[Write]) -> RVec<abi::Write> {
        writes.iter().map(|write| abi::Write { key: key_to(&write.key), value: write.value.clone().into() }).collect()
    }

    /// Writes from the boundary.
    pub fn writes_from(writes: &[abi::Write]) -> Vec<Write> {
        writes.iter().map(|write| Write { key: key_from(&write.key), value: write.value.to_vec() }).collect()
    }

    /// A version for the boundary.
    pub fn version_to(token: &str) -> abi::Version {
        abi::Version { token: token.into() }
    }

    /// An expectation for the boundary.
    pub fn expect_to(expect: &Expect) -> abi::Expect {
        match expect {
            Expect::Any => abi::Expect::Any,
            Expect::Absent => abi::Expect::Absent,
            Expect::Is(token) => abi::Expect::Is(version_to(token)),
        }
    }

    /// An expectation from the boundary.
    pub fn expect_from(expect: &abi::Expect) -> Expect {
        match expect {
            abi::Expect::Any => Expect::Any,
            abi::Expect::Absent => Expect::Absent,
            abi::Expect::Is(version) => Expect::Is(version.token.to_string()),
        }
    }

    /// A lease for the boundary.
    pub fn lease_to(lease: &Lease) -> abi::Lease {
        abi::Lease {
            session: lease.session.as_str().into(),
            version: version_to(&lease.version),
            ttl_ms: millis(lease.ttl),
            ext: RVec::new(),
        }
    }

    /// A lease from the boundary.
    pub fn lease_from(lease: &abi::Lease) -> Lease {
        Lease {
            session: lease.session.to_string(),
            version: lease.version.token.to_string(),
            ttl: Duration::from_millis(lease.ttl_ms),
        }
    }

    /// A reading for the boundary.
    pub fn snapshot_to(snapshot: Snapshot) -> abi::Snapshot {
        let entries = snapshot.entries.into_iter().map(|entry| abi::Entry {
            key: key_to(&entry.key),
            value: entry.value.into(),
            version: abi::Version { token: entry.version.into() },
            session: entry.session.into(),
        });
        abi::Snapshot { entries: entries.collect(), cursor: snapshot.cursor.into(), ext: RVec::new() }
    }

    /// A reading from the boundary.
    pub fn snapshot_from(snapshot: abi::Snapshot) -> Snapshot {
        let entries = snapshot.entries.into_iter().map(|entry| Entry {
            key: key_from(&entry.key),
            value: entry.value.into(),
            version: entry.version.token.into(),
            session: entry.session.into(),
        });
        Snapshot { entries: entries.collect(), cursor: snapshot.cursor.into() }
    }

    /// A result for the boundary.
    pub fn result_to<T, U>(result: Result<T, DcsError>, value: impl FnOnce(T) -> U) -> abi::Res<U> {
        match result {
            Ok(inner) => RResult::ROk(value(inner)),
            Err(error) => RResult::RErr(abi::Error {
                kind: error.kind.to_abi(),
                message: error.message.into(),
                retry_after_ms: 0,
                ext: RVec::new(),
            }),
        }
    }

    /// A result from the boundary.
    pub fn result_from<T, U>(result: abi::Res<T>, value: impl FnOnce(T) -> U) -> Result<U, DcsError> {
        match result {
            RResult::ROk(inner) => Ok(value(inner)),
            RResult::RErr(error) => {
                Err(DcsError { kind: ErrorKind::from_abi(error.kind), message: error.message.to_string() })
            }
        }
    }

    /// An optional value for the boundary.
    pub fn option_to<T, U>(option: Option<T>, value: impl FnOnce(T) -> U) -> ROption<U> {
        option.map(value).into()
    }

    /// An optional value from the boundary.
    pub fn option_from<T, U>(option: ROption<T>, value: impl FnOnce(T) -> U) -> Option<U> {
        option.into_option().map(value)
    }

    /// What a backend can do, for the boundary.
    pub fn capabilities_to(capabilities: Capabilities) -> abi::Capabilities {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        abi::Capabilities {
            flags: flag(capabilities.native_watch, abi::NATIVE_WATCH)
                | flag(capabilities.atomic_multi_write, abi::ATOMIC_MULTI_WRITE)
                | flag(capabilities.server_side_ttl, abi::SERVER_SIDE_TTL),
            min_ttl_ms: millis(capabilities.min_ttl),
            max_ttl_ms: millis(capabilities.max_ttl),
            max_value_bytes: capabilities.max_value_bytes,
            ext: RVec::new(),
        }
    }

    /// What a backend can do, from the boundary.
    pub fn capabilities_from(capabilities: &abi::Capabilities) -> Capabilities {
        Capabilities {
            native_watch: capabilities.flags & abi::NATIVE_WATCH != 0,
            atomic_multi_write: capabilities.flags & abi::ATOMIC_MULTI_WRITE != 0,
            server_side_ttl: capabilities.flags & abi::SERVER_SIDE_TTL != 0,
            min_ttl: Duration::from_millis(capabilities.min_ttl_ms),
            max_ttl: Duration::from_millis(capabilities.max_ttl_ms),
            max_value_bytes: capabilities.max_value_bytes,
        }
    }
}
