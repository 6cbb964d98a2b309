//! `PATRONI_*` variables as a layer over the local file (config.md §9). The variables are given, never read here.

use super::schema::{self, Kind, store_variable};
use super::units::{integer, list, truth};
use super::yaml;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "PATRONI_";

/// The whole configuration in one variable.
const WHOLE: &str = "PATRONI_CONFIGURATION";

/// Variables that once had another name, and the name that they have now.
const OLD_NAMES: [(&str, &str); 3] =
    [("LOGLEVEL", "LOG_LEVEL"), ("LOGFORMAT", "LOG_FORMAT"), ("LOG_DATEFMT", "LOG_DATEFORMAT")];

/// The logger that `PATRONI_REQUESTS_LOGLEVEL` was for.
const REQUESTS_LOGGER: (&str, &str) = ("REQUESTS_LOGLEVEL", "urllib3");

/// What the variables say.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// The document that they make up.
    pub document: Value,
    /// The variable that each path was read from.
    pub origins: BTreeMap<String, String>,
    /// Variables whose text is not what they are for: variable, path and reason.
    pub errors: Vec<(String, String, String)>,
    /// Variables that were understood, or that would have been had they not been empty.
    pub recognised: BTreeSet<String>,
    /// Variables that nobody reads.
    pub unread: Vec<String>,
}

/// Reads the variables. Empty ones count as absent.
pub(super) fn read(variables: &BTreeMap<String, String>) -> Variables {
    let mut reading = Variables { document: json!({}), ..Variables::default() };
    let named = variables.iter().filter_map(|(name, text)| Some((name.strip_prefix(PREFIX)?, text)));
    let named: BTreeMap<&str, &String> = named.collect();
    reading.old_names(&named);
    reading.settings(&named);
    reading.stores(&named);
    reading.users(&named);
    for name in named.keys() {
        let name = format!("{PREFIX}{name}");
        if !reading.recognised.contains(&name) && name != WHOLE {
            reading.unread.push(name);
        }
    }
    reading
}

/// The whole configuration, where one variable holds it.
pub(super) fn whole(variables: &BTreeMap<String, String>) -> Option<&str> {
    variables.get(WHOLE).map(String::as_str).filter(|text| !text.trim().is_empty())
}

/// The variables that configure this program, by name.
pub fn recognised(variables: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut names = read(variables).recognised;
    names.extend(variables.contains_key(WHOLE).then(|| WHOLE.to_owned()));
    names
}

/// A variable that no child process may see: it may hold our passwords, or make the child believe it were us.
pub fn is_hidden_from_children(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with("KUBERNETES_") || name == "NOTIFY_SOCKET"
}

impl Variables {
    fn old_names(&mut self, named: &BTreeMap<&str, &String>) {
        for (old, new) in OLD_NAMES {
            let setting = schema::settings().find(|setting| setting.variable == new);
            if let (Some(setting), Some(text)) = (setting, named.get(old)) {
                self.take(old, setting.path, setting.kind, text);
            }
        }
        if let Some(text) = named.get(REQUESTS_LOGGER.0) {
            let path = format!("log.loggers.{}", REQUESTS_LOGGER.1);
            self.take(REQUESTS_LOGGER.0, &path, Kind::Text, text);
        }
    }

    fn settings(&mut self, named: &BTreeMap<&str, &String>) {
        for setting in schema::settings().filter(|setting| !setting.variable.is_empty()) {
            // The documentation once said POSTGRES_ where POSTGRESQL_ was meant.
            let misspelt = setting.variable.strip_prefix("POSTGRESQL_");
            let misspelt = misspelt.map(|rest| format!("POSTGRES_{rest}"));
            for name in misspelt.as_deref().into_iter().chain([setting.variable]) {
                if let Some(text) = named.get(name) {
                    self.take(name, setting.path, setting.kind, text);
                }
            }
        }
    }

