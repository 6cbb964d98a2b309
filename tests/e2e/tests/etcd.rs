//! A cluster on etcd's older API: it is made, loses its leader, and its keys are where others look for them;
//! one of Patroni's nodes shares another.
#![allow(clippy::print_stderr, reason = "a test that could not run says so")]

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use regent_harness::{Cluster, Dcs, Node, Prober, http, peer};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// ETCD-01, ETCD-14: the client is our own, of whatever version; the section can be changed while it runs.
#[tokio::test]
async fn a_cluster_on_etcd_v2_replaces_its_leader() -> Result<()> {
    let cluster = Cluster::builder("older").dcs(Dcs::Etcd).nodes(2);
    let cluster = cluster.dynamic(json!({ "allow_short_ttl": true, "ttl": 8, "loop_wait": 1, "retry_timeout": 2 }));
    let cluster = cluster.start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    a_reload_reaches_the_backend(leader).await?;
    leader.kill_node()?;
    let next = cluster.wait_leader_other_than(&leader.name, Duration::from_secs(60)).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    ensure!(report.first_ack_of(&next.name, Duration::ZERO).is_some(), "the new leader took no write");

    let etcd = cluster.etcd().context("it is on etcd")?;
    let path = "/v2/keys/service/older/?recursive=true";
    let answer = http::request(etcd.port(), "GET", path, None, Duration::from_secs(10)).await?;
    let answer: Value = serde_json::from_str(&answer.body)?;
    let nodes = answer["node"]["nodes"].as_array().context("there are keys")?;
    let find = |name: &str| nodes.iter().find(|node| node["key"] == format!("/service/older/{name}"));
    let lock = find("leader").context("the lock")?;
    ensure!(lock["value"] == next.name.as_str() && lock["ttl"].as_i64().is_some_and(|ttl| ttl <= 8), "{lock}");
    ensure!(find("members").is_some_and(|members| members["nodes"].as_array().is_some_and(|them| them.len() == 2)));
    for name in ["config", "history", "initialize", "status"] {
        ensure!(find(name).is_some_and(|node| node["ttl"] == json!(null)), "{name} in {answer}");
    }
    cluster.finish().await
}

/// ETCD-01: one of Patroni's nodes beside one of ours leads, hands back, and its patronictl sees both.
#[tokio::test]
async fn a_patroni_node_shares_the_cluster_on_etcd_v2() -> Result<()> {
    if !has_a_peer() {
        return Ok(());
    }
    let cluster = Cluster::builder("elder").peers(&[1]).dcs(Dcs::Etcd).nodes(2).prepare().await?;
    let [ours, theirs] = &cluster.nodes[..] else { anyhow::bail!("two nodes") };
    ours.start()?;
    cluster.wait_leader(Duration::from_secs(120)).await?;
    theirs.start()?;
    cluster.wait_healthy(Duration::from_secs(120)).await?;
    let prober = Prober::start(&cluster).await?;
    for to in [&theirs.name, &ours.name] {
        let answer = cluster.switchover(Some(to)).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let leader = cluster.wait_healthy(Duration::from_secs(120)).await?;
        ensure!(leader.name == *to, "{} leads instead of {to}", leader.name);
    }
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;
    let listed = cluster.patronictl(&["list"]).await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains(&ours.name) && listed.contains(&theirs.name), "{listed}");
    cluster.finish().await
}

/// Says why, where there is no Patroni that knows the older API.
fn has_a_peer() -> bool {
    let packages = |place: &Path| -> Vec<_> {
        let versions = std::fs::read_dir(place.join("lib")).into_iter().flatten().flatten();
        versions.map(|entry| entry.path().join("site-packages/etcd")).collect()
    };
    let found = peer::installed().is_ok_and(|place| packages(&place).iter().any(|package| package.is_dir()));
    if !found {
        eprintln!("SKIPPED: there is no Patroni that knows etcd's older API: tests/setup.sh --peers installs it");
    }
    found
}

/// What the section says of the servers changes while the daemon leads; what makes no sense changes nothing.
async fn a_reload_reaches_the_backend(node: &Node) -> Result<()> {
    let tell = |change: &dyn Fn(&mut Value)| {
        node.edit_config(|yaml| change(&mut yaml["etcd"]))?;
        node.signal(Signal::SIGHUP)
    };
    let patience = Duration::from_secs(60);
    tell(&|section| {
        let named = section["hosts"][0].as_str().unwrap_or_default().replace("127.0.0.1", "localhost");
        section["hosts"] = json!([named]);
    })?;
    node.wait_log("the section of the store is in force as it is now", patience).await?;
    tell(&|section| section["protocol"] = json!("ftp"))?;
    node.wait_log("the changed section of the store is refused, the old one stays: ", patience).await?;
    tell(&|section| section["protocol"] = json!("http"))
}
