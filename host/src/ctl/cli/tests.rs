//! Whole command lines against what the peer's tool said to the same ones, up to the point where a member or the store
//! would be asked to act.
//!
//! The expectations are files of cases: `### ` and the words, `<<< ` and the operator's answers where there are any,
//! then all that was told, and the exit code. `@batman` and `@alone` stand for the tables of these clusters, which are
//! among the listings.

use super::*;
use crate::config::{LocalConfig, Source};
use crate::ctl::output::console;
use crate::ctl::{dsn::Which, history, members, standby};
use crate::dcs::{Snapshot, read_keys};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Listings and documents of two clusters.
const LISTINGS: &str = include_str!("tests/listings.txt");

/// Questions and their answers, up to a refusal.
const DIALOGUES: &str = include_str!("tests/dialogues.txt");

/// Command lines that make no sense.
const USAGE: &str = include_str!("tests/usage.txt");

/// Two clusters as keys and values: one with all that a member can say, one without a leader.
const CLUSTERS: &str = include_str!("tests/clusters.json");

/// CTL-01, CTL-12, CTL-13, CTL-19, CTL-20, CTL-24, CTL-25.
#[test]
fn listings_look_as_scripts_expect_them() {
    check(LISTINGS, 24);
}

/// CTL-07, CTL-08, CTL-14, CTL-16, CTL-17, CTL-23.
#[test]
fn dialogues_go_as_operators_know_them() {
    check(DIALOGUES, 50);
}

#[test]
fn nonsense_is_refused_in_known_words() {
    check(USAGE, 30);
}

fn check(cases: &str, count_min: usize) {
    let cases: Vec<&str> = cases.split("\n### ").map(|case| case.trim_start_matches("### ")).collect();
    assert!(cases.len() >= count_min, "{}", cases.len());
    for case in cases {
        let (line, told) = case.split_once('\n').expect("a case has words and an end");
        let (answers, told) = match told.strip_prefix("<<< ").and_then(|rest| rest.split_once('\n')) {
            Some((answers, told)) => (answers.trim_end().split_terminator("\\n").collect(), told),
            None => (Vec::new(), told),
        };
        let told = with_tables(told);
        assert_eq!(played(&words(line), &answers).trim_end(), told.trim_end(), "{line}");
    }
}

fn with_tables(told: &str) -> String {
    let table = |words: &str| {
        let case = LISTINGS.split("### ").find_map(|case| case.strip_prefix(words)?.strip_prefix('\n'));
        case.and_then(|case| case.split_once("[rc=")).expect("it is among the listings").0.to_owned()
    };
    told.replace("@batman\n", &table("list -f pretty")).replace("@alone\n", &table("list alone"))
}

/// Words between spaces, or between quotes.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
        1 => vec![part.to_owned()],
        _ => part.split_whitespace().map(str::to_owned).collect(),
    });
    quoted.collect()
}

/// What is told, and the exit code.
fn played(words: &[String], answers: &[&str]) -> String {
    let mut end = (None, 0);
    let told = console::play(answers, || end = end_of(words));
    let told = without_times(&format!("{told}{}", end.0.map(|text| format!("{text}\n")).unwrap_or_default()));
    format!("{told}[rc={}]", end.1)
}

/// What goes to standard error, and the exit code.
fn end_of(words: &[String]) -> (Option<String>, u8) {
    let refused = |command: Option<&Command>, wrong: &Wrong| match wrong {
        Wrong::Help => (None, 0),
        Wrong::Usage(why) => (Some(usage::told("patronictl", command, why)), 2),
        Wrong::Bare(why) => (Some(format!("Error: {why}")), 2),
    };
    let (_, rest) = match usage::globals(words) {
        Ok(read) => read,
        Err(wrong) => return refused(None, &wrong),
    };
    let command = match usage::find(&rest.0) {
        Ok(command) => command,
        Err(wrong) => return refused(None, &wrong),
    };
    let given = match usage::read(command, &rest.1) {
        Ok(given) => given,
        Err(wrong) => return refused(Some(command), &wrong),
    };
    let call = Call { program: "patronictl".to_owned(), surroundings: surroundings(), given };
    match planned(&call, command.name) {
        Ok(()) => (None, 0),
        Err(error) if error.0 == CtlError::aborted().0 => (Some(error.0), 1),
        Err(error) => (Some(format!("Error: {error}")), 1),
    }
}

fn surroundings() -> Surroundings {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "scope: batman\n").expect("it can be written");
    let local =
        LocalConfig::load(&Source::new(Some(file.path().to_owned()), BTreeMap::new())).expect("a configuration");
    Surroundings::from_local(&local, false).expect("a client")
}

fn snapshot(scope: &str) -> Snapshot {
    let clusters: Value = serde_json::from_str(CLUSTERS).expect("clusters by name");
    read_keys(clusters.get(scope).unwrap_or(&json!({})))
}

/// Everything that a command does before it asks somebody to act.
fn planned(call: &Call, name: &str) -> Result<()> {
    let given = &call.given;
    let force = given.is("force");
    if matches!(name, "list" | "topology") {
        let names = given.arguments("CLUSTER_NAMES");
        let names = if names.is_empty() { vec!["batman".to_owned()] } else { names };
        for scope in names {
            let context = call.surroundings.cluster(Some(&scope), call.group())?;
            list::show(&context, &snapshot(&scope), &call.look(name == "topology"));
        }
        return Ok(());
    }
    let context = call.cluster()?;
    let snapshot = snapshot(&context.scope);
    match name {
        "history" => history::sheet(&snapshot.history_raw).print(&call.format(), "\t"),
        "show-config" => configuration::print(&snapshot),
        "dsn" => {
            let (role, member) = (given.text("role"), given.text("member"));
            dsn::print(&Which::new(role.as_deref(), member.as_deref())?, &snapshot)?;
        }
        "query" => drop(call.query()?),
        "edit-config" => drop(configuration::proposal(&context, &snapshot, &call.edit())?),
        "switchover" | "failover" => drop(switch::plan(&context, &snapshot, &call.wish(name))?),
        "reload" => {
            let members = members::choose(&context, &snapshot, &call.choice(), members::Unnamed::All)?;
            members::consent("reload", &members, force)?;
        }
        "restart" => drop(restart::plan(&context, &snapshot, &call.choice(), &call.restart())?),
        "reinit" => drop(reinit::agreed(&context, &snapshot, &call.replicas())?),
        "remove" => remove::swear(&context, &snapshot, &call.format())?,
        "pause" | "resume" => pause::check(&snapshot, name == "pause")?,
        "demote-cluster" => {
            call.other().check()?;
            standby::agreed(&context, &snapshot, &standby::DEMOTION, force)?;
        }
        "promote-cluster" => drop(standby::agreed(&context, &snapshot, &standby::PROMOTION, force)?),
        "flush" if given.argument("TARGET").as_deref() == Some("switchover") => flush::pending(&snapshot),
        "flush" => {
            let members = members::choose(&context, &snapshot, &call.choice(), members::Unnamed::All)?;
            members::consent("flush", &members, force)?;
        }
        other => panic!("{other} is not planned here"),
    }
    Ok(())
}

/// Examples in questions are of now.
fn without_times(text: &str) -> String {
    let mut parts = text.split("(e.g. 20");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}(e.g. TIME{}", part.get(14..).unwrap_or_default()))
}
