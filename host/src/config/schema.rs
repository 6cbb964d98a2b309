//! The known keys and the kinds of their values: one table, from which checks and hints are drawn.

use super::value;
use serde_json::Value;

/// What a value must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Seconds,
    Truth,
    TruthOr(&'static str),
    List,
    Map,
    ListOrMap,
    TextOrList,
    Any,
}

/// Every key of the local configuration that is understood: the path with dots, `*` for any name.
const KEYS: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("scope", Kind::Text),
    ("namespace", Kind::Text),
    ("thread_pool_size", Kind::Integer),
    ("thread_stack_size", Kind::Integer),
    ("log", Kind::Map),
    ("log.type", Kind::Text),
    ("log.level", Kind::Text),
    ("log.traceback_level", Kind::Text),
    ("log.format", Kind::TextOrList),
    ("log.dateformat", Kind::Text),
    ("log.static_fields", Kind::Map),
    ("log.max_queue_size", Kind::Integer),
    ("log.dir", Kind::Text),
    ("log.mode", Kind::Any),
    ("log.file_size", Kind::Integer),
    ("log.file_num", Kind::Integer),
    ("log.loggers", Kind::Map),
    ("log.deduplicate_heartbeat_logs", Kind::Truth),
    ("restapi", Kind::Map),
    ("restapi.listen", Kind::Text),
    ("restapi.connect_address", Kind::Text),
    ("restapi.authentication", Kind::Map),
    ("restapi.certfile", Kind::Text),
    ("restapi.keyfile", Kind::Text),
    ("restapi.keyfile_password", Kind::Text),
    ("restapi.cafile", Kind::Text),
    ("restapi.ciphers", Kind::Text),
    ("restapi.verify_client", Kind::Text),
    ("restapi.allowlist", Kind::TextOrList),
    ("restapi.allowlist_include_members", Kind::Truth),
    ("restapi.http_extra_headers", Kind::Map),
    ("restapi.https_extra_headers", Kind::Map),
    ("restapi.request_queue_size", Kind::Integer),
    ("restapi.server_tokens", Kind::Text),
    ("restapi.thread_pool_size", Kind::Integer),
    ("ctl", Kind::Map),
    ("ctl.authentication", Kind::Map),
    ("ctl.insecure", Kind::Truth),
    ("ctl.cacert", Kind::Text),
    ("ctl.certfile", Kind::Text),
    ("ctl.keyfile", Kind::Text),
    ("ctl.keyfile_password", Kind::Text),
    ("bootstrap", Kind::Map),
    ("bootstrap.dcs", Kind::Map),
    ("bootstrap.method", Kind::Text),
    ("bootstrap.initdb", Kind::ListOrMap),
    ("bootstrap.pg_hba", Kind::List),
    ("bootstrap.post_bootstrap", Kind::Text),
    ("bootstrap.post_init", Kind::Text),
    ("bootstrap.users", Kind::Map),
    ("bootstrap.*", Kind::Any),
    ("postgresql", Kind::Map),
    ("postgresql.listen", Kind::Text),
    ("postgresql.connect_address", Kind::Text),
    ("postgresql.proxy_address", Kind::Text),
    ("postgresql.data_dir", Kind::Text),
    ("postgresql.config_dir", Kind::Text),
    ("postgresql.config_base_name", Kind::Text),
    ("postgresql.bin_dir", Kind::Text),
    ("postgresql.bin_name", Kind::Map),
    ("postgresql.database", Kind::Text),
    ("postgresql.pgpass", Kind::Text),
    ("postgresql.krbsrvname", Kind::Text),
    ("postgresql.authentication", Kind::Map),
    ("postgresql.authentication.superuser", Kind::Map),
    ("postgresql.authentication.replication", Kind::Map),
    ("postgresql.authentication.rewind", Kind::Map),
    ("postgresql.callbacks", Kind::Map),
    ("postgresql.create_replica_methods", Kind::TextOrList),
    ("postgresql.create_replica_method", Kind::TextOrList),
    ("postgresql.parameters", Kind::Map),
    ("postgresql.pg_hba", Kind::List),
    ("postgresql.pg_ident", Kind::List),
    ("postgresql.recovery_conf", Kind::Map),
    ("postgresql.custom_conf", Kind::Text),
    ("postgresql.use_unix_socket", Kind::Truth),
    ("postgresql.use_unix_socket_repl", Kind::Truth),
    ("postgresql.use_slots", Kind::Truth),
    ("postgresql.use_pg_rewind", Kind::Truth),
    ("postgresql.rewind", Kind::ListOrMap),
    ("postgresql.basebackup", Kind::ListOrMap),
    ("postgresql.remove_data_directory_on_rewind_failure", Kind::Truth),
    ("postgresql.remove_data_directory_on_diverged_timelines", Kind::Truth),
    ("postgresql.pg_ctl_timeout", Kind::Integer),
    ("postgresql.pre_promote", Kind::Text),
    ("postgresql.before_stop", Kind::Text),
    ("postgresql.*", Kind::Any),
    ("watchdog", Kind::Map),
    ("watchdog.mode", Kind::Any),
    ("watchdog.device", Kind::Text),
    ("watchdog.safety_margin", Kind::Integer),
    ("watchdog.driver", Kind::Text),
    ("tags", Kind::Map),
    ("tags.*", Kind::Any),
    ("citus", Kind::Map),
    ("guard", Kind::Map),
    ("guard.mode", Kind::Any),
    ("plugins", Kind::Map),
    ("plugins.dir", Kind::Text),
    ("plugins.dcs", Kind::Map),
    ("local", Kind::Map),
    ("local.path", Kind::Text),
    ("consul", Kind::Map),
    ("etcd", Kind::Map),
    ("etcd3", Kind::Map),
    ("exhibitor", Kind::Map),
    ("kubernetes", Kind::Map),
    ("raft", Kind::Map),
    ("zookeeper", Kind::Map),
];

