//! The store's values: whatever others wrote there is read, or left aside.

use crate::config::{DynamicConfig, Effective, LocalConfig, Source};
use crate::dcs::decode_cluster;
use crate::tests::damage::{self, Rounds};
use regent_plugin_api::host::{Entry, Key, KeyKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KINDS: [KeyKind; 8] = [
    KeyKind::Initialize,
    KeyKind::Config,
    KeyKind::Leader,
    KeyKind::Status,
    KeyKind::Sync,
    KeyKind::Failover,
    KeyKind::History,
    KeyKind::Failsafe,
];

fn good() -> Vec<(Key, Value)> {
    let member = json!({
        "conn_url": "postgres://10.0.0.1:5432/postgres", "api_url": "http://10.0.0.1:8008/patroni", "state": "running",
        "role": "primary", "version": "4.1.5", "xlog_location": 67108960, "receive_lsn": 67108960, "timeline": 3,
        "replay_lsn": 67108960, "replication_state": "streaming", "pause": true, "pending_restart": true,
        "tags": {"nofailover": false, "failover_priority": 1, "replicatefrom": "b", "zone": "1"},
        "scheduled_restart": {"schedule": "2030-01-01T00:00:00+00:00", "postgres_version": "16.0"},
        "pending_restart_reason": {"max_connections": {"old_value": "100", "new_value": "150"}},
    });
    let config = json!({
        "ttl": 30, "loop_wait": 10, "retry_timeout": "10s", "synchronous_mode": "quorum", "pause": false,
        "slots": {"a": {"type": "logical", "database": "d", "plugin": "p"}}, "ignore_slots": [{"name": "x"}],
        "standby_cluster": {"host": "h", "port": "5432"}, "member_slots_ttl": "30min",
        "postgresql": {"parameters": {"max_connections": 150}, "pg_hba": ["x"], "recovery_conf": {"restore_command": "x"}},
    });
    let values = [
        json!("7710345176211496303"),
        config,
        json!("a"),
        json!({"optime": 67108960, "slots": {"a": 67108960}, "retain_slots": ["b"]}),
        json!({"leader": "a", "sync_standby": "b,c", "quorum": 1}),
        json!({"leader": "a", "member": "b", "scheduled_at": "2030-01-01T00:00:00+00:00"}),
        json!([[1, 67108960, "no recovery target specified", "2030-01-01T00:00:00+00:00", "a"]]),
        json!({"a": "http://10.0.0.1:8008/patroni"}),
    ];
    let mut entries: Vec<_> = KINDS.iter().copied().map(Key::of).zip(values).collect();
    for name in ["a", "b"] {
        entries.push((Key { kind: KeyKind::Member, name: name.to_owned() }, member.clone()));
    }
    entries
}

fn entry(key: &Key, value: &str) -> Entry {
    Entry { key: key.clone(), value: value.as_bytes().to_vec(), version: "1".to_owned(), session: String::new() }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn fuzz_values_in_the_store() {
    let good = good();
    let local = "scope: a\nname: a\nrestapi: {listen: '*:1'}\npostgresql: {listen: '*:1', data_dir: /d}";
    let source = Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), local.to_owned())]));
    let local = LocalConfig::load(&source).expect("it is good");
    let mut rounds = Rounds::begin();
    while let Some(mut round) = rounds.next() {
        let mut entries = Vec::new();
        for (key, value) in &good {
            let chance = &mut round.chance;
            let text = match chance.u8(..4) {
                0 => text_of(value),
                1 => damage::text(chance, &text_of(value)),
                _ => text_of(&damage::document(chance, value)),
            };
            entries.push(entry(key, &text));
        }
        round.show(format!("{entries:?}"));
        let snapshot = decode_cluster(&entries, String::new());
        drop(format!("{snapshot:?}"));
        let view = &snapshot.view;
        drop(format!("{:?} {:?} {}", view.leader_name(), view.leader_member(), view.sync.knows("b")));
        let dynamic = snapshot.config.clone().map(DynamicConfig::from_value);
        if let Some(Ok(dynamic)) = dynamic {
            let effective = Effective::build(&local, &dynamic, 150_000);
            let settings = &effective.settings;
            assert!(settings.loop_wait + 2 * settings.retry_timeout <= settings.ttl, "{settings:?}");
        }
    }
}
