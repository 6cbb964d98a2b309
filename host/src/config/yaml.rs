//! YAML as the peer reads it: version 1.1 words (`on`, `yes`, `0644`), with the line of every key kept for messages.
//!
//! It knows no keys. What it reads is somebody else's text: depth and size are bounded, nothing in it can panic.

use crate::numbers;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Deeper than any configuration; a text that nests further is an attack on the stack or a slip of the keyboard.
const DEPTH_MAX: usize = 64;

/// Values in one text, those that aliases repeat included: ten aliases of ten aliases of ... end here.
const VALUES_MAX: usize = 100_000;

/// A text that was read.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Its one document; `null` where it is empty.
    pub document: Value,
    /// The line of every key and list item, by its path with dots.
    pub lines: BTreeMap<String, usize>,
    /// Keys that stand twice in one place (the last one counts), with the line of the later one.
    pub repeated: Vec<(String, usize)>,
    /// Whole numbers of more than 64 bits, which stay text, by path and line.
    pub long: Vec<(String, usize)>,
}

/// Why a text is no YAML, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    /// Counted from 1.
    pub line: usize,
    /// Without any of the text itself, which may be secret.
    pub reason: String,
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Parsed, YamlError> {
    parse_all(text).map_err(|error| at_the_tab(text, error))
}

/// Reads a document that goes to the store, where what is no number any more would be no number for others.
///
/// # Errors
/// Why it is no YAML, or where a whole number stands that has more than 64 bits.
pub fn document(text: &str) -> Result<Value, String> {
    let parsed = parse(text).map_err(|error| format!("line {}: {}", error.line, error.reason))?;
    match parsed.long.first() {
        Some((path, _)) => Err(numbers::refusal(path)),
        None => Ok(parsed.document),
    }
}

fn parse_all(text: &str) -> Result<Parsed, YamlError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        parsed: Parsed::default(),
        values_left: VALUES_MAX,
    };
    reader.stream()?;
    Ok(reader.parsed)
}

/// What a plain (unquoted) scalar means in YAML 1.1, as far as configuration needs it. Base-60 numbers and dates stay
/// text: `10:20` is an address here, not 620.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    match whole(text).or_else(|| real(text).and_then(Number::from_f64)) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

struct Reader<'text> {
    parser: Parser<'text, StrInput<'text>>,
    anchors: HashMap<usize, Value>,
    parsed: Parsed,
    values_left: usize,
}

impl<'text> Reader<'text> {
    fn stream(&mut self) -> Result<(), YamlError> {
        let mut documents = 0;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(broken)?;
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) if documents > 0 => {
                    return Err(at(&span, "a second document begins here: one is expected"));
                }
                Event::DocumentStart(_) => documents += 1,
                event => self.parsed.document = self.value(event, span, &mut Vec::new())?,
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'text>, Span), YamlError> {
        match self.parser.next_event() {
            Some(event) => event.map_err(broken),
            None => Err(YamlError { line: 0, reason: "the text ends too early".to_owned() }),
        }
    }

    fn value(&mut self, event: Event<'text>, span: Span, path: &mut Vec<String>) -> Result<Value, YamlError> {
        if path.len() > DEPTH_MAX {
            return Err(at(&span, "this is nested too deeply"));
        }
        self.spend(1, &span)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag);
                if style == ScalarStyle::Plain && value.as_str().is_some_and(is_long) {
                    self.parsed.long.push((path.join("."), span.start.line()));
                }
                (anchor, value)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(path)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(path)?),
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return Err(at(&span, "this alias refers to itself or to nothing"));
                };
                self.spend(count(&value), &span)?;
                (0, value)
            }
            _ => return Err(at(&span, "a value is expected here")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn spend(&mut self, values: usize, span: &Span) -> Result<(), YamlError> {
        match self.values_left.checked_sub(values) {
            Some(left) => self.values_left = left,
            None => return Err(at(span, "the text holds too many values")),
        }
        Ok(())
    }

    fn sequence(&mut self, path: &mut Vec<String>) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Array(items));
            }
            path.push(items.len().to_string());
            self.parsed.lines.insert(path.join("."), span.start.line());
            items.push(self.value(event, span, path)?);
            path.pop();
        }
    }

    fn mapping(&mut self, path: &mut Vec<String>) -> Result<Value, YamlError> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(key, style, _, _) => (key.into_owned(), style),
                _ => return Err(at(&span, "a key is expected here, a plain text")),
            };
            let merge = key.0 == "<<" && key.1 == ScalarStyle::Plain;
            let (event, value_span) = self.next()?;
            path.push(key.0.clone());
            let joined = path.join(".");
            let line = span.start.line();
            let value = self.value(event, value_span, path)?;
            path.pop();
            if merge {
                merged.push(value);
                continue;
            }
            self.parsed.lines.insert(joined.clone(), line);
            if map.insert(key.0, value).is_some() {
                self.parsed.repeated.push((joined, line));
            }
        }
        for value in merged {
            merge_into(&mut map, value);
        }
        Ok(Value::Object(map))
    }
}

