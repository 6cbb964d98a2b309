//! Every key as the peer writes it, and the older and broken forms that a reader meets (dcs-layout §2 to §6).

use super::*;

const HISTORY: &str =
    r#"[[1,50332040,"no recovery target specified","2026-11-20T19:58:32.380153+00:00","postgresql1"]]"#;
const STATUS: &str = concat!(
    r#"{"optime":83886528,"slots":{"postgresql0":83886528,"postgresql1":83886528},"#,
    r#""retain_slots":["postgresql0","postgresql1"]}"#
);
const CONFIG: &str = concat!(
    r#"{"ttl":21,"loop_wait":3,"retry_timeout":5,"maximum_lag_on_failover":1048576,"postgresql":{"#,
    r#""use_pg_rewind":true,"pg_hba":["local all all trust"],"parameters":{"max_connections":150}}}"#
);
const PRIMARY: &str = concat!(
    r#"{"conn_url":"postgres://127.0.0.1:15431/postgres","api_url":"http://127.0.0.1:18001/patroni","#,
    r#""state":"running","role":"primary","version":"4.1.4","tags":{"clonefrom":true,"custom":1.5},"#,
    r#""xlog_location":83886528,"timeline":2}"#
);
const REPLICA: &str = concat!(
    r#"{"conn_url":"postgres://127.0.0.1:15430/postgres","api_url":"http://127.0.0.1:18000/patroni","#,
    r#""state":"running","role":"replica","version":"4.1.4","tags":{"clonefrom":true,"custom":1.5},"#,
    r#""xlog_location":83886528,"replay_lsn":83886528,"receive_lsn":83886528,"#,
    r#""replication_state":"streaming","timeline":2}"#
);

#[test]
fn the_live_sample_is_read_completely() {
    let sample = [
        entry(KeyKind::Initialize, "", "7710345176211496303"),
        entry(KeyKind::Leader, "", "postgresql1"),
        entry(KeyKind::Failover, "", "{}"),
        entry(KeyKind::History, "", HISTORY),
        entry(KeyKind::Status, "", STATUS),
        entry(KeyKind::Config, "", CONFIG),
        entry(KeyKind::Member, "postgresql1", PRIMARY),
        entry(KeyKind::Member, "postgresql0", REPLICA),
    ];
    let snapshot = decode_cluster(&sample, "9".to_owned());
    let view = &snapshot.view;
    let at = Some(Lsn(83886528));
    let replica = MemberView {
        name: "postgresql0".to_owned(),
        conn_url: Some("postgres://127.0.0.1:15430/postgres".to_owned()),
        api_url: Some("http://127.0.0.1:18000/patroni".to_owned()),
        state: Some(PgState::Running),
        role: Some(Role::Replica),
        version: Some("4.1.4".to_owned()),
        tags: tags_from(&json!({"clonefrom": true, "custom": 1.5})),
        xlog_location: at,
        receive_lsn: at,
        replay_lsn: at,
        replication_state: Some("streaming".to_owned()),
        timeline: Some(Timeline(2)),
        ..MemberView::default()
    };
    let primary = MemberView {
        name: "postgresql1".to_owned(),
        conn_url: Some("postgres://127.0.0.1:15431/postgres".to_owned()),
        api_url: Some("http://127.0.0.1:18001/patroni".to_owned()),
        role: Some(Role::Primary),
        receive_lsn: None,
        replay_lsn: None,
        replication_state: None,
        ..replica.clone()
    };
    assert_eq!(view.members, [replica, primary]);
    assert_eq!(view.initialize.as_deref(), Some("7710345176211496303"));
    assert_eq!(view.leader_name(), Some("postgresql1"));
    assert!(view.failover.as_ref().is_some_and(FailoverRequest::is_empty));
    assert_eq!((view.sync.clone(), view.failsafe.clone()), (SyncView::default(), None));
    assert_eq!(view.timeline(), Timeline(2));
    assert_eq!(view.config, Some(Version("7".to_owned())));
    // What is read whole is also written again byte for byte.
    assert_eq!(String::from_utf8(encode_history(&view.history.rows)).unwrap(), HISTORY);
    assert_eq!(String::from_utf8(encode_status(&view.status)).unwrap(), STATUS);
    assert_eq!(snapshot.config.unwrap().to_string(), CONFIG);
    assert_eq!(snapshot.members_raw["postgresql0"].to_string(), REPLICA);
    assert_eq!(snapshot.members_raw["postgresql1"].to_string(), PRIMARY);
}

