//! Who may use whom: the table of the host's rooms, read from `host/src/lib.rs`, against every
//! `crate::` and `super::` path; and the crates that only one room may name.
//!
//! Test code is free: a test may wire rooms together that do not know each other.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::scan::{Word, body_after, line_of, rest_from, text_before, words};
use crate::source::{Kind, Source};

/// Where the table stands.
pub const TABLE_PATH: &str = "host/src/lib.rs";

/// Modules of the host that every room may use.
const COMMON: [&str; 1] = ["ports"];

/// The pure core's own two rooms.
const CORE_TABLE: [(&str, &[&str]); 2] = [("model", &[]), ("decide", &["model"])];

/// Which other rooms each room may use.
pub type Table = BTreeMap<String, Vec<String>>;

/// A crate that may be named only in some places, and why.
struct Reserved {
    name: &'static str,
    prefixes: &'static [&'static str],
    why: &'static str,
}

const RESERVED: [Reserved; 3] = [
    Reserved { name: "wasmtime", prefixes: &["host/src/methods/"], why: "only the methods room runs WebAssembly" },
    Reserved {
        name: "abi_stable",
        prefixes: &["plugin-api/"],
        why: "only plugin-api names it, so that it can be replaced in one place",
    },
    Reserved {
        name: "regent_plugin_api",
        prefixes: &["plugin-api/", "plugins/", "host/src/dcs/", "host/src/bin/", "tests/"],
        why: "the host reaches a plugin through its dcs room",
    },
];

/// Reads the table from the documentation at the top of the host's library.
pub fn parse_table(text: &str) -> Table {
    let mut table = Table::new();
    for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
        let cells: Vec<&str> = line.trim().split('|').map(str::trim).collect();
        let ["", room, uses, ""] = cells.as_slice() else {
            continue;
        };
        if *room == "room" || room.starts_with('-') {
            continue;
        }
        let uses = uses.split(',').map(str::trim).filter(|name| !name.is_empty());
        table.insert((*room).to_owned(), uses.map(str::to_owned).collect());
    }
    table
}

/// The table itself: each name must be a room, and no two rooms may use each other in a circle.
pub fn check_table(table: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    if table.is_empty() {
        findings.push(Finding::file(TABLE_PATH, "the table of rooms is missing from its documentation"));
    }
    for (room, uses) in table {
        for unknown in uses.iter().filter(|name| !table.contains_key(*name)) {
            let message = format!("the table lets `{room}` use `{unknown}`, which has no row: add one");
            findings.push(Finding::file(TABLE_PATH, message));
        }
        if reachable(table, room).contains(room) {
            let message = format!("by the table `{room}` uses itself in a circle: cut it");
            findings.push(Finding::file(TABLE_PATH, message));
        }
    }
    findings
}

fn reachable(table: &Table, room: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut next: Vec<String> = table.get(room).cloned().unwrap_or_default();
    while let Some(name) = next.pop() {
        if !found.contains(&name) {
            next.extend(table.get(&name).cloned().unwrap_or_default());
            found.push(name);
        }
    }
    found
}

/// Checks one file's paths against the tables.
pub fn check_uses(source: &Source, host: &Table) -> Vec<Finding> {
    if source.kind != Kind::Product {
        return Vec::new();
    }
    if let Some(inside) = source.path.strip_prefix("host/src/") {
        return match inside.split_once('/').map_or(inside, |(room, _)| room).trim_end_matches(".rs") {
            "lib" | "bin" => Vec::new(),
            room => check_room(source, inside, room, host, &COMMON),
        };
    }
    if let Some(inside) = source.path.strip_prefix("host/core/src/") {
        let core: Table = CORE_TABLE
            .iter()
            .map(|(room, uses)| ((*room).to_owned(), uses.iter().map(|name| (*name).to_owned()).collect()))
            .collect();
        return match inside.split_once('/').map_or(inside, |(room, _)| room).trim_end_matches(".rs") {
            "lib" => Vec::new(),
            room => check_room(source, inside, room, &core, &[]),
        };
    }
    Vec::new()
}

