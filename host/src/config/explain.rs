//! What a key means, who may set it, who did, and which value counts. For people; nothing decides on it.

use super::errors::Place;
use super::local::LocalConfig;
use super::parameters::{controlled_default, is_controlled};
use super::reading::at;
use super::redact::{is_secret, redacted};
use super::schema::{self, Applied, Kind, Layer, Setting};
use serde_json::Value;

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What values it takes.
    pub takes: String,
    /// Who may set it.
    pub set_by: &'static str,
    /// When a change counts.
    pub applied: &'static str,
    /// Its variable in the environment.
    pub variable: Option<String>,
    /// What counts where nobody sets it.
    pub default: Option<String>,
    /// What the local configuration says, and where. Secrets are hidden.
    pub local: Option<(String, Place)>,
    /// What the configuration says that all members share.
    pub dynamic: Option<String>,
    /// The one that counts.
    pub in_force: Option<String>,
}

/// Explains a key, path with dots.
///
/// # Errors
/// With the nearest key that there is, where there is none of that name.
pub fn explain(local: &LocalConfig, dynamic: Option<&Value>, key: &str) -> Result<Explanation, Option<&'static str>> {
    let setting = schema::find(key).ok_or_else(|| schema::nearest(key, schema::settings().map(|one| one.path)))?;
    let layer = layer(setting, key);
    let here = at(&local.document, key).map(|value| (shown(key, value), local.place_of(key)));
    let shared = dynamic.and_then(|dynamic| at(dynamic, key)).map(|value| shown(key, value));
    let controlled = key.strip_prefix("postgresql.parameters.").and_then(controlled_default);
    let default = controlled.or(Some(setting.default).filter(|default| !default.is_empty())).map(str::to_owned);
    let applied = if controlled.is_some() { Applied::OnServerRestart } else { setting.applied };
    let from_here = here.as_ref().map(|(value, _)| value.clone()).filter(|_| layer != Layer::Dynamic);
    let from_all = shared.clone().filter(|_| layer != Layer::Local);
    Ok(Explanation {
        takes: takes(setting.kind),
        set_by: match layer {
            Layer::Local => "this node's configuration",
            Layer::Dynamic => "the configuration that all members share",
            Layer::Either => "both; this node's configuration wins",
        },
        applied: match applied {
            Applied::AtRuntime => "at once, or with the next heartbeat",
            Applied::OnServerRestart => "when the PostgreSQL server is restarted",
            Applied::OnDaemonRestart => "when the daemon is restarted",
        },
        variable: Some(setting.variable).filter(|name| !name.is_empty()).map(|name| format!("PATRONI_{name}")),
        in_force: from_here.or(from_all).or_else(|| default.clone()),
        local: here,
        dynamic: shared,
        default,
    })
}

/// All members have to agree on some parameters.
fn layer(setting: &Setting, key: &str) -> Layer {
    match key.strip_prefix("postgresql.parameters.") {
        Some(name) if is_controlled(name) => Layer::Dynamic,
        _ => setting.layer,
    }
}

fn shown(key: &str, value: &Value) -> String {
    if is_secret(key) {
        return "***".to_owned();
    }
    match redacted(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn takes(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Word(words) => words.join(", "),
        Kind::Integer(least, most) => match (least, most) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (least, i64::MAX) => format!("a whole number from {least}"),
            (least, most) => format!("a whole number from {least} to {most}"),
        },
        Kind::Seconds(0) => "a span of time".to_owned(),
        Kind::Seconds(least) => format!("a span of time from {least} s"),
        Kind::Bytes(least) => format!("a number of bytes from {least}"),
        Kind::Mode => "permission bits".to_owned(),
        Kind::Truth => "true or false".to_owned(),
        Kind::TruthOr(word) => format!("true, false or {word}"),
        Kind::List => "a list".to_owned(),
        Kind::Map => "a mapping".to_owned(),
        Kind::ListOrMap => "a list or a mapping".to_owned(),
        Kind::TextOrList => "a text or a list".to_owned(),
        Kind::Maps => "a list of mappings".to_owned(),
        Kind::Format => "a text, or a list of fields".to_owned(),
        Kind::Fence => "automatic, required or off".to_owned(),
        Kind::Any => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn local(text: &str) -> LocalConfig {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        LocalConfig::load(&Source::new(Some(file.path().to_owned()), BTreeMap::new())).unwrap()
    }

    #[test]
    fn the_value_that_counts_is_told() {
        let text = "scope: a\npostgresql:\n  use_unix_socket: true\n  parameters: {max_connections: 5, work_mem: 1MB}\n\
                    restapi:\n  authentication: {username: u, password: p}\n";
        let local = local(text);
        let dynamic = json!({"ttl": 40, "postgresql": {"parameters": {"max_connections": 50, "work_mem": "8MB"}}});
        let check = |key: &str, here: Option<&str>, shared: Option<&str>, in_force: Option<&str>| {
            let told = explain(&local, Some(&dynamic), key).unwrap();
            assert_eq!(told.local.as_ref().map(|(value, _)| value.as_str()), here, "{key}");
            assert_eq!(told.dynamic.as_deref(), shared, "{key}");
            assert_eq!(told.in_force.as_deref(), in_force, "{key}");
        };
        check("ttl", None, Some("40"), Some("40"));
        check("loop_wait", None, None, Some("10"));
        check("postgresql.parameters.wal_level", None, None, Some("replica"));
        check("scope", Some("a"), None, Some("a"));
        check("postgresql.parameters.max_connections", Some("5"), Some("50"), Some("50"));
        check("postgresql.parameters.work_mem", Some("1MB"), Some("8MB"), Some("1MB"));
        check("restapi.authentication.password", Some("***"), None, Some("***"));
        assert_eq!(explain(&local, None, "restapi.lisen"), Err(Some("restapi.listen")));
        assert_eq!(explain(&local, None, "nonsense_of_all_kinds"), Err(None));
    }

    #[test]
    fn places_and_variables_are_told() {
        let told = explain(&local("scope: a\n"), None, "scope").unwrap();
        assert_eq!(told.variable.as_deref(), Some("PATRONI_SCOPE"));
        assert!(matches!(told.local, Some((_, Place::File(_, Some(1))))), "{told:?}");
    }
}
