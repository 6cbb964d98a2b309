//! The backends of this repository keep the contract.

mod support;

use regent_dcs_conformance::run;
use std::time::Duration;
use support::{etcd::Etcd, keeps_the_contract, keeps_the_contract_on_what_is_left, library, options};

#[test]
fn the_local_backend_keeps_the_contract() {
    let options = options("local", "{\"path\": \"{dir}/store.db\"}", Duration::from_secs(1));
    keeps_the_contract("local", &options, &["server-loss", "budget", "unknown-outcome", "slow-server", "half-open"]);
}

/// ETCD3-01
#[test]
fn the_etcd3_backend_keeps_the_contract() {
    let etcd = Etcd::start();
    // A proxy is not asked for members, which would lead around it (ETCD-03).
    let mut options = options("etcd3", "{\"hosts\": [\"{proxy}\"], \"use_proxies\": true}", Duration::from_secs(2));
    options.upstream = Some(etcd.address());
    keeps_the_contract("etcd3", &options, &[]);
}

/// ETCD-01, ETCD-06
#[test]
fn the_etcd_backend_keeps_the_contract() {
    let etcd = Etcd::start();
    let mut options = options("etcd", "{\"hosts\": [\"{proxy}\"], \"use_proxies\": true}", Duration::from_secs(2));
    options.upstream = Some(etcd.address());
    // The API has no transactions.
    keeps_the_contract("etcd", &options, &["snapshot-consistency"]);
}

/// Without the proxy, which stands for one server.
fn on_an_ensemble_that_lost_one(backend: &str, more: &[&str]) {
    let mut servers = Etcd::ensemble(3);
    servers[1].kill();
    servers[0].wait();
    servers[2].wait();
    let hosts: Vec<_> = servers.iter().map(Etcd::address).collect();
    // etcd grants no shorter lease than one and a half of its elections.
    let options = options(backend, &format!("{{\"hosts\": {hosts:?}}}"), Duration::from_secs(3));
    keeps_the_contract_on_what_is_left(backend, options, more);
}

/// ETCD-02, ETCD-07
#[test]
fn the_etcd_backend_keeps_the_contract_when_a_server_is_lost() {
    on_an_ensemble_that_lost_one("etcd", &["snapshot-consistency"]);
}

#[test]
fn the_etcd3_backend_keeps_the_contract_when_a_server_is_lost() {
    on_an_ensemble_that_lost_one("etcd3", &[]);
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
