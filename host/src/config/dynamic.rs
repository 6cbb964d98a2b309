//! The dynamic configuration that all members share: the store's document, and its copy in the data directory.

use super::redact::redacted;
use crate::numbers;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The copy in the data directory (CFG-22).
const COPY: &str = "patroni.dynamic.json";

/// Group readers of the data directory.
const GROUP_READ: u32 = 0o040;

/// Why a text is no dynamic configuration.
#[derive(Debug, thiserror::Error)]
pub enum DynamicError {
    /// It is something else.
    #[error("the dynamic configuration is {0}, not an object")]
    NotAnObject(&'static str),
    /// It can not be read.
    #[error("the dynamic configuration is no JSON")]
    NotJson(#[source] serde_json::Error),
}

/// The dynamic configuration: a JSON object.
#[derive(Clone, Default, PartialEq)]
pub struct DynamicConfig(Map<String, Value>);

impl DynamicConfig {
    /// Takes a document.
    ///
    /// # Errors
    /// When it is no object.
    pub fn from_value(document: Value) -> Result<DynamicConfig, DynamicError> {
        let kind = match document {
            Value::Object(map) => return Ok(DynamicConfig(map)),
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
        };
        Err(DynamicError::NotAnObject(kind))
    }

    /// Reads a text. A whole number of more than 64 bits becomes text.
    ///
    /// # Errors
    /// When it is no JSON, or no object.
    pub fn parse(text: &str) -> Result<DynamicConfig, DynamicError> {
        DynamicConfig::from_value(numbers::read(text.as_bytes()).map_err(DynamicError::NotJson)?.value)
    }

    /// As a document.
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// As compact text, the form that the store holds.
    pub fn to_text(&self) -> String {
        self.to_value().to_string()
    }

    /// Nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says the same as another.
    pub fn same_items(&self, other: &DynamicConfig) -> bool {
        super::deep_equal(&self.to_value(), &other.to_value())
    }

    /// Reads the copy; `None` where there is none that can be read.
    pub fn load(data_dir: &Path) -> Option<DynamicConfig> {
        let text = fs::read_to_string(data_dir.join(COPY)).ok()?;
        DynamicConfig::parse(&text).ok()
    }

    /// Writes the copy, whole or not at all; the group may read it where it may read the data directory.
    ///
    /// # Errors
    /// When the data directory can not be written to.
    pub fn save(&self, data_dir: &Path) -> io::Result<()> {
        let (path, temporary) = (data_dir.join(COPY), data_dir.join(format!("{COPY}.tmp")));
        let folder = File::open(data_dir)?;
        let group = folder.metadata()?.permissions().mode() & GROUP_READ;
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(0o600 | group))?;
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        folder.sync_all()
    }
}

/// Secrets are hidden.
impl std::fmt::Debug for DynamicConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DynamicConfig").field(&redacted(&self.to_value()).to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_copy_survives() {
        // CFG-22
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let dynamic = DynamicConfig::from_value(json!({"ttl": 20, "a": {"b": 1}})).unwrap();
        for (of_folder, of_copy) in [(0o700, 0o600), (0o750, 0o640)] {
            mode(of_folder);
            dynamic.save(folder.path()).unwrap();
            let found = fs::metadata(folder.path().join(COPY)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, of_copy);
        }
        assert_eq!(DynamicConfig::load(folder.path()), Some(dynamic));
        let text = fs::read_to_string(folder.path().join(COPY)).unwrap();
        assert_eq!(text, r#"{"ttl":20,"a":{"b":1}}"#);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    /// To the last bit, and in whichever form the store's document or an operator's file has it.
    #[test]
    fn numbers_come_out_as_they_came_in() {
        let long = [
            "0.1234567890123456",
            "1.7976931348623157e308",
            "5e-324",
            "2.2250738585072011e-308",
            "1073741823.9999999",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "7.038531e-26",
            "6.02214076e23",
            "0.30000000000000004",
        ];
        for text in long {
            let parsed = DynamicConfig::parse(&format!("{{\"a\":{text}}}")).unwrap();
            let written = parsed.to_text();
            assert_eq!(DynamicConfig::parse(&written).unwrap(), parsed, "{written}");
            let value = &parsed.0["a"];
            match text.parse::<f64>() {
                Ok(exact) if value.is_f64() => assert_eq!(value.as_f64(), Some(exact), "{text}"),
                _ => assert_eq!(value.to_string(), text),
            }
            let dotted = text.contains('.') && (!text.contains('e') || text.contains("e-"));
            if dotted || value.is_i64() || value.is_u64() {
                assert_eq!(crate::config::yaml::plain(text), *value, "as YAML");
            }
        }
    }

    proptest! {
        #[test]
        fn no_number_changes(number in any::<f64>().prop_filter("JSON has no infinity", |number| number.is_finite())) {
            let parsed = DynamicConfig::parse(&format!("{{\"a\":{number:?}}}")).unwrap();
            prop_assert_eq!(parsed.0["a"].as_f64().map(f64::to_bits), Some(number.to_bits()));
            let again = DynamicConfig::parse(&parsed.to_text()).unwrap();
            prop_assert_eq!(again.0["a"].as_f64().map(f64::to_bits), Some(number.to_bits()));
        }
    }

    /// Those beyond 64 bits keep their digits, as text.
    #[test]
    fn no_whole_number_loses_digits() {
        let parsed = DynamicConfig::parse(r#"{"a":123456789012345678901234567890,"b":1e30}"#).unwrap();
        assert_eq!(parsed.to_text(), r#"{"a":"123456789012345678901234567890","b":1e+30}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = DynamicConfig::parse(text).unwrap_err().to_string();
            assert_eq!(error, expected, "{text}");
        };
        check("[1]", "the dynamic configuration is an array, not an object");
        check("", "the dynamic configuration is no JSON");
        check("{\"a\":", "the dynamic configuration is no JSON");
        check("null", "the dynamic configuration is null, not an object");
        let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
        assert!(DynamicConfig::parse(&deep).is_err());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(COPY), "[1]").unwrap();
        assert_eq!(DynamicConfig::load(folder.path()), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let dynamic = DynamicConfig::parse(r#"{"x":{"password":"hush"}}"#).unwrap();
        assert!(!format!("{dynamic:?}").contains("hush"));
    }
}
