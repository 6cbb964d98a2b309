//! A cluster on etcd's older API: it is made, loses its leader, and its keys are where others look for them.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use regent_harness::{Cluster, Dcs, Node, Prober, http};
use serde_json::{Value, json};
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
