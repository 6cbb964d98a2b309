//! The configuration file of a node: an ordinary YAML file, as an operator would write it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::kubernetes::Kubernetes;

/// The name and password of the superuser.
pub const SUPERUSER: (&str, &str) = ("postgres", "super-secret");
/// The name and password that standbys replicate with.
pub const REPLICATION: (&str, &str) = ("replicator", "replication-secret");
/// The name and password that pg_rewind uses.
pub const REWIND: (&str, &str) = ("rewind_user", "rewind-secret");

/// Where a node has what.
#[derive(Clone, Debug)]
pub struct NodeLayout {
    /// The member's name.
    pub name: String,
    /// Its place in the cluster, from zero.
    pub index: usize,
    /// Its own folder; the daemon's working folder.
    pub folder: PathBuf,
    /// Its copies of the programs.
    pub bin: PathBuf,
    /// PostgreSQL's data directory.
    pub data_dir: PathBuf,
    /// The configuration file.
    pub config_path: PathBuf,
    /// What the daemon writes to its standard output and error.
    pub log_path: PathBuf,
    /// The port of the REST API.
    pub rest_port: u16,
    /// The port of PostgreSQL.
    pub pg_port: u16,
}

impl NodeLayout {
    /// The layout of a node below the cluster's folder.
    pub fn new(root: &Path, index: usize, rest_port: u16, pg_port: u16) -> Self {
        let name = format!("node{}", index + 1);
        let folder = root.join(&name);
        Self {
            bin: folder.join("bin"),
            data_dir: folder.join("data"),
            config_path: folder.join("regent.yml"),
            log_path: folder.join("regent.log"),
            name,
            index,
            folder,
            rest_port,
            pg_port,
        }
    }
}

/// What all nodes of a cluster have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The cluster's name.
    pub scope: String,
    /// The store's section, by its name.
    pub store: (&'static str, Value),
    /// The folder of the plugins.
    pub plugins: PathBuf,
    /// The folder of PostgreSQL's sockets.
    pub sockets: PathBuf,
    /// The folder of PostgreSQL's programs.
    pub pg_bin: PathBuf,
    /// The first dynamic configuration.
    pub dynamic: Value,
}

/// The dynamic configuration that a test changes to its liking: a short loop, the shortest lease
/// that the peer allows too, and servers that are small.
pub fn default_dynamic() -> Value {
    json!({
        "ttl": 20,
        "loop_wait": 2,
        "retry_timeout": 3,
        "maximum_lag_on_failover": 1_048_576,
        "postgresql": {
            "use_pg_rewind": true,
            "parameters": {
                "max_connections": 50,
                "max_wal_senders": 10,
                "max_replication_slots": 10,
                "wal_keep_size": "64MB"
            }
        }
    })
}

/// The configuration of one node.
pub fn node(common: &Common, node: &NodeLayout) -> Value {
    let (name, section) = &common.store;
    let mut config = without_store(common, node);
    config[*name] = section.clone();
    if *name == "kubernetes" {
        config[*name]["pod_ip"] = json!(Kubernetes::pod_ip(node.index));
    }
    config
}

fn without_store(common: &Common, node: &NodeLayout) -> Value {
    json!({
        "scope": common.scope,
        "namespace": "/service",
        "name": node.name,
        "restapi": {
            "listen": format!("127.0.0.1:{}", node.rest_port),
            "connect_address": format!("127.0.0.1:{}", node.rest_port)
        },
        "plugins": { "dir": common.plugins },
        "bootstrap": {
            "dcs": common.dynamic,
            "initdb": [{ "encoding": "UTF8" }, { "locale": "C.UTF-8" }, "data-checksums"]
        },
        "postgresql": postgresql(common, node)
    })
}

fn postgresql(common: &Common, node: &NodeLayout) -> Value {
    let login = |(username, password): (&str, &str)| json!({ "username": username, "password": password });
    json!({
        "listen": format!("127.0.0.1:{}", node.pg_port),
        "connect_address": format!("127.0.0.1:{}", node.pg_port),
        "data_dir": node.data_dir,
        "bin_dir": common.pg_bin,
        "pgpass": node.folder.join("pgpass"),
        "authentication": {
            "superuser": login(SUPERUSER),
            "replication": login(REPLICATION),
            "rewind": login(REWIND)
        },
        "pg_hba": [
            "local all all trust",
            "host all all 127.0.0.1/32 scram-sha-256",
            format!("host replication {} 127.0.0.1/32 scram-sha-256", REPLICATION.0)
        ],
        "parameters": {
            "unix_socket_directories": common.sockets,
            "shared_buffers": "32MB",
            // In the data directory, not in /dev/shm: a killed server leaves nothing behind there.
            "dynamic_shared_memory_type": "mmap",
            "logging_collector": "off"
        }
    })
}

/// Writes the changes into the target as the REST API's PATCH would: `null` removes a key.
pub fn merge(target: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *target = changes.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_merged() {
        let check = |mut target: Value, changes: Value, expected: Value| {
            merge(&mut target, &changes);
            assert_eq!(target, expected);
        };
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 3}}), json!({"a": {"b": 3, "c": 2}}));
        check(json!({"a": {"b": 1}, "c": 2}), json!({"a": null}), json!({"c": 2}));
        check(json!({"a": 1}), json!({"a": {"b": 2}}), json!({"a": {"b": 2}}));
        check(json!({}), json!({"a": {"b": null}}), json!({"a": {}}));
    }

    #[test]
    fn a_node_is_described_as_an_operator_would() {
        let layout = NodeLayout::new(Path::new("/t"), 1, 21_001, 21_002);
        let common = Common {
            scope: "demo".into(),
            store: ("local", json!({ "path": "/t/store/demo.db" })),
            plugins: "/t/plugins".into(),
            sockets: "/t/s".into(),
            pg_bin: "/pg/bin".into(),
            dynamic: default_dynamic(),
        };
        let yaml = serde_yaml::to_string(&node(&common, &layout)).expect("it is plain data");
        for line in [
            "scope: demo",
            "name: node2",
            "  path: /t/store/demo.db",
            "    ttl: 20",
            "  - data-checksums",
            "  listen: 127.0.0.1:21002",
            "  data_dir: /t/node2/data",
            "      username: replicator",
            "    unix_socket_directories: /t/s",
        ] {
            assert!(yaml.lines().any(|found| found == line), "{line} is missing in\n{yaml}");
        }
    }
}
