//! Tests of comparing configurations.

use super::*;
use crate::config::{DynamicConfig, LocalConfig, Source};
use std::collections::BTreeMap;

const LOCAL: &str = "scope: a\nname: b\nrestapi: {listen: '*:8008'}\nlocal: {path: /x}\n\
                     postgresql: {listen: '*:5432', data_dir: /d}\n";

fn built(local: &str, dynamic: &str) -> Effective {
    let variables = BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), local.to_owned())]);
    let local = LocalConfig::load(&Source::new(None, variables)).unwrap();
    Effective::build(&local, &DynamicConfig::parse(dynamic).unwrap(), 150_000)
}

fn check(from: &str, to: &str, areas: &[Area], after_restart: &[&str]) {
    let old = built(LOCAL, "{}");
    let found = changes(&old, &built(&LOCAL.replace(from, to), "{}"));
    assert_eq!(found.at_runtime, areas, "{to}");
    assert_eq!(found.after_restart, after_restart, "{to}");
}

fn check_dynamic(dynamic: &str, areas: &[Area]) {
    let found = changes(&built(LOCAL, "{}"), &built(LOCAL, dynamic));
    assert_eq!(found.at_runtime, areas, "{dynamic}");
    assert_eq!(found.after_restart, [""; 0]);
}

#[test]
fn nothing_changed_is_nothing() {
    let same = built(LOCAL, "{}");
    assert!(changes(&same, &same).is_empty());
}

#[test]
fn local_changes_are_sorted_out() {
    check("*:8008", "*:8009", &[Area::ApiAddress, Area::ApiAccess], &[]);
    check("'*:8008'", "'*:8008', certfile: /c", &[Area::ApiEncryption], &[]);
    check("'*:8008'", "'*:8008', allowlist: [h]", &[Area::ApiAccess], &[]);
    check("name: b", "name: b\ntags: {x: 1}", &[Area::Tags], &[]);
    check("name: b", "name: b\nlog: {level: DEBUG}", &[Area::Log], &[]);
    check("name: b", "name: b\nctl: {insecure: true}", &[Area::Calls], &[]);
    check("name: b", "name: b\nwatchdog: {mode: off}", &[Area::Watchdog], &[]);
    check("name: b", "name: c", &[], &["name"]);
    check("scope: a", "scope: c", &[Area::ServerParameters], &["scope"]);
    check("/x", "/y", &[], &[]);
    check("local: {", "etcd3: {", &[], &["store"]);
    check("/d", "/e", &[], &["postgresql.data_dir", "postgresql.config_dir"]);
    check("name: b", "name: b\nguard: {mode: off}", &[], &["guard.mode"]);
    check("*:5432", "*:5433", &[Area::ServerAddresses, Area::ServerParameters], &[]);
    check("/d", "/d, authentication: {superuser: {username: x}}", &[Area::Accounts], &[]);
}

/// LOG-05.
#[test]
fn changed_parameters_are_told_with_their_old_and_new_values() {
    let sentences = |from: &str, to: &str| {
        let dynamic = |parameters: &str| format!("{{\"postgresql\": {{\"parameters\": {parameters}}}}}");
        changed_parameters(&built(LOCAL, &dynamic(from)), &built(LOCAL, &dynamic(to)))
    };
    assert_eq!(
        sentences(
            r#"{"work_mem": "4MB", "jit": "on", "max_connections": 50}"#,
            r#"{"work_mem": "8MB", "jit": "on", "TimeZone": "UTC", "max_connections": 60}"#,
        ),
        [
            "Changed max_connections from '50' to '60' (restart might be required)",
            "Changed timezone from its default to 'UTC'",
            "Changed work_mem from '4MB' to '8MB'",
        ]
    );
    let secret = sentences(r#"{"app.token": "old"}"#, r#"{"app.token": "new"}"#);
    assert_eq!(secret, ["Changed app.token from '***' to '***'"]);
    let within = sentences("{}", r#"{"archive_command": "cp postgres://a:hush@h/x"}"#);
    assert_eq!(within, ["Changed archive_command from its default to 'cp postgres://***@h/x'"]);
}

#[test]
fn dynamic_changes_are_sorted_out() {
    check_dynamic(r#"{"ttl":40}"#, &[Area::Timing]);
    check_dynamic(r#"{"pause":true}"#, &[Area::Rules]);
    check_dynamic(r#"{"postgresql":{"parameters":{"max_connections":50}}}"#, &[Area::ServerParameters]);
    check_dynamic(r#"{"postgresql":{"pg_hba_primary":["x"]}}"#, &[Area::ServerAccess]);
    check_dynamic(r#"{"postgresql":{"callbacks":{"on_start":"x"}}}"#, &[Area::Commands]);
    check_dynamic(r#"{"postgresql":{"use_pg_rewind":true}}"#, &[Area::Rules]);
}

#[test]
fn the_table_of_settings_says_the_same() {
    let (old, mut new) = (built(LOCAL, "{}"), built(LOCAL, "{}"));
    (new.settings.name, new.settings.scope) = ("other".into(), "other".into());
    new.dcs.namespace = "other".into();
    new.server.data_dir = "/other".into();
    new.server.config_dir = "/other".into();
    new.server.config_base_name = "other".into();
    new.server.bin_dir = Some("/other".into());
    new.settings.guard = regent_core::model::FenceMode::Off;
    for key in changes(&old, &new).after_restart {
        let setting = crate::config::schema::find(key).unwrap_or_else(|| panic!("{key} has no row"));
        assert_eq!(setting.applied, crate::config::schema::Applied::OnDaemonRestart, "{key}");
    }
}
