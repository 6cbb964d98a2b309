//! Values of PostgreSQL, from its text to what is shown.

use serde_json::{Number, Value, json};
use tokio_postgres::types::Type;

/// What a column holds, as far as it matters to how it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Truth,
    Integer,
    Float,
    /// A time with or without a zone.
    Time,
    Document,
    Text,
}

impl Kind {
    /// By the column's type.
    pub fn of(of: &Type) -> Kind {
        match *of {
            Type::BOOL => Kind::Truth,
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::XID => Kind::Integer,
            Type::FLOAT4 | Type::FLOAT8 => Kind::Float,
            Type::TIME | Type::TIMETZ | Type::TIMESTAMP | Type::TIMESTAMPTZ => Kind::Time,
            Type::JSON | Type::JSONB => Kind::Document,
            _ => Kind::Text,
        }
    }

    /// The value; what it cannot be stays text.
    pub fn value(self, text: Option<&str>) -> Value {
        let Some(text) = text else { return Value::Null };
        let known = match self {
            Kind::Truth => Some(json!(text == "t")),
            Kind::Integer => text.parse::<i64>().ok().map(Value::from),
            Kind::Float => Some(float(text)),
            Kind::Time => Some(json!(time(text))),
            Kind::Document => serde_json::from_str(text).ok(),
            Kind::Text => None,
        };
        known.unwrap_or_else(|| json!(text))
    }
}

fn float(text: &str) -> Value {
    match text {
        "NaN" => json!("nan"),
        "Infinity" => json!("inf"),
        "-Infinity" => json!("-inf"),
        _ => text.parse().ok().and_then(Number::from_f64).map_or_else(|| json!(text), Value::Number),
    }
}

/// Fractions have six digits, offsets have minutes.
fn time(text: &str) -> String {
    let date_end = text.find(' ').map_or(0, |at| at + 1);
    let zone = text[date_end..].find(['+', '-']).map_or(text.len(), |at| date_end + at);
    let (clock, zone) = text.split_at(zone);
    let clock = match clock.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<6}"),
        None => clock.to_owned(),
    };
    if zone.len() == 3 { format!("{clock}{zone}:00") } else { format!("{clock}{zone}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTL-10.
    #[test]
    fn values_are_what_their_type_says() {
        let check = |of: Type, text: &str, expected: Value| assert_eq!(Kind::of(&of).value(Some(text)), expected);
        check(Type::BOOL, "t", json!(true));
        check(Type::BOOL, "f", json!(false));
        check(Type::INT8, "9223372036854775807", json!(9_223_372_036_854_775_807_i64));
        check(Type::FLOAT8, "1.5", json!(1.5));
        check(Type::FLOAT4, "1", json!(1.0));
        check(Type::FLOAT8, "NaN", json!("nan"));
        check(Type::FLOAT8, "-Infinity", json!("-inf"));
        check(Type::NUMERIC, "2.50", json!("2.50"));
        check(Type::TIMESTAMPTZ, "2020-01-01 00:00:00+00", json!("2020-01-01 00:00:00+00:00"));
        check(Type::TIMESTAMPTZ, "2020-01-01 00:00:00.5-03:30", json!("2020-01-01 00:00:00.500000-03:30"));
        check(Type::TIMESTAMP, "2020-01-01 10:00:00.25", json!("2020-01-01 10:00:00.250000"));
        check(Type::TIMESTAMP, "infinity", json!("infinity"));
        check(Type::TIME, "12:00:00", json!("12:00:00"));
        check(Type::DATE, "2020-01-01", json!("2020-01-01"));
        check(Type::JSONB, "{\"a\": [1]}", json!({"a": [1]}));
        check(Type::INT4_ARRAY, "{1,2}", json!("{1,2}"));
        assert_eq!(Kind::Truth.value(None), Value::Null);
    }
}
