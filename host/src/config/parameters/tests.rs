//! Tests of merging parameters.

use super::*;
use serde_json::json;

fn merged(local: Value, dynamic: Value, version: u32) -> (BTreeMap<String, String>, Vec<String>) {
    let wrap = |parameters: Value| json!({"postgresql": {"parameters": parameters}});
    let (local, dynamic) = (wrap(local), wrap(dynamic));
    let layers = Layers { local: &local, dynamic: &dynamic };
    let mut warnings = Vec::new();
    let parameters = merge(layers, version, &mut warnings);
    (parameters, warnings)
}

fn check(local: Value, dynamic: Value, version: u32, name: &str, expected: Option<&str>) {
    let (found, _) = merged(local, dynamic, version);
    assert_eq!(found.get(name).map(String::as_str), expected, "{name} at {version}");
}

#[test]
fn controlled_parameters_come_from_the_store_alone() {
    // CFG-05, CFG-06
    let shared = |value: Value, name: &str, expected: &str| {
        check(json!({}), json!({ name: value }), 150_000, name, Some(expected));
    };
    check(json!({"max_connections": 500}), json!({}), 150_000, "max_connections", Some("100"));
    check(json!({"MAX_CONNECTIONS": 500}), json!({"max_connections": 50}), 150_000, "max_connections", Some("50"));
    shared(json!("150"), "max_connections", "150");
    shared(json!("0x64"), "max_connections", "100");
    shared(json!(24), "max_connections", "100");
    shared(json!("off"), "hot_standby", "on");
    shared(json!(2), "max_wal_senders", "10");
    shared(json!("1GB"), "wal_keep_size", "1GB");
    shared(json!("8MB"), "wal_keep_size", "128MB");
    shared(json!("yes"), "track_commit_timestamp", "on");
    shared(json!(false), "wal_log_hints", "off");
    shared(json!("minimal"), "wal_level", "replica");
    shared(json!("Logical"), "wal_level", "logical");
    for name in DERIVED {
        check(json!({ name: 1 }), json!({ name: 2 }), 150_000, name, None);
    }
}

#[test]
fn what_was_refused_is_told() {
    let (_, warnings) = merged(json!({}), json!({"max_connections": "few", "wal_keep_segments": "some"}), 150_000);
    assert_eq!(
        warnings,
        [
            "postgresql parameter max_connections=few failed validation, defaulting to 100",
            "postgresql parameter wal_keep_size=some failed validation, defaulting to 128MB",
        ]
    );
}

#[test]
fn others_come_from_both_and_local_wins() {
    // CFG-18: names in any case are one name.
    check(json!({"TIMEZONE": "Etc/UTC"}), json!({"TimeZone": "UTC"}), 150_000, "timezone", Some("Etc/UTC"));
    check(json!({"work_mem": "8MB"}), json!({"work_mem": "4MB"}), 150_000, "work_mem", Some("8MB"));
    check(json!({"work_mem": null}), json!({"work_mem": "4MB"}), 150_000, "work_mem", None);
    check(json!({}), json!({"TimeZone": "UTC"}), 150_000, "timezone", Some("UTC"));
    check(json!({}), json!({"fsync": true}), 150_000, "fsync", Some("on"));
    check(json!({"shared_preload_libraries": ["a", "b"]}), json!({}), 150_000, "shared_preload_libraries", Some("a,b"));
}

#[test]
fn names_follow_the_version() {
    // CFG-19
    let level = |version: u32, expected: &str| {
        for written in ["hot_standby", "replica"] {
            check(json!({}), json!({"wal_level": written}), version, "wal_level", Some(expected));
        }
        check(json!({}), json!({}), version, "wal_level", Some(expected));
    };
    level(0, "replica");
    level(90_600, "replica");
    level(90_500, "hot_standby");
    check(json!({}), json!({"wal_keep_segments": 10}), 150_000, "wal_keep_size", Some("160MB"));
    check(json!({}), json!({"wal_keep_segments": 10, "wal_keep_size": "1GB"}), 150_000, "wal_keep_size", Some("1GB"));
    check(json!({}), json!({"wal_keep_size": "1GB"}), 120_000, "wal_keep_segments", Some("64"));
    check(json!({}), json!({}), 120_000, "wal_keep_size", None);
    check(json!({}), json!({}), 0, "wal_keep_size", Some("128MB"));
    check(json!({}), json!({}), 90_300, "max_replication_slots", None);
}

#[test]
fn roles_override_all_but_what_is_controlled() {
    // CFG-42
    let local = json!({"postgresql": {"parameters_primary": {"Work_Mem": "1MB", "max_connections": 5}}});
    let dynamic = json!({"postgresql": {"parameters_primary": {"work_mem": "2MB", "jit": false}}});
    let layers = Layers { local: &local, dynamic: &dynamic };
    let mut warnings = Vec::new();
    let found: Vec<_> = for_role(layers, "primary", &mut warnings).into_iter().collect();
    let expected = [("jit", "off"), ("work_mem", "1MB")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(warnings, ["Role-based config attempted to override protected parameter 'max_connections', ignoring"]);
}
