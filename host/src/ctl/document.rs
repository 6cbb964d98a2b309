//! Documents as text, in the spelling that scripts on this command's output expect: JSON and YAML.

mod implicit;
mod yaml;

pub(super) use yaml::{block, flow};

use serde_json::Value;

/// JSON in one line, with spaces behind commas and colons, and nothing beyond ASCII.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Number(number) => number_text(number),
        scalar => scalar.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut ascii = String::new();
    for letter in Value::from(text).to_string().chars() {
        if letter.is_ascii() {
            ascii.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
        }
    }
    ascii
}

/// The shortest digits that say it, with an exponent only where it is far from one.
pub(super) fn number_text(number: &serde_json::Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_spaced_and_ascii() {
        let check = |value: Value, expected: &str| assert_eq!(super::json(&value), expected);
        check(json!({"b": 1, "a": [1.0, null, true]}), r#"{"b": 1, "a": [1.0, null, true]}"#);
        check(json!("ä \"x\" 😀\n"), r#""\u00e4 \"x\" \ud83d\ude00\n""#);
        check(json!([]), "[]");
        check(json!(1e100), "1e+100");
        check(json!(1.5e-7), "1.5e-07");
        check(json!(-0.25), "-0.25");
    }
}
