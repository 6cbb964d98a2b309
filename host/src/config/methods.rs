//! Sections of programs: replica and bootstrap methods, and the options of pg_basebackup, initdb and pg_rewind.

use super::reading::{Layers, list_at, shown, some_text_at, truth_at};
use super::units::text;
use regent_core::model::{CommandOption, MethodSettings, StandbyCluster};
use serde_json::Value;
use std::collections::BTreeMap;

/// The method that is built in.
const BASEBACKUP: &str = "basebackup";

/// Keys of a method's section that are never arguments of its command.
const NO_ARGUMENTS: [&str; 2] = ["command", "no_params"];

/// The order of the replica methods: `basebackup` where none is given.
pub(super) fn order(layers: Layers<'_>) -> Vec<String> {
    let order = layers.either("postgresql.create_replica_methods").map(super::units::list);
    order.filter(|order| !order.is_empty()).unwrap_or_else(|| vec![BASEBACKUP.to_owned()])
}

/// The settings of every method that this cluster, or the standby cluster that it is, names.
pub(super) fn named(layers: Layers<'_>, order: &[String]) -> BTreeMap<String, MethodSettings> {
    let standby = list_at(layers.dynamic, "standby_cluster.create_replica_methods");
    let names = order.iter().chain(&standby).filter(|name| *name != BASEBACKUP);
    let section = |name: &String| {
        let section = layers.either(&format!("postgresql.{name}"));
        (name.clone(), method(name, section.unwrap_or(&Value::Null)))
    };
    names.map(section).collect()
}

/// Could a replica be made although there is nobody to copy from (BOOT-07)?
pub(super) fn any_without_source(layers: Layers<'_>, site: Option<&StandbyCluster>) -> bool {
    let order = site.map_or_else(|| order(layers), |site| site.create_replica_methods.clone());
    let named = named(layers, &order);
    order.iter().any(|name| named.get(name).is_some_and(|method| method.no_leader))
}

/// One method's section.
pub fn method(name: &str, section: &Value) -> MethodSettings {
    let flag = |key: &str| truth_at(section, key).unwrap_or(false);
    let sandbox = super::sandbox::build(section);
    let ours = |key: &str| NO_ARGUMENTS.contains(&key) || sandbox.is_some() && super::sandbox::KEYS.contains(&key);
    let arguments = section.as_object().into_iter().flatten();
    let arguments = arguments.filter(|(key, value)| !ours(key) && !value.is_object());
    MethodSettings {
        name: name.to_owned(),
        command: some_text_at(section, "command"),
        keep_data: flag("keep_data"),
        no_params: flag("no_params"),
        no_leader: flag("no_leader") || flag("no_master"),
        arguments: arguments.map(|(key, value)| (key.clone(), shown(value))).collect(),
        sandbox,
    }
}

/// Options of a program: a list of names and one-key mappings, or a mapping in which what is false is left out.
pub(super) fn options(value: Option<&Value>) -> Vec<CommandOption> {
    match value {
        Some(Value::Array(items)) => items.iter().flat_map(item).collect(),
        Some(Value::Object(map)) => map.iter().filter_map(pair).collect(),
        _ => Vec::new(),
    }
}

fn item(item: &Value) -> Vec<CommandOption> {
    match item {
        Value::Object(map) => map.iter().filter_map(pair).collect(),
        other => text(other)
            .map(|name| CommandOption { name: name.trim_start_matches('-').to_owned(), value: None })
            .into_iter()
            .collect(),
    }
}

fn pair((name, value): (&String, &Value)) -> Option<CommandOption> {
    let value = match value {
        Value::Bool(true) => None,
        Value::Bool(false) | Value::Null => return None,
        other => Some(text(other).filter(|text| !text.is_empty())?),
    };
    Some(CommandOption { name: name.clone(), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_are_lists_or_maps() {
        let check = |value: Value, expected: &[(&str, Option<&str>)]| {
            let found = options(Some(&value));
            let found: Vec<_> = found.iter().map(|option| (option.name.as_str(), option.value.as_deref())).collect();
            assert_eq!(found, expected, "{value}");
        };
        let both: &[(&str, Option<&str>)] = &[("encoding", Some("UTF8")), ("data-checksums", None)];
        check(json!([{"encoding": "UTF8"}, "data-checksums"]), both);
        check(json!({"encoding": "UTF8", "data-checksums": true, "x": false, "y": "", "z": null}), both);
        check(json!([{"max-rate": 100}, "--verbose"]), &[("max-rate", Some("100")), ("verbose", None)]);
        check(json!("what"), &[]);
    }

    #[test]
    fn methods_pass_on_what_was_written() {
        let section = json!({
            "command": "/x.sh", "no_master": "1", "threshold": 5, "flag": true, "recovery_conf": {"a": 1}, "no_params": false,
        });
        let method = method("m", &section);
        assert!(method.no_leader && !method.keep_data && !method.no_params);
        let expected = [("no_master", "1"), ("threshold", "5"), ("flag", "True")];
        assert_eq!(method.arguments, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    /// BOOT-09
    #[test]
    fn the_old_name_of_the_list_is_known_too() {
        let check = |mut local: Value, expected: &[&str]| {
            crate::config::legacy::modernise_local(&mut local);
            let dynamic = json!({});
            assert_eq!(order(Layers { local: &local, dynamic: &dynamic }), expected);
        };
        check(json!({"postgresql": {"create_replica_methods": ["a", "basebackup"]}}), &["a", "basebackup"]);
        check(json!({"postgresql": {"create_replica_method": ["a"]}}), &["a"]);
        check(json!({"postgresql": {"create_replica_method": ["a"], "create_replica_methods": ["b"]}}), &["b"]);
        check(json!({"postgresql": {}}), &["basebackup"]);
    }

    #[test]
    fn methods_of_both_lists_are_known() {
        let local = json!({"postgresql": {"wal_e": {"command": "w"}}});
        let dynamic = json!({
            "postgresql": {"create_replica_methods": ["wal_e", "basebackup"], "wal_e": {"command": "shared"}, "site": {"command": "s"}},
            "standby_cluster": {"create_replica_methods": ["site", "bare"]},
        });
        let layers = Layers { local: &local, dynamic: &dynamic };
        let order = order(layers);
        assert_eq!(order, ["wal_e", "basebackup"]);
        assert!(!any_without_source(layers, None));
        let alone = json!({"postgresql": {"create_replica_method": "x", "wal_e": {"no_master": "on"}}});
        let alone = Layers { local: &alone, dynamic: &dynamic };
        assert!(any_without_source(alone, None));
        assert!(!any_without_source(alone, Some(&StandbyCluster::default())));
        let named = named(layers, &order);
        let commands: Vec<_> = named.values().map(|method| (method.name.as_str(), method.command.as_deref())).collect();
        assert_eq!(commands, [("bare", None), ("site", Some("s")), ("wal_e", Some("w"))]);
    }
}
