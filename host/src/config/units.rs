//! Scalars as people write them: numbers as text, with units, and truth in many words (config.md §4).

use serde_json::Value;
use std::time::Duration;

/// A scalar as text, truth as PostgreSQL spells it; `None` for what is no scalar.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("on".to_owned()),
        Value::Bool(false) => Some("off".to_owned()),
        _ => None,
    }
}

/// A truth value in any of its words, in any case.
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

/// A whole number: decimal, hexadecimal or octal, with a fraction or an exponent; fractions are rounded.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| rounded(number.as_f64()?)),
        Value::String(text) => number_of(text.trim()).and_then(Amount::whole),
        _ => None,
    }
}

/// A span of time: seconds, or a number with one of `us ms s min h d`. Negative spans are none.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = with_unit(value, &TIMES, 1.0)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// Bytes: a number of them, or one with a unit of size; -1 and its like are negative.
pub(super) fn bytes(value: &Value) -> Option<i64> {
    with_unit(value, &SIZES, 1.0)
}

/// Megabytes: a number of them, or one with a unit of size.
pub(super) fn megabytes(value: &Value) -> Option<i64> {
    with_unit(value, &SIZES, 1_048_576.0)
}

/// A number in the unit of a server's setting (`kB`, `8kB`, `min`; none where it is empty), alone or with one of its
/// kind.
pub(super) fn in_unit(text: &str, unit: &str) -> Option<f64> {
    let (units, base) = base_of(unit)?;
    let text = text.trim();
    let number = number_of(text).map(Amount::real);
    number.or_else(|| Some(split_unit(text, units)? / base)).filter(|number| number.is_finite())
}

/// The units that go with one, and how much of the smallest it is: 8192 for `8kB`.
fn base_of(unit: &str) -> Option<(&'static [(&'static str, f64)], f64)> {
    if unit.is_empty() {
        return Some((&[], 1.0));
    }
    let digits = unit.find(|first: char| !first.is_ascii_digit())?;
    let (count, name) = unit.split_at(digits);
    let count: f64 = if count.is_empty() { 1.0 } else { count.parse().ok()? };
    let of = |units: &'static [(&'static str, f64)]| {
        units.iter().find(|(known, _)| *known == name).map(|(_, factor)| (units, factor * count))
    };
    of(&SIZES).or_else(|| of(&TIMES))
}

/// A number with one of these units, in the smallest of them.
fn split_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, factor) = units
        .iter()
        .filter_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), factor)))
        .find(|(number, _)| number.ends_with(|last: char| last.is_ascii_digit() || last == '.'))?;
    Some(number_of(number)?.real() * factor)
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

/// Seconds in each unit of time.
const TIMES: [(&str, f64); 6] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Bytes in each unit of size.
const SIZES: [(&str, f64); 5] =
    [("B", 1.0), ("kB", 1024.0), ("MB", 1_048_576.0), ("GB", 1_073_741_824.0), ("TB", 1_099_511_627_776.0)];

/// A number as it was written: whole ones keep every digit.
#[derive(Clone, Copy)]
enum Amount {
    Whole(i64),
    Real(f64),
}

impl Amount {
    fn whole(self) -> Option<i64> {
        match self {
            Amount::Whole(number) => Some(number),
            Amount::Real(number) => rounded(number),
        }
    }

    fn real(self) -> f64 {
        match self {
            Amount::Whole(number) => number as f64,
            Amount::Real(number) => number,
        }
    }
}

fn rounded(number: f64) -> Option<i64> {
    // Beyond this a double does not hold every whole number.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let number = number.round_ties_even();
    (number.abs() <= EXACT_MAX).then_some(number as i64)
}

