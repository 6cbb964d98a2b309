//! `bootstrap`: how the first server of a new cluster comes to be.

use super::methods::{method, options};
use super::reading::{at, list_at, pairs, some_text_at, text_at, truth_at};
use super::units::list;
use regent_core::model::{BootstrapSettings, BootstrapUser, Secret};
use serde_json::Value;

/// Takes everything but `bootstrap.dcs`, which is the dynamic configuration's beginning.
pub(super) fn build(local: &Value, warnings: &mut Vec<String>) -> BootstrapSettings {
    let Some(section) = at(local, "bootstrap") else {
        return BootstrapSettings::default();
    };
    let custom = custom(local);
    let users = users(section);
    if !users.is_empty() {
        warnings.push("bootstrap.users is deprecated: create roles in bootstrap.post_bootstrap".to_owned());
    }
    let own = custom.as_ref().map(|(_, custom)| *custom);
    let recovery_conf = own.and_then(|own| at(own, "recovery_conf"));
    BootstrapSettings {
        method: custom.as_ref().map(|(name, custom)| method(name, custom)),
        initdb: options(section.get("initdb")),
        pg_hba: list_at(section, "pg_hba"),
        post_bootstrap: some_text_at(section, "post_bootstrap").or_else(|| some_text_at(section, "post_init")),
        users,
        recovery_conf: recovery_conf.map(|conf| {
            let lower = pairs(Some(conf)).map(|(name, value)| (name.to_lowercase(), value));
            lower.collect()
        }),
        keep_existing_recovery_conf: own.and_then(|own| truth_at(own, "keep_existing_recovery_conf")).unwrap_or(false),
    }
}

/// The operator's method and its section. One without a command, and without a component, is initdb.
pub(super) fn custom(local: &Value) -> Option<(String, &Value)> {
    let section = at(local, "bootstrap")?;
    let name = some_text_at(section, "method").filter(|name| name != "initdb")?;
    let custom = section.get(&name)?;
    ["command", "wasm"].iter().any(|key| some_text_at(custom, key).is_some()).then_some((name, custom))
}

/// Roles to create (CFG-33).
fn users(section: &Value) -> Vec<BootstrapUser> {
    let map = section.get("users").and_then(Value::as_object);
    let user = |(name, user): (&String, &Value)| BootstrapUser {
        name: name.clone(),
        password: text_at(user, "password").map(Secret),
        options: at(user, "options").map(list).unwrap_or_default().iter().map(|option| option.to_uppercase()).collect(),
    };
    map.into_iter().flatten().map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(section: Value) -> BootstrapSettings {
        build(&json!({ "bootstrap": section }), &mut Vec::new())
    }

    #[test]
    fn a_method_without_a_command_is_initdb() {
        assert_eq!(built(json!({"method": "initdb", "initdb": {"command": "x"}})).method, None);
        assert_eq!(built(json!({"method": "m", "m": {"no_params": true}})).method, None);
        let settings = built(json!({"method": "m", "m": {
            "command": "/m", "keep_existing_recovery_conf": "yes", "recovery_conf": {"Restore_Command": "cp"},
        }}));
        assert_eq!(settings.method.unwrap().command.as_deref(), Some("/m"));
        assert!(settings.keep_existing_recovery_conf);
        assert_eq!(settings.recovery_conf.unwrap()["restore_command"], "cp");
    }

    #[test]
    fn users_are_roles() {
        let mut warnings = Vec::new();
        let document =
            json!({"bootstrap": {"users": {"admin": {"password": "p", "options": ["createdb"]}}, "post_init": "x"}});
        let settings = build(&document, &mut warnings);
        assert_eq!(settings.users[0].options, ["CREATEDB"]);
        assert_eq!(settings.post_bootstrap.as_deref(), Some("x"));
        assert_eq!(warnings.len(), 1);
        assert!(!format!("{settings:?}").contains("\"p\""));
    }
}
