//! Which store is used and what its plugin is told.

use super::check::plugin_names;
use super::reading::{file_at, some_text_at};
use super::redact::redacted;
use super::schema::STORES;
use regent_core::model::Settings;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Which store, and where its plugin is.
#[derive(Clone, Default, PartialEq)]
pub struct DcsSettings {
    /// The section's name; empty where there is none.
    pub name: String,
    /// The section, with what every store needs to know copied in. It may hold secrets.
    pub section: Value,
    /// The namespace: part of every key's path.
    pub namespace: String,
    /// `plugins.dir`.
    pub folder: Option<PathBuf>,
    /// `plugins.dcs.NAME.path`.
    pub path: Option<PathBuf>,
    /// `plugins.dcs.NAME.sha256`.
    pub sha256: Option<String>,
}

/// Secrets are hidden.
impl std::fmt::Debug for DcsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DcsSettings")
            .field("name", &self.name)
            .field("section", &redacted(&self.section).to_string())
            .field("namespace", &self.namespace)
            .field("folder", &self.folder)
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .finish()
    }
}

/// What is said where no section of a store is there.
pub fn no_store() -> String {
    format!(
        "Can not find suitable configuration of distributed configuration store\nAvailable implementations: {}",
        STORES.join(", ")
    )
}

/// Names of the stores whose sections are there, in the order in which the first counts: those known by name, those
/// that `plugins.dcs` adds, and `local` last.
pub(super) fn sections(local: &Value) -> Vec<String> {
    let (known, last) = STORES.split_at(STORES.len() - 1);
    let more = plugin_names(local);
    let more = more.iter().map(String::as_str).filter(|name| !STORES.contains(name));
    let names = known.iter().copied().chain(more).chain(last.iter().copied());
    let is_there = |name: &&str| {
        let section = local.get(*name);
        section.is_some_and(|section| section.is_object() || section.is_null())
    };
    names.filter(is_there).map(str::to_owned).collect()
}

/// The store.
pub(super) fn build(local: &Value, settings: &Settings) -> DcsSettings {
    let namespace = some_text_at(local, "namespace").unwrap_or_else(|| "/service".to_owned());
    let folder = file_at(local, "plugins.dir");
    let Some(name) = sections(local).into_iter().next() else {
        return DcsSettings { namespace, folder, ..DcsSettings::default() };
    };
    DcsSettings {
        section: section(local, &name, &namespace, settings),
        namespace,
        folder,
        path: file_at(local, &format!("plugins.dcs.{name}.path")),
        sha256: some_text_at(local, &format!("plugins.dcs.{name}.sha256")),
        name,
    }
}

fn section(local: &Value, name: &str, namespace: &str, settings: &Settings) -> Value {
    let section = local.get(name).and_then(Value::as_object);
    let mut section = section.cloned().unwrap_or_else(Map::new);
    for (key, value) in [
        ("name", json!(settings.name)),
        ("scope", json!(settings.scope)),
        ("ttl", json!(settings.ttl.as_secs())),
        ("loop_wait", json!(settings.loop_wait.as_secs())),
        ("retry_timeout", json!(settings.retry_timeout.as_secs())),
    ] {
        section.insert(key.to_owned(), value);
    }
    // To Kubernetes a namespace is something else: its own is left to it, and so is the usual one.
    if name != "kubernetes" {
        section.entry("namespace").or_insert_with(|| json!(namespace));
    }
    Value::Object(section)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DynamicConfig, Effective, LocalConfig, Source};
    use std::collections::BTreeMap;

    fn check(local: Value, expected: &[&str]) {
        assert_eq!(sections(&local), expected, "{local}");
    }

    #[test]
    fn the_first_section_counts_and_local_is_last() {
        check(json!({"local": {}, "zookeeper": {}, "etcd3": {}, "etcd": {}}), &["etcd", "etcd3", "zookeeper", "local"]);
        check(json!({"local": null}), &["local"]);
        check(json!({"mystore": {"a": 1}}), &[]);
        check(
            json!({"local": {}, "mystore": {}, "plugins": {"dcs": {"mystore": null, "etcd3": {"path": "/x"}}}}),
            &["mystore", "local"],
        );
        assert!(no_store().ends_with(
            "Available implementations: consul, etcd, etcd3, exhibitor, kubernetes, raft, zookeeper, local"
        ));
    }

    #[test]
    fn kubernetes_has_namespaces_of_its_own() {
        let check = |store: &str, expected: Value| {
            let text =
                format!("{{scope: a, name: b, restapi: {{listen: 'h:8008'}}, postgresql: {{data_dir: /d}}, {store}}}");
            let source = Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text)]));
            let local = LocalConfig::load(&source).expect("it is good");
            let effective = Effective::build(&local, &DynamicConfig::default(), 150_000);
            assert_eq!(effective.dcs.section["namespace"], expected, "{store}");
        };
        check("etcd3: {host: h}", json!("/service"));
        check("kubernetes: {labels: {a: b}}", Value::Null);
        check("kubernetes: {labels: {a: b}, namespace: prod}", json!("prod"));
    }

    #[test]
    fn secrets_of_the_section_are_not_shown() {
        let settings = DcsSettings { section: json!({"password": "hush", "host": "h"}), ..DcsSettings::default() };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush") && shown.contains("host"), "{shown}");
    }
}
