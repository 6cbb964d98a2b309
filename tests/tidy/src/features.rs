//! The table from features to the tests that name them: `docs/src/features.md`, made from the list of
//! features and from what the tests say of themselves.
//!
//! A test names a feature by its id, in the comment above it or in its body. What a header or
//! delivered code cites explains something and proves nothing, so it does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::finding::Finding;
use crate::scan::{Word, body_after, line_of, text_before, words};
use crate::source::Source;

/// Where the list of features is.
pub const LIST_PATH: &str = "tests/tidy/features.tsv";

/// Where the table goes.
pub const PAGE_PATH: &str = "docs/src/features.md";

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Like `HA-07`.
    pub id: String,
    /// Whether the peer had it from the beginning (S); otherwise it is newer (N).
    pub seed: bool,
    /// A few words.
    pub name: String,
    /// What of it is not there, and why; empty where all is.
    pub note: String,
}

/// A test that names a feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Citation {
    /// The feature's id.
    pub id: String,
    /// The file of the test, from the root.
    pub path: String,
    /// The test function.
    pub test: String,
    /// The line of the id, counted from one.
    pub line: usize,
}

/// Reads the list: three columns separated by tabulators, and a fourth with a note where there is one.
///
/// # Errors
/// The first line that is none.
pub fn parse_list(text: &str) -> Result<Vec<Feature>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| match line.split('\t').collect::<Vec<_>>().as_slice() {
            [id, kind @ ("S" | "N"), name, note @ ..] if is_id(id) && note.len() < 2 => {
                let note = note.first().copied().unwrap_or_default().to_owned();
                Ok(Feature { id: (*id).to_owned(), seed: *kind == "S", name: (*name).to_owned(), note })
            }
            _ => Err(format!("not a feature: {line}")),
        })
        .collect()
}

/// Every feature that a test of the file names.
pub fn citations(source: &Source) -> Vec<Citation> {
    let mut found = Vec::new();
    for function in tests_of(source) {
        let region = &source.text[function.start..function.end];
        for (at, id) in ids(region) {
            let line = line_of(&source.text, function.start + at);
            found.push(Citation { id: id.to_owned(), path: source.path.clone(), test: function.name.clone(), line });
        }
    }
    found
}

/// Citations of features that nobody knows: a slip of the pen would prove the wrong thing.
pub fn check_known(list: &[Feature], cited: &[Citation]) -> Vec<Finding> {
    let known: BTreeSet<&str> = list.iter().map(|feature| feature.id.as_str()).collect();
    let families: BTreeSet<&str> = known.iter().filter_map(|id| family(id)).collect();
    let is_slip =
        |one: &&Citation| family(&one.id).is_some_and(|it| families.contains(it)) && !known.contains(&*one.id);
    let finding = |one: &Citation| Finding::at(&one.path, one.line, format!("there is no feature {}", one.id));
    cited.iter().filter(is_slip).map(finding).collect()
}

/// The page: how many features have tests, and which.
pub fn page(list: &[Feature], cited: &[Citation]) -> String {
    let mut tests: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in cited {
        tests.entry(&one.id).or_default().insert(format!("`{}` {}", place(&one.path), one.test));
    }
    let count = |seed: bool| {
        let all = list.iter().filter(|feature| feature.seed == seed);
        let tested = all.clone().filter(|feature| tests.contains_key(&*feature.id));
        format!("{} of {}", tested.count(), all.count())
    };
    let mut text = String::from("# Features and their tests\n\n");
    let _ = writeln!(
        text,
        "Made by the tests from what they say of themselves; `REGENT_REFRESH_GOLDEN=1 cargo nextest run -p \
         regent-tidy` writes it anew. S features are those that Patroni had up to 1.5.6, N features came later. A \
         test names {} S features and {} N features; a feature without a test may work, but nothing here shows it. What is in italics is not there.\n",
        count(true),
        count(false)
    );
    text.push_str("| id | | feature | tests that name it |\n|---|---|---|---|\n");
    for feature in list {
        let empty = BTreeSet::new();
        let named = tests.get(&*feature.id).unwrap_or(&empty);
        let note = Some(format!("*{}*", feature.note)).filter(|_| !feature.note.is_empty());
        let named = named.iter().chain(&note).map(String::as_str).collect::<Vec<_>>().join("<br>");
        let kind = if feature.seed { "S" } else { "N" };
        let _ = writeln!(text, "| {} | {kind} | {} | {named} |", feature.id, feature.name);
    }
    text
}

/// A shorter name of a file: without what every path has.
fn place(path: &str) -> String {
    let short = path.trim_end_matches(".rs").replace("/src/", "/").replace("/tests/", "/");
    short.trim_end_matches("/tests").trim_end_matches("/mod").trim_start_matches("tests/").to_owned()
}

/// A test function, its attributes and the comment above it included.
struct TestFunction {
    name: String,
    start: usize,
    end: usize,
}

