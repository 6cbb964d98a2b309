//! How values are written as annotations, field by field where others read them so, and read back.
//!
//! A value that can not be taken apart is kept whole under the key's own name: no other software writes or reads such.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regent_plugin_sdk::{Key, KeyKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An object's annotations.
pub(crate) type Annotations = BTreeMap<String, String>;

/// Changes of annotations; `None` removes one.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// What a text begins with that stands for bytes.
const BYTES: &str = "base64:";

/// How a field of a value is written as an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A text as it is.
    Text,
    /// A number in figures.
    Number,
    /// An object or a list as JSON.
    Json,
}

/// The fields of a value, in the order in which they are written.
struct Shape {
    /// The annotation that keeps a value that has another shape.
    whole: &'static str,
    fields: &'static [(&'static str, Form)],
    /// A field that is not there is written as null.
    nulls: bool,
}

const STATUS: Shape = Shape {
    whole: "status",
    fields: &[("optime", Form::Number), ("slots", Form::Json), ("retain_slots", Form::Json)],
    nulls: false,
};
const FAILOVER: Shape = Shape {
    whole: "failover",
    fields: &[("leader", Form::Text), ("member", Form::Text), ("scheduled_at", Form::Text)],
    nulls: false,
};
const SYNC: Shape = Shape {
    whole: "sync",
    fields: &[("leader", Form::Text), ("quorum", Form::Number), ("sync_standby", Form::Text)],
    nulls: true,
};

fn shape(kind: KeyKind) -> Option<&'static Shape> {
    match kind {
        KeyKind::Status => Some(&STATUS),
        KeyKind::Failover => Some(&FAILOVER),
        KeyKind::Sync => Some(&SYNC),
        _ => None,
    }
}

/// The annotation of a key whose value is not taken apart.
fn name(key: &Key) -> String {
    match key.kind {
        KeyKind::Initialize => "initialize".to_owned(),
        KeyKind::Config => "config".to_owned(),
        KeyKind::Leader => "leader".to_owned(),
        KeyKind::Member | KeyKind::Status => "status".to_owned(),
        KeyKind::Sync => "sync".to_owned(),
        KeyKind::Failover => "failover".to_owned(),
        KeyKind::History => "history".to_owned(),
        KeyKind::Failsafe => "failsafe".to_owned(),
        KeyKind::Other(number) if key.name.is_empty() => format!("kind-{number}"),
        KeyKind::Other(number) => format!("kind-{number}.{}", hex(&key.name)),
    }
}

/// The keys of kinds that this build does not know, among an object's annotations.
pub(crate) fn others(annotations: &Annotations) -> Vec<Key> {
    let key = |name: &String| {
        let (number, name) = name.strip_prefix("kind-")?.split_once('.').map_or_else(
            || Some((name.strip_prefix("kind-")?, String::new())),
            |(number, name)| Some((number, unhex(name)?)),
        )?;
        Some(Key { kind: KeyKind::Other(number.parse().ok()?), name })
    };
    annotations.keys().filter_map(key).collect()
}

/// A key's value, if it is there.
pub(crate) fn read(key: &Key, annotations: &Annotations) -> Option<Vec<u8>> {
    let assembled = shape(key.kind).and_then(|shape| assemble(shape, annotations));
    assembled.or_else(|| annotations.get(&name(key)).map(|text| decoded(text)))
}

/// What has to change for the key to have that value.
pub(crate) fn write(key: &Key, value: &[u8]) -> Changes {
    let Some(shape) = shape(key.kind) else {
        return Changes::from([(name(key), Some(encoded(value)))]);
    };
    let mut changes = absent(key);
    let fields = take_apart(shape, value).filter(|fields| !fields.is_empty());
    match fields {
        Some(fields) => changes.extend(fields.into_iter().map(|(name, text)| (name, Some(text)))),
        None => {
            changes.insert(shape.whole.to_owned(), Some(encoded(value)));
        }
    }
    changes
}

/// What has to change for the key to be gone.
pub(crate) fn absent(key: &Key) -> Changes {
    let fields = shape(key.kind).map(|shape| shape.fields.iter().map(|(name, _)| (*name).to_owned()));
    fields.into_iter().flatten().chain([name(key)]).map(|name| (name, None)).collect()
}

/// The fields that are there, or `None` where the value is no object of such fields.
fn take_apart(shape: &Shape, value: &[u8]) -> Option<Vec<(String, String)>> {
    let object: Map<String, Value> = serde_json::from_slice(value).ok()?;
    let mut fields = Vec::new();
    for (name, value) in object {
        let (_, form) = shape.fields.iter().find(|(known, _)| *known == name)?;
        let text = match (form, value) {
            (_, Value::Null) => continue,
            (Form::Text, Value::String(text)) if !text.is_empty() => text,
            // An annotation without a text is as good as none.
            (Form::Text, Value::String(_)) => continue,
            // Any other number would not come back.
            (Form::Number, Value::Number(number)) if number.is_i64() => number.to_string(),
            (Form::Json, value @ (Value::Object(_) | Value::Array(_))) if !has_fraction(&value) => value.to_string(),
            _ => return None,
        };
        fields.push((name, text));
    }
    Some(fields)
}

