//! The libraries under test, and options to run the kit against them.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod etcd;

use regent_dcs_conformance::{Options, Report, Status, names, run};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The library beside this test's executable; cargo builds it together with the test.
pub fn library(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let file = format!("libregent_dcs_{name}.so");
    let candidates = [folder.join(&file), folder.join("..").join(&file)];
    candidates.into_iter().find(|path| path.exists()).expect("cargo built the library")
}

pub fn options(name: &str, config: &str, ttl: Duration) -> Options {
    Options {
        plugin: library(name),
        config: config.to_owned(),
        upstream: None,
        ttl,
        only: Vec::new(),
        skip: Vec::new(),
        command: Some(env!("CARGO_BIN_EXE_regent-dcs-conformance").into()),
        soak: Duration::ZERO,
        prepare: None,
    }
}

/// Runs the kit: what is in `skipped` can not be tried here, everything else passes. The outcomes are what the table in
/// the documentation says of `name`; `REGENT_REFRESH_GOLDEN=1` writes them down.
pub fn keeps_the_contract(name: &str, options: &Options, skipped: &[&str]) {
    let report = run(options).expect("the kit runs");
    assert_eq!(report.outcomes.len() + options.skip.len(), names().len());
    for outcome in &report.outcomes {
        let expected = if skipped.contains(&outcome.check) { Status::Skip } else { Status::Ok };
        assert_eq!(outcome.status, expected, "{}: {}", outcome.check, outcome.detail);
    }
    recorded(name, &report);
}

/// The same where one of three servers is lost, without the proxy: what that is needed for is skipped, and so is `more`.
pub fn keeps_the_contract_on_what_is_left(backend: &str, mut options: Options, more: &[&str]) {
    // What is the same wherever the servers are.
    options.skip = ["check-config", "leaks", "side-effects"].map(str::to_owned).into();
    let skipped = [&["server-loss", "budget", "unknown-outcome", "slow-server", "half-open"], more].concat();
    keeps_the_contract(&format!("{backend}, one of three servers lost"), &options, &skipped);
}

fn recorded(name: &str, report: &Report) {
    let lines = report.outcomes.iter().map(|outcome| format!("{} {:?}\n", outcome.check, outcome.status));
    let text: String = lines.collect::<String>().to_lowercase();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(format!("{name}.txt"));
    if std::env::var_os("REGENT_REFRESH_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("it can be written down");
    } else {
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(kept, text, "{name}: the table says something else; REGENT_REFRESH_GOLDEN=1 writes it anew");
    }
}
