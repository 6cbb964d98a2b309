//! YAML: block style with sorted keys, or flow style in one line. Lines longer than 200 characters are folded.

use super::implicit::is_something;
use super::number_text;
use serde_json::{Map, Value};

/// Past this column, the next chance to break a line is taken.
const WIDTH: usize = 200;

/// Block style; it ends with a line break.
pub(in crate::ctl) fn block(value: &Value) -> String {
    let lines = lines(value, 0);
    format!("{}\n", lines.join("\n"))
}

/// Flow style, as far as it fits into a line.
pub(in crate::ctl) fn flow(value: &Value) -> String {
    let mut text = String::new();
    write_flow(value, 0, &mut text);
    text
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    pairs
}

/// The lines of a value whose container begins at that column.
fn lines(value: &Value, column: usize) -> Vec<String> {
    match value {
        Value::Object(map) if !map.is_empty() => {
            sorted(map).into_iter().flat_map(|(key, value)| pair(key, value, column)).collect()
        }
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .flat_map(|item| {
                let lines = if is_leaf(item) { leaf(item, column + 2) } else { lines(item, column + 2) };
                indented("- ", "  ", lines)
            })
            .collect(),
        leaf_value => leaf(leaf_value, column),
    }
}

fn pair(key: &str, value: &Value, column: usize) -> Vec<String> {
    let key = format!("{}:", text(key, usize::MAX, Place::Key).join(" "));
    if is_leaf(value) {
        let mut lines = leaf(value, column + key.chars().count() + 1);
        if let Some((first, rest)) = lines.split_first_mut() {
            *first = format!("{key} {first}");
            rest.iter_mut().filter(|line| !line.is_empty()).for_each(|line| *line = format!("  {line}"));
        }
        return lines;
    }
    // Lists stand below their key, not behind it.
    let inner = if value.is_array() { lines(value, column) } else { indented("  ", "  ", lines(value, column + 2)) };
    std::iter::once(key).chain(inner).collect()
}

