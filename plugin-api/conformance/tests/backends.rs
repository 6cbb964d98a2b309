//! The backends of this repository keep the contract.

mod support;

use regent_dcs_conformance::{Options, Status, names, run};
use std::time::Duration;
use support::{etcd::Etcd, library, options};

fn keeps_the_contract(options: &Options, skipped: &[&str]) {
    let report = run(options).expect("the kit runs");
    assert_eq!(report.outcomes.len(), names().len());
    for outcome in &report.outcomes {
        let expected = if skipped.contains(&outcome.check) { Status::Skip } else { Status::Ok };
        assert_eq!(outcome.status, expected, "{}: {} in {report:#?}", outcome.check, outcome.detail);
    }
}

#[test]
fn the_local_backend_keeps_the_contract() {
    let options = options("local", "{\"path\": \"{dir}/store.db\"}", Duration::from_secs(1));
    keeps_the_contract(&options, &["server-loss", "budget", "unknown-outcome", "slow-server", "half-open"]);
}

#[test]
fn the_etcd3_backend_keeps_the_contract() {
    let etcd = Etcd::start();
    // A proxy is not asked for members, which would lead around it (ETCD-03).
    let mut options = options("etcd3", "{\"hosts\": [\"{proxy}\"], \"use_proxies\": true}", Duration::from_secs(2));
    options.upstream = Some(etcd.address());
    keeps_the_contract(&options, &[]);
}

#[test]
fn a_soak_runs_the_checks_again_and_again() {
    let mut options = options("local", "{\"path\": \"{dir}/store.db\"}", Duration::from_secs(1));
    options.only = vec!["cas".to_owned()];
    options.soak = Duration::from_secs(1);
    let report = run(&options).expect("the kit runs");
    assert!(report.passed() && report.outcomes.len() == 1, "{report:#?}");
    assert!(report.rounds > 1, "{report:#?}");
}

#[test]
fn what_is_no_check_or_no_plugin_is_refused() {
    let mut options = options("local", "{}", Duration::from_secs(1));
    options.only = vec!["nothing".to_owned()];
    assert_eq!(run(&options).expect_err("no such check").to_string(), "there is no check \"nothing\"");
    options.only.clear();
    options.plugin = library("local").with_extension("missing");
    assert!(run(&options).is_err());
}
