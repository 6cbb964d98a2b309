//! PostgreSQL parameters: who may set which, the controlled ones with their defaults and limits (config.md §6).

use super::value::{at, integer, megabytes, text, truth};
use serde_json::Value;
use std::collections::BTreeMap;

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
    /// A level of the write-ahead log.
    WalLevel,
}

/// A controlled parameter: name, default, what is accepted, and from which version (and until before which).
struct Controlled {
    name: &'static str,
    default: &'static str,
    accept: Accept,
    versions: std::ops::Range<u32>,
}

const fn always(name: &'static str, default: &'static str, accept: Accept) -> Controlled {
    Controlled { name, default, accept, versions: 0..u32::MAX }
}

const fn from(version: u32, name: &'static str, default: &'static str, accept: Accept) -> Controlled {
    Controlled { name, default, accept, versions: version..u32::MAX }
}

const CONTROLLED: [Controlled; 12] = [
    always("wal_level", "hot_standby", Accept::WalLevel),
    always("hot_standby", "on", Accept::True),
    always("max_connections", "100", Accept::AtLeast(25)),
    always("max_wal_senders", "10", Accept::AtLeast(3)),
    Controlled { name: "wal_keep_segments", default: "8", accept: Accept::AtLeast(1), versions: 0..130_000 },
    from(130_000, "wal_keep_size", "128MB", Accept::Megabytes(16)),
    always("max_prepared_transactions", "0", Accept::AtLeast(0)),
    always("max_locks_per_transaction", "64", Accept::AtLeast(32)),
    from(90_500, "track_commit_timestamp", "off", Accept::Truth),
    from(90_400, "max_replication_slots", "10", Accept::AtLeast(4)),
    from(90_400, "max_worker_processes", "8", Accept::AtLeast(2)),
    from(90_400, "wal_log_hints", "on", Accept::Truth),
];

/// Set from elsewhere in the configuration, never from `parameters`.
const OURS: [&str; 3] = ["listen_addresses", "port", "cluster_name"];

/// The parameter is controlled: local configuration and role overrides do not set it (CFG-05).
pub(super) fn is_controlled(name: &str) -> bool {
    OURS.contains(&name) || CONTROLLED.iter().any(|controlled| controlled.name == name)
}

/// A section of parameters with lower-case names (CFG-18) and values as text.
pub(super) fn section(document: &Value, path: &str) -> BTreeMap<String, String> {
    let map = at(document, path).and_then(Value::as_object);
    let pairs = map.into_iter().flatten().filter_map(|(name, value)| Some((name.to_lowercase(), text(value)?)));
    pairs.collect()
}

/// All parameters: controlled ones from the dynamic document only, others from both, local first.
pub(super) fn merge(
    local: &Value,
    dynamic: &Value,
    version: u32,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut dynamic = section(dynamic, "postgresql.parameters");
    convert_wal_keep(&mut dynamic, version);
    let mut parameters = BTreeMap::new();
    for controlled in CONTROLLED.iter().filter(|controlled| version == 0 || controlled.versions.contains(&version)) {
        let wanted = dynamic.get(controlled.name);
        let accepted = wanted.map(|text| (text, accept(controlled.accept, text)));
        let value = match accepted {
            None => controlled.default.to_owned(),
            Some((_, Some(value))) => value,
            Some((text, None)) => {
                let (name, default) = (controlled.name, controlled.default);
                warnings.push(format!("postgresql parameter {name}={text} failed validation, defaulting to {default}"));
                default.to_owned()
            }
        };
        parameters.insert(controlled.name.to_owned(), value);
    }
    let renamed = parameters.get("wal_level").is_some_and(|level| level == "hot_standby");
    if renamed && (version == 0 || version >= 90_600) {
        parameters.insert("wal_level".to_owned(), "replica".to_owned());
    }
    for source in [dynamic, section(local, "postgresql.parameters")] {
        parameters.extend(source.into_iter().filter(|(name, _)| !is_controlled(name)));
    }
    parameters
}

fn accept(rule: Accept, value: &str) -> Option<String> {
    let json = Value::String(value.to_owned());
    match rule {
        Accept::AtLeast(least) => integer(&json).filter(|number| *number >= least).map(|number| number.to_string()),
        Accept::Megabytes(least) => megabytes(&json).filter(|size| *size >= least).map(|_| value.to_owned()),
        Accept::Truth => truth(&json).map(|flag| if flag { "on" } else { "off" }.to_owned()),
        Accept::True => truth(&json).filter(|flag| *flag).map(|_| "on".to_owned()),
        Accept::WalLevel => {
            let level = value.to_lowercase();
            ["hot_standby", "replica", "logical"].contains(&level.as_str()).then_some(level)
        }
    }
}

/// Segments of 16 MB up to 12, a size from 13 on; whichever was written serves both.
fn convert_wal_keep(parameters: &mut BTreeMap<String, String>, version: u32) {
    if version >= 130_000 || version == 0 {
        let segments = parameters.remove("wal_keep_segments").and_then(|text| integer(&Value::String(text)));
        if let Some(segments) = segments {
            parameters.entry("wal_keep_size".to_owned()).or_insert_with(|| format!("{}MB", segments * 16));
        }
    } else if let Some(size) = parameters.remove("wal_keep_size").and_then(|text| megabytes(&Value::String(text))) {
        parameters.entry("wal_keep_segments".to_owned()).or_insert_with(|| ((size + 8) / 16).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(local: Value, dynamic: Value, version: u32, name: &str, expected: Option<&str>) {
        let parameters = |value: Value| json!({"postgresql": {"parameters": value}});
        let found = merge(&parameters(local), &parameters(dynamic), version, &mut Vec::new());
        assert_eq!(found.get(name).map(String::as_str), expected, "{name} at {version}");
    }

    #[test]
    fn controlled_parameters_come_from_the_store_alone() {
        check(json!({"max_connections": 500}), json!({}), 150_000, "max_connections", Some("100"));
        check(json!({}), json!({"Max_Connections": "150"}), 150_000, "max_connections", Some("150"));
        check(json!({}), json!({"max_connections": 5}), 150_000, "max_connections", Some("100"));
        check(json!({}), json!({"hot_standby": "off"}), 150_000, "hot_standby", Some("on"));
        check(json!({"port": 1}), json!({"port": 2}), 150_000, "port", None);
    }

    #[test]
    fn others_come_from_both_and_local_wins() {
        check(json!({"work_mem": "8MB"}), json!({"work_mem": "4MB"}), 150_000, "work_mem", Some("8MB"));
        check(json!({}), json!({"TimeZone": "UTC"}), 150_000, "timezone", Some("UTC"));
        check(json!({}), json!({"fsync": true}), 150_000, "fsync", Some("on"));
    }

    #[test]
    fn names_follow_the_version() {
        check(json!({}), json!({"wal_keep_segments": 8}), 150_000, "wal_keep_size", Some("128MB"));
        check(json!({}), json!({"wal_keep_size": "128MB"}), 120_000, "wal_keep_segments", Some("8"));
        check(json!({}), json!({"wal_level": "hot_standby"}), 150_000, "wal_level", Some("replica"));
        check(json!({}), json!({"wal_level": "hot_standby"}), 90_500, "wal_level", Some("hot_standby"));
        check(json!({}), json!({}), 120_000, "wal_keep_size", None);
    }
}
