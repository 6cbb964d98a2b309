//! Tests of the whole way from texts to settings, on an ordinary configuration file.

use super::*;
use crate::config::sources::Source;
use regent_core::model::{FenceMode, SynchronousMode};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const SAMPLE: &str = r#"
scope: batman
namespace: /service/
name: postgresql0

restapi:
  listen: 127.0.0.1:8008
  connect_address: 127.0.0.1:8008
  authentication: {username: admin, password: hush}

etcd:
  host: 127.0.0.1:2379

bootstrap:
  # Written once, when the cluster is made.
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    synchronous_mode: quorum
    postgresql:
      use_pg_rewind: true
      pg_hba:
      - host replication replicator 127.0.0.1/32 md5
      parameters:
        wal_level: hot_standby
        max_connections: 150
        wal_keep_segments: 10
        archive_command: mkdir -p ../wal_archive && test ! -f ../wal_archive/%f && cp %p ../wal_archive/%f
  initdb:
  - encoding: UTF8
  - data-checksums
  post_init: /usr/local/bin/setup_cluster.sh

postgresql:
  listen: 127.0.0.1,10.0.0.1:5432
  connect_address: 10.0.0.1:5432
  data_dir: data/postgresql0
  pgpass: /tmp/pgpass0
  authentication:
    replication: {username: replicator, password: rep-pass}
    superuser: {username: postgres, password: zalando}
    rewind: {username: rewind_user, password: rewind_password}
  krbsrvname: postgres
  create_replica_methods: [wal_e, basebackup]
  wal_e: {command: patroni_wale_restore, no_leader: 1, envdir: /etc/wal-e.d/env}
  basebackup: [{max-rate: 100M}, verbose]
  parameters:
    unix_socket_directories: '..'
    max_connections: 999
  callbacks: {on_start: /bin/true}

watchdog: {mode: off}

tags:
    failover_priority: 1
    noloadbalance: false
    clonefrom: yes
    zone: '1'
"#;

fn load(variables: &[(&str, &str)]) -> LocalConfig {
    let mut variables: BTreeMap<String, String> =
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgresql0.yml");
    std::fs::write(&path, SAMPLE).unwrap();
    variables.insert("PATRONI_CONFIGURATION".to_owned(), String::new());
    LocalConfig::load(&Source::new(Some(path), variables)).unwrap()
}

fn build(local: &LocalConfig) -> Effective {
    let dynamic = local.bootstrap_dynamic().unwrap();
    Effective::build(local, &dynamic, 150_000)
}

#[test]
fn an_ordinary_file_gives_settings_without_a_warning() {
    let effective = build(&load(&[]));
    assert!(effective.warnings.is_empty(), "{:?}", effective.warnings);
    let settings = &effective.settings;
    assert_eq!((settings.name.as_str(), settings.scope.as_str()), ("postgresql0", "batman"));
    assert_eq!(settings.ttl, Duration::from_secs(30));
    assert_eq!(settings.synchronous_mode, SynchronousMode::Quorum);
    assert_eq!((settings.watchdog, settings.guard), (FenceMode::Off, FenceMode::Automatic));
    assert!(settings.use_pg_rewind && settings.may_bootstrap && settings.tags.clonefrom());
    let tags: Vec<_> = settings.tags.raw.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(tags, ["failover_priority", "clonefrom", "zone"]);
}

