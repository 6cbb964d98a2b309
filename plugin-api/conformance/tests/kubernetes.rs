//! The backend for Kubernetes keeps the contract, against a real API server.

#[path = "../../../plugins/kubernetes/tests/support/server.rs"]
#[allow(dead_code, reason = "its other half is for the backend's own tests")]
mod server;
mod support;

use regent_dcs_conformance::{Prepare, Status, names, run};
use server::{ApiServer, MEMBER};
use std::sync::Arc;
use std::time::Duration;
use support::options;

fn check(use_endpoints: bool) {
    let Some(server) = ApiServer::start() else { return };
    let server = Arc::new(server);
    let section = serde_json::json!({
        "labels": {"application": "db"}, "namespace": "{scope}", "use_endpoints": use_endpoints,
        "kubeconfig": server.kubeconfig(MEMBER), "api_server": "https://{proxy}",
    });
    let mut options = options("kubernetes", &section.to_string(), Duration::from_secs(2));
    options.upstream = Some(server.address());
    let pods = Arc::clone(&server);
    options.prepare = Some(Prepare::by(move |scope, member| pods.make_pod(scope, scope, member)));
    let report = run(&options).expect("the kit runs");
    assert_eq!(report.outcomes.len(), names().len());
    for outcome in &report.outcomes {
        assert_eq!(outcome.status, Status::Ok, "{}: {} in {report:#?}", outcome.check, outcome.detail);
    }
}

/// K8S-01, K8S-06.
#[test]
fn the_kubernetes_backend_keeps_the_contract_in_configmaps() {
    check(false);
}

/// K8S-01, K8S-02.
#[test]
fn the_kubernetes_backend_keeps_the_contract_in_endpoints() {
    check(true);
}
