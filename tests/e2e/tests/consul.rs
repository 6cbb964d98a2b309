//! A cluster on Consul: it is made, hands over under writes, and its keys and services are where others look for them.
#![allow(clippy::print_stderr, reason = "a test that could not run says so")]

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, Consul, Dcs, Prober};
use serde_json::Value;
use std::time::Duration;

/// CONS-01, CONS-08, CONS-10.
#[tokio::test]
async fn a_cluster_on_consul_hands_over() -> Result<()> {
    if Consul::program().is_none() {
        eprintln!("SKIPPED: there is no Consul on this machine: tests/setup.sh says how to get it");
        return Ok(());
    }
    let cluster = Cluster::builder("agency").dcs(Dcs::Consul).nodes(2).start().await?;
    let first = cluster.wait_healthy(Duration::from_secs(120)).await?.name.clone();
    let prober = Prober::start(&cluster).await?;
    let second = cluster.others(&first).next().map(|node| node.name.clone()).unwrap_or_default();
    let answer = cluster.switchover(Some(&second)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
    ensure!(leader.name == second);
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;

    let consul = cluster.consul().context("it is on Consul")?;
    let keys: Vec<String> = serde_json::from_str(&consul.get("/v1/kv/service/agency/?keys").await?)?;
    for key in ["config", "history", "initialize", "leader", "status"] {
        ensure!(keys.contains(&format!("service/agency/{key}")), "{key} in {keys:?}");
    }
    let members: Vec<_> = keys.iter().filter(|key| key.starts_with("service/agency/members/")).collect();
    ensure!(members.len() == 2, "{keys:?}");
    let services: Vec<Value> = serde_json::from_str(&consul.get("/v1/catalog/service/agency").await?)?;
    ensure!(services.len() == 2, "{services:?}");
    cluster.finish().await
}
