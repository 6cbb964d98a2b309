//! The backend for ZooKeeper keeps the contract, against a real server.

#[path = "../../../plugins/zookeeper/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the backend's own tests")]
mod server;
mod support;

use regent_dcs_conformance::{Status, names, run};
use server::Server;
use std::time::Duration;
use support::options;

/// ZK-01.
#[test]
fn the_zookeeper_backend_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    let mut options = options("zookeeper", "{\"hosts\": [\"{proxy}\"]}", Duration::from_secs(2));
    options.upstream = Some(server.address());
    let report = run(&options).expect("the kit runs");
    assert_eq!(report.outcomes.len(), names().len());
    for outcome in &report.outcomes {
        assert_eq!(outcome.status, Status::Ok, "{}: {} in {report:#?}", outcome.check, outcome.detail);
    }
}
