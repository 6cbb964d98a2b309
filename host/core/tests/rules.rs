//! The table of rules: its numbers, and the page that shows it to people.

use regent_core::decide::rules;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

#[test]
fn every_number_names_one_rule() {
    let mut seen = BTreeSet::new();
    for rule in rules() {
        assert!(seen.insert(rule.number), "{} stands twice", rule.number);
        assert!(rule.sentence.ends_with('.'), "{}: {}", rule.number, rule.sentence);
    }
}

/// `REGENT_REFRESH_GOLDEN=1` writes the page anew.
#[test]
fn the_page_of_rules_is_in_step() {
    let mut page = String::from(
        "# Rules\n\nEvery decision names the rule that made it: in the log, in `regentctl why`, in the journal. The \
         rules are tried\nfrom the top; the first that matches wins. This page is written by a test from the rules \
         themselves.\n\n| number | situation | rule |\n|---|---|---|\n",
    );
    for rule in rules() {
        let sentence: Vec<&str> = rule.sentence.split_whitespace().collect();
        writeln!(page, "| {} | {} | {} |", rule.number, rule.situation, sentence.join(" ")).expect("a string grows");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/rules.md");
    if std::env::var_os("REGENT_REFRESH_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/src/rules.md is not in step: run this test with REGENT_REFRESH_GOLDEN=1");
}
