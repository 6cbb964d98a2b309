//! What lies where: the entries of the root, the header of each file, the lints of each crate.

use crate::finding::Finding;
use crate::source::Source;

/// What the root of the repository holds, besides names that begin with a dot.
const ROOT_ENTRIES: [&str; 15] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "docs",
    "host",
    "plugin-api",
    "plugins",
    "rustfmt.toml",
    "tests",
    "wasm-methods",
];

/// Words that a header must have at least: "what it is for" takes some.
const HEADER_WORDS_MIN: usize = 3;

/// Checks that nothing else has settled in the root.
pub fn check_root(paths: &[String]) -> Vec<Finding> {
    let mut entries: Vec<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    entries.dedup();
    entries
        .into_iter()
        .filter(|entry| !entry.starts_with('.') && !ROOT_ENTRIES.contains(entry))
        .map(|entry| Finding::file(entry, "not an entry of the root: put it into the room it belongs to"))
        .collect()
}

/// Checks that a Rust file opens by saying what it is for.
pub fn check_header(source: &Source) -> Vec<Finding> {
    let header = source.text.lines().next().and_then(|line| line.strip_prefix("//!"));
    let says_something = header.is_some_and(|text| {
        text.split_whitespace().count() >= HEADER_WORDS_MIN && !text.to_lowercase().contains("placeholder")
    });
    if says_something {
        return Vec::new();
    }
    let message = "open the file with a `//!` line that says what it is for, and what it must not know";
    vec![Finding::at(&source.path, 1, message)]
}

/// Checks that a crate of the workspace takes the workspace's lints.
pub fn check_manifest_lints(path: &str, text: &str) -> Vec<Finding> {
    let inherits = text.split("[lints]").nth(1).is_some_and(|section| {
        section.lines().map(str::trim).find(|line| !line.is_empty()) == Some("workspace = true")
    });
    let is_member = text.contains("[package]") && !text.contains("[workspace]");
    if inherits || !is_member {
        return Vec::new();
    }
    vec![Finding::file(path, "add `[lints]` with `workspace = true`: the lints are the same for all")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_in_the_root_are_found() {
        let paths = ["Cargo.toml", "host/src/lib.rs", "host/src/ports.rs", ".ci/run", "notes/a.md", "run.sh"];
        let found = check_root(&paths.map(str::to_owned));
        let found: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(found, ["notes", "run.sh"]);
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let check = |text: &str| check_header(&Source::new("host/src/a.rs", text)).len();
        assert_eq!(check("//! Reads the control file; knows no cluster.\nfn f() {}"), 0);
        assert_eq!(check("fn f() {}"), 1);
        assert_eq!(check("\n//! Too late a header.\n"), 1);
        assert_eq!(check("//! Placeholder for later things.\n"), 1);
        assert_eq!(check("//! Short.\n"), 1);
        assert_eq!(check(""), 1);
    }

    #[test]
    fn a_crate_with_its_own_lints_is_found() {
        let check = |text: &str| check_manifest_lints("Cargo.toml", text).len();
        assert_eq!(check("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"), 0);
        assert_eq!(check("[package]\nname = \"a\"\n"), 1);
        assert_eq!(check("[workspace]\nmembers = []\n"), 0);
        // A crate that is a workspace of its own stands outside this one.
        assert_eq!(check("[package]\nname = \"a\"\n[workspace]\n"), 0);
    }
}
