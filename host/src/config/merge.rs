//! How documents are laid over each other, and when two of them say the same.

use super::reading::shown;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Lays one local layer over another: objects merge, `null` removes, anything else replaces, type and all. A `null` that
/// finds nothing to remove stays: an empty section is there, and an emptied parameter hides the one that all share.
pub(super) fn overlay(under: &mut Value, over: Value) {
    let (Value::Object(target), Value::Object(over)) = (&mut *under, over) else {
        return;
    };
    for (key, value) in over {
        match target.get_mut(&key) {
            Some(_) if value.is_null() => {
                target.shift_remove(&key);
            }
            Some(there) if there.is_object() && value.is_object() => overlay(there, value),
            _ => {
                target.insert(key, value);
            }
        }
    }
}

/// Merges `patch` into `target`: `null` removes a key, objects merge, anything else replaces (CFG-01). Says whether
/// anything changed; a value that is equal as text did not, and keeps its type.
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
            Some(there) if there.is_object() && value.is_object() => {
                changed |= merge_patch(there, value);
            }
            Some(there) if deep_equal(there, &without_nulls(value.clone())) => {}
            _ => {
                target.insert(key.clone(), without_nulls(value.clone()));
                changed = true;
            }
        }
    }
    changed
}

/// Equal where objects have the same keys with equal values, and scalars and lists the same text: `100` equals `"100"`,
/// `true` equals `"True"`.
pub fn deep_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| other.get(key).is_some_and(|same| deep_equal(value, same));
            one.len() == other.len() && one.iter().all(same)
        }
        (Value::Object(_), _) | (_, Value::Object(_)) => false,
        (one, other) => as_text(one) == as_text(other),
    }
}

/// Truth has one spelling here, whoever wrote it.
fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) if text.eq_ignore_ascii_case("true") => Cow::Borrowed("True"),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Cow::Borrowed("False"),
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(shown(other)),
    }
}

/// A `null` says "remove": where there is nothing to remove it leaves no trace.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            let kept = kept.map(|(key, value)| (key, without_nulls(value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(mut target: Value, patch: Value, expected: Value, changed: bool) {
        assert_eq!(merge_patch(&mut target, &patch), changed, "{patch}");
        assert_eq!(target.to_string(), expected.to_string());
    }

    #[test]
    fn patches_merge() {
        check(json!({"a": 1}), json!({"a": "1"}), json!({"a": 1}), false);
        check(json!({"a": true}), json!({"a": "True"}), json!({"a": true}), false);
        check(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}}), true);
        check(json!({"a": 1}), json!({"b": {"c": 2, "d": null}}), json!({"a": 1, "b": {"c": 2}}), true);
        check(json!({"a": 1}), json!({"x": null}), json!({"a": 1}), false);
        check(json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": 5}), true);
        check(json!({"a": [1]}), json!({"a": [1, 2]}), json!({"a": [1, 2]}), true);
        check(json!({"a": 1}), json!([1]), json!({"a": 1}), false);
    }

    #[test]
    fn a_local_layer_replaces_type_and_all() {
        let mut under = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": 1});
        overlay(&mut under, json!({"a": "1", "b": {"c": null}, "e": null, "f": {"g": null, "h": 1}}));
        assert_eq!(under, json!({"a": "1", "b": {"d": 2}, "f": {"g": null, "h": 1}}));
    }

    #[test]
    fn equality_is_by_text() {
        let check = |one: Value, other: Value, expected: bool| {
            assert_eq!(deep_equal(&one, &other), expected, "{one} {other}");
            assert_eq!(deep_equal(&other, &one), expected, "{other} {one}");
        };
        check(json!(100), json!("100"), true);
        check(json!({"a": 1, "b": "x"}), json!({"b": "x", "a": "1"}), true);
        check(json!({"a": 1}), json!({"a": 1, "b": 2}), false);
        check(json!({}), json!(""), false);
        check(json!(true), json!("true"), true);
        check(json!(true), json!(1), false);
        check(json!(["a", 1]), json!(["a", 1]), true);
        check(json!(null), json!(""), false);
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-5_i64..5).prop_map(Value::from),
            "[a-c0-2]{0,2}".prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", tree, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_patch_that_was_merged_changes_nothing_more(mut target in document(), patch in document()) {
            merge_patch(&mut target, &patch);
            let once = target.clone();
            prop_assert!(!merge_patch(&mut target, &patch), "{patch} into {once} gave {target}");
            prop_assert_eq!(once, target);
        }

        #[test]
        fn no_change_means_equal(target in document(), patch in document()) {
            let mut merged = target.clone();
            let changed = merge_patch(&mut merged, &patch);
            prop_assert_eq!(!changed, merged == target);
        }

        #[test]
        fn equality_holds_both_ways(one in document(), other in document()) {
            prop_assert!(deep_equal(&one, &one));
            prop_assert_eq!(deep_equal(&one, &other), deep_equal(&other, &one));
        }

        #[test]
        fn an_overlay_leaves_its_own_values(mut under in document(), over in document()) {
            overlay(&mut under, over.clone());
            for (key, value) in over.as_object().into_iter().flatten() {
                match value {
                    Value::Null => prop_assert!(under.get(key).is_none_or(Value::is_null)),
                    Value::Object(_) => prop_assert!(under[key].is_object()),
                    value => prop_assert_eq!(&under[key], value),
                }
            }
        }
    }
}