#[test]
fn an_ordinary_file_sets_up_the_server() {
    let effective = build(&load(&[]));
    let server = &effective.server;
    assert_eq!((server.listen_addresses.as_str(), server.port), ("127.0.0.1,10.0.0.1", 5432));
    assert_eq!(server.connect_address, "10.0.0.1:5432");
    assert_eq!(server.data_dir, PathBuf::from("data/postgresql0"));
    let parameter = |name: &str| server.parameters.get(name).map(String::as_str);
    assert_eq!(parameter("max_connections"), Some("150"), "CFG-05");
    assert_eq!(parameter("wal_level"), Some("replica"), "CFG-19");
    assert_eq!(parameter("wal_keep_size"), Some("160MB"));
    assert_eq!(parameter("wal_keep_segments"), None);
    assert_eq!(parameter("cluster_name"), Some("batman"));
    assert_eq!(parameter("unix_socket_directories"), Some(".."));
    assert_eq!(server.pg_hba.as_ref().unwrap().len(), 1);
    assert_eq!(server.create_replica_methods, ["wal_e", "basebackup"]);
    let wal_e = &server.methods["wal_e"];
    assert!(wal_e.no_leader);
    assert_eq!(wal_e.arguments.last().unwrap().1, "/etc/wal-e.d/env");
    assert_eq!(server.accounts.rewind.as_ref().unwrap().username.as_deref(), Some("rewind_user"));
    assert_eq!(server.callbacks["on_start"], "/bin/true");
    assert_eq!(effective.bootstrap.initdb.len(), 2);
    assert_eq!(effective.bootstrap.post_bootstrap.as_deref(), Some("/usr/local/bin/setup_cluster.sh"));
}

#[test]
fn the_store_is_told_what_it_needs() {
    let effective = build(&load(&[]));
    assert_eq!((effective.dcs.name.as_str(), effective.dcs.namespace.as_str()), ("etcd", "/service/"));
    let expected = json!({
        "host": "127.0.0.1:2379", "name": "postgresql0", "scope": "batman",
        "ttl": 30, "loop_wait": 10, "retry_timeout": 10, "namespace": "/service/",
    });
    assert_eq!(effective.dcs.section, expected);
}

#[test]
fn the_environment_lies_over_the_file() {
    let local = load(&[
        ("PATRONI_NAME", "other"),
        ("PATRONI_ETCD_HOST", "h:1"),
        ("PATRONI_REPLICATION_USERNAME", "standby"),
        ("PATRONI_RESTAPI_CONNECT_ADDRESS", "h:2"),
        ("PATRONI_LOG_LEVEL", "debug"),
    ]);
    let effective = build(&local);
    assert_eq!(effective.settings.name, "other");
    assert_eq!(effective.server.name, "other");
    assert_eq!(effective.dcs.section["host"], "h:1");
    let replication = &effective.server.accounts.replication;
    assert_eq!(replication.username.as_deref(), Some("standby"));
    assert!(replication.password.is_some(), "the rest of the section stays");
    assert_eq!(effective.restapi.connect_address, "h:2");
    assert_eq!(effective.log.level, "DEBUG");
}

#[test]
fn what_others_wrote_into_the_store_is_survived() {
    let local = load(&[]);
    let junk = [
        json!({"ttl": {}, "postgresql": [], "slots": 5, "standby_cluster": "x", "pause": "perhaps", "ignore_slots": {}}),
        json!({"postgresql": {"parameters": [1], "pg_hba": "x", "create_replica_methods": {}, "recovery_conf": 1}}),
        json!({"loop_wait": -5, "retry_timeout": 1e300, "ttl": "99999999999999999999", "tags": 1, "synchronous_node_count": "many"}),
    ];
    for document in junk {
        let dynamic = DynamicConfig::from_value(document).unwrap();
        let effective = Effective::build(&local, &dynamic, 150_000);
        let settings = &effective.settings;
        assert_eq!(settings.ttl, Duration::from_secs(30));
        assert!(!effective.warnings.is_empty());
        assert!(settings.loop_wait + 2 * settings.retry_timeout <= settings.ttl);
        assert_eq!(effective.server.parameters["max_connections"], "100");
    }
}

#[test]
fn a_document_of_both_eras_is_understood() {
    // CFG-04
    let dynamic =
        DynamicConfig::parse(r#"{"master_start_timeout":7,"permanent_slots":{"a":{"type":"physical"}}}"#).unwrap();
    let effective = Effective::build(&load(&[]), &dynamic, 150_000);
    assert_eq!(effective.settings.primary_start_timeout, Duration::from_secs(7));
    assert!(effective.settings.slots.contains_key("a"));
    assert_eq!(effective.warnings, [""; 0]);
}