fn tests_of(source: &Source) -> Vec<TestFunction> {
    let listed = listed_in_macros(&source.code);
    let all: Vec<Word<'_>> = words(&source.code).collect();
    let functions = all.windows(2).filter(|pair| pair[0].text == "fn").map(|pair| (pair[0].at, pair[1]));
    functions
        .filter(|(at, _)| source.is_test_line(line_of(&source.text, *at)))
        .filter_map(|(at, name)| {
            let start = start_of_item(source, at);
            let above = &source.code[start..at];
            let is_test = above.contains("#[test]") || above.contains("#[tokio::test") || listed.contains(name.text);
            let (_, end) = body_after(&source.code, name.end())?;
            is_test.then(|| TestFunction { name: name.text.to_owned(), start, end })
        })
        .collect()
}

/// Names inside of `on_each_store!(...)`, which makes tests of functions.
fn listed_in_macros(code: &str) -> BTreeSet<&str> {
    const CALL: &str = "on_each_store!(";
    let bodies = code.match_indices(CALL).map(|(at, _)| {
        let rest = &code[at + CALL.len()..];
        &rest[..rest.find(')').unwrap_or(rest.len())]
    });
    bodies.flat_map(|body| words(body).map(|word| word.text)).collect()
}

/// Where the comments and attributes of an item begin: the line after the last one that holds other code or nothing.
fn start_of_item(source: &Source, at: usize) -> usize {
    let mut start = source.code[..at].rfind('\n').map_or(0, |end| end + 1);
    while start > 0 {
        let above = source.text[..start - 1].rfind('\n').map_or(0, |end| end + 1);
        let line = source.text[above..start].trim();
        let is_part = line.starts_with("//") && !line.starts_with("//!") || line.starts_with("#[");
        // The rest of an attribute of several lines.
        let is_rest = text_before(&source.code, start).ends_with(")]");
        if !(is_part || is_rest) {
            break;
        }
        start = above;
    }
    start
}

/// Every id in a text, and where it stands.
fn ids(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_part)?;
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |length| start + length);
        rest = end;
        Some((start, &text[start..end]))
    })
    .filter(|(_, word)| is_id(word))
}

/// Capitals and digits, a dash, two or three digits.
fn is_id(word: &str) -> bool {
    let Some((family, number)) = word.split_once('-') else { return false };
    let is_family = family.starts_with(|c: char| c.is_ascii_uppercase())
        && family.len() >= 2
        && family.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_family && (2..=3).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit())
}

fn family(id: &str) -> Option<&str> {
    id.split_once('-').map(|(family, _)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"//! Header: XX-09.

/// XX-01, XX-02: first.
#[tokio::test(flavor = "multi_thread")]
async fn first() {
    call(); // XX-03
}

on_each_store!(second,);

/// XX-04
async fn second(dcs: Dcs) {
    assert!(true, "XX-05");
}

/// XX-06 is what this helper is for.
fn helper() {}

#[test]
fn third() {
    UTF-8; // XX-1, aXX-07, XX-0007
}
"#;

    fn list() -> Vec<Feature> {
        parse_list("# comment\nXX-01\tS\tone\nXX-02\tN\ttwo\nXX-03\tS\tthree\tnot all\n").expect("three features")
    }

    #[test]
    fn tests_are_believed_and_nothing_else_is() {
        let cited = citations(&Source::new("tests/e2e/tests/a.rs", FILE));
        let found: Vec<(&str, &str)> = cited.iter().map(|one| (&*one.test, &*one.id)).collect();
        let first = ["XX-01", "XX-02", "XX-03"].map(|id| ("first", id));
        assert_eq!(found, [&first[..], &[("second", "XX-04"), ("second", "XX-05")]].concat());
        assert!(citations(&Source::new("host/src/a.rs", FILE)).is_empty(), "not a line of a test");
    }

    #[test]
    fn slips_of_the_pen_are_found() {
        let cited = citations(&Source::new("tests/e2e/tests/a.rs", FILE));
        let lines: Vec<usize> = check_known(&list(), &cited).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [11, 13]);
    }

    #[test]
    fn the_page_counts_and_names() {
        let page = page(&list(), &citations(&Source::new("tests/e2e/tests/a.rs", FILE)));
        assert!(page.contains("names 2 of 2 S features and 1 of 1 N features"), "{page}");
        assert!(page.contains("| XX-02 | N | two | `e2e/a` first |"), "{page}");
        assert!(page.contains("| XX-03 | S | three | `e2e/a` first<br>*not all* |"), "{page}");
    }

    #[test]
    fn a_list_with_something_else_is_refused() {
        let check = |line: &str| assert!(parse_list(line).is_err(), "{line}");
        check("XX-01\tS");
        check("XX-01\tT\tname");
        check("XX\tS\tname");
        check("XX-01\tS\tname\tnote\tmore");
    }
}
