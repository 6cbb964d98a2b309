//! The backend for Consul keeps the contract, against a real agent.

#[path = "../../../plugins/consul/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the backend's own tests")]
mod server;
mod support;

use server::Agent;
use std::time::Duration;
use support::{keeps_the_contract, options};

/// CONS-01, CONS-02, CONS-10, CONS-12.
#[test]
fn the_consul_backend_keeps_the_contract() {
    let Some(agent) = Agent::start(1) else { return };
    let mut options = options("consul", "{\"host\": \"{proxy}\"}", Duration::from_secs(2));
    options.upstream = Some(agent.address());
    keeps_the_contract("consul", &options, &[]);
}
