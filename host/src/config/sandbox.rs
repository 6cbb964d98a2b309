//! What a section of a method grants to the component that it names. Nothing is granted by default.

use super::reading::{at, list_at, pairs, some_text_at, text_at, truth_at};
use super::units::{bytes, seconds, text};
use regent_core::model::{GrantedDirectory, SandboxSettings};
use serde_json::Value;
use std::path::PathBuf;

/// Keys of a component's section that are ours; every other one is the component's parameter.
pub(super) const KEYS: [&str; 13] = [
    "wasm",
    "sha256",
    "directories",
    "hosts",
    "cacert",
    "environment",
    "memory",
    "timeout",
    "connstring",
    "no_params",
    "no_leader",
    "no_master",
    "keep_data",
];

/// Enough for what unpacks and checks; a runaway stops long before the machine has none left.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// The grants of a section that names a component.
pub(super) fn build(section: &Value) -> Option<SandboxSettings> {
    let component = some_text_at(section, "wasm")?;
    let memory = at(section, "memory").and_then(bytes).and_then(|bytes| u64::try_from(bytes).ok());
    let directories = at(section, "directories").and_then(Value::as_array);
    Some(SandboxSettings {
        component: PathBuf::from(component),
        sha256: some_text_at(section, "sha256").map(|digits| digits.to_lowercase()),
        directories: directories.into_iter().flatten().filter_map(directory).collect(),
        hosts: list_at(section, "hosts"),
        certificates: some_text_at(section, "cacert").map(PathBuf::from),
        environment: pairs(at(section, "environment")).collect(),
        memory_bytes_max: memory.unwrap_or(MEMORY_BYTES_MAX),
        timeout: at(section, "timeout").and_then(seconds).filter(|limit| !limit.is_zero()),
        with_password: text_at(section, "connstring").as_deref() == Some("with-password"),
    })
}

/// A path, to be read; or a mapping that says more.
fn directory(item: &Value) -> Option<GrantedDirectory> {
    let path = if item.is_object() { some_text_at(item, "path")? } else { text(item)? };
    let link = some_text_at(item, "link");
    Some(GrantedDirectory {
        seen_as: some_text_at(item, "seen_as").unwrap_or_else(|| path.clone()),
        path: PathBuf::from(path),
        // What becomes a part of the data directory can only be there to be written.
        writable: link.is_some() || truth_at(item, "writable").unwrap_or(false),
        link,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn nothing_is_granted_but_what_is_written() {
        assert_eq!(build(&json!({"command": "x"})), None);
        let bare = build(&json!({"wasm": "/m.wasm"})).unwrap();
        assert!(bare.directories.is_empty() && bare.hosts.is_empty() && bare.environment.is_empty());
        assert!(!bare.with_password && bare.timeout.is_none() && bare.memory_bytes_max == MEMORY_BYTES_MAX);
        let full = build(&json!({
            "wasm": "/m.wasm", "sha256": "AB", "memory": "64MB", "timeout": 5, "connstring": "with-password",
            "hosts": ["h:1"], "cacert": "/ca.pem", "environment": {"A": 1},
            "directories": ["/backup", {"path": "/w", "seen_as": "/wal", "link": "pg_wal"}, {"path": "/s", "writable": true}],
        }))
        .unwrap();
        assert_eq!((full.memory_bytes_max, full.timeout), (64 << 20, Some(Duration::from_secs(5))));
        assert_eq!(full.certificates, Some("/ca.pem".into()));
        assert!(full.with_password && full.sha256.as_deref() == Some("ab") && full.environment["A"] == "1");
        let seen: Vec<_> = full
            .directories
            .iter()
            .map(|granted| (granted.seen_as.as_str(), granted.writable, granted.link.as_deref()))
            .collect();
        assert_eq!(seen, [("/backup", false, None), ("/wal", true, Some("pg_wal")), ("/s", true, None)]);
    }

    #[test]
    fn what_is_not_ours_is_a_parameter() {
        let section = json!({"wasm": "/m.wasm", "hosts": ["h:1"], "directory": "/b", "no_leader": true});
        let method = super::super::methods::method("m", &section);
        assert_eq!(method.arguments, [("directory".to_owned(), "/b".to_owned())]);
        assert!(method.sandbox.is_some() && method.no_leader);
    }
}
