//! Clusters on ZooKeeper: one loses its primary under writes, and one is shared with a node of Patroni's and its
//! patronictl, our own node learning of the servers from Exhibitor's stand-in.
#![allow(clippy::print_stderr, reason = "a test that could not run says so")]

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, Dcs, Exhibitor, Node, Prober, ZooKeeper, peer, wait};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(120);

/// Says why, where there is no ZooKeeper.
fn is_installed() -> bool {
    let found = ZooKeeper::archive().is_some();
    if !found {
        eprintln!("SKIPPED: there is no ZooKeeper on this machine, or no Java: tests/setup.sh says how to get them");
    }
    found
}

/// The same for a Patroni that knows ZooKeeper.
fn has_a_peer() -> bool {
    let packages = |place: &Path| -> Vec<_> {
        let versions = std::fs::read_dir(place.join("lib")).into_iter().flatten().flatten();
        versions.map(|entry| entry.path().join("site-packages/kazoo")).collect()
    };
    let found = peer::installed().is_ok_and(|place| packages(&place).iter().any(|package| package.is_dir()));
    if !found {
        eprintln!("SKIPPED: there is no Patroni that knows ZooKeeper: tests/setup.sh --peers installs it");
    }
    found
}

/// Where the members' connections come from, and the sessions that they are of.
async fn connections(zookeeper: &ZooKeeper) -> Result<Vec<(String, String)>> {
    let said = zookeeper.command("cons").await?;
    let lines = said.lines().filter_map(|line| {
        let (_, session) = line.split_once("sid=")?;
        Some((session.split_once(',')?.0.to_owned(), line.trim().split_once('[')?.0.to_owned()))
    });
    let mut found: Vec<_> = lines.filter(|(session, _)| session != "0x0").collect();
    found.sort();
    Ok(found)
}

/// Another loop_wait: each member connects anew with the session that it had.
async fn the_loops_pace_reaches_the_connections(cluster: &Cluster) -> Result<()> {
    let zookeeper = cluster.zookeeper().context("it is on ZooKeeper")?;
    let before = connections(zookeeper).await?;
    ensure!(before.len() == 2, "{before:?}");
    cluster.patch_config(json!({"loop_wait": 2})).await?;
    wait::until("other connections of the same sessions", SOON, async || {
        let now = connections(zookeeper).await.map_err(|error| format!("{error:#}"))?;
        let all_are_new = now.len() == 2 && now.iter().zip(&before).all(|(now, old)| now.0 == old.0 && now.1 != old.1);
        if all_are_new { Ok(()) } else { Err(format!("{now:?}, once {before:?}")) }
    })
    .await
}

/// ZK-01, ZK-04.
#[tokio::test]
async fn a_cluster_on_zookeeper_survives_its_primary() -> Result<()> {
    if !is_installed() {
        return Ok(());
    }
    let quick = json!({"ttl": 6, "loop_wait": 1, "retry_timeout": 2, "allow_short_ttl": true});
    let cluster = Cluster::builder("keeper").dcs(Dcs::ZooKeeper).nodes(2).dynamic(quick).start().await?;
    let first = cluster.wait_healthy(SOON).await?.name.clone();
    let prober = Prober::start(&cluster).await?;
    let zookeeper = cluster.zookeeper().context("it is on ZooKeeper")?;
    let nodes = zookeeper.command("dump").await?;
    for node in ["leader", "members/node1", "members/node2"] {
        ensure!(nodes.contains(&format!("/service/keeper/{node}\n")), "{node} hangs on a session: {nodes}");
    }
    the_loops_pace_reaches_the_connections(&cluster).await?;
    cluster.node(&first).kill_node()?;
    cluster.wait_leader_other_than(&first, SOON).await?;
    cluster.node(&first).start()?;
    cluster.wait_healthy(SOON).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;
    cluster.finish().await
}

async fn switch(cluster: &Cluster, to: &str) -> Result<()> {
    let answer = cluster.switchover(Some(to)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let leader = cluster.wait_healthy(SOON).await?;
    ensure!(leader.name == to, "{} leads instead of {to}", leader.name);
    Ok(())
}

/// ZK-01, ZK-02, ZK-05: one of Patroni's nodes beside one of ours leads and hands back, and its patronictl works on the
/// same ZooKeeper. Ours finds it by Exhibitor's list.
#[tokio::test]
async fn a_patroni_node_shares_the_cluster() -> Result<()> {
    if !is_installed() || !has_a_peer() {
        return Ok(());
    }
    let cluster = Cluster::builder("zoo").peers(&[1]).dcs(Dcs::ZooKeeper).nodes(2).prepare().await?;
    let port = cluster.zookeeper().context("it is on ZooKeeper")?.port();
    let exhibitor = Exhibitor::before(port).await?;
    let [ours, theirs] = &cluster.nodes[..] else { anyhow::bail!("two nodes") };
    let listed = std::fs::read_to_string(&ours.layout.config_path)?;
    let section = format!("zookeeper:\n  hosts:\n  - 127.0.0.1:{port}\n");
    ensure!(listed.contains(&section), "{listed}");
    let by_list = format!("exhibitor:\n  hosts:\n  - 127.0.0.1\n  port: {}\n", exhibitor.port());
    std::fs::write(&ours.layout.config_path, listed.replace(&section, &by_list))?;
    Node::start(ours)?;
    cluster.wait_leader(SOON).await?;
    ensure!(exhibitor.asked() > 0, "nobody asked Exhibitor");
    theirs.start()?;
    cluster.wait_healthy(SOON).await?;
    let prober = Prober::start(&cluster).await?;
    switch(&cluster, &theirs.name).await?;
    switch(&cluster, &ours.name).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;

    // The peer's program reads the first node's file.
    std::fs::write(&ours.layout.config_path, listed)?;
    let run = async |arguments: &[&str]| -> Result<String> {
        let output = cluster.patronictl(arguments).await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(said)
    };
    let listed = run(&["list"]).await?;
    ensure!(listed.contains(&ours.name) && listed.contains(&theirs.name), "{listed}");
    run(&["edit-config", "-q", "-s", "maximum_lag_on_failover=2097152", "--force"]).await?;
    let shown = run(&["show-config"]).await?;
    ensure!(shown.contains("maximum_lag_on_failover: 2097152"), "{shown}");
    run(&["switchover", "--leader", &ours.name, "--candidate", &theirs.name, "--force", "zoo"]).await?;
    let leader = cluster.wait_healthy(SOON).await?;
    ensure!(leader.name == theirs.name, "{} leads", leader.name);
    let history = run(&["history"]).await?;
    ensure!(history.contains(&theirs.name), "{history}");
    cluster.finish().await
}
