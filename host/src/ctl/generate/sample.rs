//! A configuration of nothing but usual values, and marks where the operator has to decide.

use super::{Here, at_port};
use serde_json::{Value, json};

/// What has to be filled in.
pub(super) const FIXME: &str = "#FIXME";

/// Where the API listens.
const API_PORT: &str = "8008";

/// The sample.
pub(super) fn document(here: &Here) -> Value {
    let address = &here.address;
    let account = |name: &str| json!({"username": name, "password": FIXME});
    let parameters = json!({
        "hot_standby": "on", "max_connections": 100, "max_locks_per_transaction": 64, "max_prepared_transactions": 0,
        "max_replication_slots": 10, "max_wal_senders": 10, "max_worker_processes": 8,
        "track_commit_timestamp": "off", "wal_keep_size": "128MB", "wal_level": "replica", "wal_log_hints": "on",
    });
    let postgresql = json!({
        "authentication": {
            "superuser": account("postgres"),
            "replication": account("replicator"),
            "rewind": account("rewind_user"),
        },
        "bin_dir": here.programs,
        "connect_address": at_port(address, "5432"),
        "data_dir": FIXME,
        "listen": at_port(address, "5432"),
        "parameters": {"password_encryption": "scram-sha-256"},
        "pg_hba": ["host all all all scram-sha-256", "host replication replicator all scram-sha-256"],
    });
    whole(
        here,
        FIXME,
        json!({"postgresql": {"parameters": parameters, "use_pg_rewind": true, "use_slots": true}}),
        postgresql,
    )
}

/// The sections in their order. `dynamic` goes into `bootstrap.dcs`, beside the times.
pub(super) fn whole(here: &Here, scope: &str, dynamic: Value, mut postgresql: Value) -> Value {
    if let Some(map) = postgresql.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    let mut dcs = json!({"loop_wait": 10, "retry_timeout": 10, "ttl": 30});
    crate::config::merge_patch(&mut dcs, &dynamic);
    json!({
        "scope": scope,
        "name": here.name,
        "log": {"format": "%(asctime)s %(levelname)s: %(message)s", "level": "INFO", "type": "plain"},
        "restapi": {"connect_address": at_port(&here.address, API_PORT), "listen": at_port(&here.address, API_PORT)},
        "etcd3": {"hosts": ["127.0.0.1:2379"]},
        "bootstrap": {"dcs": dcs},
        "postgresql": postgresql,
        "tags": {
            "clonefrom": true, "failover_priority": 1, "noloadbalance": false, "nostream": false, "sync_priority": 1,
        },
    })
}