    fn stores(&mut self, named: &BTreeMap<&str, &String>) {
        for (name, text) in named {
            if self.recognised.contains(&format!("{PREFIX}{name}")) {
                continue;
            }
            if let Some((section, key, kind)) = store_variable(name) {
                self.take(name, &format!("{section}.{key}"), kind, text);
            }
        }
    }

    /// Every `<user>_PASSWORD` that nothing else claimed is a role to create, with `<user>_OPTIONS` (CFG-33).
    fn users(&mut self, named: &BTreeMap<&str, &String>) {
        for (name, text) in named {
            let Some(user) = name.strip_suffix("_PASSWORD").filter(|user| !user.is_empty()) else {
                continue;
            };
            if self.recognised.contains(&format!("{PREFIX}{name}")) || text.is_empty() {
                continue;
            }
            let keys = ["bootstrap", "users", user];
            let options = format!("{user}_OPTIONS");
            if let Some(options_text) = named.get(options.as_str()) {
                let options_list = json!(list(&Value::String((*options_text).clone())));
                self.put(&options, &[keys[0], keys[1], keys[2], "options"], options_list);
            }
            self.put(name, &[keys[0], keys[1], keys[2], "password"], json!(text));
        }
    }

    fn take(&mut self, name: &str, path: &str, kind: Kind, text: &str) {
        if text.is_empty() {
            self.recognised.insert(format!("{PREFIX}{name}"));
            return;
        }
        match value(kind, text) {
            Ok(value) => {
                let keys: Vec<&str> = path.split('.').collect();
                self.put(name, &keys, value);
            }
            Err(reason) => {
                let variable = format!("{PREFIX}{name}");
                self.recognised.insert(variable.clone());
                self.errors.push((variable, path.to_owned(), reason.to_owned()));
            }
        }
    }

    fn put(&mut self, name: &str, keys: &[&str], value: Value) {
        let variable = format!("{PREFIX}{name}");
        self.recognised.insert(variable.clone());
        self.origins.insert(keys.join("."), variable);
        let mut place = &mut self.document;
        for key in keys {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(map) = place else { return };
            place = map.entry((*key).to_owned()).or_insert(Value::Null);
        }
        *place = value;
    }
}

/// The text of a variable as the kind of value that its key wants.
fn value(kind: Kind, text: &str) -> Result<Value, &'static str> {
    let as_text = Value::String(text.to_owned());
    match kind {
        Kind::Integer(..) => integer(&as_text).map(Value::from).ok_or("is not an integer"),
        Kind::Truth => truth(&as_text).map(Value::Bool).ok_or("is not a boolean"),
        Kind::List | Kind::TextOrList | Kind::Maps | Kind::ListOrMap => {
            Ok(many(text).unwrap_or_else(|| json!(list(&as_text))))
        }
        Kind::Format if !text.contains("%(") => Ok(many(text).unwrap_or(as_text)),
        Kind::Map => mapping(text).ok_or("is not a dictionary"),
        _ => Ok(as_text),
    }
}

/// A list as YAML; the brackets may be left out.
fn many(text: &str) -> Option<Value> {
    let text = text.trim();
    let bracketed = text.starts_with('-') || text.contains('[');
    let text = if bracketed { text.to_owned() } else { format!("[{text}]") };
    yaml::parse(&text).ok().map(|parsed| parsed.document).filter(Value::is_array)
}

/// A mapping as YAML; the braces may be left out.
fn mapping(text: &str) -> Option<Value> {
    let text = text.trim();
    let text = if text.starts_with('{') { text.to_owned() } else { format!("{{{text}}}") };
    yaml::parse(&text).ok().map(|parsed| parsed.document).filter(Value::is_object)
}

/// The variable that gave the value at a path, or a part of it.
pub(super) fn origin<'a>(origins: &'a BTreeMap<String, String>, path: &str) -> Option<&'a String> {
    let mut path = Some(path);
    std::iter::from_fn(|| {
        let this = path?;
        path = this.rsplit_once('.').map(|(above, _)| above);
        Some(this)
    })
    .find_map(|path| origins.get(path))
}

#[cfg(test)]
mod tests;
