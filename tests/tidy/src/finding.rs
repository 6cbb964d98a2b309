//! One broken rule: where it is, and what to do about it.

use std::fmt;

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the repository.
    pub path: String,
    /// The line, counted from one; zero when the whole file is meant.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    /// A finding at a line of a file.
    pub fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }

    /// A finding about a file as a whole.
    pub fn file(path: &str, message: impl Into<String>) -> Self {
        Self::at(path, 0, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Stops the test with every finding listed; passes when there is none.
///
/// # Panics
/// When there is a finding: that is how a test fails.
#[track_caller]
pub fn assert_none(mut findings: Vec<Finding>) {
    findings.sort();
    findings.dedup();
    let list: String = findings.iter().map(|finding| format!("\n  {finding}")).collect();
    assert!(findings.is_empty(), "{} broken rule(s):{list}\n", findings.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where() {
        assert_eq!(Finding::at("a/b.rs", 3, "wrong").to_string(), "a/b.rs:3: wrong");
        assert_eq!(Finding::file("a/b.rs", "wrong").to_string(), "a/b.rs: wrong");
    }

    #[test]
    #[should_panic(expected = "1 broken rule(s)")]
    fn a_finding_fails_the_test() {
        assert_none(vec![Finding::file("x", "y"), Finding::file("x", "y")]);
    }
}
