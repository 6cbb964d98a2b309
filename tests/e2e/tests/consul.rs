//! A cluster on Consul: it is made, hands over under writes, and its keys and services are where others look for them.
#![allow(clippy::print_stderr, reason = "a test that could not run says so")]

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, Consul, Dcs, Node, Prober, peer};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Says why, where there is no Consul.
fn is_installed() -> bool {
    let found = Consul::program().is_some();
    if !found {
        eprintln!("SKIPPED: there is no Consul on this machine: tests/setup.sh says how to get it");
    }
    found
}

/// The same for a Patroni that knows Consul.
fn has_a_peer() -> bool {
    let packages = |place: &Path| -> Vec<_> {
        let versions = std::fs::read_dir(place.join("lib")).into_iter().flatten().flatten();
        versions.map(|entry| entry.path().join("site-packages/consul")).collect()
    };
    let found = peer::installed().is_ok_and(|place| packages(&place).iter().any(|package| package.is_dir()));
    if !found {
        eprintln!("SKIPPED: there is no Patroni that knows Consul: tests/setup.sh --peers installs it");
    }
    found
}

async fn switch(cluster: &Cluster, to: &str) -> Result<()> {
    let answer = cluster.switchover(Some(to)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
    ensure!(leader.name == to, "{} leads instead of {to}", leader.name);
    Ok(())
}

/// The node of a service's entry, and its tags.
async fn catalogue(consul: &Consul, scope: &str) -> Result<Vec<(String, Vec<String>)>> {
    let entries: Vec<Value> = serde_json::from_str(&consul.get(&format!("/v1/catalog/service/{scope}")).await?)?;
    let entry = |entry: &Value| -> Result<_> {
        Ok((serde_json::from_value(entry["ServiceID"].clone())?, serde_json::from_value(entry["ServiceTags"].clone())?))
    };
    let mut entries = entries.iter().map(entry).collect::<Result<Vec<(String, Vec<String>)>>>()?;
    entries.sort();
    Ok(entries)
}

/// CONS-01, CONS-08, CONS-10.
#[tokio::test]
async fn a_cluster_on_consul_hands_over() -> Result<()> {
    if !is_installed() {
        return Ok(());
    }
    let cluster = Cluster::builder("agency").dcs(Dcs::Consul).nodes(2).start().await?;
    let first = cluster.wait_healthy(Duration::from_secs(120)).await?.name.clone();
    let prober = Prober::start(&cluster).await?;
    let second = cluster.others(&first).next().map(|node| node.name.clone()).unwrap_or_default();
    switch(&cluster, &second).await?;
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
    let services = catalogue(consul, "agency").await?;
    ensure!(services.len() == 2, "{services:?}");
    cluster.finish().await
}

/// CONS-01, CONS-08: one of Patroni's nodes beside one of ours leads, hands back, and both are in the catalogue alike.
#[tokio::test]
async fn a_patroni_node_shares_the_cluster() -> Result<()> {
    if !is_installed() || !has_a_peer() {
        return Ok(());
    }
    let cluster = Cluster::builder("bureau").peers(&[1]).dcs(Dcs::Consul).nodes(2).prepare().await?;
    let [ours, theirs] = &cluster.nodes[..] else { anyhow::bail!("two nodes") };
    Node::start(ours)?;
    cluster.wait_leader(Duration::from_secs(120)).await?;
    theirs.start()?;
    cluster.wait_healthy(Duration::from_secs(120)).await?;
    let prober = Prober::start(&cluster).await?;
    switch(&cluster, &theirs.name).await?;
    switch(&cluster, &ours.name).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;
    let listed = cluster.patronictl(&["list"]).await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains(&ours.name) && listed.contains(&theirs.name), "{listed}");

    let consul = cluster.consul().context("it is on Consul")?;
    let expected = [(&ours.name, vec!["primary", "master"]), (&theirs.name, vec!["replica"])];
    let expected =
        expected.map(|(name, tags)| (format!("bureau/{name}"), tags.into_iter().map(str::to_owned).collect()));
    let mut found = Vec::new();
    for _ in 0..120 {
        found = catalogue(consul, "bureau").await?;
        if found == expected {
            return cluster.finish().await;
        }
        rest().await;
    }
    anyhow::bail!("{found:?}, not {expected:?}")
}

#[allow(clippy::disallowed_methods, reason = "polls with a deadline")]
async fn rest() {
    // pace: the next look
    tokio::time::sleep(Duration::from_millis(500)).await;
}
