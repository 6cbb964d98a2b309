//! Whether a value fits the kind that the table asks for, and what to say where it does not.

use super::schema::Kind;
use super::units::{bytes, integer, seconds, text, truth};
use serde_json::Value;

/// Words for a fence: used where possible, must be there, never used.
pub(super) const FENCE_WORDS: [(&str, &str); 7] = [
    ("automatic", "automatic"),
    ("auto", "automatic"),
    ("required", "required"),
    ("require", "required"),
    ("off", "off"),
    ("disable", "off"),
    ("disabled", "off"),
];

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is of another kind: what it is not, with its article.
    Kind(&'static str),
    /// The kind is right, the value is not: what was expected.
    Value(String),
}

impl Fault {
    /// For people.
    pub fn reason(&self) -> String {
        match self {
            Fault::Kind(what) => format!("is not {what}"),
            Fault::Value(expected) => format!("must be {expected}"),
        }
    }

    /// As the peer's `--validate-config` says it.
    pub fn peer_reason(&self) -> String {
        match self {
            Fault::Kind(what) => format!("is not {what}"),
            Fault::Value(_) => "didn't pass validation: Wrong value".to_owned(),
        }
    }
}

/// What is wrong with the value, if anything.
pub(super) fn fault(kind: Kind, value: &Value) -> Option<Fault> {
    match kind {
        Kind::Any => None,
        Kind::Text => unless(text(value).is_some(), "a string"),
        Kind::Word(words) => word(words, value),
        Kind::Integer(least, most) => match integer(value) {
            Some(number) => bounds(number, least, most),
            None => Some(Fault::Kind("an integer")),
        },
        Kind::Seconds(least) => match (seconds(value), integer(value)) {
            (Some(span), _) if span.as_secs() >= least => None,
            (None, None) => Some(Fault::Kind("a number of seconds")),
            _ => Some(Fault::Value(format!("at least {least}"))),
        },
        Kind::Bytes(least) => match bytes(value) {
            Some(number) => bounds(number, least, i64::MAX),
            None => Some(Fault::Kind("a number of bytes")),
        },
        Kind::Mode => match mode(value) {
            Some(0..=0o777) => None,
            Some(_) => Some(Fault::Value("between 0 and 0777".to_owned())),
            None => Some(Fault::Kind("an integer")),
        },
        Kind::Truth => unless(truth(value).is_some(), "a boolean"),
        Kind::TruthOr(other) => {
            let named = value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(other));
            unless(named || truth(value).is_some(), "a boolean")
        }
        Kind::List | Kind::Maps => unless(value.is_array(), "a list"),
        Kind::Map => unless(value.is_object(), "a dictionary"),
        Kind::ListOrMap => unless(value.is_array() || value.is_object(), "a list or a dictionary"),
        Kind::TextOrList | Kind::Format => unless(value.is_array() || text(value).is_some(), "a list"),
        Kind::Fence => fence(value),
    }
}

/// An item of a list that has no place there.
pub(super) fn item_fault(kind: Kind, item: &Value) -> Option<Fault> {
    match kind {
        Kind::List | Kind::TextOrList => unless(text(item).is_some(), "a string"),
        Kind::Maps => unless(item.is_object(), "a dictionary"),
        Kind::ListOrMap | Kind::Format => {
            let one_key = item.as_object().is_some_and(|map| map.len() == 1);
            unless(one_key || text(item).is_some(), "a string or a dictionary with one key")
        }
        _ => None,
    }
}

/// Permission bits: a number as it is (YAML reads `0644` as 420 already), a text as octal.
pub(super) fn mode(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|mode| u32::try_from(mode).ok()),
        Value::String(text) => {
            let digits = text.trim();
            u32::from_str_radix(digits.strip_prefix("0o").unwrap_or(digits), 8).ok()
        }
        _ => None,
    }
}

fn unless(fits: bool, what: &'static str) -> Option<Fault> {
    (!fits).then_some(Fault::Kind(what))
}

fn word(words: &[&str], value: &Value) -> Option<Fault> {
    let Some(text) = text(value) else {
        return Some(Fault::Kind("a string"));
    };
    let known = words.iter().any(|word| word.eq_ignore_ascii_case(&text));
    (!known).then(|| Fault::Value(format!("one of {}", words.join(", "))))
}

fn bounds(number: i64, least: i64, most: i64) -> Option<Fault> {
    match (number < least, number > most) {
        (false, false) => None,
        _ if most == i64::MAX => Some(Fault::Value(format!("at least {least}"))),
        _ => Some(Fault::Value(format!("between {least} and {most}"))),
    }
}

fn fence(value: &Value) -> Option<Fault> {
    let known = value.as_str().is_some_and(|text| FENCE_WORDS.iter().any(|(word, _)| word.eq_ignore_ascii_case(text)));
    let fits = known || truth(value) == Some(false);
    (!fits).then(|| Fault::Value("one of automatic, required, off".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_fit_their_kinds_or_are_told_why_not() {
        let check = |kind: Kind, value: Value, expected: &str| {
            let reason = fault(kind, &value).map(|fault| fault.reason());
            assert_eq!(reason.unwrap_or_default(), expected, "{value}");
        };
        check(Kind::Text, json!(5), "");
        check(Kind::Text, json!([]), "is not a string");
        check(Kind::Integer(5, 10), json!("0x6"), "");
        check(Kind::Integer(5, 10), json!(11), "must be between 5 and 10");
        check(Kind::Integer(5, i64::MAX), json!(4), "must be at least 5");
        check(Kind::Integer(5, 10), json!("many"), "is not an integer");
        check(Kind::Seconds(0), json!("30min"), "");
        check(Kind::Seconds(0), json!(-1), "must be at least 0");
        check(Kind::Seconds(0), json!("soon"), "is not a number of seconds");
        check(Kind::Bytes(-1), json!(-1), "");
        check(Kind::Bytes(0), json!("1GB"), "");
        check(Kind::Mode, json!("0644"), "");
        check(Kind::Mode, json!(420), "");
        check(Kind::Mode, json!(512), "must be between 0 and 0777");
        check(Kind::Truth, json!("On"), "");
        check(Kind::Truth, json!(2), "is not a boolean");
        check(Kind::TruthOr("quorum"), json!("Quorum"), "");
        check(Kind::Map, json!([]), "is not a dictionary");
        check(Kind::Word(&["none", "all"]), json!("NONE"), "");
        check(Kind::Word(&["none", "all"]), json!("some"), "must be one of none, all");
        check(Kind::Fence, json!(false), "");
        check(Kind::Fence, json!("Require"), "");
        check(Kind::Fence, json!("maybe"), "must be one of automatic, required, off");
        check(Kind::Fence, json!(true), "must be one of automatic, required, off");
    }
}
