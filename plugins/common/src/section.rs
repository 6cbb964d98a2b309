//! Reads a backend's section of the configuration strictly: every complaint names the key and the reason, and never
//! the value, which may be secret.

use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use serde_json::{Map, Value};

/// A section by its name.
#[derive(Clone, Debug)]
pub struct Section {
    name: &'static str,
    map: Map<String, Value>,
}

impl Section {
    /// The section as the host gives it.
    ///
    /// # Errors
    /// `Invalid` unless it is a mapping.
    pub fn read(name: &'static str, config_json: &str) -> Result<Section> {
        let invalid = |why: &str| DcsError::new(ErrorKind::Invalid, format!("{name}: {why}"));
        match serde_json::from_str(config_json) {
            Ok(Value::Object(map)) => Ok(Section { name, map }),
            Ok(_) => Err(invalid("the section must be a mapping")),
            Err(_) => Err(invalid("the section is no JSON")),
        }
    }

    /// A complaint about the whole section.
    pub fn invalid(&self, why: &str) -> DcsError {
        DcsError::new(ErrorKind::Invalid, format!("{}: {why}", self.name))
    }

    /// A complaint about a key.
    pub fn at(&self, key: &str, why: &str) -> DcsError {
        DcsError::new(ErrorKind::Invalid, format!("{}.{key}: {why}", self.name))
    }

    /// Whether the key is there, be it empty.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// What the key holds, unless that is null.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A text, or a number as text; nothing where it is empty.
    ///
    /// # Errors
    /// `Invalid` where it is something else.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            // A password may begin with a blank.
            Some(Value::String(text)) if key == "password" => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.at(key, "must be a text")),
        }
    }

    /// Yes or no, in the ways people write it; nothing where it is not there.
    ///
    /// # Errors
    /// `Invalid` where it is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let no_flag = || self.at(key, "must be true or false");
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Ok(Some(true)),
                "" | "false" | "off" | "no" | "0" => Ok(Some(false)),
                _ => Err(no_flag()),
            },
            Some(Value::Number(number)) => Ok(Some(number.as_u64().ok_or_else(no_flag)? != 0)),
            Some(_) => Err(no_flag()),
        }
    }

    /// A mapping; empty where it is not there.
    ///
    /// # Errors
    /// `Invalid` where it is something else.
    pub fn mapping(&self, key: &str) -> Result<Map<String, Value>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(self.at(key, "must be a mapping")),
        }
    }

    /// A list of texts, or one text with commas; nothing where it is not there.
    ///
    /// # Errors
    /// `Invalid` where it is something else; `what` says what its entries are.
    pub fn list(&self, key: &str, what: &str) -> Result<Option<Vec<String>>> {
        let no_list = || self.at(key, &format!("must be a list of {what}, or such a list with commas"));
        let split = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
        };
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(split(text))),
            Some(Value::Array(entries)) => {
                let text = |entry: &Value| entry.as_str().map(|entry| entry.trim().to_owned());
                let entries: Option<Vec<_>> = entries.iter().map(text).collect();
                entries.map(Some).ok_or_else(no_list)
            }
            Some(_) => Err(no_list()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(json: &str) -> Section {
        Section::read("store", json).expect("it is a mapping")
    }

    #[test]
    fn complaints_name_the_key_and_not_the_value() {
        let check = |error: Option<DcsError>, expected: &str| {
            let error = error.expect("it is refused");
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, expected));
        };
        check(Section::read("store", "[").err(), "store: the section is no JSON");
        check(Section::read("store", "[]").err(), "store: the section must be a mapping");
        check(section(r#"{"a": []}"#).text("a").err(), "store.a: must be a text");
        check(section(r#"{"a": "hush"}"#).flag("a").err(), "store.a: must be true or false");
        check(
            section(r#"{"a": [1]}"#).list("a", "names").err(),
            "store.a: must be a list of names, or such a list with commas",
        );
    }

    #[test]
    fn values_come_in_many_forms() {
        let all =
            section(r#"{"n": 5, "t": " x ", "e": "", "y": "yes", "o": 0, "l": "a, b,", "m": ["c"], "password": " p"}"#);
        let text = |key: &str| all.text(key).expect("it is a text");
        assert_eq!((text("n").as_deref(), text("t").as_deref()), (Some("5"), Some("x")));
        assert_eq!((text("e"), text("none"), text("password").as_deref()), (None, None, Some(" p")));
        let flag = |key: &str| all.flag(key).expect("it is a flag");
        assert_eq!((flag("y"), flag("o"), flag("e"), flag("none")), (Some(true), Some(false), Some(false), None));
        let list = |key: &str| all.list(key, "names").expect("it is a list");
        assert_eq!((list("l"), list("m")), (Some(vec!["a".to_owned(), "b".to_owned()]), Some(vec!["c".to_owned()])));
        assert_eq!((list("e"), list("none")), (Some(vec![]), None));
        assert!(all.has("e") && !all.has("none"));
        assert_eq!((all.value("n"), all.value("none")), (Some(&Value::from(5)), None));
    }
}
