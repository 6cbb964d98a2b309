//! Tests of reading the local configuration.

use super::*;

fn file(text: &str) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patroni.yml");
    std::fs::write(&path, text).unwrap();
    (folder, Source::new(Some(path), BTreeMap::new()))
}

fn errors(text: &str) -> String {
    let (_folder, source) = file(text);
    LocalConfig::load(&source).unwrap_err().to_string()
}

#[test]
fn what_is_no_yaml_is_named_with_file_and_line() {
    let text = errors("scope: a\nname: [unclosed\n");
    assert!(text.contains("patroni.yml:") && text.contains("no YAML"), "{text}");
    assert!(errors("- a\n- b\n").contains("invalid config file"));
    assert!(errors("").contains("Config is empty."));
}

#[test]
fn wrong_kinds_are_named_with_key_and_line_all_at_once() {
    let text = errors("scope: a\npostgresql:\n  parameters: oops\n  callbacks: 5\n");
    assert!(text.contains("patroni.yml:3: postgresql.parameters is not a dictionary"), "{text}");
    assert!(text.contains("patroni.yml:4: postgresql.callbacks is not a dictionary"), "{text}");
}

#[test]
fn a_folder_is_merged_by_name_and_null_removes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yml"), "scope: a\ntags: {x: 1}\n").unwrap();
    std::fs::write(folder.path().join("b.yaml"), "scope: b\ntags: {x: null, y: '1'}\n").unwrap();
    std::fs::write(folder.path().join("c.txt"), "scope: c\n").unwrap();
    let source = Source::new(Some(folder.path().to_owned()), BTreeMap::new());
    let document = LocalConfig::load(&source).unwrap().document;
    assert_eq!(document, serde_json::json!({"scope": "b", "tags": {"y": "1"}}));
}

#[test]
fn the_environment_wins_and_suffices() {
    let (_folder, mut source) = file("scope: a\nname: x\n");
    source.environment.insert("PATRONI_SCOPE".to_owned(), "b".to_owned());
    assert_eq!(LocalConfig::load(&source).unwrap().document["scope"], "b");
    source.path = None;
    assert_eq!(LocalConfig::load(&source).unwrap().document, serde_json::json!({"scope": "b"}));
    source.environment.insert("PATRONI_CONFIGURATION".to_owned(), "scope: c".to_owned());
    assert_eq!(LocalConfig::load(&source).unwrap().document["scope"], "c", "the whole document stands alone");
}
