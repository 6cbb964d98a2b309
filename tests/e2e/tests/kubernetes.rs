//! A cluster on Kubernetes: it loses its primary under writes, the service leads to the next one, and a right that is
//! taken away is told.

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, Dcs, Kubernetes, Prober};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(120);

/// Where the primary's service leads: the members' names and addresses.
fn behind(endpoints: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let addresses = list(&endpoints["subsets"]).into_iter().flat_map(|subset| list(&subset["addresses"]));
    addresses.map(|address| (text(&address["hostname"]), text(&address["ip"]))).collect()
}

/// K8S-01, K8S-02, K8S-03, K8S-04, K8S-05: with the rights of our manifest.
#[tokio::test]
async fn a_cluster_on_kubernetes_survives_its_primary() -> Result<()> {
    if !Kubernetes::is_built() {
        return Ok(());
    }
    let quick = json!({"ttl": 8, "loop_wait": 1, "retry_timeout": 2, "allow_short_ttl": true});
    let cluster = Cluster::builder("pods").dcs(Dcs::Kubernetes).nodes(2).dynamic(quick).start().await?;
    let first = cluster.wait_healthy(SOON).await?.name.clone();
    let kubernetes = cluster.kubernetes().context("it is on Kubernetes")?;
    let prober = Prober::start(&cluster).await?;
    cluster.node(&first).kill_node()?;
    let second = cluster.wait_leader_other_than(&first, SOON).await?;
    let place = second.layout.index;
    let service = kubernetes.get("endpoints/pods").await?;
    ensure!(behind(&service) == [(second.name.clone(), Kubernetes::pod_ip(place))], "{service}");
    ensure!(service["metadata"]["annotations"]["leader"] == second.name.as_str(), "{service}");
    cluster.node(&first).start()?;
    cluster.wait_healthy(SOON).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;

    for (node, role) in [(&second.name, "primary"), (&first, "replica")] {
        let pod = kubernetes.get(&format!("pods/{node}")).await?;
        ensure!(pod["metadata"]["labels"]["role"] == role, "{pod}");
        ensure!(pod["metadata"]["annotations"]["status"].is_string(), "{pod}");
    }
    let keys = kubernetes.get("endpoints/pods-config").await?;
    for key in ["config", "initialize", "history"] {
        ensure!(keys["metadata"]["annotations"][key].is_string(), "{key} in {keys}");
    }
    ensure!(kubernetes.get("services/pods-config").await?["spec"]["clusterIP"] == "None");
    kubernetes.take_rights_away().await?;
    second.wait_log("kubernetes: Permission denied: ", SOON).await?;
    cluster.finish().await
}
