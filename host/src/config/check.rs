//! Goes through a document with the table of settings in hand: wrong values, keys in the wrong layer, unknown keys.

use super::judge::{Fault, fault, item_fault};
use super::reading::{at, list_at};
use super::schema::{self, Kind, Layer, STORE_KEYS, STORES, Setting};
use serde_json::Value;

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Refused.
    Wrong,
    /// A default serves instead.
    Served,
    /// Nobody reads it.
    Unread,
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The key, with dots.
    pub path: String,
    /// What is to be said of it.
    pub reason: String,
    /// The fault, where a value is wrong.
    pub fault: Option<Fault>,
    pub weight: Weight,
}

/// Checks the local document, `bootstrap.dcs` included.
pub(super) fn local(document: &Value) -> Vec<Finding> {
    let mut walk = Walk { layer: Layer::Local, prefix: "", names: method_names(document), findings: Vec::new() };
    walk.names.extend(plugin_names(document));
    walk.map(document, "");
    let mut findings = walk.findings;
    if let Some(shared) = at(document, "bootstrap.dcs") {
        findings.extend(in_dynamic(shared, "bootstrap.dcs.", method_names(document)));
    }
    findings
}

/// Checks a dynamic document. Nothing in it is refused: it may come from a store that others write to.
pub(super) fn dynamic(document: &Value) -> Vec<Finding> {
    in_dynamic(document, "", Vec::new())
}

fn in_dynamic(document: &Value, prefix: &'static str, mut names: Vec<String>) -> Vec<Finding> {
    names.extend(method_names(document));
    let mut walk = Walk { layer: Layer::Dynamic, prefix, names, findings: Vec::new() };
    walk.map(document, "");
    walk.findings
}

/// Names that sections may have because the document itself gives them: methods.
fn method_names(document: &Value) -> Vec<String> {
    let lists = [
        "postgresql.create_replica_methods",
        "standby_cluster.create_replica_methods",
        "bootstrap.method",
        "bootstrap.dcs.postgresql.create_replica_methods",
        "bootstrap.dcs.standby_cluster.create_replica_methods",
    ];
    lists.iter().flat_map(|path| list_at(document, path)).collect()
}

/// Stores that plugins of `plugins.dcs` serve.
pub(super) fn plugin_names(document: &Value) -> Vec<String> {
    let plugins = at(document, "plugins.dcs").and_then(Value::as_object);
    plugins.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

struct Walk {
    layer: Layer,
    /// Of the paths in findings.
    prefix: &'static str,
    names: Vec<String>,
    findings: Vec<Finding>,
}

impl Walk {
    fn map(&mut self, value: &Value, above: &str) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            if self.layer == Layer::Local && above.is_empty() && STORES.contains(&key.as_str()) {
                self.store(key, inner);
                continue;
            }
            // A name with a dot in it, as PostgreSQL's extensions have them, is one name all the same.
            let shape = if above.is_empty() { key.clone() } else { format!("{above}.{}", key.replace('.', "_")) };
            match schema::find(&shape) {
                Some(setting) if setting.layer == self.layer || setting.layer == Layer::Either => {
                    self.known(setting, &path, inner);
                }
                Some(setting) => self.misplaced(setting, &path),
                None => self.unknown(&path, above, key, inner),
            }
        }
    }

    fn known(&mut self, setting: &Setting, path: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        let weight = match (self.layer, fault(setting.kind, value)) {
            (Layer::Local, Some(Fault::Kind(_))) => Weight::Wrong,
            (Layer::Local, _) if setting.strict => Weight::Wrong,
            _ => Weight::Served,
        };
        self.judge(setting.kind, path, value, weight);
        if value.is_object() && path != "bootstrap.dcs" && has_rows_below(path) {
            self.map(value, path);
        }
    }

    fn judge(&mut self, kind: Kind, path: &str, value: &Value, weight: Weight) {
        if let Some(fault) = fault(kind, value) {
            self.wrong(path, fault, weight);
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(fault) = item_fault(kind, item) {
                self.wrong(&format!("{path}.{index}"), fault, Weight::Wrong);
            }
        }
    }

    fn wrong(&mut self, path: &str, fault: Fault, weight: Weight) {
        let weight = if self.layer == Layer::Dynamic { Weight::Served } else { weight };
        let served = if weight == Weight::Served { "; the default is used" } else { "" };
        self.findings.push(Finding {
            path: format!("{}{path}", self.prefix),
            reason: format!("{}{served}", fault.reason()),
            fault: Some(fault),
            weight,
        });
    }

    fn unread(&mut self, path: &str, reason: String) {
        self.findings.push(Finding {
            path: format!("{}{path}", self.prefix),
            reason,
            fault: None,
            weight: Weight::Unread,
        });
    }

    fn misplaced(&mut self, setting: &Setting, path: &str) {
        let reason = match setting.layer {
            Layer::Dynamic => "only counts in the dynamic configuration that all members share",
            _ => "only counts in a member's own configuration",
        };
        self.unread(path, reason.to_owned());
    }

    fn unknown(&mut self, path: &str, above: &str, key: &str, value: &Value) {
        let section = value.is_object() && ["postgresql", "bootstrap"].contains(&above);
        if self.names.iter().any(|name| name == key) && (section || above.is_empty()) {
            return;
        }
        let near = schema::nearest(key, siblings(above, self.layer));
        match near {
            None if section => {}
            None => self.unread(path, "is not a known key".to_owned()),
            Some(near) => {
                self.unread(path, format!("is not a known key: is {near} meant?"));
            }
        }
    }

    /// A store's section: its plugin judges it, here go the hints.
    fn store(&mut self, name: &str, section: &Value) {
        if section.is_null() {
            return;
        }
        self.judge(Kind::Map, name, section, Weight::Wrong);
        let keys = STORE_KEYS.iter().filter(|(_, _, stores)| stores.is_empty() || stores.contains(&name));
        for (key, value) in section.as_object().into_iter().flatten() {
            let path = format!("{name}.{key}");
            if let Some((_, kind, _)) = keys.clone().find(|(known, _, _)| known == key) {
                if !value.is_null() {
                    self.judge(*kind, &path, value, Weight::Wrong);
                }
            } else if let Some(near) = schema::nearest(key, keys.clone().map(|row| row.0)) {
                self.unread(&path, format!("is not a known key: is {near} meant?"));
            }
        }
    }
}

