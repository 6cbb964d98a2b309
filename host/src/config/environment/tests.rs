//! Tests of reading the environment: every variable, every kind.

use super::*;
use serde_json::json;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn check(pairs: &[(&str, &str)], expected: Value) {
    let read = read(&variables(pairs));
    assert_eq!(read.document, expected);
    assert!(read.errors.is_empty(), "{:?}", read.errors);
}

#[test]
fn plain_variables_become_keys() {
    check(
        &[
            ("PATRONI_SCOPE", "batman"),
            ("PATRONI_NAME", ""),
            ("PATRONI_SUPERUSER_PASSWORD", "s3cret"),
            ("PATRONI_REWIND_SSLMODE", "require"),
            ("PATRONI_RESTAPI_USERNAME", "ops"),
            ("PATRONI_RESTAPI_THREAD_POOL_SIZE", "7"),
            ("PATRONI_CTL_INSECURE", "on"),
            ("PATRONI_POSTGRESQL_BIN_PG_CTL", "my_pg_ctl"),
            ("PATRONI_POSTGRES_DATA_DIR", "/misspelt"),
            ("PATRONI_LOG_MODE", "0644"),
            ("HOME", "x"),
        ],
        json!({
            "scope": "batman",
            "restapi": {"authentication": {"username": "ops"}, "thread_pool_size": 7},
            "ctl": {"insecure": true},
            "log": {"mode": "0644"},
            "postgresql": {
                "data_dir": "/misspelt",
                "bin_name": {"pg_ctl": "my_pg_ctl"},
                "authentication": {"superuser": {"password": "s3cret"}, "rewind": {"sslmode": "require"}},
            },
        }),
    );
}

#[test]
fn variables_of_stores_are_read_for_any_word() {
    // CFG-34
    check(
        &[
            ("PATRONI_ETCD3_HOSTS", "'h1:2379','h2:2379'"),
            ("PATRONI_ETCD_HOSTS", "h1:2379,h2:2379"),
            ("PATRONI_ETCD_PASSWORD", "p"),
            ("PATRONI_CONSUL_PORT", "8500"),
            ("PATRONI_CONSUL_SCHEME", "https"),
            ("PATRONI_CONSUL_REGISTER_SERVICE", "yes"),
            ("PATRONI_ZOOKEEPER_HOSTS", "- a:1\n- b:1"),
            ("PATRONI_ZOOKEEPER_SET_ACLS", "me: [CREATE, READ]"),
            ("PATRONI_KUBERNETES_LABELS", "{app: pg, env: test}"),
            ("PATRONI_KUBERNETES_PORTS", "{name: pg, port: 5432}"),
            ("PATRONI_EXHIBITOR_PORT", "8181"),
            ("PATRONI_RAFT_PARTNER_ADDRS", "a:1,b:1"),
            ("PATRONI_RAFT_PASSWORD", "r"),
            ("PATRONI_MYSTORE_HOST", "x"),
            ("PATRONI_LOCAL_PATH", "/x"),
            ("PATRONI_CITUS_GROUP", "0"),
        ],
        json!({
            "citus": {"group": 0},
            "consul": {"port": 8500, "scheme": "https", "register_service": true},
            "etcd": {"hosts": ["h1:2379", "h2:2379"], "password": "p"},
            "etcd3": {"hosts": ["h1:2379", "h2:2379"]},
            "exhibitor": {"port": 8181},
            "kubernetes": {"labels": {"app": "pg", "env": "test"}, "ports": [{"name": "pg", "port": 5432}]},
            "local": {"path": "/x"},
            "mystore": {"host": "x"},
            "raft": {"partner_addrs": ["a:1", "b:1"], "password": "r"},
            "zookeeper": {"hosts": ["a:1", "b:1"], "set_acls": {"me": ["CREATE", "READ"]}},
        }),
    );
}

#[test]
fn log_variables_have_old_names_and_two_forms() {
    check(
        &[
            ("PATRONI_LOGLEVEL", "DEBUG"),
            ("PATRONI_REQUESTS_LOGLEVEL", "WARNING"),
            ("PATRONI_LOG_FORMAT", "%(message)s"),
        ],
        json!({"log": {"level": "DEBUG", "loggers": {"urllib3": "WARNING"}, "format": "%(message)s"}}),
    );
    check(
        &[
            ("PATRONI_LOGLEVEL", "DEBUG"),
            ("PATRONI_LOG_LEVEL", "ERROR"),
            ("PATRONI_LOG_FORMAT", "message, {asctime: time}"),
            ("PATRONI_LOG_STATIC_FIELDS", "app: patroni"),
        ],
        json!({"log": {"level": "ERROR", "format": ["message", {"asctime": "time"}], "static_fields": {"app": "patroni"}}}),
    );
}

#[test]
fn other_passwords_are_roles_to_create() {
    // CFG-33
    check(
        &[("PATRONI_app_rw_PASSWORD", "p"), ("PATRONI_app_rw_OPTIONS", "createdb, createrole")],
        json!({"bootstrap": {"users": {"app_rw": {"options": ["createdb", "createrole"], "password": "p"}}}}),
    );
}

#[test]
fn what_is_wrong_or_unread_is_told() {
    let read = read(&variables(&[
        ("PATRONI_CTL_INSECURE", "maybe"),
        ("PATRONI_CONSUL_PORT", "many"),
        ("PATRONI_LOG_LOGGERS", "nothing"),
        ("PATRONI_NONSENSE", "1"),
        ("PATRONI_CONFIGURATION", "x"),
    ]));
    let errors: Vec<_> = read.errors.iter().map(|(name, _, reason)| format!("{name} {reason}")).collect();
    let expected = ["PATRONI_CTL_INSECURE is not a boolean", "PATRONI_CONSUL_PORT is not an integer"];
    assert!(expected.iter().all(|line| errors.iter().any(|error| error == line)), "{errors:?}");
    assert_eq!(read.unread, ["PATRONI_NONSENSE"]);
    assert_eq!(read.document.get("ctl"), None);
}

#[test]
fn children_see_nothing_of_ours() {
    let variables =
        variables(&[("PATRONI_SCOPE", "a"), ("PATRONI_CONFIGURATION", "x"), ("PATH", "/bin"), ("PATRONI_WHAT", "1")]);
    let names: Vec<String> = recognised(&variables).into_iter().collect();
    assert_eq!(names, ["PATRONI_CONFIGURATION", "PATRONI_SCOPE"]);
    assert!(is_hidden_from_children("PATRONI_WHAT") && is_hidden_from_children("KUBERNETES_PORT"));
    assert!(is_hidden_from_children("NOTIFY_SOCKET") && !is_hidden_from_children("PATH"));
}

#[test]
fn origins_are_found_for_a_path_or_what_holds_it() {
    let read = read(&variables(&[("PATRONI_KUBERNETES_LABELS", "a: b")]));
    let name = |path| origin(&read.origins, path).map(String::as_str);
    assert_eq!(name("kubernetes.labels.a"), Some("PATRONI_KUBERNETES_LABELS"));
    assert_eq!(name("kubernetes"), None);
}