/// No field has fractions; a whole number of more than 64 bits reads as one, and only the text has all its digits.
fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(map) => map.values().any(has_fraction),
        _ => false,
    }
}

/// The value of those fields that are there and make sense; `None` if none is.
fn assemble(shape: &Shape, annotations: &Annotations) -> Option<Vec<u8>> {
    let mut object = Map::new();
    let mut found = false;
    for (name, form) in shape.fields {
        let value = annotations.get(*name).and_then(|text| match form {
            Form::Text => Some(text.clone()).filter(|text| !text.is_empty()).map(Value::String),
            Form::Number => text.parse::<i64>().ok().map(Value::from),
            Form::Json => serde_json::from_str(text).ok().filter(|value: &Value| value.is_object() || value.is_array()),
        });
        found |= value.is_some();
        match value {
            Some(value) => drop(object.insert((*name).to_owned(), value)),
            None if shape.nulls => drop(object.insert((*name).to_owned(), Value::Null)),
            None => {}
        }
    }
    found.then(|| Value::Object(object).to_string().into_bytes())
}

/// Bytes as a text that comes back as it was.
pub(crate) fn encoded(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.starts_with(BYTES) => text.to_owned(),
        _ => format!("{BYTES}{}", STANDARD.encode(value)),
    }
}

/// What a text stands for.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.strip_prefix(BYTES).and_then(|bytes| STANDARD.decode(bytes).ok());
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Annotations have names of few signs.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<String> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: Changes) -> Annotations {
        changes.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }

    /// K8S-01: field by field, as others read and write them.
    #[test]
    fn values_are_written_as_others_read_them() {
        let check = |kind: KeyKind, value: &str, expected: &[(&str, &str)]| {
            let key = Key::of(kind);
            let written = applied(write(&key, value.as_bytes()));
            let expected: Annotations =
                expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            assert_eq!(written, expected, "{value}");
            assert_eq!(read(&key, &written).map(String::from_utf8), Some(Ok(value.to_owned())));
        };
        check(KeyKind::Config, r#"{"ttl":30}"#, &[("config", r#"{"ttl":30}"#)]);
        check(KeyKind::Initialize, "", &[("initialize", "")]);
        check(KeyKind::Status, r#"{"optime":7}"#, &[("optime", "7")]);
        check(
            KeyKind::Status,
            r#"{"optime":7,"slots":{"a":5},"retain_slots":["a"]}"#,
            &[("optime", "7"), ("slots", r#"{"a":5}"#), ("retain_slots", r#"["a"]"#)],
        );
        check(
            KeyKind::Sync,
            r#"{"leader":"a","quorum":1,"sync_standby":"b,c"}"#,
            &[("leader", "a"), ("quorum", "1"), ("sync_standby", "b,c")],
        );
        check(KeyKind::Sync, r#"{"leader":"a","quorum":null,"sync_standby":null}"#, &[("leader", "a")]);
        check(KeyKind::Failover, r#"{"leader":"a","member":"b"}"#, &[("leader", "a"), ("member", "b")]);
        check(KeyKind::Failsafe, r#"{"a":"http://x"}"#, &[("failsafe", r#"{"a":"http://x"}"#)]);
    }

    #[test]
    fn what_has_no_fields_is_kept_whole() {
        let check = |kind: KeyKind, value: &[u8], name: &str| {
            let key = Key::of(kind);
            let written = applied(write(&key, value));
            assert_eq!(written.keys().collect::<Vec<_>>(), [name]);
            assert_eq!(read(&key, &written).as_deref(), Some(value));
        };
        check(KeyKind::Failover, b"{}", "failover");
        check(KeyKind::Sync, br#"{"leader":null}"#, "sync");
        check(KeyKind::Status, b"12", "status");
        check(KeyKind::Status, br#"{"optime":[1]}"#, "status");
        check(KeyKind::Status, br#"{"optime":18446744073709551616}"#, "status");
        check(KeyKind::Status, br#"{"slots":{"a":[123456789012345678901]}}"#, "status");
        check(KeyKind::Config, b"\xff\x00", "config");
        check(KeyKind::Config, b"base64:", "config");
        check(KeyKind::Other(77), b"x", "kind-77");
        let key = Key { kind: KeyKind::Other(7), name: "a/b".to_owned() };
        let written = applied(write(&key, b"x"));
        assert_eq!(others(&written), [key]);
        // What others write counts before what was kept whole.
        let both = Annotations::from([("sync".to_owned(), "{}".to_owned()), ("leader".to_owned(), "a".to_owned())]);
        let read = read(&Key::of(KeyKind::Sync), &both).expect("it is there");
        assert!(read.starts_with(br#"{"leader":"a""#));
    }

    #[test]
    fn a_new_value_leaves_nothing_of_the_old() {
        let key = Key::of(KeyKind::Failover);
        let changes = write(&key, br#"{"member":"b"}"#);
        assert_eq!(changes.get("leader"), Some(&None));
        assert_eq!(changes.get("failover"), Some(&None));
        assert!(absent(&key).values().all(Option::is_none));
        assert_eq!(read(&key, &applied(absent(&key))), None);
        assert_eq!(others(&Annotations::from([("kind-".to_owned(), String::new())])), []);
    }
}
