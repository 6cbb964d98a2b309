//! Real Patroni nodes share a cluster with ours: they follow, lead, die and come back, and so do we beside them.

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, ClusterState, Node, Prober, peer};
use serde_json::json;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(20);

/// Says why, where the peer is not installed.
#[allow(clippy::print_stderr, reason = "a test that was skipped says so")]
fn is_installed() -> bool {
    peer::installed().inspect_err(|why| eprintln!("skipped: {why}")).is_ok()
}

/// Whoever is first bootstraps; the others clone from it.
async fn start_the_first_alone(cluster: &Cluster) -> Result<()> {
    cluster.nodes[0].start()?;
    cluster.wait_leader(Duration::from_secs(60)).await?;
    cluster.nodes[1..].iter().try_for_each(Node::start)
}

async fn switch(cluster: &Cluster, to: &str) -> Result<()> {
    let answer = cluster.switchover(Some(to)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
    ensure!(leader.name == to, "{} leads instead of {to}", leader.name);
    Ok(())
}

/// The stranger among the others is promoted by a switchover, dies, is failed over, comes back, and hands back.
async fn a_stranger_lives_with_the_others(cluster: &Cluster, stranger: &Node) -> Result<()> {
    let first = cluster.wait_healthy(Duration::from_secs(120)).await?;
    ensure!(first.name != stranger.name, "the first node bootstraps");
    let prober = Prober::start(cluster).await?;
    switch(cluster, &stranger.name).await?;
    prober.wait_acknowledged(Duration::from_secs(10)).await?;

    stranger.kill_node()?;
    let next = cluster.wait_leader_other_than(&stranger.name, TTL + Duration::from_secs(30)).await?;
    prober.wait_acknowledged(Duration::from_secs(10)).await?;
    stranger.start()?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;

    switch(cluster, &stranger.name).await?;
    switch(cluster, &next.name).await?;
    let on_five = |state: &ClusterState| state.timeline(&next.name) == Some(5);
    cluster.wait_for("timeline 5 everywhere", Duration::from_secs(30), on_five).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    let history = next.rest("GET", "/history", None).await?.json()?;
    ensure!(history.as_array().is_some_and(|rows| rows.len() == 4), "{history}");
    Ok(())
}

/// One Patroni node among two of ours: clones from ours, follows, leads, dies, rejoins.
#[tokio::test]
async fn a_patroni_node_among_two_of_ours() -> Result<()> {
    if !is_installed() {
        return Ok(());
    }
    let cluster = Cluster::builder("guest").peers(&[2]).prepare().await?;
    start_the_first_alone(&cluster).await?;
    a_stranger_lives_with_the_others(&cluster, &cluster.nodes[2]).await?;
    cluster.finish().await
}

/// One of ours among two Patroni nodes, in a cluster that Patroni bootstrapped.
#[tokio::test]
async fn one_of_our_nodes_among_two_of_patroni() -> Result<()> {
    if !is_installed() {
        return Ok(());
    }
    let cluster = Cluster::builder("visit").peers(&[0, 1]).prepare().await?;
    start_the_first_alone(&cluster).await?;
    a_stranger_lives_with_the_others(&cluster, &cluster.nodes[2]).await?;
    cluster.finish().await
}

/// SYNC: the same in synchronous mode, where besides no acknowledged write is lost with its leader.
#[tokio::test]
async fn one_of_our_nodes_among_two_of_patroni_in_synchronous_mode() -> Result<()> {
    in_synchronous_mode("visit", &[0, 1]).await
}

/// The same the other way round.
#[tokio::test]
async fn a_patroni_node_among_two_of_ours_in_synchronous_mode() -> Result<()> {
    in_synchronous_mode("guest", &[2]).await
}

async fn in_synchronous_mode(name: &str, peers: &[usize]) -> Result<()> {
    if !is_installed() {
        return Ok(());
    }
    let builder = Cluster::builder(name).peers(peers).dynamic(json!({"synchronous_mode": true}));
    let cluster = builder.prepare().await?;
    start_the_first_alone(&cluster).await?;
    let (first, standby) = wait_synchronous(&cluster, None).await?;
    let prober = Prober::start(&cluster).await?;
    switch(&cluster, &standby).await?;
    wait_synchronous(&cluster, Some(&first)).await?;
    cluster.node(&standby).kill_node()?;
    let next = cluster.wait_leader_other_than(&standby, TTL + Duration::from_secs(30)).await?.name.clone();
    cluster.node(&standby).start()?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    let (leader, again) = wait_synchronous(&cluster, Some(&standby)).await?;
    ensure!(leader == next, "{leader} leads instead of {next}");
    switch(&cluster, &again).await?;
    wait_synchronous(&cluster, Some(&next)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// Waits for a leader, other than the one named, that has a synchronous standby; gives both names.
async fn wait_synchronous(cluster: &Cluster, not: Option<&str>) -> Result<(String, String)> {
    let found = |state: &ClusterState| {
        let leader = state.leader().filter(|leader| Some(*leader) != not)?;
        let standby = state.members().iter().find(|member| member["role"] == "sync_standby")?["name"].as_str()?;
        Some((leader.to_owned(), standby.to_owned()))
    };
    let ready = |state: &ClusterState| found(state).is_some() && state.streaming() == cluster.nodes.len() - 1;
    let state = cluster.wait_for("a synchronous standby", Duration::from_secs(90), ready).await?;
    found(&state).context("it was there a moment ago")
}

/// CTL: the peer's own patronictl works on a cluster of ours.
#[tokio::test]
async fn the_real_patronictl_operates_a_cluster_of_ours() -> Result<()> {
    if !is_installed() {
        return Ok(());
    }
    let cluster = Cluster::builder("theirs").on_etcd_with_peer_tools().start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?.name.clone();
    let other = cluster.others(&leader).next().map(|node| node.name.clone()).unwrap_or_default();
    let table = run(&cluster, &["list"]).await?;
    ensure!(table.contains("| Leader ") && table.matches("| Replica ").count() == 2, "{table}");
    ensure!(table.matches("streaming").count() == 2, "{table}");

    let said = run(&cluster, &["switchover", "theirs", "--leader", &leader, "--candidate", &other, "--force"]).await?;
    ensure!(said.contains(&format!("Successfully switched over to \"{other}\"")), "{said}");
    cluster.wait_healthy(Duration::from_secs(40)).await?;

    let said = run(&cluster, &["restart", "theirs", &leader, "--force"]).await?;
    ensure!(said.contains(&format!("Success: restart on member {leader}")), "{said}");
    cluster.wait_healthy(Duration::from_secs(40)).await?;
    let said = run(&cluster, &["reinit", "theirs", &leader, "--force", "--wait"]).await?;
    ensure!(said.contains(&format!("Success: reinitialize for member {leader}")), "{said}");
    cluster.wait_healthy(Duration::from_secs(60)).await?;

    let said = run(&cluster, &["pause", "theirs", "--wait"]).await?;
    ensure!(said.contains("cluster management is paused"), "{said}");
    let table = run(&cluster, &["list"]).await?;
    ensure!(table.contains("Maintenance mode: on"), "{table}");
    let said = run(&cluster, &["resume", "theirs", "--wait"]).await?;
    ensure!(said.contains("cluster management is resumed"), "{said}");

    let said = run(&cluster, &["edit-config", "theirs", "--force", "-s", "maximum_lag_on_failover=2097152"]).await?;
    ensure!(said.contains("Configuration changed"), "{said}");
    let shown = run(&cluster, &["show-config", "theirs"]).await?;
    ensure!(shown.contains("maximum_lag_on_failover: 2097152"), "{shown}");
    let config = cluster.rest(&other, "GET", "/config", None).await?.json()?;
    ensure!(config["maximum_lag_on_failover"] == json!(2_097_152), "{config}");

    let said = run(&cluster, &["failover", "theirs", "--candidate", &leader, "--force"]).await?;
    ensure!(said.contains(&format!("Successfully failed over to \"{leader}\"")), "{said}");
    cluster.wait_healthy(Duration::from_secs(40)).await?;
    let history = run(&cluster, &["history", "theirs"]).await?;
    ensure!(history.contains("no recovery target specified"), "{history}");
    cluster.finish().await
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.patronictl(arguments).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "patronictl {}: {text}{errors}", arguments.join(" "));
    Ok(text)
}
