//! Tests of the codec: what the peer writes is read, what nobody can read does no harm.

use super::*;
use proptest::prelude::*;
use regent_core::model::{PgState, Role};
use regent_plugin_api::host::Key;

mod forms;
mod round_trip;

fn entry(kind: KeyKind, name: &str, value: &str) -> Entry {
    let key = Key { kind, name: name.to_owned() };
    Entry { key, value: value.as_bytes().to_vec(), version: "7".to_owned(), session: String::new() }
}

fn decode(kind: KeyKind, value: &str) -> Snapshot {
    decode_cluster(&[entry(kind, "a", value)], String::new())
}

#[test]
fn the_peers_documents_are_read() {
    let snapshot = decode_cluster(
        &[
            entry(KeyKind::Initialize, "", "7710345176211496303"),
            entry(KeyKind::Leader, "", "postgresql1"),
            entry(KeyKind::Failover, "", "{}"),
            entry(
                KeyKind::History,
                "",
                r#"[[1,50332040,"no recovery target specified","2026-11-20T19:58:32.380153+00:00","postgresql1"]]"#,
            ),
            entry(
                KeyKind::Status,
                "",
                r#"{"optime":83886528,"slots":{"postgresql0":83886528},"retain_slots":["postgresql0"]}"#,
            ),
            entry(KeyKind::Config, "", r#"{"ttl":21}"#),
            entry(
                KeyKind::Member,
                "postgresql0",
                r#"{"conn_url":"postgres://127.0.0.1:15430/postgres","state":"running","role":"master","timeline":2}"#,
            ),
        ],
        "9".to_owned(),
    );
    let view = &snapshot.view;
    assert_eq!(view.initialize.as_deref(), Some("7710345176211496303"));
    assert_eq!(view.leader_name(), Some("postgresql1"));
    assert!(view.failover.as_ref().is_some_and(FailoverRequest::is_empty));
    assert_eq!(view.timeline(), Timeline(2));
    assert_eq!(view.status.optime, Some(Lsn(83886528)));
    assert_eq!(view.members[0].role, Some(Role::Primary));
    assert_eq!(view.members[0].state, Some(PgState::Running));
    assert_eq!(snapshot.config, Some(json!({"ttl": 21})));
}

#[test]
fn legacy_and_broken_values_are_tolerated() {
    assert_eq!(decode(KeyKind::Status, "4711").view.status.optime, Some(Lsn(4711)));
    assert_eq!(decode(KeyKind::Config, "[1]").view.config, None);
    assert_eq!(decode(KeyKind::Config, "nonsense").config, None);
    let long = decode(KeyKind::Config, r#"{"a":{"b":18446744073709551616},"ttl":21}"#);
    assert_eq!(long.config, Some(json!({"a": {"b": "18446744073709551616"}, "ttl": 21})));
    assert_eq!(long.config_long, ["a.b"]);
    let long = decode(KeyKind::Member, r#"{"tags":{"x":-99999999999999999999}}"#);
    assert_eq!(long.members_raw["a"], json!({"tags": {"x": "-99999999999999999999"}}));
    let request = decode(KeyKind::Failover, "a:b").view.failover.unwrap();
    assert_eq!((request.leader.as_deref(), request.candidate.as_deref()), (Some("a"), Some("b")));
    let member = &decode(KeyKind::Member, "postgres://h:1/p?application_name=http://h:8008/patroni").view.members[0];
    assert_eq!(member.conn_url.as_deref(), Some("postgres://h:1/p"));
    assert_eq!(member.api_url.as_deref(), Some("http://h:8008/patroni"));
    assert_eq!(decode(KeyKind::Member, "{").members_raw["a"], json!({}));
    assert_eq!(decode(KeyKind::History, "[]").view.timeline(), Timeline(1));
    let written = SyncState { leader: "a".into(), standbys: vec!["b".into(), "c".into()], quorum: 1 };
    assert_eq!(encode_sync(&written), br#"{"leader":"a","quorum":1,"sync_standby":"b,c"}"#);
    let empty = SyncState { standbys: Vec::new(), quorum: 0, ..written };
    assert_eq!(encode_sync(&empty), br#"{"leader":"a","quorum":0,"sync_standby":null}"#);
    for odd in ["", "[]", "7", r#"{"leader":null,"quorum":1,"sync_standby":"b"}"#, "a,b"] {
        let sync = decode(KeyKind::Sync, odd).view.sync;
        assert!(
            sync.leader.is_none() && sync.standbys.is_empty() && sync.quorum == 0 && sync.version.is_some(),
            "{odd}"
        );
    }
    let sync = decode(KeyKind::Sync, r#"{"leader":"a","quorum":1,"sync_standby":"c,b"}"#).view.sync;
    assert_eq!((sync.standbys, sync.quorum), (vec!["b".to_owned(), "c".to_owned()], 1));
}

#[test]
fn documents_are_written_compactly() {
    assert_eq!(encode_failover(Some("a"), None, None), br#"{"leader":"a"}"#);
    assert_eq!(encode_failover(None, None, None), b"{}");
    let status = StatusView { optime: Some(Lsn(5)), ..StatusView::default() };
    assert_eq!(encode_status(&status), br#"{"optime":5}"#);
}

proptest! {
    #[test]
    fn no_bytes_take_the_reader_down(kind in 0u32..11, value: Vec<u8>) {
        let kinds = [
            KeyKind::Initialize, KeyKind::Config, KeyKind::Leader, KeyKind::Member, KeyKind::Status, KeyKind::Sync,
            KeyKind::Failover, KeyKind::History, KeyKind::Failsafe, KeyKind::Other(77), KeyKind::Other(0),
        ];
        let mut entry = entry(kinds[kind as usize], "a", "");
        entry.value = value;
        decode_cluster(&[entry], String::new());
    }

    #[test]
    fn status_survives_the_round_trip(optime: u64, slot: u64) {
        let status = StatusView {
            optime: Some(Lsn(optime)),
            slots: [("a".to_owned(), Lsn(slot))].into(),
            retain_slots: vec!["a".to_owned()],
        };
        let text = String::from_utf8(encode_status(&status)).unwrap();
        prop_assert_eq!(super::status(&text, serde_json::from_str(&text).ok()), status);
    }
}
