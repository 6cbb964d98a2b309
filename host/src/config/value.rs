//! Values as people write them: numbers as text, with units, truth in many words.

use serde_json::Value;
use std::time::Duration;

/// The value at a dotted path.
pub(super) fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// A scalar as text: truth as PostgreSQL spells it.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("on".to_owned()),
        Value::Bool(false) => Some("off".to_owned()),
        _ => None,
    }
}

/// The text at a path.
pub(super) fn text_at(document: &Value, path: &str) -> Option<String> {
    at(document, path).and_then(text)
}

/// A truth value in any of its words.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The truth at a path.
pub(super) fn truth_at(document: &Value, path: &str) -> Option<bool> {
    at(document, path).and_then(truth)
}

/// A whole number: decimal with exponent, hexadecimal or octal.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => parse_integer(text.trim()),
        _ => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

fn parse_integer(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let number = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        i64::from_str_radix(digits, 8).ok()?
    } else if digits.starts_with(|first: char| first.is_ascii_digit()) {
        digits.parse().ok().or_else(|| whole(digits.parse().ok()?))?
    } else {
        return None;
    };
    Some(sign * number)
}

/// The whole number at a path.
pub(super) fn integer_at(document: &Value, path: &str) -> Option<i64> {
    at(document, path).and_then(integer)
}

/// A number with one of these units, in the last one's measure of 1.
fn with_unit(value: &Value, units: &[(&str, f64)], base: f64) -> Option<i64> {
    if let Some(number) = integer(value) {
        return Some(number);
    }
    let text = value.as_str()?.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = (text[..split].trim(), text[split..].trim());
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    whole((number.parse::<f64>().ok()? * factor / base).round())
}

const TIMES: [(&str, f64); 6] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0)];
const SIZES: [(&str, f64); 5] =
    [("B", 1.0), ("kB", 1024.0), ("MB", 1048576.0), ("GB", 1073741824.0), ("TB", 1099511627776.0)];

/// Seconds: a number, or one with a unit of time.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    with_unit(value, &TIMES, 1.0).and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}

/// Bytes: a number, or one with a unit of size.
pub(super) fn bytes(value: &Value) -> Option<u64> {
    with_unit(value, &SIZES, 1.0).and_then(|bytes| u64::try_from(bytes).ok())
}

/// Megabytes: a number of megabytes, or one with a unit of size.
pub(super) fn megabytes(value: &Value) -> Option<i64> {
    with_unit(value, &SIZES, 1048576.0)
}

/// A list: written as one, or as text with commas.
pub(super) fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        Value::String(items) => items
            .split(',')
            .map(|item| item.trim().trim_matches(['\'', '"']).to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
        other => text(other).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_truth_in_many_spellings() {
        let check = |value: Value, expected: Option<i64>| assert_eq!(integer(&value), expected, "{value}");
        check(json!(5), Some(5));
        check(json!("5"), Some(5));
        check(json!("0x10"), Some(16));
        check(json!("010"), Some(8));
        check(json!("1e3"), Some(1000));
        check(json!("-1"), Some(-1));
        check(json!("soon"), None);
        check(json!({}), None);
        assert_eq!(seconds(&json!("30min")), Some(Duration::from_secs(1800)));
        assert_eq!(seconds(&json!(-5)), None);
        assert_eq!(bytes(&json!("1MB")), Some(1048576));
        assert_eq!(megabytes(&json!("1GB")), Some(1024));
        assert_eq!(truth(&json!("On")), Some(true));
        assert_eq!(truth(&json!("maybe")), None);
    }
}
