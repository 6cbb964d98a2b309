//! Spellings of earlier times, brought to the present one before anything else reads them (CFG-04).

use super::reading::at;
use serde_json::{Map, Value, json};

/// Brings a local document up to date and says what was old in it.
pub(super) fn modernise_local(document: &mut Value) -> Vec<String> {
    let mut told = Vec::new();
    let Some(top) = document.as_object_mut() else {
        return told;
    };
    exhibitor(top, &mut told);
    if let Some(postgresql) = top.get_mut("postgresql").and_then(Value::as_object_mut) {
        let name = postgresql.shift_remove("name");
        accounts(postgresql, &mut told);
        methods(postgresql, "postgresql", &mut told);
        if let Some(name) = name {
            told.push("postgresql.name is an old spelling of name".to_owned());
            top.entry("name").or_insert(name);
        }
    }
    if let Some(shared) = top.get_mut("bootstrap").and_then(|section| section.get_mut("dcs")) {
        told.extend(modernise_dynamic(shared));
    }
    told
}

/// Brings a dynamic document up to date and says what was old in it. The store's own copy is not touched.
pub(super) fn modernise_dynamic(document: &mut Value) -> Vec<String> {
    let mut told = Vec::new();
    let Some(top) = document.as_object_mut() else {
        return told;
    };
    for name in ["start_timeout", "stop_timeout"] {
        if let Some(value) = top.shift_remove(&format!("master_{name}")) {
            // Nodes of before and after the renaming read the same document: where both are there, the new one counts.
            top.entry(format!("primary_{name}")).or_insert(value);
        }
    }
    slots(top);
    for section in ["postgresql", "standby_cluster"] {
        if let Some(map) = top.get_mut(section).and_then(Value::as_object_mut) {
            methods(map, section, &mut told);
        }
    }
    told
}

/// Of three names for the slots to keep, the first that holds anything counts.
fn slots(top: &mut Map<String, Value>) {
    let names = ["permanent_replication_slots", "permanent_slots"];
    let filled = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    let old: Vec<Value> = names.iter().filter_map(|name| top.shift_remove(*name)).collect();
    if let Some(found) = old.into_iter().find(filled) {
        top.insert("slots".to_owned(), found);
    }
}

/// Exhibitor was once a part of the section of ZooKeeper.
fn exhibitor(top: &mut Map<String, Value>, told: &mut Vec<String>) {
    let zookeeper = top.get_mut("zookeeper").and_then(Value::as_object_mut);
    let Some(section) = zookeeper.and_then(|section| section.shift_remove("exhibitor")) else {
        return;
    };
    if !top.contains_key("exhibitor") {
        told.push("zookeeper.exhibitor is an old spelling of exhibitor".to_owned());
        top.insert("exhibitor".to_owned(), section);
        top.shift_remove("zookeeper");
    }
}

/// There was one section an account, and pg_rewind ran as the superuser, whose section it named.
fn accounts(postgresql: &mut Map<String, Value>, told: &mut Vec<String>) {
    let old = ["replication", "superuser", "pg_rewind"];
    let mut sections: Vec<(&str, Value)> = Vec::new();
    for name in old {
        if postgresql.get(name).is_some_and(Value::is_object) {
            sections.extend(postgresql.shift_remove(name).map(|section| (name, section)));
        }
    }
    if sections.is_empty() {
        return;
    }
    told.push(
        "postgresql.replication, .superuser and .pg_rewind are old spellings of sections in postgresql.authentication"
            .to_owned(),
    );
    let rewinds = sections.iter().any(|(name, _)| *name == "pg_rewind");
    if !postgresql.contains_key("authentication") {
        postgresql.insert("use_pg_rewind".to_owned(), json!(rewinds));
    }
    let authentication = postgresql.entry("authentication").or_insert_with(|| json!({}));
    for (name, section) in sections {
        let name = if name == "pg_rewind" { "superuser" } else { name };
        if at(authentication, name).is_none()
            && let Some(accounts) = authentication.as_object_mut()
        {
            accounts.insert(name.to_owned(), section);
        }
    }
}

fn methods(section: &mut Map<String, Value>, name: &str, told: &mut Vec<String>) {
    if let Some(methods) = section.shift_remove("create_replica_method") {
        told.push(format!("{name}.create_replica_method is an old spelling of create_replica_methods"));
        section.entry("create_replica_methods").or_insert(methods);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_local(mut document: Value, expected: Value) {
        modernise_local(&mut document);
        assert_eq!(document, expected);
    }

    fn check_dynamic(mut document: Value, expected: Value) {
        modernise_dynamic(&mut document);
        assert_eq!(document, expected);
    }

    #[test]
    fn old_local_spellings_are_understood() {
        check_local(
            json!({"postgresql": {"name": "a", "superuser": {"username": "su"}, "replication": {"username": "r"}}}),
            json!({"name": "a", "postgresql": {
                "use_pg_rewind": false,
                "authentication": {"replication": {"username": "r"}, "superuser": {"username": "su"}},
            }}),
        );
        check_local(
            json!({"postgresql": {"replication": {"username": "r"}, "pg_rewind": {"username": "su"}}}),
            json!({"postgresql": {
                "use_pg_rewind": true,
                "authentication": {"replication": {"username": "r"}, "superuser": {"username": "su"}},
            }}),
        );
        check_local(json!({"zookeeper": {"exhibitor": {"hosts": ["a"]}}}), json!({"exhibitor": {"hosts": ["a"]}}));
        check_local(
            json!({"postgresql": {"create_replica_method": ["m"]}}),
            json!({"postgresql": {"create_replica_methods": ["m"]}}),
        );
        check_local(json!({"name": "new", "postgresql": {"name": "old"}}), json!({"name": "new", "postgresql": {}}));
    }

    #[test]
    fn old_dynamic_spellings_are_understood() {
        check_dynamic(
            json!({"master_start_timeout": 5, "master_stop_timeout": 6, "primary_stop_timeout": 7}),
            json!({"primary_start_timeout": 5, "primary_stop_timeout": 7}),
        );
        check_dynamic(
            json!({"slots": {"c": {}}, "permanent_slots": {"b": {}}, "permanent_replication_slots": {}}),
            json!({"slots": {"b": {}}}),
        );
        check_dynamic(json!({"slots": {"c": {}}, "permanent_slots": {}}), json!({"slots": {"c": {}}}));
        check_dynamic(json!([1]), json!([1]));
    }
}
