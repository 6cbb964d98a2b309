//! The backend for Consul keeps the contract, against a real agent.

#[path = "../../../plugins/consul/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the backend's own tests")]
mod server;
mod support;

use server::Agent;
use std::time::Duration;
use support::{keeps_the_contract, keeps_the_contract_on_what_is_left, options};

/// CONS-01, CONS-02, CONS-10, CONS-12.
#[test]
fn the_consul_backend_keeps_the_contract() {
    let Some(agent) = Agent::start(1) else { return };
    let mut options = options("consul", "{\"host\": \"{proxy}\"}", Duration::from_secs(2));
    options.upstream = Some(agent.address());
    keeps_the_contract("consul", &options, &[]);
}

/// CONS-01, CONS-10. Without the proxy, which stands for one server; what is lost is the leader.
#[test]
fn the_consul_backend_keeps_the_contract_when_a_server_is_lost() {
    let Some(mut agents) = Agent::cluster(3) else { return };
    let leads = agents.iter().position(Agent::leads).expect("one leads");
    let gone = agents.remove(leads).rpc();
    agents.iter().for_each(|agent| agent.wait_without(gone));
    let config = format!("{{\"host\": \"{}\"}}", agents[0].address());
    keeps_the_contract_on_what_is_left("consul", options("consul", &config, Duration::from_secs(2)), &[]);
}