fn has_rows_below(path: &str) -> bool {
    let depth = path.split('.').count();
    let mut rows = schema::settings().map(|setting| setting.path);
    rows.any(|row| {
        let above = row.rsplit_once('.').map(|(above, _)| above);
        row.split('.').count() == depth + 1 && above.is_some_and(|above| schema::fits(above, path))
    })
}

/// Names that may stand beside an unknown one.
fn siblings(above: &str, layer: Layer) -> impl Iterator<Item = &'static str> {
    let rows = schema::settings_of(layer).filter_map(move |setting| match setting.path.rsplit_once('.') {
        None if above.is_empty() => Some(setting.path),
        Some((row_above, name)) if schema::fits(row_above, above) => Some(name),
        _ => None,
    });
    let stores = STORES.into_iter().filter(move |_| above.is_empty() && layer == Layer::Local);
    rows.filter(|name| *name != "*").chain(stores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(document: Value, expected: &[&str]) {
        let found: Vec<String> = local(&document)
            .iter()
            .map(|finding| format!("{:?} {} {}", finding.weight, finding.path, finding.reason))
            .collect();
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn unknown_keys_name_the_nearest_known() {
        check(
            json!({"scop": "a", "etdc3": {}, "postgresql": {"listn": "x", "recovery_cnf": {}, "what": 1}}),
            &[
                "Unread scop is not a known key: is scope meant?",
                "Unread etdc3 is not a known key: is etcd3 meant?",
                "Unread postgresql.listn is not a known key: is listen meant?",
                "Unread postgresql.recovery_cnf is not a known key: is recovery_conf meant?",
                "Unread postgresql.what is not a known key",
            ],
        );
        check(
            json!({"etcd3": {"host": "a:1", "hots": "b"}}),
            &["Unread etcd3.hots is not a known key: is host meant?"],
        );
    }

    #[test]
    fn names_that_the_document_gives_are_known() {
        let document = json!({
            "bootstrap": {"method": "restore", "restore": {"command": "x"}, "users": {"admin": {"password": "x"}}},
            "postgresql": {"create_replica_methods": ["wal_e", "basebackup"], "wal_e": {"command": "y"}},
            "plugins": {"dcs": {"mystore": {"path": "/x"}}},
            "mystore": {"anything": 1},
            "tags": {"anything": 1, "with.a.dot": 2},
            "etcd": null,
        });
        check(document, &[]);
    }

    #[test]
    fn names_of_parameters_may_have_dots() {
        // CFG-36
        let parameters = json!({"parameters": {"app.flavour": "x", "pg_stat_statements.max": 5}});
        check(json!({"postgresql": parameters, "bootstrap": {"dcs": {"postgresql": parameters}}}), &[]);
    }

    #[test]
    fn keys_in_the_wrong_layer_are_told() {
        check(
            json!({"ttl": 30, "bootstrap": {"dcs": {"postgresql": {"listen": "x"}, "loop_wiat": 5}}}),
            &[
                "Unread ttl only counts in the dynamic configuration that all members share",
                "Unread bootstrap.dcs.postgresql.listen only counts in a member's own configuration",
                "Unread bootstrap.dcs.loop_wiat is not a known key: is loop_wait meant?",
            ],
        );
    }

    #[test]
    fn wrong_values_are_refused_or_served() {
        check(
            json!({
                "log": {"level": "LOUD", "max_queue_size": "many"},
                "restapi": {"verify_client": "requierd"},
                "postgresql": {"parameters": "oops", "pg_hba": ["a", {"b": 1}]},
                "etcd3": {"use_proxies": "maybe"},
                "bootstrap": {"dcs": {"ttl": "long"}},
            }),
            &[
                "Served log.level must be one of DEBUG, INFO, WARN, WARNING, ERROR, FATAL, CRITICAL; the default is used",
                "Wrong log.max_queue_size is not an integer",
                "Wrong restapi.verify_client must be one of none, optional, required",
                "Wrong postgresql.parameters is not a dictionary",
                "Wrong postgresql.pg_hba.1 is not a string",
                "Wrong etcd3.use_proxies is not a boolean",
                "Served bootstrap.dcs.ttl is not a number of seconds; the default is used",
            ],
        );
    }
}
