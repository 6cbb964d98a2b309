//! The dynamic configuration: the store's document, its copy in the data directory, and how changes are merged.

use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The copy in the data directory (CFG-22).
const COPY: &str = "patroni.dynamic.json";

/// The dynamic configuration: a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DynamicConfig(Map<String, Value>);

impl DynamicConfig {
    /// Takes a document.
    ///
    /// # Errors
    /// When it is no object.
    pub fn from_value(document: Value) -> Result<DynamicConfig, String> {
        match document {
            Value::Object(map) => Ok(DynamicConfig(map)),
            other => Err(format!("the dynamic configuration is {other}, not an object")),
        }
    }

    /// As a document.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Reads the copy; `None` where there is none that can be read.
    pub fn load(data_dir: &Path) -> Option<DynamicConfig> {
        let document = serde_json::from_slice(&fs::read(data_dir.join(COPY)).ok()?).ok()?;
        DynamicConfig::from_value(document).ok()
    }

    /// Writes the copy, whole or not at all.
    ///
    /// # Errors
    /// When the data directory can not be written to.
    pub fn save(&self, data_dir: &Path) -> io::Result<()> {
        let (path, temporary) = (data_dir.join(COPY), data_dir.join(format!("{COPY}.tmp")));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(self.to_value().to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }
}

/// Equal where scalars are equal as text: `100` and `"100"` are (dcs-layout §5).
pub fn deep_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|same| deep_equal(value, same)))
        }
        (Value::Object(_), _) | (_, Value::Object(_)) => false,
        (one, other) => as_text(one) == as_text(other),
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Merges `patch` into `target`: `null` removes a key, objects merge, anything else replaces. Says whether anything
/// changed; values that are equal as text did not.
pub fn merge_patch(target: &mut Value, patch: &Value) -> bool {
    let (Some(target), Some(patch)) = (target.as_object_mut(), patch.as_object()) else {
        return false;
    };
    let mut changed = false;
    for (key, value) in patch {
        if value.is_null() {
            changed |= target.shift_remove(key).is_some();
            continue;
        }
        match target.get_mut(key) {
            Some(there) if there.is_object() && value.is_object() => changed |= merge_patch(there, value),
            Some(there) if deep_equal(there, value) => {}
            _ => {
                target.insert(key.clone(), value.clone());
                changed = true;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(mut target: Value, patch: Value, expected: Value, changed: bool) {
        assert_eq!(merge_patch(&mut target, &patch), changed, "{patch}");
        assert_eq!(target, expected);
    }

    #[test]
    fn patches_merge() {
        check(json!({"a": 1}), json!({"a": "1"}), json!({"a": 1}), false);
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}}), true);
        check(json!({"a": 1}), json!({"b": {"c": 2}}), json!({"a": 1, "b": {"c": 2}}), true);
        check(json!({"a": 1}), json!({"x": null}), json!({"a": 1}), false);
    }

    #[test]
    fn the_copy_survives() {
        let folder = tempfile::tempdir().unwrap();
        let dynamic = DynamicConfig::from_value(json!({"ttl": 20})).unwrap();
        dynamic.save(folder.path()).unwrap();
        assert_eq!(DynamicConfig::load(folder.path()), Some(dynamic));
        fs::write(folder.path().join(COPY), "[1]").unwrap();
        assert_eq!(DynamicConfig::load(folder.path()), None);
    }
}
