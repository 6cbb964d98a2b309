//! Tests of reading YAML.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn check(text: &str, expected: Value) {
    assert_eq!(parse(text).unwrap().document, expected, "{text}");
}

fn refused(text: &str) -> (usize, String) {
    let error = parse(text).unwrap_err();
    (error.line, error.reason)
}

#[test]
fn plain_words_mean_what_they_mean_to_the_peer() {
    check("a: on\nb: 'on'\nc: No\nd: ~\ne:", json!({"a": true, "b": "on", "c": false, "d": null, "e": null}));
    check("[0644, 0x1F, 1_000, -5, +5, 0, 08]", json!([420, 31, 1000, -5, 5, 0, "08"]));
    check(
        "[1.5, .5, 1e3, 1.0e+3, 1.2.3, ., 10:20, 2024-01-01]",
        json!([1.5, 0.5, "1e3", 1000.0, "1.2.3", ".", "10:20", "2024-01-01"]),
    );
    check("['1', \"2\", !!str 3, 99999999999999999999]", json!(["1", "2", "3", "99999999999999999999"]));
    check("", Value::Null);
    check("# nothing\n", Value::Null);
    check("listen: 127.0.0.1:5432\nother: '*'", json!({"listen": "127.0.0.1:5432", "other": "*"}));
    check("h: ['a:1','b:2']\ng: [a:1,b:2]", json!({"h": ["a:1", "b:2"], "g": ["a:1", "b:2"]}));
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    check(
        "base: &base {a: 1, b: 2}\nuse:\n  <<: *base\n  b: 3\nlist: [*base]",
        json!({"base": {"a": 1, "b": 2}, "use": {"b": 3, "a": 1}, "list": [{"a": 1, "b": 2}]}),
    );
    assert!(refused("a: &x [*x]").1.contains("alias"));
}

#[test]
fn lines_of_keys_and_items_are_kept() {
    let text = "scope: a\npostgresql:\n  # why\n  listen: x\n  pg_hba:\n  - one\n  - two\n  note: |\n    listen: y\n  flow: {a: 1,\n    b: 2}\n";
    let lines = parse(text).unwrap().lines;
    let line = |path: &str| lines.get(path).copied();
    assert_eq!(line("scope"), Some(1));
    assert_eq!(line("postgresql.listen"), Some(4));
    assert_eq!(line("postgresql.pg_hba.1"), Some(7));
    assert_eq!(line("postgresql.note"), Some(8));
    assert_eq!(line("postgresql.flow.b"), Some(11));
}

#[test]
fn a_key_given_twice_is_told() {
    let parsed = parse("a:\n  b: 1\n  b: 2\n").unwrap();
    assert_eq!(parsed.document, json!({"a": {"b": 2}}));
    assert_eq!(parsed.repeated, [("a.b".to_owned(), 3)]);
}

#[test]
fn whole_numbers_of_more_than_64_bits_stay_text_and_are_told() {
    let parsed = parse(
        "a: 18446744073709551615\nb:\n- 1_8446744073709551616\nc: '18446744073709551616'\nd: 0x10000000000000000\n",
    )
    .unwrap();
    let expected =
        json!({"a": u64::MAX, "b": ["1_8446744073709551616"], "c": "18446744073709551616", "d": "0x10000000000000000"});
    assert_eq!(parsed.document, expected);
    assert_eq!(parsed.long, [("b.0".to_owned(), 3), ("d".to_owned(), 5)]);
    assert_eq!(parse("[08, 0x, 1-2, 127.0.0.1, 0b12, 99999999999999999999x]").unwrap().long, []);
    let reason = super::document("b: -99999999999999999999").unwrap_err();
    assert_eq!(reason, "b is a whole number of more than 64 bits: put it in quotes");
    assert_eq!(super::document("b: [").unwrap_err().split(':').next(), Some("line 2"));
}

#[test]
fn broken_texts_name_the_line() {
    let check = |text: &str, line: usize| assert_eq!(refused(text).0, line, "{text}");
    check("a: 1\nb: [1, 2\nc: 3\n", 3);
    check("a:\n  b: 1\n c: 2\n", 3);
    check("a: b: c\n", 1);
    check("a: 'x\nb: 2\n", 1);
    check("a: 1\nb: @x\n", 2);
    assert_eq!(refused("a: 1\n\tb: 2\n"), (2, "indentation must be spaces, this is a tab".to_owned()));
    assert_eq!(refused("a: 1\n---\nb: 2\n").0, 2);
    assert_eq!(refused("? {a: 1}\n: 2\n").1, "a key is expected here, a plain text");
}

#[test]
fn bombs_are_refused() {
    let deep = "[".repeat(2000);
    assert!(parse(&deep).is_err());
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(","));
    }
    assert_eq!(refused(&laughs).1, "the text holds too many values");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ -~\\n\\t]{0,120}") {
        let _outcome = parse(&text).is_ok();
    }

    #[test]
    fn what_json_writes_is_read_back(number in any::<i64>(), text in "[a-z0-9 :,.#'-]{0,20}") {
        let value = json!({"a": [number, text], "b": {"c": text}});
        prop_assert_eq!(parse(&value.to_string()).unwrap().document, value);
    }
}
