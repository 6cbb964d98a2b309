//! The table and the paths, on small strings.

use super::*;

const TABLE: &str = "//! The house.\n//!\n//! | room | may use |\n//! |---|---|\n//! | config | |\n\
                     //! | dcs | |\n//! | act | dcs, config |\n//! text\npub mod ports;\n";

fn findings(path: &str, text: &str) -> Vec<String> {
    check_uses(&Source::new(path, text), &parse_table(TABLE)).iter().map(Finding::to_string).collect()
}

fn passes(path: &str, text: &str) {
    assert_eq!(findings(path, text), Vec::<String>::new(), "{text}");
}

fn fails(path: &str, text: &str, expected: &str) {
    let found = findings(path, text);
    assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
}

#[test]
fn the_table_is_read() {
    let table = parse_table(TABLE);
    assert_eq!(table.len(), 3);
    assert_eq!(table["act"], ["dcs", "config"]);
    assert!(table["config"].is_empty());
    assert!(check_table(&table).is_empty());
}

#[test]
fn a_table_with_a_hole_or_a_circle_is_refused() {
    assert_eq!(check_table(&parse_table("//! none")).len(), 1);
    assert_eq!(check_table(&parse_table("//! | a | b |")).len(), 1);
    assert_eq!(check_table(&parse_table("//! | a | b |\n//! | b | a |")).len(), 2);
}

#[test]
fn allowed_uses_pass() {
    passes("host/src/act/mod.rs", "use crate::dcs::Store;\nuse crate::{config, ports::Clock};");
    passes("host/src/act/start.rs", "use super::follow;\nuse crate::act::follow;\nuse regent_core::View;");
    passes("host/src/act/start.rs", "// crate::agent is not meant\nlet x = \"crate::agent\";");
    passes("host/src/ports.rs", "use std::time::Duration;");
    passes("host/src/bin/regent.rs", "use regent::agent;");
}

#[test]
fn forbidden_uses_are_named() {
    fails("host/src/config/mod.rs", "fn f() {}\nuse crate::dcs::Store;", "mod.rs:2: room `config` may not use `dcs`");
    fails("host/src/act/a.rs", "use crate::{dcs, agent::Loop};", "`crate::agent` is not a room");
    fails("host/src/dcs/a.rs", "let x = crate::act::run();", "may not use `act` (it may use: nothing)");
    fails("host/src/act/a.rs", "use crate::*;", "`crate::*`");
    fails("host/src/ports.rs", "use crate::dcs;", "may not use `dcs`");
    fails("host/src/stray.rs", "", "`stray` is not a room");
}

#[test]
fn climbing_with_super_is_seen() {
    passes("host/src/config/mod.rs", "mod a { use super::b; }");
    passes("host/src/config/a/b.rs", "use super::super::c;");
    fails("host/src/config/mod.rs", "use super::dcs::Store;", "may not use `dcs`");
    fails("host/src/config/mod.rs", "mod a { use super::super::dcs; }", "may not use `dcs`");
    fails("host/src/config/a.rs", "use super::super::{dcs};", "may not use `dcs`");
}

#[test]
fn tests_may_wire_rooms() {
    passes("host/src/config/tests.rs", "use crate::dcs;");
    passes("host/src/config/mod.rs", "#[cfg(test)]\nmod tests { use crate::dcs; }");
}

#[test]
fn the_core_decides_on_the_model_alone() {
    passes("host/core/src/decide/race.rs", "use crate::model::Lsn;\nuse super::Verdict;");
    fails("host/core/src/model/lsn.rs", "use crate::decide::Verdict;", "room `model` may not use `decide`");
}

#[test]
fn reserved_crates_stay_in_their_place() {
    let check = |path, text| check_reserved(&Source::new(path, text)).len();
    assert_eq!(check("host/src/methods/wasm.rs", "use wasmtime::Engine;"), 0);
    assert_eq!(check("host/src/act/mod.rs", "use wasmtime::Engine;"), 1);
    assert_eq!(check("plugins/local/src/lib.rs", "use abi_stable::RVec;"), 1);
    assert_eq!(check("host/src/agent/mod.rs", "use regent_plugin_api::Loader;"), 1);
    assert_eq!(check("host/src/dcs/mod.rs", "use regent_plugin_api::Loader; // abi_stable"), 0);
}

#[test]
fn the_core_has_no_dependencies() {
    let check = |text: &str| check_core_manifest("Cargo.toml", text).len();
    assert_eq!(check("[package]\nname = \"x\"\n[dependencies]\n\n[dev-dependencies]\nproptest = \"1\"\n"), 0);
    assert_eq!(check("[dependencies]\n# none\nserde = \"1\"\n"), 1);
    assert_eq!(check("[dependencies.serde]\nversion = \"1\"\n"), 2);
    assert_eq!(check("[target.'cfg(unix)'.dependencies]\nnix = \"1\"\n"), 1);
}
