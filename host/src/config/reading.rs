//! Finding values in the layers: by a path with dots, in one document or in both, and as text for people to read.

use super::units::{integer, list, text, truth};
use serde_json::Value;
use std::path::PathBuf;

/// The value at a path; `null` counts as absent.
pub(super) fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// The text at a path.
pub(super) fn text_at(document: &Value, path: &str) -> Option<String> {
    at(document, path).and_then(text)
}

/// The text at a path, where it is not empty.
pub(super) fn some_text_at(document: &Value, path: &str) -> Option<String> {
    text_at(document, path).filter(|text| !text.is_empty())
}

/// The file or folder at a path.
pub(super) fn file_at(document: &Value, path: &str) -> Option<PathBuf> {
    some_text_at(document, path).map(PathBuf::from)
}

/// The truth at a path.
pub(super) fn truth_at(document: &Value, path: &str) -> Option<bool> {
    at(document, path).and_then(truth)
}

/// The whole number at a path.
pub(super) fn integer_at(document: &Value, path: &str) -> Option<i64> {
    at(document, path).and_then(integer)
}

/// The list at a path; empty where there is none.
pub(super) fn list_at(document: &Value, path: &str) -> Vec<String> {
    at(document, path).map(list).unwrap_or_default()
}

/// The pairs of a mapping whose values are scalars, in the order written.
pub(super) fn pairs(value: Option<&Value>) -> impl Iterator<Item = (String, String)> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(name, value)| Some((name.clone(), text(value)?)))
}

/// The two documents that are merged, and who wins where both may speak.
#[derive(Clone, Copy)]
pub(super) struct Layers<'a> {
    /// The file and the environment.
    pub local: &'a Value,
    /// The store's document.
    pub dynamic: &'a Value,
}

impl<'a> Layers<'a> {
    /// A key that both may set: the local value, as a whole, wins.
    pub fn either(&self, path: &str) -> Option<&'a Value> {
        at(self.local, path).or_else(|| at(self.dynamic, path))
    }

    /// The same, as text that is not empty.
    pub fn either_text(&self, path: &str) -> Option<String> {
        self.either(path).and_then(text).filter(|text| !text.is_empty())
    }

    /// The same, as truth; false where neither speaks.
    pub fn either_truth(&self, path: &str) -> bool {
        self.either(path).and_then(truth).unwrap_or(false)
    }
}

/// A value as the peer shows it: `True`, `None`, `['a', 1]`. Its messages, arguments of commands and comparisons of
/// values by their text use this spelling.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => quoted(other),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pair =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(&Value::String(key.clone())), quoted(value));
            format!("{{{}}}", map.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_found_by_path() {
        let document = json!({"a": {"b": 1, "c": null}});
        assert_eq!(integer_at(&document, "a.b"), Some(1));
        assert_eq!(at(&document, "a.c"), None);
        assert_eq!(at(&document, "a.b.c"), None);
        assert_eq!(text_at(&document, "a.b").as_deref(), Some("1"));
    }

    #[test]
    fn values_are_shown_as_the_peer_does() {
        assert_eq!(shown(&json!("a b")), "a b");
        assert_eq!(shown(&json!([true, null, 1, "x", "it's"])), "[True, None, 1, 'x', \"it's\"]");
        assert_eq!(shown(&json!({"a": {"b": false}})), "{'a': {'b': False}}");
    }
}