#[test]
fn history_is_known_only_as_a_list_with_a_readable_end() {
    let check = |value: &str, timeline: u32, rows: usize| {
        let history = decode(KeyKind::History, value).view.history;
        assert_eq!((history.timeline(), history.rows.len()), (Timeline(timeline), rows), "{value}");
    };
    check("[]", 1, 0);
    for unreadable in
        ["", "{}", "7", "null", "\"[]\"", "[", "[[]]", "[7]", r#"[[1,5,"a"],[2]]"#, "[[4294967295,5,\"a\"]]"]
    {
        check(unreadable, 0, 0);
    }
    check(r#"[[1,5,"a"]]"#, 2, 1);
    check(r#"[[1,5,"a","2026-11-20T19:58:32+00:00"]]"#, 2, 1);
    check(r#"[[1,5,"a",null,null],["2","9",null,"t","n","more"]]"#, 3, 2);
    check(r#"[[1],[2,9,"a"]]"#, 3, 1);
    assert_eq!(decode_cluster(&[], String::new()).view.timeline(), Timeline(0));
}

#[test]
fn a_request_asks_for_what_its_form_says() {
    let check = |value: &str, leader: Option<&str>, candidate: Option<&str>| {
        let request = decode(KeyKind::Failover, value).view.failover.unwrap();
        let found = (request.leader.as_deref(), request.candidate.as_deref(), request.scheduled_at);
        assert_eq!(found, (leader, candidate, None), "{value}");
    };
    check(r#"{"leader":"a","member":"b"}"#, Some("a"), Some("b"));
    check(r#"{"leader":"a","member":null,"scheduled_at":null,"more":1}"#, Some("a"), None);
    check(r#"{"member":"b","scheduled_at":""}"#, None, Some("b"));
    check("a:b", Some("a"), Some("b"));
    check(" a : b ", Some("a"), Some("b"));
    check("a:", Some("a"), None);
    check(":b", None, Some("b"));
    check("a:b:c", Some("a"), Some("b"));
    for nothing in ["", "{}", "[]", "null", "7", ":", "word", r#""a:b""#, r#"{"leader":"a""#, r#"["a:b"#, r#""a:b"#] {
        check(nothing, None, None);
    }
}

#[test]
fn what_is_asked_for_later_never_happens_now() {
    let check = |at: &str, expected: WallTime| {
        let value = format!(r#"{{"leader":"a","scheduled_at":{at}}}"#);
        assert_eq!(decode(KeyKind::Failover, &value).view.failover.unwrap().scheduled_at, Some(expected), "{at}");
    };
    let due = WallTime(1_795_204_800_000_000);
    for at in ["20:00:00+00:00", "20:00+00", "20:00:00+0000", "20:00:00Z", "22:00:00.000000+02:00", "20:00:00 UTC"] {
        check(&format!("\"2026-11-20T{at}\""), due);
        check(&format!("\"2026-11-20 {at}\""), due);
    }
    for untold in ["\"2026-11-20T20:00:00\"", "\"tomorrow\"", "\" \"", "7", "[]", "true"] {
        check(untold, NEVER);
    }
}

#[test]
fn the_position_before_2_1_counts_only_without_a_status() {
    let legacy = |value: &str| entry(KeyKind::Other(0), "optime/leader", value);
    let optime = |entries: &[Entry]| decode_cluster(entries, String::new()).view.status.optime;
    assert_eq!(optime(&[legacy("4711")]), Some(Lsn(4711)));
    assert_eq!(optime(&[legacy("4711\n"), entry(KeyKind::Other(0), "other", "1")]), Some(Lsn(4711)));
    assert_eq!(optime(&[legacy("far")]), None);
    assert_eq!(optime(&[legacy("4711"), entry(KeyKind::Status, "", r#"{"optime":5}"#)]), Some(Lsn(5)));
    assert_eq!(optime(&[legacy("4711"), entry(KeyKind::Status, "", "{}")]), None);
}

#[test]
fn status_takes_a_bare_number_and_leaves_out_null() {
    let check = |value: &str, optime: Option<u64>, slots: &[(&str, u64)], retain: &[&str]| {
        let expected = StatusView {
            optime: optime.map(Lsn),
            slots: slots.iter().map(|(name, at)| ((*name).to_owned(), Lsn(*at))).collect(),
            retain_slots: retain.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(decode(KeyKind::Status, value).view.status, expected, "{value}");
    };
    check("5", Some(5), &[], &[]);
    check(
        r#"{"optime":"5","slots":{"a":7,"b":null,"c":"8"},"retain_slots":null}"#,
        Some(5),
        &[("a", 7), ("c", 8)],
        &[],
    );
    check(r#"{"optime":null,"slots":[],"retain_slots":["a",1]}"#, None, &[], &["a"]);
    for nothing in ["", "{}", "[]", "null", "-1", "1.5", "word", r#"{"optime":-1}"#] {
        check(nothing, None, &[], &[]);
    }
}

#[test]
fn members_of_any_age_are_read() {
    let member = |value: &str| decode(KeyKind::Member, value).view.members.remove(0);
    let nobody = MemberView { name: "a".to_owned(), ..MemberView::default() };
    for unreadable in ["", "{}", "[]", "null", "7", "{", "word", r#"{"state":null,"role":7,"tags":[],"timeline":0}"#] {
        assert_eq!(member(unreadable), nobody, "{unreadable}");
    }
    let old = member(r#"{"role":"master","state":"no such state","version":"1.6.5","more":{},"pending_restart":true}"#);
    assert_eq!((old.role, old.state, old.version.as_deref()), (Some(Role::Primary), None, Some("1.6.5")));
    assert!(old.pending_restart && !old.pause && old.checkpoint_after_promote.is_none());
    let oldest = member("postgresql://h/p");
    assert_eq!((oldest.conn_url.as_deref(), oldest.api_url), (Some("postgresql://h/p"), None));
    let fresh = member(r#"{"checkpoint_after_promote":false,"pause":true}"#);
    assert_eq!((fresh.checkpoint_after_promote, fresh.pause), (Some(false), true));
}

#[test]
fn other_keys_fall_back_as_documented() {
    for invalid in ["", "[]", "7", "null", "\"{}\"", "{"] {
        let snapshot = decode(KeyKind::Config, invalid);
        assert_eq!((snapshot.config, snapshot.view.config), (None, None), "{invalid}");
        assert_eq!(decode(KeyKind::Failsafe, invalid).view.failsafe, None, "{invalid}");
    }
    let failsafe = decode(KeyKind::Failsafe, r#"{"b":"http://b","a":null}"#).view.failsafe.unwrap();
    assert_eq!(failsafe, [("b".to_owned(), "http://b".to_owned())].into());
    assert_eq!(decode(KeyKind::Leader, "").view.leader, None);
    assert_eq!(decode(KeyKind::Initialize, "").view.initialize.as_deref(), Some(""));
    assert_eq!(decode(KeyKind::Sync, r#"{"leader":"a","quorum":"1","sync_standby":"b,b"}"#).view.sync.quorum, 1);
}

#[test]
fn what_we_write_has_the_peers_order() {
    let sync = SyncState { leader: String::new(), standbys: vec!["c".into(), "b".into()], quorum: 0 };
    assert_eq!(encode_sync(&sync), br#"{"leader":null,"quorum":0,"sync_standby":"b,c"}"#);
    let request = encode_failover(Some("a"), Some("b"), Some("2026-11-20T20:00:00+00:00"));
    assert_eq!(request, br#"{"leader":"a","member":"b","scheduled_at":"2026-11-20T20:00:00+00:00"}"#);
    assert_eq!(encode_failover(Some(""), Some(""), Some("")), b"{}");
    assert_eq!(encode_history(&[]), b"[]");
    assert_eq!(encode_status(&StatusView::default()), b"{}");
}