/// `<<: *base`: what stands in the mapping itself wins over what it takes over.
fn merge_into(map: &mut Map<String, Value>, value: Value) {
    match value {
        Value::Object(base) => {
            for (key, value) in base {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(bases) => bases.into_iter().for_each(|base| {
            if base.is_object() {
                merge_into(map, base);
            }
        }),
        _ => {}
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<Cow<'_, Tag>>) -> Value {
    let text_by_tag = tag.as_ref().is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if style == ScalarStyle::Plain && !text_by_tag { plain(text) } else { Value::String(text.to_owned()) }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// Decimal, `0x` hexadecimal, `0b` binary or `0` octal, with underscores between the digits.
fn whole(text: &str) -> Option<Number> {
    let (radix, digits) = digits_of(text)?;
    let number = i64::from_str_radix(&digits, radix).map(Number::from);
    // A larger one stays the text that it is.
    number.or_else(|_| u64::from_str_radix(&digits, radix).map(Number::from)).ok()
}

/// A whole number to the peer, and here too long to be one.
fn is_long(text: &str) -> bool {
    let all_digits = |(radix, digits): (u32, String)| {
        let digits = digits.strip_prefix('-').unwrap_or(&digits);
        !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
    };
    whole(text).is_none() && digits_of(text).is_some_and(all_digits)
}

/// The radix and the digits, with a sign where the number is negative.
fn digits_of(text: &str) -> Option<(u32, String)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match (digits.get(..2), digits.len()) {
        (Some("0x"), _) => (16, &digits[2..]),
        (Some("0b"), _) => (2, &digits[2..]),
        (_, length) if length > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    (!digits.starts_with(['+', '-'])).then(|| (radix, format!("{sign}{digits}")))
}

/// A number with a decimal point; an exponent has a sign.
fn real(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let (before, after) = mantissa.split_once('.')?;
    let has_digit = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let rest = exponent.strip_prefix(['+', '-']);
        rest.is_some_and(|rest| !rest.is_empty() && digits(rest))
    });
    if !has_digit || !digits(before) || !digits(after) || !exponent_fits {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn at(span: &Span, reason: &str) -> YamlError {
    YamlError { line: span.start.line(), reason: reason.to_owned() }
}

fn broken(error: ScanError) -> YamlError {
    YamlError { line: error.marker().line(), reason: error.info().to_owned() }
}

/// The scanner notices a tab only after the scalar that it ends, and names that scalar's line: the tab's own is of more
/// use, being the most common slip of all.
fn at_the_tab(text: &str, error: YamlError) -> YamlError {
    let begins_with_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t');
    let mut after = text.lines().enumerate().skip(error.line.saturating_sub(1));
    match after.find(|(_, line)| begins_with_tab(line)) {
        Some((index, _)) if error.reason.contains("tab") => {
            YamlError { line: index + 1, reason: "indentation must be spaces, this is a tab".to_owned() }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