fn indented(first: &str, rest: &str, lines: Vec<String>) -> Vec<String> {
    let prefix = |(index, line): (usize, String)| match (index, line.is_empty()) {
        (_, true) => line,
        (0, _) => format!("{first}{line}"),
        _ => format!("{rest}{line}"),
    };
    lines.into_iter().enumerate().map(prefix).collect()
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// What has no parts, from that column on. Lines after the first are without their indent.
fn leaf(value: &Value, column: usize) -> Vec<String> {
    match value {
        Value::String(string) => text(string, column, Place::Block),
        other => vec![bare(other)],
    }
}

fn bare(value: &Value) -> String {
    match value {
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::Number(number) => {
            let text = number_text(number);
            // Without a point it would be read as text.
            if text.contains('.') || !text.contains('e') { text } else { text.replacen('e', ".0e", 1) }
        }
        other => other.to_string(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Key,
    Block,
    Flow,
}

/// A text in the plainest quotes that keep it what it is.
fn text(text: &str, column: usize, place: Place) -> Vec<String> {
    let column = if place == Place::Block { column } else { 0 };
    let printable = |letter: char| letter == '\n' || !letter.is_control() && letter != '\u{feff}';
    let broken = text.contains('\n');
    if !text.chars().all(printable) || text.contains(" \n") || (broken && place == Place::Key) {
        return vec![escaped(text)];
    }
    if !broken && !is_something(text) && is_plain(text, place) {
        return folded(text, column, place);
    }
    let quoted = format!("'{}'", text.replace('\'', "''"));
    if place == Place::Flow { vec![quoted.replace('\n', "\n\n")] } else { folded(&quoted, column, place) }
}

/// Nothing in it is a sign of YAML's own.
fn is_plain(text: &str, place: Place) -> bool {
    let in_flow = place == Place::Flow;
    let letters: Vec<char> = text.chars().collect();
    let (first, last) = (letters[0], letters[letters.len() - 1]);
    if first == ' ' || last == ' ' || text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    let ends = |index: usize| letters.get(index + 1).is_none_or(|next| *next == ' ');
    if "#,[]{}&*!|>'\"%@`".contains(first) || (first == '-' && ends(0)) {
        return false;
    }
    if matches!(first, '?' | ':') && (in_flow || ends(0)) {
        return false;
    }
    !letters.iter().enumerate().skip(1).any(|(index, letter)| match letter {
        ',' | '?' | '[' | ']' | '{' | '}' => in_flow,
        ':' => in_flow || ends(index),
        '#' => letters[index - 1] == ' ',
        _ => false,
    })
}

/// Breaks long lines at single spaces; a line break in the text becomes an empty line.
fn folded(text: &str, column: usize, place: Place) -> Vec<String> {
    if place != Place::Block {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    for (index, part) in text.split('\n').enumerate() {
        if index > 0 {
            lines.push(String::new());
        }
        let mut column = if index == 0 { column } else { 2 };
        let mut line = String::new();
        let mut words = part.split(' ').peekable();
        while let Some(word) = words.next() {
            line.push_str(word);
            column += word.chars().count();
            let Some(next) = words.peek() else { break };
            if column > WIDTH && !word.is_empty() && !next.is_empty() {
                lines.push(std::mem::take(&mut line));
                column = 2;
            } else {
                line.push(' ');
                column += 1;
            }
        }
        lines.push(line);
    }
    lines
}

fn escaped(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{1b}' => out.push_str("\\e"),
            letter if letter.is_control() && (letter as u32) < 0x100 => {
                out.push_str(&format!("\\x{:02X}", letter as u32));
            }
            '\u{feff}' => out.push_str("\\uFEFF"),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn write_flow(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            out.push('{');
            for (index, (key, value)) in sorted(map).into_iter().enumerate() {
                separate(index, depth, out);
                out.push_str(&text(key, 0, Place::Flow).join("\n"));
                out.push_str(": ");
                write_flow(value, depth + 1, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, depth, out);
                write_flow(item, depth + 1, out);
            }
            out.push(']');
        }
        Value::String(string) => out.push_str(&text(string, 0, Place::Flow).join("\n")),
        other => out.push_str(&bare(other)),
    }
}

/// What stands before an item: a comma, and a new line where this one is full.
fn separate(index: usize, depth: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
    let column = out.rsplit('\n').next().map_or(0, |line| line.chars().count());
    if column > WIDTH {
        out.push('\n');
        out.push_str(&"  ".repeat(depth + 1));
    } else if index > 0 {
        out.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks_look_as_operators_know_them() {
        let check = |value: Value, expected: &str| assert_eq!(block(&value), expected);
        check(json!({"b": {"x": [1, "on"]}, "a": {}}), "a: {}\nb:\n  x:\n  - 1\n  - 'on'\n");
        check(json!([[1, 2], {"a": 1, "b": [3]}]), "- - 1\n  - 2\n- a: 1\n  b:\n  - 3\n");
        check(json!({"m": "a\nb"}), "m: 'a\n\n  b'\n");
        check(json!([{"m": "a\nb"}]), "- m: 'a\n\n    b'\n");
        check(
            json!({"yes": "it's", "t": "a\tb", "n": null, "p": 1e100}),
            "n: null\np: 1.0e+100\nt: \"a\\tb\"\n'yes': it's\n",
        );
        check(
            json!({"a": "x: y", "b": "# c", "c": "a:b", "d": "- e", "f": "ä"}),
            "a: 'x: y'\nb: '# c'\nc: a:b\nd: '- e'\nf: ä\n",
        );
        check(json!([]), "[]\n");
        let long = format!("{} {} ddd", "a".repeat(120), "b".repeat(100));
        check(json!({"u": long}), &format!("u: {} {}\n  ddd\n", "a".repeat(120), "b".repeat(100)));
    }

    #[test]
    fn flows_are_one_line() {
        let tags = json!({"x": "y z", "l": [1, 2], "n": null, "s": "true", "c": "a:b"});
        assert_eq!(flow(&tags), "{c: 'a:b', l: [1, 2], n: null, s: 'true', x: y z}");
        assert_eq!(flow(&json!({})), "{}");
        let long = json!({"a": "x".repeat(210), "b": 1});
        assert_eq!(flow(&long), format!("{{a: {},\n  b: 1}}", "x".repeat(210)));
    }
}
