//! `tags`: what the operator says about the part that this member may play (CFG-32).

use super::reading::{at, shown};
use super::units::{integer, truth};
use regent_core::model::{Scalar, Tags};
use serde_json::{Map, Value};

/// Tags that are not published while they say nothing, and the tag beside which even "no" says something.
const SILENT: [(&str, &str); 5] = [
    ("clonefrom", ""),
    ("nofailover", "failover_priority"),
    ("noloadbalance", ""),
    ("nosync", "sync_priority"),
    ("nostream", ""),
];

/// The published tags, in the order and of the type that the file gave.
pub(super) fn build(local: &Value, warnings: &mut Vec<String>) -> Tags {
    let Some(map) = at(local, "tags").and_then(Value::as_object) else {
        return Tags::default();
    };
    for (flag, priority) in [("nofailover", "failover_priority"), ("nosync", "sync_priority")] {
        warnings.extend(contradiction(map, flag, priority));
    }
    let mut raw = Vec::new();
    for (name, value) in map.iter().filter(|(name, value)| !says_nothing(map, name, value)) {
        match scalar(value) {
            Some(value) => raw.push((name.clone(), value)),
            None => warnings.push(format!("tags.{name} is a list or a dictionary: it is left out")),
        }
    }
    Tags { raw }
}

fn says_nothing(map: &Map<String, Value>, name: &str, value: &Value) -> bool {
    let falsy = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    };
    let row = SILENT.iter().find(|(silent, _)| *silent == name);
    falsy && row.is_some_and(|(_, beside)| !map.contains_key(*beside))
}

fn scalar(value: &Value) -> Option<Scalar> {
    Some(match value {
        Value::Null => Scalar::Null,
        Value::Bool(flag) => Scalar::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Scalar::Integer(number),
            // Beyond the numbers that a tag may be, it stays the text that it is.
            None if number.is_u64() => Scalar::Text(number.to_string()),
            None => Scalar::Real(number.as_f64()?),
        },
        Value::String(text) => Scalar::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// The sentence that alerts look for, where a flag and a priority say opposite things.
fn contradiction(map: &Map<String, Value>, flag: &str, priority: &str) -> Option<String> {
    let said = map.get(flag)?;
    let (never, number) = (truth(said)?, integer(map.get(priority)?)?);
    let said = shown(said);
    (never == (number > 0)).then(|| {
        format!(
            "Conflicting configuration between {flag}: {said} and {priority}: {number}. Defaulting to {flag}: {said}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(tags: Value) -> (Tags, Vec<String>) {
        let mut warnings = Vec::new();
        let tags = build(&json!({ "tags": tags }), &mut warnings);
        (tags, warnings)
    }

    #[test]
    fn order_and_type_are_kept_and_what_says_nothing_is_left_out() {
        let (tags, warnings) = built(json!({
            "l": u64::MAX, "z": "1", "clonefrom": true, "nosync": false, "a": 1.5, "noloadbalance": "", "nostream": "false", "y": null,
        }));
        let expected = [
            ("l", Scalar::Text("18446744073709551615".into())),
            ("z", Scalar::Text("1".into())),
            ("clonefrom", Scalar::Bool(true)),
            ("a", Scalar::Real(1.5)),
            ("nostream", Scalar::Text("false".into())),
            ("y", Scalar::Null),
        ];
        assert_eq!(tags.raw, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(warnings, [""; 0]);
        let (tags, _) = built(json!({"nofailover": false, "failover_priority": 2, "nosync": 0, "sync_priority": 1}));
        assert_eq!(tags.raw.len(), 4);
        assert_eq!(built(json!({"x": [1]})).1, ["tags.x is a list or a dictionary: it is left out"]);
    }

    #[test]
    fn contradictions_are_named_as_alerts_expect() {
        let check = |tags: Value, expected: &[&str]| assert_eq!(built(tags).1, expected);
        check(
            json!({"nofailover": true, "failover_priority": 1}),
            &[
                "Conflicting configuration between nofailover: True and failover_priority: 1. Defaulting to nofailover: True",
            ],
        );
        check(
            json!({"nosync": "off", "sync_priority": "0"}),
            &["Conflicting configuration between nosync: off and sync_priority: 0. Defaulting to nosync: off"],
        );
        check(json!({"nofailover": true, "failover_priority": 0}), &[]);
        check(json!({"nofailover": null, "failover_priority": 0}), &[]);
    }
}
