//! The table of backends in the documentation is drawn from what the runs wrote down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- drawn by plugin-api/conformance/tests/table.rs from results -->\n";
const END: &str = "<!-- drawn until here -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/conformance.md")
}

/// Of each run, by its name: what became of each check.
fn results() -> BTreeMap<String, BTreeMap<String, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let entries = std::fs::read_dir(folder).expect("there are results").flatten();
    let run = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let pair = |line: &str| line.split_once(' ').map(|(check, came)| (check.to_owned(), came.to_owned()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, text.lines().filter_map(pair).collect())
    };
    entries.map(|entry| run(entry.path())).collect()
}

fn drawn() -> String {
    let results = results();
    let mut text = format!("| check | {} |\n", results.keys().cloned().collect::<Vec<_>>().join(" | "));
    text.push_str(&format!("| --- |{}\n", " --- |".repeat(results.len())));
    for check in regent_dcs_conformance::names() {
        let cell = |run: &BTreeMap<String, String>| match run.get(check).map(String::as_str) {
            Some("ok") => "yes",
            Some("skip") => "can not be tried",
            _ => "",
        };
        let cells: Vec<_> = results.values().map(cell).collect();
        text.push_str(&format!("| `{check}` | {} |\n", cells.join(" | ")));
    }
    text
}

#[test]
fn the_documentation_shows_what_the_runs_found() {
    let page = page();
    let text = std::fs::read_to_string(&page).expect("the page is there");
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (table, after) = rest.split_once(END).expect("it ends");
    let drawn = drawn();
    if std::env::var_os("REGENT_REFRESH_GOLDEN").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{drawn}{END}{after}")).expect("it can be written");
    } else {
        assert_eq!(table, drawn, "REGENT_REFRESH_GOLDEN=1 draws it anew");
    }
}