/// Keys of the dynamic configuration and of `bootstrap.dcs`.
const DYNAMIC: &[(&str, Kind)] = &[
    ("ttl", Kind::Integer),
    ("loop_wait", Kind::Integer),
    ("retry_timeout", Kind::Integer),
    ("allow_short_ttl", Kind::Truth),
    ("maximum_lag_on_failover", Kind::Any),
    ("maximum_lag_on_syncnode", Kind::Any),
    ("max_timelines_history", Kind::Integer),
    ("check_timeline", Kind::Truth),
    ("primary_start_timeout", Kind::Seconds),
    ("master_start_timeout", Kind::Seconds),
    ("primary_stop_timeout", Kind::Seconds),
    ("master_stop_timeout", Kind::Seconds),
    ("primary_race_backoff", Kind::Seconds),
    ("synchronous_mode", Kind::TruthOr("quorum")),
    ("synchronous_mode_strict", Kind::Truth),
    ("synchronous_node_count", Kind::Integer),
    ("failsafe_mode", Kind::Truth),
    ("pause", Kind::Truth),
    ("member_slots_ttl", Kind::Seconds),
    ("slots", Kind::Map),
    ("permanent_slots", Kind::Map),
    ("permanent_replication_slots", Kind::Map),
    ("ignore_slots", Kind::List),
    ("standby_cluster", Kind::Map),
    ("postgresql", Kind::Map),
    ("postgresql.parameters", Kind::Map),
];

/// What a check found.
#[derive(Default)]
pub(super) struct Report {
    /// Key and reason.
    pub errors: Vec<(String, String)>,
    /// Sentences.
    pub warnings: Vec<String>,
}

/// Checks the local document.
pub(super) fn check(document: &Value) -> Report {
    let mut report = Report::default();
    kinds(document, KEYS, &mut report);
    unknown(document, "", KEYS, &mut report);
    report
}

/// Checks a dynamic document; what is wrong there is worth a word, no more: defaults serve.
pub(super) fn check_dynamic(document: &Value) -> Vec<String> {
    let mut report = Report::default();
    kinds(document, DYNAMIC, &mut report);
    report.errors.into_iter().map(|(key, reason)| format!("{key} {reason}: the default is used")).collect()
}

fn kinds(document: &Value, keys: &[(&str, Kind)], report: &mut Report) {
    for (path, kind) in keys.iter().filter(|(path, _)| !path.ends_with('*')) {
        let Some(found) = value::at(document, path) else {
            continue;
        };
        if let Some(reason) = wrong(found, *kind) {
            report.errors.push(((*path).to_owned(), reason.to_owned()));
        }
    }
}

fn wrong(found: &Value, kind: Kind) -> Option<&'static str> {
    let scalar = value::text(found).is_some();
    let (fits, reason) = match kind {
        Kind::Text => (scalar, "is not a string"),
        Kind::Integer => (value::integer(found).is_some(), "is not an integer"),
        Kind::Seconds => (value::seconds(found).is_some(), "is not a number of seconds"),
        Kind::Truth => (value::truth(found).is_some(), "is not a boolean"),
        Kind::TruthOr(word) => {
            let named = found.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word));
            (named || value::truth(found).is_some(), "is not a boolean")
        }
        Kind::List => (found.is_array(), "is not a list"),
        Kind::Map => (found.is_object(), "is not a dictionary"),
        Kind::ListOrMap => (found.is_array() || found.is_object(), "is not a list or a dictionary"),
        Kind::TextOrList => (found.is_array() || scalar, "is not a list"),
        Kind::Any => (true, ""),
    };
    (!fits).then_some(reason)
}

/// Keys that nobody reads, with the nearest that somebody does.
fn unknown(document: &Value, prefix: &str, keys: &[(&str, Kind)], report: &mut Report) {
    let Some(map) = document.as_object() else {
        return;
    };
    for (key, inner) in map {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let wildcard = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}.*") };
        let known = keys.iter().any(|(known, _)| *known == path || *known == wildcard);
        if !known {
            let hint = nearest(&path, keys).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            report.warnings.push(format!("the configuration has an unknown key {path}{hint}"));
        }
        let nested = keys.iter().any(|(known, _)| known.starts_with(&format!("{path}.")));
        if nested && inner.is_object() {
            unknown(inner, &path, keys, report);
        }
    }
}

fn nearest<'a>(path: &str, keys: &[(&'a str, Kind)]) -> Option<&'a str> {
    let near = keys.iter().map(|(known, _)| (distance(path, known), *known)).min()?;
    (near.0 <= 3).then_some(near.1)
}

/// How many letters have to be changed, added or removed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_keys_name_the_nearest_known() {
        let report = check(&json!({"scop": "a", "postgresql": {"listn": "x"}, "tags": {"anything": 1}}));
        assert!(report.errors.is_empty());
        assert_eq!(report.warnings, ["the configuration has an unknown key scop, did you mean scope?"]);
    }
}
