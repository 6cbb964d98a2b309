//! The backend for Kubernetes keeps the contract, against a real API server.

#[path = "../../../plugins/kubernetes/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the backend's own tests")]
mod server;
mod support;

use regent_dcs_conformance::Prepare;
use server::{ApiServer, MEMBER};
use std::sync::Arc;
use std::time::Duration;
use support::{keeps_the_contract, options};

fn check(name: &str, use_endpoints: bool, skip: &[&str]) {
    let Some(server) = ApiServer::start() else { return };
    let server = Arc::new(server);
    let section = serde_json::json!({
        "labels": {"application": "db"}, "namespace": "{scope}", "use_endpoints": use_endpoints,
        "kubeconfig": server.kubeconfig(MEMBER), "api_server": "https://{proxy}",
    });
    let mut options = options("kubernetes", &section.to_string(), Duration::from_secs(2));
    options.upstream = Some(server.address());
    options.skip = skip.iter().map(|check| (*check).to_owned()).collect();
    let pods = Arc::clone(&server);
    options.prepare = Some(Prepare::by(move |scope, member| pods.make_pod(scope, scope, member)));
    keeps_the_contract(name, &options, &[]);
}

/// K8S-01, K8S-06.
#[test]
fn the_kubernetes_backend_keeps_the_contract_in_configmaps() {
    check("kubernetes, ConfigMaps", false, &[]);
}

/// K8S-01, K8S-02.
#[test]
fn the_kubernetes_backend_keeps_the_contract_in_endpoints() {
    // Objects are opened and closed alike.
    check("kubernetes, Endpoints", true, &["leaks"]);
}
