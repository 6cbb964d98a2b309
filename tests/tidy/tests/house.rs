//! The rules of the house, one test each, over the whole repository.

use std::sync::LazyLock;

use regent_tidy::finding::assert_none;
use regent_tidy::{Finding, Repository, Source, bans, features, layout, rooms, sizes};

static REPOSITORY: LazyLock<Repository> = LazyLock::new(|| Repository::open().expect("the repository can be read"));

/// Applies a check to every Rust file.
fn every_source(check: impl Fn(&Source) -> Vec<Finding>) {
    assert!(!REPOSITORY.sources.is_empty(), "no Rust file was found: the checks would prove nothing");
    assert_none(REPOSITORY.sources.iter().flat_map(check).collect());
}

/// Applies a check to every text file whose path is chosen.
fn every_text(chosen: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> Vec<Finding>) {
    let paths = REPOSITORY.paths.iter().filter(|path| chosen(path));
    assert_none(paths.filter_map(|path| REPOSITORY.text(path).map(|text| check(path, &text))).flatten().collect());
}

fn room_table() -> rooms::Table {
    rooms::parse_table(&REPOSITORY.text(rooms::TABLE_PATH).unwrap_or_default())
}

#[test]
fn the_root_holds_what_it_should() {
    assert_none(layout::check_root(&REPOSITORY.paths));
}

#[test]
fn every_file_says_what_it_is_for() {
    every_source(layout::check_header);
}

/// DOC-01: the way of the loop, how to begin, and a version by the rules of semantic versioning.
#[test]
fn the_documents_that_readers_look_for_are_there() {
    let text = |path: &str| REPOSITORY.text(path).unwrap_or_else(|| panic!("{path} is missing"));
    let readme = text("README.md");
    for part in ["make demo", "## Run a node", "## What keeps your data safe", "docs/src/architecture.md"] {
        assert!(readme.contains(part), "README.md: {part}");
    }
    let architecture = text("docs/src/architecture.md");
    let diagram = architecture.split("```text").nth(1).and_then(|rest| rest.split("```").next());
    assert!(["observe", "decide", "act"].iter().all(|step| diagram.is_some_and(|diagram| diagram.contains(step))));
    let summary = text("docs/src/SUMMARY.md");
    for page in summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(REPOSITORY.paths.iter().any(|path| *path == format!("docs/src/{page}")), "{page} is not there");
    }
    let manifest = text("Cargo.toml");
    let version = manifest.split("[workspace.package]\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    let numbers: Vec<&str> = version.unwrap_or_default().split('.').collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok()), "{version:?}");
    assert!(text("CHANGELOG.md").contains("https://semver.org/"));
}

#[test]
fn every_crate_takes_the_common_lints() {
    every_text(|path| path.ends_with("Cargo.toml"), layout::check_manifest_lints);
}

#[test]
fn the_room_table_is_sound() {
    assert_none(rooms::check_table(&room_table()));
}

/// OPS-21: what concerns PostgreSQL, the store, the API and decisions lies in rooms of its own, and stays there.
#[test]
fn rooms_use_what_the_table_allows() {
    let table = room_table();
    every_source(|source| rooms::check_uses(source, &table));
}

#[test]
fn reserved_crates_stay_in_their_room() {
    every_source(rooms::check_reserved);
}

#[test]
fn the_core_is_pure() {
    every_text(|path| path == "host/core/Cargo.toml", rooms::check_core_manifest);
}

#[test]
fn files_are_short() {
    every_source(sizes::check_file);
}

#[test]
fn functions_fit_a_screen() {
    every_source(sizes::check_functions);
}

#[test]
fn nothing_is_left_unfinished() {
    every_source(bans::check_leftovers);
    let scripts = |path: &str| {
        path == "Makefile" || [".toml", ".sh", ".yml", ".yaml", ".ci/run"].iter().any(|end| path.ends_with(end))
    };
    every_text(scripts, bans::check_notes);
}

#[test]
fn nothing_delivered_unwraps() {
    every_source(bans::check_unwraps);
}

#[test]
fn unsafe_code_stays_where_it_must_be() {
    every_source(bans::check_unsafe);
}

#[test]
fn nothing_delivered_waits_by_the_clock() {
    every_source(bans::check_sleeps);
}

#[test]
fn no_path_of_one_machine() {
    every_text(|path| path != "Cargo.lock", bans::check_machine_paths);
}

/// `REGENT_REFRESH_GOLDEN=1` writes the page anew.
#[test]
fn the_page_of_features_is_in_step() {
    let text = REPOSITORY.text(features::LIST_PATH).expect("the list of features is there");
    let list = features::parse_list(&text).expect("the list is well formed");
    let cited: Vec<_> = REPOSITORY.sources.iter().flat_map(features::citations).collect();
    assert_none(features::check_known(&list, &cited));
    let page = features::page(&list, &cited);
    if std::env::var_os("REGENT_REFRESH_GOLDEN").is_some() {
        REPOSITORY.refresh(features::PAGE_PATH, &page).expect("the page can be written");
    }
    let found = REPOSITORY.text(features::PAGE_PATH).unwrap_or_default();
    assert!(found == page, "{} is not in step: run this test with REGENT_REFRESH_GOLDEN=1", features::PAGE_PATH);
}

/// OPS-32: the README names the oldest compiler that the manifests allow.
#[test]
fn the_oldest_compiler_is_documented() {
    let manifest = REPOSITORY.text("Cargo.toml").expect("there is a manifest");
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("it names a version");
    let readme = REPOSITORY.text("README.md").expect("there is a README");
    assert!(readme.contains(&format!("Rust {} ", line.trim_matches('"'))), "the README does not name Rust {line}");
}