fn check_room(source: &Source, inside: &str, room: &str, table: &Table, common: &[&str]) -> Vec<Finding> {
    let allowed = match (table.get(room), common.contains(&room)) {
        (Some(allowed), _) => allowed.clone(),
        (None, true) => Vec::new(),
        (None, false) => {
            let message = format!("`{room}` is not a room: give it a row in the table, or move the file");
            return vec![Finding::file(&source.path, message)];
        }
    };
    let mut findings = Vec::new();
    for (at, target) in crate_targets(source, depth_of(inside)) {
        let fine = target == room || common.contains(&target) || allowed.iter().any(|name| name == target);
        if fine || !source.is_product_at(at) {
            continue;
        }
        let line = line_of(&source.code, at);
        let message = match table.contains_key(target) {
            true => format!(
                "room `{room}` may not use `{target}` (it may use: {}): move the code, or pass the value in",
                if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }
            ),
            false => {
                format!("`crate::{target}` is not a room: name the item by the room that owns it")
            }
        };
        findings.push(Finding::at(&source.path, line, message));
    }
    findings
}

/// How many modules below the crate's root the file's own module is.
fn depth_of(inside: &str) -> usize {
    let parts = inside.split('/').count();
    if inside.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Every first name below the crate's root that the file names, with its place.
fn crate_targets(source: &Source, depth: usize) -> Vec<(usize, &str)> {
    let code = &source.code;
    let mut targets = Vec::new();
    for word in words(code) {
        let after = match word.text {
            "crate" => rest_from(code, word.end()).strip_prefix("::"),
            "super" if !text_before(code, word.at).ends_with("super::") => {
                root_by_super(code, word, depth + inline_depth(code, word.at))
            }
            _ => None,
        };
        if let Some(path) = after {
            targets.extend(first_names(path).map(|name| (word.at, name)));
        }
    }
    targets
}

/// What follows a chain of `super::` that climbs to the crate's root; `None` if it stops below.
fn root_by_super<'a>(code: &'a str, first: Word<'_>, depth: usize) -> Option<&'a str> {
    let mut rest = rest_from(code, first.end()).strip_prefix("::")?;
    let mut climbed = 1;
    while let Some(further) = rest.trim_start().strip_prefix("super::") {
        rest = further;
        climbed += 1;
    }
    (climbed >= depth).then_some(rest)
}

/// How many inline modules enclose the byte.
fn inline_depth(code: &str, at: usize) -> usize {
    words(&code[..at])
        .filter(|word| word.text == "mod")
        .filter_map(|word| body_after(code, word.end()))
        .filter(|(open, close)| (*open..*close).contains(&at))
        .count()
}

/// The first names of a path or of a group of paths: `a::b` gives a; `{a::b, c}` gives a and c.
fn first_names(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_start();
    let parts = match path.strip_prefix('{') {
        None => vec![path],
        Some(group) => split_group(group),
    };
    parts.into_iter().map(|part| match part.trim_start() {
        part if part.starts_with('*') => "*",
        part => words(part).next().map_or("", |word| word.text),
    })
}

/// The parts of a brace group up to its end, split at the commas of the outermost level.
fn split_group(group: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Checks that reserved crates are named only in their place.
pub fn check_reserved(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in words(&source.code) {
        for reserved in RESERVED.iter().filter(|reserved| reserved.name == word.text) {
            if source.path.starts_with("tests/tidy/")
                || reserved.prefixes.iter().any(|prefix| source.path.starts_with(prefix))
            {
                continue;
            }
            let message = format!("`{}` may not be named here: {}", reserved.name, reserved.why);
            findings.push(Finding::at(&source.path, line_of(&source.code, word.at), message));
        }
    }
    findings
}

/// Checks that the core's manifest names no dependency: Cargo itself then keeps it pure.
pub fn check_core_manifest(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut section = "";
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        }
        let head = section.trim_matches(['[', ']']);
        let in_dependencies = head == "dependencies"
            || head == "build-dependencies"
            || head.starts_with("dependencies.")
            || (head.starts_with("target.") && !head.contains("dev-dependencies"));
        let is_entry = !line.is_empty() && !line.starts_with('#');
        let is_header = line == section && !head.starts_with("dependencies.");
        if in_dependencies && is_entry && !is_header {
            let message = "the core has no dependencies: pass the value in from the host";
            findings.push(Finding::at(path, index + 1, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
