//! How long a file and a function may be.
//!
//! Lines are counted as a reader meets them, comments and blank lines included: what does not fit a
//! screen is not read as one thought.

use crate::finding::Finding;
use crate::scan::{body_after, line_of, words};
use crate::source::{Kind, Source};

/// Lines of one file, its inline tests included; a file of tests alone is exempt.
pub const FILE_LINES_MAX: usize = 600;

/// Lines of one function, from its name to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Checks the length of a file.
pub fn check_file(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if source.kind == Kind::Tests || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let message = format!(
        "{lines} lines, and {FILE_LINES_MAX} is the limit: split it by subject, or move its tests to `tests.rs`"
    );
    vec![Finding::file(&source.path, message)]
}

/// Checks the length of every function outside test code.
pub fn check_functions(source: &Source) -> Vec<Finding> {
    let code = &source.code;
    let mut findings = Vec::new();
    let mut previous_is_fn = false;
    for word in words(code) {
        let name = previous_is_fn.then_some(word);
        previous_is_fn = word.text == "fn";
        let Some(name) = name else { continue };
        let line = line_of(code, name.at);
        let Some((_, close)) = body_after(code, name.end()) else {
            continue;
        };
        let lines = line_of(code, close) + 1 - line;
        if lines > FUNCTION_LINES_MAX && !source.is_test_line(line) {
            let message = format!(
                "function `{}` has {lines} lines, and {FUNCTION_LINES_MAX} is the limit: let it branch, and others compute",
                name.text
            );
            findings.push(Finding::at(&source.path, line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn long(a: [u8; 2]) -> u8 {{\n{}}}\n", "    a();\n".repeat(lines - 2))
    }

    #[test]
    fn a_long_file_is_found() {
        let check = |path: &str, lines: usize| check_file(&Source::new(path, &"// x\n".repeat(lines))).len();
        assert_eq!(check("host/src/a/mod.rs", FILE_LINES_MAX), 0);
        assert_eq!(check("host/src/a/mod.rs", FILE_LINES_MAX + 1), 1);
        assert_eq!(check("host/src/a/tests.rs", FILE_LINES_MAX + 1), 0);
        assert_eq!(check("tests/harness/src/lib.rs", FILE_LINES_MAX + 1), 1);
    }

    #[test]
    fn a_long_function_is_found() {
        let check = |text: &str| check_functions(&Source::new("host/src/a/mod.rs", text));
        assert_eq!(check(&function(FUNCTION_LINES_MAX)), []);
        let found = check(&format!("trait T {{ fn short(&self); }}\n{}", function(FUNCTION_LINES_MAX + 1)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].message.contains("`long` has 71 lines"), "{}", found[0]);
    }

    #[test]
    fn tests_and_comments_do_not_count_as_functions() {
        let check = |text: &str| check_functions(&Source::new("host/src/a/mod.rs", text)).len();
        assert_eq!(check(&format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(90))), 0);
        assert_eq!(check(&format!("// fn f() {{\n{}", "// x\n".repeat(90))), 0);
        assert_eq!(check(&format!("type F = fn(u8) -> u8;\n{}", "// x\n".repeat(90))), 0);
    }
}
