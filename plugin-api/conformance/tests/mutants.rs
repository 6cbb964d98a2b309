//! The kit can fail: an unbroken backend passes every check, and each fault makes its check fail.

mod support;

use regent_dcs_conformance::{Report, Status, names, run};
use std::process::Command;
use std::time::Duration;
use support::options;

/// These need a server behind the proxy; a backend in memory has none.
const NEED_A_SERVER: [&str; 3] = ["server-loss", "budget", "unknown-outcome"];

/// A check, and a fault that it must find.
const FAULTS: &[(&str, &str)] = &[
    ("check-config", "accepts-garbage"),
    ("cas", "ignores-versions"),
    ("values", "values-as-text"),
    ("unknown-key-kind", "drops-unknown-kinds"),
    ("member-isolation", "one-member-key"),
    ("neighbour-scope", "removes-by-prefix"),
    ("mutual-exclusion", "lock-for-all"),
    ("reentrant-acquire", "not-reentrant"),
    ("release-own-only", "releases-anybodys"),
    ("ttl-expiry", "never-expires"),
    ("ttl-expiry", "expires-early"),
    ("expired-lease", "renews-expired"),
    ("set-ttl", "ignores-ttl"),
    ("snapshot-consistency", "torn-writes"),
    ("watch", "loses-changes"),
    ("watch", "always-changed"),
    ("cancel", "ignores-cancel"),
    ("cancel", "cancels-any"),
    ("reload", "reload-drops-lock"),
    ("close", "leaves-threads"),
    ("leaks", "leaves-files"),
    ("side-effects", "changes-folder"),
];

fn try_fault(fault: &str, only: &[&str]) -> Report {
    let config = format!("{{\"store\": \"{{dir}}\", \"fault\": \"{fault}\"}}");
    let mut options = options("mutants", &config, Duration::from_millis(400));
    options.only = only.iter().map(|name| (*name).to_owned()).collect();
    run(&options).expect("the kit runs")
}

#[test]
fn an_unbroken_backend_passes_every_check() {
    let report = try_fault("none", &[]);
    assert_eq!(report.outcomes.len(), names().len());
    for outcome in &report.outcomes {
        let expected = if NEED_A_SERVER.contains(&outcome.check) { Status::Skip } else { Status::Ok };
        assert_eq!(outcome.status, expected, "{outcome:?}");
    }
}

/// Each fault has a process of its own: some of them spoil it.
#[test]
fn each_fault_makes_its_check_fail() {
    if let Ok(fault) = std::env::var("REGENT_MUTANT") {
        let check = FAULTS.iter().find(|(_, name)| *name == fault).expect("it is in the table").0;
        let report = try_fault(&fault, &[check]);
        std::process::exit(if report.outcomes[0].status == Status::Fail { 42 } else { 0 });
    }
    let this = std::env::current_exe().expect("a test has an executable");
    for some in FAULTS.chunks(6) {
        let start = |(check, fault): &(&'static str, &'static str)| {
            let mut command = Command::new(&this);
            command.args(["--exact", "each_fault_makes_its_check_fail"]).env("REGENT_MUTANT", fault);
            command.stdout(std::process::Stdio::null());
            (*check, *fault, command.spawn().expect("it starts"))
        };
        let started: Vec<_> = some.iter().map(start).collect();
        for (check, fault, mut child) in started {
            let code = child.wait().expect("it ends").code();
            assert_eq!(code, Some(42), "{check} did not find the fault {fault}");
        }
    }
}

#[test]
fn every_check_has_a_fault() {
    for check in names() {
        let covered = NEED_A_SERVER.contains(&check) || FAULTS.iter().any(|(name, _)| *name == check);
        assert!(covered, "{check} was never seen to fail");
    }
}
