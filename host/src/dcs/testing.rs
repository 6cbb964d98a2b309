//! Readings of a store for tests, written down as keys and values.

use super::{Snapshot, decode_cluster};
use regent_plugin_api::host::{Entry, Key, KeyKind};
use serde_json::Value;

/// The reading of keys as they are called below a cluster's name; a value that is no text stands for its JSON.
pub(crate) fn read_keys(keys: &Value) -> Snapshot {
    let entries = keys.as_object().expect("keys by name").iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Entry { key: key(name), value: text.into_bytes(), version: "1".to_owned(), session: String::new() }
    });
    decode_cluster(&entries.collect::<Vec<_>>(), String::new())
}

fn key(name: &str) -> Key {
    let kind = match name {
        "initialize" => KeyKind::Initialize,
        "config" => KeyKind::Config,
        "leader" => KeyKind::Leader,
        "status" => KeyKind::Status,
        "sync" => KeyKind::Sync,
        "failover" => KeyKind::Failover,
        "history" => KeyKind::History,
        other => {
            let name = other.strip_prefix("members/").expect("a known key").to_owned();
            return Key { kind: KeyKind::Member, name };
        }
    };
    Key::of(kind)
}

#[cfg(test)]
mod tests;
