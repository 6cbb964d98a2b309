//! Words that do not get in: leftovers, panics on the outside world, waiting by the clock, unsafety.

use crate::finding::Finding;
use crate::mask::is_identifier_byte;
use crate::scan::{Word, line_of, rest_from, text_before, words};
use crate::source::Source;

/// Where `unsafe` may stand, and why. A folder ends in a slash.
const UNSAFE_ALLOWED: [(&str, &str); 6] = [
    ("plugin-api/src/", "the ABI and the loader"),
    ("plugin-api/sdk/src/", "the exported symbols of a plugin"),
    ("host/src/fence/device.rs", "the watchdog's ioctls"),
    ("host/src/methods/sandbox/cache.rs", "compiled components are mapped as they are"),
    ("wasm-methods/hostile/src/", "what a component may try, it tries"),
    ("tests/tidy/", "names it"),
];

/// How far above a sleep its `// pace:` comment may begin, in lines.
const PACE_DISTANCE: usize = 3;

/// Macros that mean unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Notes to oneself. Taken apart so that this file does not contain them.
const NOTES: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Checks for unfinished work.
pub fn check_leftovers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |at: usize, message: String| {
        findings.push(Finding::at(&source.path, line_of(&source.text, at), message));
    };
    for word in words(&source.code) {
        let rest = rest_from(&source.code, word.end());
        if UNFINISHED.contains(&word.text) && is_macro_call(rest) {
            add(word.at, format!("`{}!` is unfinished work: finish it or leave it out", word.text));
        }
        if word.text == "ignore" && text_before(&source.code, word.at).ends_with("#[") {
            add(word.at, "an ignored test proves nothing: make it run, or delete it".to_owned());
        }
    }
    for (at, note) in notes(&source.comments) {
        add(at, format!("`{note}` in a comment: do it now, or describe it where work is planned"));
    }
    findings
}

/// Checks a file that is not Rust for notes to oneself.
pub fn check_notes(path: &str, text: &str) -> Vec<Finding> {
    notes(text)
        .map(|(at, note)| {
            let message = format!("`{note}`: do it now, or describe it where work is planned");
            Finding::at(path, line_of(text, at), message)
        })
        .collect()
}

fn notes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    words(text).filter(|word| NOTES.contains(&word.text)).map(|word| (word.at, word.text))
}

fn is_macro_call(rest: &str) -> bool {
    rest.strip_prefix('!').is_some_and(|rest| rest.trim_start().starts_with(['(', '[', '{']))
}

/// Checks for `unwrap` in what is delivered.
pub fn check_unwraps(source: &Source) -> Vec<Finding> {
    let called = |word: &Word<'_>| {
        text_before(&source.code, word.at).ends_with('.') && rest_from(&source.code, word.end()).starts_with('(')
    };
    words(&source.code)
        .filter(|word| word.text == "unwrap" && called(word) && source.is_product_at(word.at))
        .map(|word| {
            let message = "`unwrap` outside tests: return the error, or `expect` the reason why it cannot happen";
            Finding::at(&source.path, line_of(&source.code, word.at), message)
        })
        .collect()
}

/// Checks for `unsafe` outside the few files that need it.
pub fn check_unsafe(source: &Source) -> Vec<Finding> {
    let allowed =
        |(place, _): &(&str, &str)| source.path == *place || (place.ends_with('/') && source.path.starts_with(place));
    if UNSAFE_ALLOWED.iter().any(allowed) {
        return Vec::new();
    }
    words(&source.code)
        .filter(|word| word.text == "unsafe")
        .map(|word| {
            let message = "`unsafe` outside the loader and the fence: use a safe wrapper (nix, rustix)";
            Finding::at(&source.path, line_of(&source.code, word.at), message)
        })
        .collect()
}

/// Checks that delivered code sleeps only to pace a retry, and says so.
pub fn check_sleeps(source: &Source) -> Vec<Finding> {
    words(&source.code)
        .filter(|word| word.text == "sleep" && is_call(&source.code, word))
        .filter(|word| source.is_product_at(word.at) && !is_paced(source, word.at))
        .map(|word| {
            let message = "a sleep: wait for the event with a deadline; \
                           if it paces a retry, say why in a `// pace:` comment above it";
            Finding::at(&source.path, line_of(&source.code, word.at), message)
        })
        .collect()
}

fn is_call(code: &str, word: &Word<'_>) -> bool {
    let before = text_before(code, word.at);
    let defined =
        before.strip_suffix("fn").is_some_and(|head| !head.as_bytes().last().copied().is_some_and(is_identifier_byte));
    rest_from(code, word.end()).starts_with('(') && !defined
}

fn is_paced(source: &Source, at: usize) -> bool {
    let line = line_of(&source.code, at);
    let first = line.saturating_sub(PACE_DISTANCE + 1);
    source.comments.lines().take(line).skip(first).any(|comment| comment.contains("// pace:"))
}

/// Folders of one machine. Taken apart so that this file does not contain them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot"), concat!("/ho", "me/")];

/// Checks any text file for paths that exist on one machine only.
pub fn check_machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for machine in MACHINE_PATHS {
        for (at, _) in text.match_indices(machine) {
            let before = text.as_bytes()[..at].last().copied().unwrap_or(b' ');
            let after = text.as_bytes().get(at + machine.len()).copied().unwrap_or(b' ');
            let inside_a_path = is_identifier_byte(before) || matches!(before, b'.' | b'-' | b'/' | b'}');
            if inside_a_path || (!machine.ends_with('/') && is_identifier_byte(after)) {
                continue;
            }
            let message = format!("`{machine}` is a folder of one machine: use a relative path or a setting");
            findings.push(Finding::at(path, line_of(text, at), message));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
