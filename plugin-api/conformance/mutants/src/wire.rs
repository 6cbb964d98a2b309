//! What the client and its server say to each other: a line of JSON there, a line of JSON back.

use regent_plugin_sdk::{Key, KeyKind};
use serde::{Deserialize, Serialize};

/// A key: its kind's number and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place(pub u32, pub String);

impl Place {
    /// The key as it goes over the wire.
    pub fn of(key: &Key) -> Place {
        Place(key.kind.to_abi().0, key.name.clone())
    }

    /// The key as the daemon knows it.
    pub fn key(&self) -> Key {
        let number = self.0;
        let known = [KeyKind::Initialize, KeyKind::Config, KeyKind::Leader, KeyKind::Member, KeyKind::Status]
            .into_iter()
            .chain([KeyKind::Sync, KeyKind::Failover, KeyKind::History, KeyKind::Failsafe])
            .find(|kind| kind.to_abi().0 == number);
        Key { kind: known.unwrap_or(KeyKind::Other(number)), name: self.1.clone() }
    }
}

/// Any bytes as text: one character each.
pub fn text_of(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of such a text.
pub fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|one| u8::try_from(u32::from(one)).unwrap_or(b'?')).collect()
}

/// A value that is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    /// Its bytes as text.
    pub text: String,
    /// Whose it is, where it ends.
    pub session: String,
    /// When it ends, in milliseconds from now.
    pub lives_ms: Option<u64>,
}

/// What must hold of a key before it is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Nothing.
    Any,
    /// It is not there.
    Absent,
    /// It has that version.
    Version(String),
    /// It belongs to that session.
    Session(String),
    /// It is not there, or holds that value.
    AbsentOrValue(String),
    /// It is not there, or belongs to that session.
    AbsentOrSession(String),
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// All keys of a cluster.
    Read {
        /// The cluster.
        scope: String,
    },
    /// Writes or removes a key, and writes others along.
    Change {
        /// The cluster.
        scope: String,
        /// The key.
        key: Place,
        /// What must hold of it.
        when: Condition,
        /// Its new value; without one it is removed, if it is there.
        write: Option<Written>,
        /// Other keys and their values.
        also: Vec<(Place, String)>,
    },
    /// Removes a cluster.
    Clear {
        /// The cluster.
        scope: String,
        /// And all whose names begin alike.
        and_longer: bool,
    },
}

/// A key that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The key.
    pub key: Place,
    /// Its bytes as text.
    pub text: String,
    /// Its version.
    pub version: u64,
    /// Whose it is.
    pub session: String,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Response {
    /// All keys, and how many changes there were so far.
    State {
        /// The keys.
        found: Vec<Found>,
        /// The changes.
        changes: u64,
    },
    /// It was changed, and has that version.
    Done(u64),
    /// It was not as it must be.
    Refused,
}