fn number_of(text: &str) -> Option<Amount> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let octal = digits.len() > 1 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let sign = if negative { "-" } else { "" };
    let signed = |digits: &str, radix| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok();
    if let Some(hexadecimal) = hexadecimal {
        let first = hexadecimal.chars().next()?;
        return first.is_ascii_hexdigit().then(|| signed(hexadecimal, 16).map(Amount::Whole))?;
    }
    if octal && digits.starts_with('0') {
        return signed(digits, 8).map(Amount::Whole);
    }
    signed(digits, 10).map(Amount::Whole).or_else(|| format!("{sign}{digits}").parse().ok().map(Amount::Real))
}

/// A number with one of these units, in measures of `base`; without a unit it is in that measure already.
fn with_unit(value: &Value, units: &[(&str, f64)], base: f64) -> Option<i64> {
    if let Some(number) = integer(value) {
        return Some(number);
    }
    rounded(split_unit(value.as_str()?.trim(), units)? / base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers_in_many_spellings() {
        let check = |value: Value, expected: Option<i64>| assert_eq!(integer(&value), expected, "{value}");
        check(json!(5), Some(5));
        check(json!("5"), Some(5));
        check(json!(" 5 "), Some(5));
        check(json!("0x10"), Some(16));
        check(json!("010"), Some(8));
        check(json!("019"), Some(19));
        check(json!("1e3"), Some(1000));
        check(json!("1.5e3"), Some(1500));
        check(json!("2.6"), Some(3));
        check(json!(2.5), Some(2));
        check(json!("-1"), Some(-1));
        check(json!("+1"), Some(1));
        check(json!("--1"), None);
        check(json!("0x"), None);
        check(json!("0x-1"), None);
        check(json!("soon"), None);
        check(json!("inf"), None);
        check(json!(""), None);
        check(json!("1e300"), None);
        check(json!({}), None);
        check(json!(true), None);
    }

    #[test]
    fn units_of_time_and_size() {
        assert_eq!(seconds(&json!("30min")), Some(Duration::from_secs(1800)));
        assert_eq!(seconds(&json!("0.5 h")), Some(Duration::from_secs(1800)));
        assert_eq!(seconds(&json!("1500ms")), Some(Duration::from_secs(2)));
        assert_eq!(seconds(&json!("2d")), Some(Duration::from_secs(172_800)));
        assert_eq!(seconds(&json!(-5)), None);
        assert_eq!(seconds(&json!("5 apples")), None);
        assert_eq!(bytes(&json!("1MB")), Some(1_048_576));
        assert_eq!(bytes(&json!("16B")), Some(16));
        assert_eq!(bytes(&json!(-1)), Some(-1));
        assert_eq!(megabytes(&json!("1GB")), Some(1024));
        assert_eq!(megabytes(&json!("64")), Some(64));
        assert_eq!(megabytes(&json!("MB")), None);
    }

    #[test]
    fn truth_in_many_words() {
        for word in ["on", "True", "YES", "1", " on "] {
            assert_eq!(truth(&json!(word)), Some(true), "{word}");
        }
        for word in ["off", "False", "no", "0"] {
            assert_eq!(truth(&json!(word)), Some(false), "{word}");
        }
        for other in [json!("maybe"), json!(2), json!([]), Value::Null] {
            assert_eq!(truth(&other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_survive_every_spelling(number in 0_i64..4_000_000_000) {
            for spelling in [number.to_string(), format!("{number:#x}"), format!("0{number:o}"), format!(" +{number} ")] {
                prop_assert_eq!(integer(&json!(spelling)), Some(number));
            }
        }

        #[test]
        fn a_unit_multiplies(number in 0_i64..100_000) {
            prop_assert_eq!(bytes(&json!(format!("{number}kB"))), Some(number * 1024));
            let spelled = json!(format!("{number} min"));
            prop_assert_eq!(seconds(&spelled).map(|span| span.as_secs() as i64), Some(number * 60));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let value = json!(text);
            let _read = (integer(&value), seconds(&value), bytes(&value), megabytes(&value), truth(&value));
        }
    }
}
