//! The small sections: REST API, calls to members, log, store.

use super::effective::{CtlSettings, DcsSettings, LogSettings, RestApiSettings};
use super::value::{at, list, text, text_at, truth_at};
use regent_core::model::{Secret, Settings};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Stores by section name, in the order in which the first that is there counts.
const STORES: [&str; 8] = ["consul", "etcd", "etcd3", "exhibitor", "kubernetes", "raft", "zookeeper", "local"];

fn path_at(document: &Value, path: &str) -> Option<PathBuf> {
    text_at(document, path).map(PathBuf::from)
}

fn login(document: &Value, section: &str) -> Option<(String, Secret)> {
    let name = text_at(document, &format!("{section}.authentication.username"))?;
    let password = text_at(document, &format!("{section}.authentication.password"))?;
    Some((name, Secret(password)))
}

/// `restapi`.
pub(super) fn restapi(document: &Value) -> RestApiSettings {
    let certfile = path_at(document, "restapi.certfile");
    let mut headers = headers(at(document, "restapi.http_extra_headers"));
    if certfile.is_some() {
        let more = self::headers(at(document, "restapi.https_extra_headers"));
        headers.retain(|(name, _)| !more.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
        headers.extend(more);
    }
    let listen = text_at(document, "restapi.listen").unwrap_or_default();
    RestApiSettings {
        connect_address: text_at(document, "restapi.connect_address").unwrap_or_else(|| listen.clone()),
        listen,
        authentication: login(document, "restapi"),
        certfile,
        keyfile: path_at(document, "restapi.keyfile"),
        cafile: path_at(document, "restapi.cafile"),
        verify_client: text_at(document, "restapi.verify_client").unwrap_or_default().to_lowercase(),
        allowlist: at(document, "restapi.allowlist").map(list).unwrap_or_default(),
        allowlist_include_members: truth_at(document, "restapi.allowlist_include_members").unwrap_or(false),
        extra_headers: headers,
    }
}

fn headers(value: Option<&Value>) -> Vec<(String, String)> {
    let map = value.and_then(Value::as_object);
    map.map(|map| map.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect())
        .unwrap_or_default()
}

/// `ctl`, with the API's own as what it falls back to.
pub(super) fn ctl(document: &Value) -> CtlSettings {
    CtlSettings {
        authentication: login(document, "ctl").or_else(|| login(document, "restapi")),
        insecure: truth_at(document, "ctl.insecure").unwrap_or(false),
        cacert: path_at(document, "ctl.cacert").or_else(|| path_at(document, "restapi.cafile")),
        certfile: path_at(document, "ctl.certfile"),
        keyfile: path_at(document, "ctl.keyfile"),
    }
}

/// `log`.
pub(super) fn log(document: &Value) -> LogSettings {
    LogSettings {
        level: text_at(document, "log.level").unwrap_or_else(|| "INFO".to_owned()),
        dir: path_at(document, "log.dir"),
    }
}

/// The store: the first section that is there.
pub(super) fn dcs(document: &Value, settings: &Settings) -> DcsSettings {
    let namespace = text_at(document, "namespace").unwrap_or_else(|| "/service".to_owned());
    let Some(name) = STORES.into_iter().find(|name| document.get(name).is_some_and(Value::is_object)) else {
        return DcsSettings { namespace, ..DcsSettings::default() };
    };
    let mut section = document.get(name).and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    for (key, value) in [
        ("name", json!(settings.name)),
        ("scope", json!(settings.scope)),
        ("ttl", json!(settings.ttl.as_secs())),
        ("loop_wait", json!(settings.loop_wait.as_secs())),
        ("retry_timeout", json!(settings.retry_timeout.as_secs())),
    ] {
        section.insert(key.to_owned(), value);
    }
    section.entry("namespace").or_insert_with(|| json!(namespace));
    DcsSettings {
        section: Value::Object(section),
        namespace,
        folder: path_at(document, "plugins.dir"),
        path: path_at(document, &format!("plugins.dcs.{name}.path")),
        sha256: text_at(document, &format!("plugins.dcs.{name}.sha256")),
        name: name.to_owned(),
    }
}
