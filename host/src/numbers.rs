//! JSON whose whole numbers may have more than 64 bits: those become text, with every digit they have.
//!
//! Elsewhere such a number would become a fraction of sixteen digits without a word. Where the text goes on to mean a
//! number, as that of a server's parameter does, nothing is lost; who would rather refuse it is told where it stood.

use serde_json::Value;

/// A text that was read.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Where whole numbers of more than 64 bits stood, by their path with dots; they are text in `value`.
    pub long: Vec<String>,
}

/// Reads a text.
///
/// # Errors
/// When it is no JSON.
pub fn read(text: &[u8]) -> Result<Document, serde_json::Error> {
    let mut value = serde_json::from_slice(text)?;
    let mut long = Vec::new();
    if may_be_long(&value) {
        let text = std::str::from_utf8(text).unwrap_or_default();
        // Of a key that is given twice the last value counts, so the last one is looked at first.
        for (path, digits) in long_numbers(text).into_iter().rev() {
            let place = path.iter().try_fold(&mut value, |value, step| match step {
                Step::Key(key) => value.get_mut(key),
                Step::Item(index) => value.get_mut(index),
            });
            if let Some(place) = place.filter(|place| is_rounded(place, digits)) {
                *place = Value::from(digits);
                long.insert(0, joined(&path));
            }
        }
    }
    Ok(Document { value, long })
}

/// A sentence for whoever is refused one.
pub fn refusal(path: &str) -> String {
    let path = if path.is_empty() { "this" } else { path };
    format!("{path} is a whole number of more than 64 bits: put it in quotes")
}

/// It is a whole decimal number that 64 bits do not hold.
pub fn is_long(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<i64>().is_err()
        && text.parse::<u64>().is_err()
}

/// Somewhere in it is a number that no 64 bits hold: a whole one that was too long is among these.
fn may_be_long(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() && number.as_f64().is_none_or(|number| number.abs() >= -(i64::MIN as f64))
        }
        Value::Array(items) => items.iter().any(may_be_long),
        Value::Object(map) => map.values().any(may_be_long),
        _ => false,
    }
}

/// The value is what the parser made of those digits.
fn is_rounded(value: &Value, digits: &str) -> bool {
    value.as_f64().is_some_and(|number| digits.parse() == Ok(number))
}

/// One step of a path.
#[derive(Clone)]
enum Step {
    Key(String),
    Item(usize),
}

fn joined(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => key.clone(),
        Step::Item(index) => index.to_string(),
    };
    path.iter().map(step).collect::<Vec<_>>().join(".")
}

/// Every whole number of more than 64 bits in a text that is known to be JSON, with the path to it.
fn long_numbers(text: &str) -> Vec<(Vec<Step>, &str)> {
    let (mut found, mut path, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let end = match byte {
            b'"' => end_of_string(text, at),
            b'-' | b'0'..=b'9' => end_of_number(text, at),
            _ => at + 1,
        };
        match (byte, path.last_mut()) {
            // An object's first key takes the place of nothing; that of the next one the place of the one before.
            (b'{', _) => path.push(Step::Key(String::new())),
            (b'[', _) => path.push(Step::Item(0)),
            (b'}' | b']', _) => drop(path.pop()),
            (b',', Some(Step::Item(index))) => *index += 1,
            (b'"', Some(Step::Key(key))) if is_key(text, end) => {
                *key = serde_json::from_str(&text[at..end]).unwrap_or_default();
            }
            (b'-' | b'0'..=b'9', _) if is_long(&text[at..end]) => found.push((path.clone(), &text[at..end])),
            _ => {}
        }
        at = end;
    }
    found
}

fn end_of_string(text: &str, start: usize) -> usize {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(start + 1).find(|(_, byte)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn end_of_number(text: &str, start: usize) -> usize {
    let belongs = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    start + text.as_bytes()[start..].iter().take_while(|byte| belongs(byte)).count()
}

/// What ends here is followed by a colon.
fn is_key(text: &str, end: usize) -> bool {
    text[end..].trim_start().starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn long_numbers_keep_their_digits_and_are_named() {
        let check = |text: &str, value: Value, long: &[&str]| {
            let document = read(text.as_bytes()).unwrap();
            assert_eq!(document.value, value, "{text}");
            assert_eq!(document.long, long, "{text}");
        };
        let long = "123456789012345678901234567890";
        check(&format!("{{\"a\":{long}}}"), json!({"a": long}), &["a"]);
        check(&format!("[1, -{long}]"), json!([1, format!("-{long}")]), &["1"]);
        check(
            &format!("{{\"p\": {{\"x,]\\\"{{\" : [[], {{\"y\":{long}}}, 5]}}, \"z\": {long}}}"),
            json!({"p": {"x,]\"{": [[], {"y": long}, 5]}, "z": long}),
            &["p.x,]\"{.1.y", "z"],
        );
        check(&format!("{{\"a\":\"{long}\"}}"), json!({"a": long}), &[]);
        check("18446744073709551616", json!("18446744073709551616"), &[""]);
        check("[18446744073709551615, -9223372036854775808]", json!([u64::MAX, i64::MIN]), &[]);
        check("-9223372036854775809", json!("-9223372036854775809"), &[""]);
        // Fractions stay fractions, however large, and so do their neighbours.
        check(
            &format!("[1e30, 1.5e300, {long}.0, {long}]"),
            json!([1e30, 1.5e300, 123456789012345678901234567890.0, long]),
            &["3"],
        );
        check(&format!("{{\"a\":{long},\"a\":1e30}}"), json!({"a": 1e30}), &[]);
        check(&format!("{{\"a\":{long}0,\"a\":{long}}}"), json!({"a": long}), &["a"]);
    }

    proptest! {
        #[test]
        fn digits_are_never_lost(before in "[ -~]{0,12}", number in "-?[1-9][0-9]{0,60}", after in any::<f64>()) {
            let after = if after.is_finite() { after } else { 0.0 };
            let text = format!("{{{}:[{after:?},{{\"n\":{number}}}],\"b\":{after:?}}}", json!(before));
            let document = read(text.as_bytes()).unwrap();
            let found = if before == "b" { None } else { document.value.get(&before) };
            if let Some(found) = found {
                let found = &found[1]["n"];
                prop_assert_eq!(found.as_str().map_or_else(|| found.to_string(), str::to_owned), number.clone());
                prop_assert_eq!(found.is_string(), is_long(&number));
                prop_assert_eq!(document.long.len(), usize::from(is_long(&number)));
            }
        }
    }
}
