//! The local configuration: a file, a folder of files, or the environment alone, merged into one document.

use super::environment;
use super::errors::{ConfigError, ConfigErrors};
use super::lines::line_of;
use super::schema;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the local configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    path: Option<PathBuf>,
    environment: BTreeMap<String, String>,
}

impl Source {
    /// A file or folder, where one is given, with `environment` over it.
    pub fn new(path: Option<PathBuf>, environment: BTreeMap<String, String>) -> Source {
        Source { path, environment }
    }
}

/// The local configuration as one document, and what is odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConfig {
    /// The document.
    pub document: Value,
    /// Unknown keys and the like: worth a word, no reason to refuse.
    pub warnings: Vec<String>,
}

impl LocalConfig {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// With everything that is wrong: files that are no YAML, and keys whose values are of the wrong kind.
    pub fn load(source: &Source) -> Result<LocalConfig, ConfigErrors> {
        let (mut document, texts) = match source.path.as_ref().filter(|path| path.exists()) {
            Some(path) => read_files(path)?,
            None => (whole_document(&source.environment)?, Vec::new()),
        };
        let whole = texts.is_empty() && !matches!(&document, Value::Object(map) if map.is_empty());
        if !whole {
            super::merge_patch(&mut document, &environment::document(&source.environment));
        }
        if matches!(&document, Value::Object(map) if map.is_empty()) {
            return Err(one(source.path.clone(), None, "", "Config is empty."));
        }
        let report = schema::check(&document);
        let locate = |key: &str| texts.iter().rev().find_map(|(path, text)| Some((path.clone(), line_of(text, key)?)));
        let errors: Vec<_> = report
            .errors
            .into_iter()
            .map(|(key, reason)| {
                let place = locate(&key);
                let line = place.as_ref().map(|(_, line)| *line);
                let file = place.map(|(file, _)| file).or_else(|| source.path.clone());
                ConfigError { file, line, key, reason }
            })
            .collect();
        if errors.is_empty() {
            Ok(LocalConfig { document, warnings: report.warnings })
        } else {
            Err(ConfigErrors(errors))
        }
    }
}

fn one(file: Option<PathBuf>, line: Option<usize>, key: &str, reason: &str) -> ConfigErrors {
    ConfigErrors(vec![ConfigError { file, line, key: key.to_owned(), reason: reason.to_owned() }])
}

/// `PATRONI_CONFIGURATION` holds a whole document, or there is none.
fn whole_document(environment: &BTreeMap<String, String>) -> Result<Value, ConfigErrors> {
    match environment.get("PATRONI_CONFIGURATION").filter(|text| !text.trim().is_empty()) {
        Some(text) => parse(None, text),
        None => Ok(Value::Object(Map::new())),
    }
}

/// A file, or every `*.yml` and `*.yaml` of a folder by name, each over the one before.
#[allow(clippy::type_complexity, reason = "a document and the texts that it came from")]
fn read_files(path: &Path) -> Result<(Value, Vec<(PathBuf, String)>), ConfigErrors> {
    let wrong = |error: std::io::Error| one(Some(path.to_owned()), None, "", &format!("can not be read: {error}"));
    let files = if path.is_dir() {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(path).map_err(wrong)?.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml"));
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    let mut document = Value::Object(Map::new());
    let mut texts = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(wrong)?;
        super::merge_patch(&mut document, &parse(Some(&file), &text)?);
        texts.push((file, text));
    }
    Ok((document, texts))
}

fn parse(file: Option<&Path>, text: &str) -> Result<Value, ConfigErrors> {
    let name = || file.map(Path::to_owned);
    let yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map(|place| place.line());
        one(name(), line, "", &format!("is no YAML: {error}"))
    })?;
    if yaml.is_null() {
        return Ok(Value::Object(Map::new()));
    }
    match to_json(yaml) {
        document @ Value::Object(_) => Ok(document),
        _ => {
            let shown = file.map(|file| file.display().to_string()).unwrap_or_default();
            Err(one(name(), None, "", &format!("invalid config file {shown}")))
        }
    }
}

/// YAML as JSON: keys become text, tags are dropped.
fn to_json(yaml: serde_yaml::Value) -> Value {
    match yaml {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(flag) => Value::Bool(flag),
        serde_yaml::Value::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or_else(|| number.as_f64().map_or(Value::Null, Value::from)),
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => Value::Array(items.into_iter().map(to_json).collect()),
        serde_yaml::Value::Mapping(map) => {
            let entry = |(key, value): (serde_yaml::Value, serde_yaml::Value)| {
                let key = match to_json(key) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                (key, to_json(value))
            };
            Value::Object(map.into_iter().map(entry).collect())
        }
        serde_yaml::Value::Tagged(tagged) => to_json(tagged.value),
    }
}

#[cfg(test)]
mod tests;
