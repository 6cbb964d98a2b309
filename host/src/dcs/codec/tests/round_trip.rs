//! Properties of the codec: documents survive the round trip, and arbitrary bytes give the documented fallback.

use super::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_.-]{0,12}"
}

fn row() -> impl Strategy<Value = HistoryRow> {
    let newest = proptest::option::of((".{1,20}", proptest::option::of(name())));
    (1..u32::MAX, any::<u64>(), ".{0,20}", newest).prop_map(|(timeline, at, reason, newest)| {
        let (timestamp, new_leader) = newest.map_or((None, None), |(time, leader)| (Some(time), leader));
        HistoryRow { timeline: Timeline(timeline), switch_lsn: Lsn(at), reason, timestamp, new_leader }
    })
}

fn compact(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.to_string().as_bytes() == bytes)
}

fn decode_bytes(kind: KeyKind, value: &[u8]) -> Snapshot {
    let entry = Entry { value: value.to_vec(), ..entry(kind, "a", "") };
    decode_cluster(&[entry], String::new())
}

/// JSON of any shape, objects with the fields of the documents among it.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no infinity", |number| number.is_finite()).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let field = proptest::sample::select(vec![
        "leader",
        "member",
        "scheduled_at",
        "quorum",
        "sync_standby",
        "optime",
        "slots",
        "retain_slots",
        "conn_url",
        "state",
        "role",
        "version",
        "tags",
        "timeline",
        "xlog_location",
        "pause",
        "a",
    ]);
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let object = proptest::collection::vec((field.clone(), inner.clone()), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            object.prop_map(|fields| Value::Object(fields.into_iter().map(|(key, at)| (key.to_owned(), at)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn bytes_that_are_no_json_give_the_fallback(tail: Vec<u8>) {
        // No JSON begins like this, nor a number, a legacy address or a legacy request that was cut off.
        let value = [b"{\xff".as_slice(), &tail].concat();
        let member = decode_bytes(KeyKind::Member, &value);
        prop_assert_eq!(&member.members_raw["a"], &json!({}));
        prop_assert_eq!(decode_bytes(KeyKind::Config, &value).config, None);
        prop_assert_eq!(decode_bytes(KeyKind::Config, &value).view.config, None);
        prop_assert!(decode_bytes(KeyKind::Failover, &value).view.failover.is_some_and(|request| request.is_empty()));
        let sync = decode_bytes(KeyKind::Sync, &value).view.sync;
        prop_assert_eq!(SyncView { version: None, ..sync }, SyncView::default());
        prop_assert_eq!(decode_bytes(KeyKind::Status, &value).view.status, StatusView::default());
        prop_assert_eq!(decode_bytes(KeyKind::History, &value).view.history, HistoryView::default());
        prop_assert_eq!(decode_bytes(KeyKind::Failsafe, &value).view.failsafe, None);
    }

    #[test]
    fn json_of_any_shape_is_survived(document in document()) {
        let kinds = [
            KeyKind::Initialize, KeyKind::Config, KeyKind::Leader, KeyKind::Member, KeyKind::Status, KeyKind::Sync,
            KeyKind::Failover, KeyKind::History, KeyKind::Failsafe,
        ];
        let text = document.to_string();
        for kind in kinds {
            let snapshot = decode(kind, &text);
            prop_assert!(snapshot.view.timeline() >= Timeline(0));
            prop_assert!(snapshot.view.sync.leader.is_some() || snapshot.view.sync.standbys.is_empty());
        }
        let sure = |value: &Value| !value.is_null() && value.as_str() != Some("");
        if let Some(at) = document.get("scheduled_at") {
            let request = decode(KeyKind::Failover, &text).view.failover.unwrap();
            prop_assert_eq!(request.scheduled_at.is_some(), sure(at));
        }
    }

    #[test]
    fn history_survives(rows in proptest::collection::vec(row(), 0..5)) {
        let written = encode_history(&rows);
        prop_assert!(compact(&written));
        prop_assert_eq!(decode_bytes(KeyKind::History, &written).view.history, HistoryView { known: true, rows });
    }

    #[test]
    fn status_survives(
        optime: Option<u64>,
        slots in proptest::collection::btree_map(name(), any::<u64>(), 0..4),
        retain_slots in proptest::collection::vec(name(), 0..4),
    ) {
        let slots = slots.into_iter().map(|(name, at)| (name, Lsn(at))).collect();
        let status = StatusView { optime: optime.map(Lsn), slots, retain_slots };
        let written = encode_status(&status);
        prop_assert!(compact(&written));
        prop_assert_eq!(decode_bytes(KeyKind::Status, &written).view.status, status);
    }

    #[test]
    fn sync_survives(leader in name(), standbys in proptest::collection::btree_set(name(), 0..4), quorum: u32) {
        let state = SyncState { leader: leader.clone(), standbys: standbys.into_iter().rev().collect(), quorum };
        let written = encode_sync(&state);
        prop_assert!(compact(&written));
        let mut standbys = state.standbys;
        standbys.sort();
        let expected = SyncView { leader: Some(leader), standbys, quorum, version: Some(Version("7".to_owned())) };
        prop_assert_eq!(decode_bytes(KeyKind::Sync, &written).view.sync, expected);
    }

    #[test]
    fn requests_survive(leader in proptest::option::of(name()), candidate in proptest::option::of(name()), at: Option<u32>) {
        let time = at.map(|at| jiff::Timestamp::from_second(at.into()).unwrap().to_string());
        let written = encode_failover(leader.as_deref(), candidate.as_deref(), time.as_deref());
        prop_assert!(compact(&written));
        let scheduled_at = at.map(|at| WallTime(i64::from(at) * 1_000_000));
        let expected = FailoverRequest { leader, candidate, scheduled_at, version: Version("7".to_owned()) };
        prop_assert_eq!(decode_bytes(KeyKind::Failover, &written).view.failover, Some(expected));
    }

    #[test]
    fn unknown_fields_of_a_configuration_survive(document in document()) {
        let kept = decode(KeyKind::Config, &document.to_string()).config;
        prop_assert_eq!(kept.map(|kept| kept.to_string()), document.is_object().then(|| document.to_string()));
    }
}
