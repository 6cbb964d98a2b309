//! The sections of the stores: their names in the order in which the first that is there counts, and their keys, which
//! are the suffixes of `PATRONI_<STORE>_*` as well (config.md §9). A plugin judges its section by itself; this table
//! serves hints and the environment.

use super::Kind::{self, Integer, Map, Maps, Text, TextOrList, Truth};

/// The stores that are known by name. `local` is last: it is for trying Regent, and gives way to any other.
pub(in super::super) const STORES: [&str; 8] =
    ["consul", "etcd", "etcd3", "exhibitor", "kubernetes", "raft", "zookeeper", "local"];

const PORT: Kind = Integer(0, 65_535);
const SECONDS: Kind = Integer(0, i64::MAX);

/// Keys, kinds, and the stores that they belong to where it is not any.
#[rustfmt::skip]
pub(in super::super) const STORE_KEYS: &[(&str, Kind, &[&str])] = &[
    ("host", Text, &[]),
    ("hosts", TextOrList, &[]),
    ("port", PORT, &[]),
    ("use_proxies", Truth, &[]),
    ("protocol", Text, &[]),
    ("srv", Text, &[]),
    ("srv_suffix", Text, &[]),
    ("url", Text, &[]),
    ("proxy", Text, &[]),
    ("cacert", Text, &[]),
    ("cert", Text, &[]),
    ("key", Text, &[]),
    ("key_password", Text, &[]),
    ("verify", Truth, &[]),
    ("token", Text, &[]),
    ("checks", TextOrList, &[]),
    ("dc", Text, &[]),
    ("consistency", Text, &[]),
    ("scheme", Text, &["consul"]),
    ("register_service", Truth, &[]),
    ("service_check_interval", Text, &[]),
    ("service_check_tls_server_name", Text, &[]),
    ("service_tags", TextOrList, &[]),
    ("namespace", Text, &[]),
    ("context", Text, &[]),
    ("use_endpoints", Truth, &[]),
    ("scope_label", Text, &[]),
    ("role_label", Text, &[]),
    ("pod_ip", Text, &[]),
    ("ports", Maps, &[]),
    ("labels", Map, &[]),
    ("bypass_api_service", Truth, &[]),
    ("retriable_http_codes", TextOrList, &[]),
    ("use_ssl", Truth, &[]),
    ("set_acls", Map, &[]),
    ("group", SECONDS, &[]),
    ("database", Text, &[]),
    ("leader_label_value", Text, &[]),
    ("follower_label_value", Text, &[]),
    ("standby_leader_label_value", Text, &[]),
    ("tmp_role_label", Text, &[]),
    ("auth_data", Map, &[]),
    ("bootstrap_labels", Map, &[]),
    ("username", Text, &["etcd", "etcd3"]),
    ("password", Text, &["etcd", "etcd3"]),
    ("path", Text, &["local"]),
    ("poll_interval", SECONDS, &["exhibitor"]),
    ("data_dir", Text, &["raft"]),
    ("self_addr", Text, &["raft"]),
    ("bind_addr", Text, &["raft"]),
    ("partner_addrs", TextOrList, &["raft"]),
    ("password", Text, &["raft"]),
    ("min_timeout", Text, &["raft"]),
    ("max_timeout", Text, &["raft"]),
    ("connection_timeout", Text, &["raft"]),
    ("append_entries_period", Text, &["raft"]),
    ("connection_retry_time", Text, &["raft"]),
    ("leader_fallback_timeout", Text, &["raft"]),
];

/// Section, key and kind that a variable without its `PATRONI_` stands for: any word, then the key.
pub(in super::super) fn store_variable(name: &str) -> Option<(String, &'static str, Kind)> {
    let (section, suffix) = name.split_once('_')?;
    let (section, suffix) = (section.to_lowercase(), suffix.to_lowercase());
    let found = STORE_KEYS
        .iter()
        .find(|(key, _, stores)| *key == suffix && (stores.is_empty() || stores.contains(&section.as_str())))?;
    (!section.is_empty()).then_some((section, found.0, found.1))
}

#[cfg(test)]
mod tests {
    use super::store_variable;

    #[test]
    fn variables_of_stores_are_taken_apart() {
        let check = |name: &str, expected: Option<(&str, &str)>| {
            let found = store_variable(name);
            let found = found.as_ref().map(|(section, key, _)| (section.as_str(), *key));
            assert_eq!(found, expected, "{name}");
        };
        check("ETCD3_HOSTS", Some(("etcd3", "hosts")));
        check("CONSUL_SERVICE_CHECK_INTERVAL", Some(("consul", "service_check_interval")));
        check("RAFT_SELF_ADDR", Some(("raft", "self_addr")));
        check("ETCD_PASSWORD", Some(("etcd", "password")));
        check("ADMIN_PASSWORD", None);
        check("_HOST", None);
        check("ETCD3", None);
    }
}
