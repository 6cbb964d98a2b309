//! One Rust file, read for the checks: its kind, its code, its comments, and which lines are tests.

use crate::mask::mask;
use crate::scan::{body_after, line_of};

/// What a file is for; the rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Part of what is delivered.
    Product,
    /// A library or program that serves the tests.
    TestSupport,
    /// Nothing but tests.
    Tests,
}

/// A Rust source file.
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// What it is for.
    pub kind: Kind,
    /// As it is in the file.
    pub text: String,
    /// Without comments and without the contents of literals.
    pub code: String,
    /// The comments alone.
    pub comments: String,
    /// For each line, counted from zero: whether it belongs to `#[cfg(test)]` code.
    test_lines: Vec<bool>,
}

impl Source {
    /// Reads a text as the file at that path.
    pub fn new(path: &str, text: &str) -> Self {
        let masked = mask(text);
        let test_lines = test_lines(&masked.code);
        Self {
            path: path.to_owned(),
            kind: kind_of(path),
            text: text.to_owned(),
            code: masked.code,
            comments: masked.comments,
            test_lines,
        }
    }

    /// Whether the line, counted from one, is test code.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.kind == Kind::Tests || self.test_lines.get(line.wrapping_sub(1)) == Some(&true)
    }

    /// Whether the byte stands in code that is delivered.
    pub fn is_product_at(&self, at: usize) -> bool {
        self.kind == Kind::Product && !self.is_test_line(line_of(&self.text, at))
    }
}

fn kind_of(path: &str) -> Kind {
    let inside = path.strip_prefix("tests/").unwrap_or(path);
    let (folders, name) = inside.rsplit_once('/').unwrap_or(("", inside));
    let in_tests_folder = folders.split('/').any(|folder| folder == "tests");
    if name == "tests.rs" || in_tests_folder {
        Kind::Tests
    } else if inside.len() < path.len() {
        Kind::TestSupport
    } else {
        Kind::Product
    }
}

/// Marks the lines of every item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let count = code.lines().count();
    let mut marks = vec![false; count];
    if code.contains("#![cfg(test)]") {
        return vec![true; count];
    }
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(attribute) {
            let after = start + attribute.len();
            let end = match body_after(code, skip_attributes(code, after)) {
                Some((_, close)) => close,
                None => after + code[after..].find(';').unwrap_or(0),
            };
            for line in line_of(code, start)..=line_of(code, end) {
                if let Some(mark) = marks.get_mut(line - 1) {
                    *mark = true;
                }
            }
        }
    }
    marks
}

/// Where the item itself begins, behind further `#[...]` lines.
fn skip_attributes(code: &str, mut at: usize) -> usize {
    loop {
        let rest = code[at..].trim_start();
        let start = code.len() - rest.len();
        if !rest.starts_with('#') {
            return start;
        }
        let Some(close) = rest.find(']') else {
            return start;
        };
        at = start + close + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_path() {
        let check = |path, kind| assert_eq!(kind_of(path), kind, "{path}");
        check("host/src/agent/mod.rs", Kind::Product);
        check("host/src/agent/tests.rs", Kind::Tests);
        check("host/core/tests/rules.rs", Kind::Tests);
        check("plugins/local/src/lib.rs", Kind::Product);
        check("tests/harness/src/lib.rs", Kind::TestSupport);
        check("tests/harness/src/prober/tests.rs", Kind::Tests);
        check("tests/e2e/tests/bootstrap.rs", Kind::Tests);
    }

    #[test]
    fn test_modules_are_marked() {
        let text = "//! x\nfn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("host/src/lib.rs", text);
        let marked: Vec<usize> = (1..=8).filter(|&line| source.is_test_line(line)).collect();
        assert_eq!(marked, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_one_statement() {
        let source = Source::new("host/src/a.rs", "#[cfg(test)]\nmod tests;\nfn c() {}\n");
        let marked: Vec<usize> = (1..=3).filter(|&line| source.is_test_line(line)).collect();
        assert_eq!(marked, [1, 2]);
    }
}
