//! The kit can fail: an unbroken backend passes every check, and each fault makes its check fail.

mod support;

use regent_dcs_conformance::{Report, Status, names, run};
use regent_dcs_mutants::Server;
use std::process::Command;
use std::time::Duration;
use support::options;

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
    ("frozen-holder", "takes-back"),
    ("leaks", "leaves-files"),
    ("leaks", "leaves-memory"),
    ("side-effects", "changes-folder"),
    ("server-loss", "lost-without-server"),
    ("server-loss", "keeps-dead-connections"),
    ("budget", "ignores-budget"),
    ("unknown-outcome", "surely-not"),
    ("slow-server", "impatient"),
    ("half-open", "keeps-dead-connections"),
];

fn try_fault(fault: &str, only: &[&str]) -> Report {
    let server = Server::start().expect("the server starts");
    let config = format!("{{\"server\": \"{{proxy}}\", \"fault\": \"{fault}\"}}");
    let mut options = options("mutants", &config, Duration::from_secs(1));
    options.upstream = Some(server.address().to_owned());
    options.only = only.iter().map(|name| (*name).to_owned()).collect();
    run(&options).expect("the kit runs")
}

#[test]
fn an_unbroken_backend_passes_every_check() {
    let report = try_fault("none", &[]);
    assert_eq!(report.outcomes.len(), names().len());
    assert!(report.outcomes.iter().all(|outcome| outcome.status == Status::Ok), "{report:#?}");
}

/// Each fault has a process of its own: some of them spoil it.
#[test]
fn each_fault_makes_its_check_fail() {
    if let (Ok(fault), Ok(check)) = (std::env::var("REGENT_MUTANT"), std::env::var("REGENT_CHECK")) {
        let report = try_fault(&fault, &[&check]);
        std::process::exit(if report.outcomes[0].status == Status::Fail { 42 } else { 0 });
    }
    let this = std::env::current_exe().expect("a test has an executable");
    for some in FAULTS.chunks(6) {
        let start = |(check, fault): &(&'static str, &'static str)| {
            let mut command = Command::new(&this);
            command.args(["--exact", "each_fault_makes_its_check_fail"]).env("REGENT_MUTANT", fault);
            command.env("REGENT_CHECK", check).stdout(std::process::Stdio::null());
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
        assert!(FAULTS.iter().any(|(name, _)| *name == check), "{check} was never seen to fail");
    }
}
