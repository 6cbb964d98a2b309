//! PostgreSQL parameters: who may set which, the controlled ones with their defaults and limits (config.md §6).

use super::reading::{Layers, at};
use super::units::{integer, megabytes, text, truth};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

/// How a controlled parameter is accepted.
#[derive(Clone, Copy)]
enum Accept {
    /// A whole number of at least this.
    AtLeast(i64),
    /// Megabytes, at least this many.
    Megabytes(i64),
    /// A truth value.
    Truth,
    /// Nothing but true.
    True,
    /// A level of the write-ahead log that standbys can live on.
    WalLevel,
}

/// A controlled parameter: all members have to agree on it, so it comes from the dynamic configuration alone.
struct Controlled {
    name: &'static str,
    default: &'static str,
    accept: Accept,
    versions: Range<u32>,
}

const fn controlled(name: &'static str, default: &'static str, accept: Accept) -> Controlled {
    Controlled { name, default, accept, versions: 0..u32::MAX }
}

impl Controlled {
    const fn from(mut self, version: u32) -> Controlled {
        self.versions.start = version;
        self
    }

    const fn before(mut self, version: u32) -> Controlled {
        self.versions.end = version;
        self
    }
}

#[rustfmt::skip]
const CONTROLLED: [Controlled; 12] = [
    controlled("wal_level", "replica", Accept::WalLevel),
    controlled("hot_standby", "on", Accept::True),
    controlled("max_connections", "100", Accept::AtLeast(25)),
    controlled("max_wal_senders", "10", Accept::AtLeast(3)),
    controlled("wal_keep_segments", "8", Accept::AtLeast(1)).before(130_000),
    controlled("wal_keep_size", "128MB", Accept::Megabytes(16)).from(130_000),
    controlled("max_prepared_transactions", "0", Accept::AtLeast(0)),
    controlled("max_locks_per_transaction", "64", Accept::AtLeast(32)),
    controlled("track_commit_timestamp", "off", Accept::Truth).from(90_500),
    controlled("max_replication_slots", "10", Accept::AtLeast(4)).from(90_400),
    controlled("max_worker_processes", "8", Accept::AtLeast(2)).from(90_400),
    controlled("wal_log_hints", "on", Accept::Truth).from(90_400),
];

/// Set from elsewhere in the configuration, never from `parameters`.
const DERIVED: [&str; 3] = ["listen_addresses", "port", "cluster_name"];

/// The parameter is controlled: local configuration and role overrides do not set it (CFG-05).
pub(super) fn is_controlled(name: &str) -> bool {
    DERIVED.contains(&name) || CONTROLLED.iter().any(|controlled| controlled.name == name)
}

/// What a controlled parameter is where nobody sets it.
pub(super) fn controlled_default(name: &str) -> Option<&'static str> {
    CONTROLLED.iter().find(|controlled| controlled.name == name).map(|controlled| controlled.default)
}

/// A section of parameters with lower-case names (CFG-18) and values as text; a `null` takes a parameter away.
fn section(document: &Value, path: &str) -> BTreeMap<String, Option<String>> {
    let map = at(document, path).and_then(Value::as_object);
    let value = |value: &Value| match value {
        Value::Array(_) => Some(super::units::list(value).join(",")),
        other => text(other),
    };
    let pairs = map.into_iter().flatten();
    pairs.map(|(name, given)| (name.to_lowercase(), value(given))).collect()
}

/// All parameters: controlled ones from the dynamic document only, others from both, local first. The version is
/// that of the server, 0 where it is not known yet.
pub(super) fn merge(layers: Layers<'_>, version: u32, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let version = if version == 0 { u32::MAX - 1 } else { version };
    let mut dynamic = section(layers.dynamic, "postgresql.parameters");
    convert_wal_keep(&mut dynamic, version);
    let mut parameters = controlled_ones(&dynamic, version, warnings);
    let local = section(layers.local, "postgresql.parameters");
    for (name, value) in dynamic.into_iter().chain(local) {
        match value {
            _ if is_controlled(&name) => {}
            Some(value) => {
                parameters.insert(name, value);
            }
            None => {
                parameters.remove(&name);
            }
        }
    }
    parameters
}

/// `parameters_primary` and its like, over the common ones (CFG-42).
pub(super) fn for_role(layers: Layers<'_>, role: &str, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let path = format!("postgresql.parameters_{role}");
    let mut given = section(layers.dynamic, &path);
    given.extend(section(layers.local, &path));
    let mut parameters = BTreeMap::new();
    for (name, value) in given {
        if is_controlled(&name) {
            warnings.push(format!("Role-based config attempted to override protected parameter '{name}', ignoring"));
        } else if let Some(value) = value {
            parameters.insert(name, value);
        }
    }
    parameters
}

fn controlled_ones(
    dynamic: &BTreeMap<String, Option<String>>,
    version: u32,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for controlled in CONTROLLED.iter().filter(|row| row.versions.contains(&version)) {
        let (name, default) = (controlled.name, level_name(controlled.default, version));
        let wanted = dynamic.get(name).and_then(Option::as_ref);
        let accepted = wanted.map(|text| accept(controlled.accept, text));
        if let (Some(wanted), Some(None)) = (wanted, &accepted) {
            warnings.push(format!("postgresql parameter {name}={wanted} failed validation, defaulting to {default}"));
        }
        let value = accepted.flatten().unwrap_or_else(|| default.to_owned());
        parameters.insert(name.to_owned(), level_name(&value, version).to_owned());
    }
    parameters
}

/// The level that standbys can be read from had another name up to 9.5 (CFG-19). Other values are left as they are.
fn level_name(value: &str, version: u32) -> &str {
    match value {
        "replica" if version < 90_600 => "hot_standby",
        "hot_standby" if version >= 90_600 => "replica",
        other => other,
    }
}

/// The value as it is written to the server's configuration; `None` where it is refused.
fn accept(rule: Accept, wanted: &str) -> Option<String> {
    let value = Value::from(wanted);
    match rule {
        Accept::AtLeast(least) => integer(&value).filter(|number| *number >= least).map(|number| number.to_string()),
        Accept::Megabytes(least) => megabytes(&value).filter(|size| *size >= least).map(|_| wanted.to_owned()),
        Accept::Truth => truth(&value).map(|flag| if flag { "on" } else { "off" }.to_owned()),
        Accept::True => truth(&value).filter(|flag| *flag).map(|_| "on".to_owned()),
        Accept::WalLevel => {
            let level = wanted.to_lowercase();
            ["hot_standby", "replica", "logical"].contains(&level.as_str()).then_some(level)
        }
    }
}

/// Segments of 16 MB up to 12, a size from 13 on; whichever was written serves both.
fn convert_wal_keep(parameters: &mut BTreeMap<String, Option<String>>, version: u32) {
    let (segments, size) = ("wal_keep_segments", "wal_keep_size");
    let (here, there) = if version >= 130_000 { (size, segments) } else { (segments, size) };
    let Some(Some(other)) = parameters.remove(there) else {
        return;
    };
    let value = Value::from(other.clone());
    let converted = if here == size {
        integer(&value).and_then(|count| count.checked_mul(16)).map(|size| format!("{size}MB"))
    } else {
        megabytes(&value).and_then(|size| size.checked_add(8)).map(|size| (size / 16).to_string())
    };
    // What can not be converted is refused under the name that counts here.
    let converted = converted.unwrap_or(other);
    parameters.entry(here.to_owned()).or_insert(Some(converted));
}

#[cfg(test)]
mod tests;
