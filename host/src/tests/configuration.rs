//! Files and variables: whatever stands in them is either refused in words or gives settings that can be worked with.

use super::damage::{self, Rounds};
use crate::config::{
    DynamicConfig, Effective, LocalConfig, Look, Source, changed_parameters, changes, explain, validate,
};
use std::collections::BTreeMap;

const GOOD: &str = r#"
scope: batman
name: &me postgresql0
restapi: {listen: '127.0.0.1:8008', connect_address: 127.0.0.1:8008, authentication: {username: admin, password: hush}}
etcd3: {hosts: ['127.0.0.1:2379', "h2:2379"], protocol: https}
log: {level: INFO, format: '%(asctime)s %(levelname)-8s: %(message)s', loggers: {a: DEBUG}, file_size: 25000000, mode: 0644}
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    synchronous_mode: quorum
    slots: {a: {type: logical, database: d, plugin: p}, b: {type: physical}}
    ignore_slots: [{name: x}]
    standby_cluster: {host: h, port: 5432, primary_slot_name: s}
    postgresql:
      use_pg_rewind: true
      pg_hba: [host replication replicator 127.0.0.1/32 md5]
      parameters: {wal_level: hot_standby, max_connections: 150, wal_keep_segments: 10, work_mem: 4MB}
  initdb: [{encoding: UTF8}, data-checksums]
  method: restore
  restore: {command: /bin/restore --x 'a b', recovery_conf: {recovery_target_action: promote}}
postgresql:
  listen: 127.0.0.1,10.0.0.1:5432
  connect_address: 10.0.0.1:5432
  data_dir: data/postgresql0
  pgpass: /tmp/pgpass0
  authentication:
    replication: {username: replicator, password: rep-pass}
    superuser: {username: *me, password: |
      several
      lines}
  create_replica_methods: [wal_e, basebackup]
  wal_e: {command: wale_restore, no_leader: 1, threshold_megabytes: 10240}
  basebackup: [{max-rate: 100M}, verbose]
  parameters: {unix_socket_directories: '..', app.x: "y"}
  callbacks: {on_start: /bin/true}
watchdog: {mode: off, safety_margin: 5}
tags: {failover_priority: 1, clonefrom: yes, zone: '1'}
citus: {group: 0, database: d}
"#;

/// Everything that a daemon does with what it was given.
fn used(source: &Source) {
    if let Ok(failures) = validate(source, Look::Nowhere) {
        failures.iter().for_each(|failure| drop(failure.to_string()));
    }
    match LocalConfig::load(source) {
        Err(errors) => assert!(!errors.to_string().is_empty()),
        Ok(local) => {
            drop((local.missing(), local.shown(), format!("{local:?}")));
            let dynamic = local.bootstrap_dynamic().unwrap_or_default();
            for version in [0, 90_300, 110_000, 150_000, 180_000] {
                let effective = Effective::build(&local, &dynamic, version);
                let settings = &effective.settings;
                assert!(settings.loop_wait + 2 * settings.retry_timeout <= settings.ttl, "{settings:?}");
                assert!(effective.server.parameters.contains_key("max_connections"));
                let plain = Effective::build(&local, &DynamicConfig::default(), version);
                drop((changes(&plain, &effective), changed_parameters(&plain, &effective)));
            }
        }
    }
}

fn whole(text: &str) -> Source {
    Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text.to_owned())]))
}

#[test]
fn fuzz_files() {
    used(&whole(GOOD));
    let mut rounds = Rounds::begin();
    while let Some(mut round) = rounds.next() {
        let text = damage::text(&mut round.chance, GOOD);
        round.show(&text);
        used(&whole(&text));
    }
}

#[test]
fn fuzz_values_in_files() {
    let good: serde_json::Value = LocalConfig::load(&whole(GOOD)).expect("it is good").document;
    let mut rounds = Rounds::begin();
    while let Some(mut round) = rounds.next() {
        let text = damage::document(&mut round.chance, &good).to_string();
        round.show(&text);
        used(&whole(&text));
    }
}

#[test]
fn fuzz_variables() {
    let good = [
        ("PATRONI_SCOPE", "a"),
        ("PATRONI_NAME", "b"),
        ("PATRONI_RESTAPI_LISTEN", "*:8008"),
        ("PATRONI_RESTAPI_ALLOWLIST", "'10.0.0.0/8', h"),
        ("PATRONI_RESTAPI_HTTP_EXTRA_HEADERS", "{'X-A': 'b'}"),
        ("PATRONI_LOG_LOGGERS", "{a: DEBUG}"),
        ("PATRONI_LOG_FORMAT", "[message]"),
        ("PATRONI_ETCD3_HOSTS", "'a:1','b:2'"),
        ("PATRONI_KUBERNETES_LABELS", "{a: b}"),
        ("PATRONI_POSTGRESQL_LISTEN", "*:5432"),
        ("PATRONI_POSTGRESQL_DATA_DIR", "/d"),
        ("PATRONI_SUPERUSER_PASSWORD", "x"),
        ("PATRONI_CITUS_GROUP", "1"),
        ("PATRONI_admin_OPTIONS", "createdb, createrole"),
        ("PATRONI_admin_PASSWORD", "y"),
        ("PATRONI_LOG_MODE", "0644"),
        ("PATRONI_THREAD_STACK_SIZE", "512kB"),
        ("PATRONI_CTL_INSECURE", "on"),
    ];
    let mut rounds = Rounds::begin();
    while let Some(mut round) = rounds.next() {
        let mut variables = BTreeMap::new();
        for (name, value) in good.iter().filter(|_| fastrand::bool()) {
            let chance = &mut round.chance;
            let name = if chance.u8(..4) == 0 {
                format!("PATRONI_{}", damage::text(chance, &name[8..]))
            } else {
                (*name).to_owned()
            };
            variables.insert(name, damage::text(chance, value));
        }
        round.show(format!("{variables:?}"));
        used(&Source::new(None, variables));
    }
}

#[test]
fn fuzz_keys_to_explain() {
    let local = LocalConfig::load(&whole(GOOD)).expect("it is good");
    let mut rounds = Rounds::begin();
    while let Some(mut round) = rounds.next() {
        let key = damage::text(&mut round.chance, "postgresql.parameters.max_connections");
        round.show(&key);
        drop(explain(&local, None, &key));
    }
}
