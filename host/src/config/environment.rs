//! `PATRONI_*` variables as a document that goes over the local file (config.md §9).

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a variable's text is read.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Truth,
    List,
    Map,
}

/// Top-level keys.
const TOP: [(&str, Kind); 5] = [
    ("NAME", Kind::Text),
    ("NAMESPACE", Kind::Text),
    ("SCOPE", Kind::Text),
    ("THREAD_POOL_SIZE", Kind::Integer),
    ("THREAD_STACK_SIZE", Kind::Integer),
];

const LOG: [(&str, Kind); 13] = [
    ("TYPE", Kind::Text),
    ("LEVEL", Kind::Text),
    ("TRACEBACK_LEVEL", Kind::Text),
    ("FORMAT", Kind::Text),
    ("DATEFORMAT", Kind::Text),
    ("STATIC_FIELDS", Kind::Map),
    ("MAX_QUEUE_SIZE", Kind::Integer),
    ("DIR", Kind::Text),
    ("MODE", Kind::Text),
    ("FILE_SIZE", Kind::Integer),
    ("FILE_NUM", Kind::Integer),
    ("LOGGERS", Kind::Map),
    ("DEDUPLICATE_HEARTBEAT_LOGS", Kind::Truth),
];

const RESTAPI: [(&str, Kind); 16] = [
    ("LISTEN", Kind::Text),
    ("CONNECT_ADDRESS", Kind::Text),
    ("CERTFILE", Kind::Text),
    ("KEYFILE", Kind::Text),
    ("KEYFILE_PASSWORD", Kind::Text),
    ("CAFILE", Kind::Text),
    ("CIPHERS", Kind::Text),
    ("VERIFY_CLIENT", Kind::Text),
    ("HTTP_EXTRA_HEADERS", Kind::Map),
    ("HTTPS_EXTRA_HEADERS", Kind::Map),
    ("ALLOWLIST", Kind::List),
    ("ALLOWLIST_INCLUDE_MEMBERS", Kind::Truth),
    ("REQUEST_QUEUE_SIZE", Kind::Integer),
    ("SERVER_TOKENS", Kind::Text),
    ("THREAD_POOL_SIZE", Kind::Integer),
    ("AUTHENTICATION", Kind::Map),
];

const CTL: [(&str, Kind); 5] = [
    ("INSECURE", Kind::Truth),
    ("CACERT", Kind::Text),
    ("CERTFILE", Kind::Text),
    ("KEYFILE", Kind::Text),
    ("KEYFILE_PASSWORD", Kind::Text),
];

const POSTGRESQL: [(&str, Kind); 7] = [
    ("LISTEN", Kind::Text),
    ("CONNECT_ADDRESS", Kind::Text),
    ("PROXY_ADDRESS", Kind::Text),
    ("CONFIG_DIR", Kind::Text),
    ("DATA_DIR", Kind::Text),
    ("PGPASS", Kind::Text),
    ("BIN_DIR", Kind::Text),
];

const PROGRAMS: [&str; 7] =
    ["PG_CTL", "INITDB", "PG_CONTROLDATA", "PG_BASEBACKUP", "POSTGRES", "PG_ISREADY", "PG_REWIND"];

const LOGIN: [&str; 12] = [
    "USERNAME",
    "PASSWORD",
    "SSLMODE",
    "SSLCERT",
    "SSLKEY",
    "SSLPASSWORD",
    "SSLROOTCERT",
    "SSLCRL",
    "SSLCRLDIR",
    "GSSENCMODE",
    "CHANNEL_BINDING",
    "SSLNEGOTIATION",
];

/// Stores and their like: any of these words before any of the suffixes below.
const STORES: [&str; 7] = ["CITUS", "CONSUL", "ETCD", "ETCD3", "EXHIBITOR", "KUBERNETES", "ZOOKEEPER"];

const STORE: [(&str, Kind); 46] = [
    ("HOST", Kind::Text),
    ("HOSTS", Kind::List),
    ("PORT", Kind::Integer),
    ("USE_PROXIES", Kind::Truth),
    ("PROTOCOL", Kind::Text),
    ("SCHEME", Kind::Text),
    ("SRV", Kind::Text),
    ("SRV_SUFFIX", Kind::Text),
    ("URL", Kind::Text),
    ("PROXY", Kind::Text),
    ("CACERT", Kind::Text),
    ("CERT", Kind::Text),
    ("KEY", Kind::Text),
    ("KEY_PASSWORD", Kind::Text),
    ("VERIFY", Kind::Truth),
    ("TOKEN", Kind::Text),
    ("CHECKS", Kind::List),
    ("DC", Kind::Text),
    ("CONSISTENCY", Kind::Text),
    ("REGISTER_SERVICE", Kind::Truth),
    ("SERVICE_CHECK_INTERVAL", Kind::Text),
    ("SERVICE_CHECK_TLS_SERVER_NAME", Kind::Text),
    ("SERVICE_TAGS", Kind::List),
    ("NAMESPACE", Kind::Text),
    ("CONTEXT", Kind::Text),
    ("USE_ENDPOINTS", Kind::Truth),
    ("SCOPE_LABEL", Kind::Text),
    ("ROLE_LABEL", Kind::Text),
    ("POD_IP", Kind::Text),
    ("PORTS", Kind::List),
    ("LABELS", Kind::Map),
    ("BYPASS_API_SERVICE", Kind::Truth),
    ("RETRIABLE_HTTP_CODES", Kind::List),
    ("USE_SSL", Kind::Truth),
    ("SET_ACLS", Kind::Map),
    ("AUTH_DATA", Kind::Map),
    ("GROUP", Kind::Integer),
    ("DATABASE", Kind::Text),
    ("LEADER_LABEL_VALUE", Kind::Text),
    ("FOLLOWER_LABEL_VALUE", Kind::Text),
    ("STANDBY_LEADER_LABEL_VALUE", Kind::Text),
    ("TMP_ROLE_LABEL", Kind::Text),
    ("BOOTSTRAP_LABELS", Kind::Map),
    ("USERNAME", Kind::Text),
    ("PASSWORD", Kind::Text),
    ("PATH", Kind::Text),
];

