//! A standby cluster: another cluster's copy, until it is told to be a cluster of its own.

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, ClusterState, Node, wait};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// Where a node's server can be followed, through a slot; and a slot for whoever follows this cluster in turn.
fn remote(node: &Node) -> Value {
    let remote = json!({"host": "127.0.0.1", "port": node.layout.pg_port, "primary_slot_name": "site"});
    json!({"standby_cluster": remote, "slots": {"site": {"type": "physical"}}})
}

async fn write(node: &Node, text: &str) -> Result<()> {
    node.sql(&format!("CREATE TABLE IF NOT EXISTS said (text text); INSERT INTO said VALUES ('{text}')"))
        .await
        .map(drop)
}

async fn wait_written(node: &Node, text: &str) -> Result<()> {
    let statement = format!("SELECT count(*) FROM said WHERE text = '{text}'");
    wait::until(&format!("{text:?} on {}", node.name), SOON, async || match node.sql_value(&statement).await {
        Ok(count) if count == "1" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

async fn wait_standby_leader(cluster: &Cluster) -> Result<&Node> {
    let leads = |state: &ClusterState| {
        let leader = state.leader().and_then(|name| state.member(name));
        leader.is_some_and(|leader| leader["role"] == "standby_leader" && leader["state"] == "streaming")
    };
    let state = cluster.wait_for("a standby leader", SOON, leads).await?;
    Ok(cluster.node(state.leader().context("it was just there")?))
}

/// SB-01, SB-06, SB-07, API-10, HA-58: a cluster is copied, the copy made a cluster of its own, and the first cluster
/// made the copy of that.
#[tokio::test]
async fn a_cluster_follows_another_until_it_is_promoted() -> Result<()> {
    let slots = json!({"slots": {"site": {"type": "physical"}}});
    let east = Cluster::builder("east").nodes(1).dynamic(slots).start().await?;
    let first = east.wait_leader(SOON).await?;
    write(first, "before").await?;

    let west = Cluster::builder("west").nodes(2).dynamic(remote(first)).start().await?;
    let second = wait_standby_leader(&west).await?;
    west.wait_for("a replica that streams", SOON, |state| state.streaming() == 2).await?;
    for (path, expected) in [("/standby-leader", 200), ("/leader", 200), ("/primary", 503), ("/replica", 503)] {
        ensure!(second.health(path).await == Some(expected), "{path} of a standby leader");
    }
    let other = west.others(&second.name).next().context("there are two")?;
    ensure!(other.health("/replica").await == Some(200) && other.health("/standby-leader").await == Some(503));
    let state = west.state().await;
    ensure!(state.status(&second.name, "role") == Some(&json!("standby_leader")), "{state}");
    write(first, "while copied").await?;
    wait_written(other, "while copied").await?;
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'site' AND active";
    ensure!(first.sql_value(slots).await? == "1", "the standby leader uses the slot that was named");

    west.patch_config(json!({"standby_cluster": null})).await?;
    let second = west.wait_healthy(SOON).await?;
    write(second, "promoted").await?;
    write(first, "of another history").await?;

    east.patch_config(remote(second)).await?;
    let first = wait_standby_leader(&east).await?;
    wait_written(first, "promoted").await?;
    let strange = first.sql_value("SELECT count(*) FROM said WHERE text = 'of another history'").await?;
    ensure!(strange == "0", "what only the demoted cluster had is gone");
    west.finish().await?;
    east.finish().await
}
