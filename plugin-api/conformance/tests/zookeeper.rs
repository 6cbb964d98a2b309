//! The backend for ZooKeeper keeps the contract, against a real server.

#[path = "../../../plugins/zookeeper/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the backend's own tests")]
mod server;
mod support;

use server::Server;
use std::time::Duration;
use support::{keeps_the_contract, keeps_the_contract_on_what_is_left, options};

/// ZK-01.
#[test]
fn the_zookeeper_backend_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    let mut options = options("zookeeper", "{\"hosts\": [\"{proxy}\"]}", Duration::from_secs(2));
    options.upstream = Some(server.address());
    keeps_the_contract("zookeeper", &options, &[]);
}

/// ZK-01. Without the proxy, which stands for one server; what is lost is the ensemble's leader.
#[test]
fn the_zookeeper_backend_keeps_the_contract_when_a_server_is_lost() {
    let Some(mut servers) = Server::ensemble(3) else { return };
    let leads = servers.iter().position(|server| server.mode().as_deref() == Some("leader")).expect("one leads");
    let hosts: Vec<_> = servers.iter().map(Server::address).collect();
    drop(servers.remove(leads));
    for _ in 0..2400 {
        if servers.iter().any(|server| server.mode().as_deref() == Some("leader")) {
            break;
        }
        server::pause();
    }
    servers.iter().for_each(Server::wait);
    let options = options("zookeeper", &format!("{{\"hosts\": {hosts:?}}}"), Duration::from_secs(2));
    keeps_the_contract_on_what_is_left("zookeeper", options, &[]);
}