/// The variables as a document; empty values count as absent.
pub(super) fn document(environment: &BTreeMap<String, String>) -> Value {
    let mut document = Value::Object(Map::new());
    let mut take = |variable: String, kind: Kind, path: &[&str]| {
        if let Some(value) =
            environment.get(&variable).filter(|text| !text.is_empty()).and_then(|text| read(text, kind))
        {
            put(&mut document, path, value);
        }
    };
    for (old, new) in [("LOGLEVEL", "level"), ("LOGFORMAT", "format"), ("LOG_DATEFMT", "dateformat")] {
        take(format!("PATRONI_{old}"), Kind::Text, &["log", new]);
    }
    for (name, kind) in TOP {
        take(format!("PATRONI_{name}"), kind, &[&name.to_lowercase()]);
    }
    let sections: [(&str, &[(&str, Kind)]); 4] =
        [("LOG", &LOG), ("RESTAPI", &RESTAPI), ("CTL", &CTL), ("POSTGRESQL", &POSTGRESQL)];
    for (section, keys) in sections {
        for (name, kind) in keys {
            let path = [section.to_lowercase(), name.to_lowercase()];
            take(format!("PATRONI_{section}_{name}"), *kind, &[&path[0], &path[1]]);
        }
    }
    for program in PROGRAMS {
        let path = ["postgresql", "bin_name", &program.to_lowercase()];
        take(format!("PATRONI_POSTGRESQL_BIN_{program}"), Kind::Text, &path);
    }
    for section in ["RESTAPI", "CTL"] {
        for name in ["USERNAME", "PASSWORD"] {
            let path = [section.to_lowercase(), name.to_lowercase()];
            take(format!("PATRONI_{section}_{name}"), Kind::Text, &[&path[0], "authentication", &path[1]]);
        }
    }
    for account in ["REPLICATION", "SUPERUSER", "REWIND"] {
        for name in LOGIN {
            let path = [account.to_lowercase(), name.to_lowercase()];
            take(
                format!("PATRONI_{account}_{name}"),
                Kind::Text,
                &["postgresql", "authentication", &path[0], &path[1]],
            );
        }
    }
    for store in STORES {
        for (name, kind) in STORE {
            let path = [store.to_lowercase(), name.to_lowercase()];
            take(format!("PATRONI_{store}_{name}"), kind, &[&path[0], &path[1]]);
        }
    }
    take("PATRONI_LOCAL_PATH".to_owned(), Kind::Text, &["local", "path"]);
    document
}

fn read(text: &str, kind: Kind) -> Option<Value> {
    match kind {
        Kind::Text => Some(Value::String(text.to_owned())),
        Kind::Integer => super::value::integer(&Value::String(text.to_owned())).map(Value::from),
        Kind::Truth => super::value::truth(&Value::String(text.to_owned())).map(Value::Bool),
        Kind::List if text.trim_start().starts_with('-') || text.contains('[') => serde_yaml::from_str(text).ok(),
        Kind::List => serde_yaml::from_str(&format!("[{text}]")).ok(),
        Kind::Map if text.trim_start().starts_with('{') => serde_yaml::from_str(text).ok(),
        Kind::Map => serde_yaml::from_str(&format!("{{{text}}}")).ok(),
    }
}

fn put(document: &mut Value, path: &[&str], value: Value) {
    let mut place = document;
    for key in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return };
        place = map.entry((*key).to_owned()).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_become_keys() {
        let environment = [
            ("PATRONI_SCOPE", "batman"),
            ("PATRONI_ETCD3_HOSTS", "'h1:2379','h2:2379'"),
            ("PATRONI_SUPERUSER_PASSWORD", "s3cret"),
            ("PATRONI_RESTAPI_USERNAME", "ops"),
            ("PATRONI_KUBERNETES_LABELS", "app: pg, env: test"),
            ("PATRONI_LOGLEVEL", "DEBUG"),
            ("PATRONI_NAME", ""),
            ("HOME", "somewhere"),
        ];
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let expected = json!({
            "log": {"level": "DEBUG"},
            "scope": "batman",
            "restapi": {"authentication": {"username": "ops"}},
            "postgresql": {"authentication": {"superuser": {"password": "s3cret"}}},
            "etcd3": {"hosts": ["h1:2379", "h2:2379"]},
            "kubernetes": {"labels": {"app": "pg", "env": "test"}},
        });
        assert_eq!(document(&environment), expected);
    }
}
