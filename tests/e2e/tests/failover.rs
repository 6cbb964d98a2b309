//! Members die, hang or lose their daemon: another takes over after the lock, nothing acknowledged is doubly written.

#[macro_use]
mod common;

use anyhow::{Result, ensure};
use regent_harness::{Cluster, Dcs, Node, Prober, wait};
use serde_json::json;
use std::time::Duration;

on_each_store!(
    a_dead_leader_is_replaced_and_rejoins,
    a_dead_postmaster_is_back_in_place_or_handed_over,
    a_restarted_daemon_adopts_its_server,
    a_server_whose_daemon_died_stops_before_another_leads,
    a_server_whose_daemon_hangs_stops_before_another_leads,
);

const TTL: Duration = Duration::from_secs(20);

/// HA-01, HA-09, HA-29, HA-30, HA-63, OPS-20, REW-01: on each store, the whole leader node dies and is no longer listed; another leads after the
/// lock; the old one rejoins and streams.
async fn a_dead_leader_is_replaced_and_rejoins(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("death").dcs(dcs).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    leader.kill_node()?;
    let next = cluster.wait_leader_other_than(&leader.name, TTL + Duration::from_secs(15)).await?;
    let on_two = |state: &regent_harness::ClusterState| state.timeline(&next.name) == Some(2);
    cluster.wait_for("timeline 2", Duration::from_secs(10), on_two).await?;
    wait_until_unlisted(next, &leader.name).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    ensure!(report.first_ack_of(&next.name, Duration::ZERO).is_some(), "the new leader took no write");
    let history = next.rest("GET", "/history", None).await?.json()?;
    ensure!(history[0][0] == 1 && history[0][4] == next.name.as_str(), "{history}");
    cluster.finish().await
}

/// HA-28: with check_timeline whoever stopped receiving knows what timeline its log is on, and leads; and again where the
/// history key tells of a later one than the first.
#[tokio::test]
async fn with_check_timeline_dead_leaders_are_replaced() -> Result<()> {
    let cluster = Cluster::builder("timeline").dynamic(json!({"check_timeline": true, "ttl": 20})).start().await?;
    for _ in 0..2 {
        let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
        leader.kill_node()?;
        cluster.wait_leader_other_than(&leader.name, TTL + Duration::from_secs(25)).await?;
        leader.start()?;
    }
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    ensure!(cluster.state().await.timeline(&leader.name) == Some(3));
    cluster.finish().await
}

/// The member's key is gone from the store, as this node reads it.
async fn wait_until_unlisted(node: &Node, name: &str) -> Result<()> {
    wait::until("the dead member is no longer listed", TTL * 2, async || {
        let document = node.rest("GET", "/cluster", None).await.and_then(|answer| answer.json());
        let document = document.map_err(|error| error.to_string())?;
        let listed = document["members"].as_array().is_none_or(|them| them.iter().any(|one| one["name"] == name));
        if listed { Err(document.to_string()) } else { Ok(()) }
    })
    .await
}

/// HA-07, HA-39, HA-56, SLOT-06: only the postmaster dies; it is back in place on its timeline. With
/// primary_start_timeout 0 another member takes over.
async fn a_dead_postmaster_is_back_in_place_or_handed_over(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("postmaster").dcs(dcs).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    leader.kill_postmaster()?;
    let again = cluster.wait_healthy(Duration::from_secs(30)).await?;
    ensure!(again.name == leader.name && cluster.state().await.timeline(&again.name) == Some(1));
    let ack = prober.wait_acknowledged(Duration::from_secs(10)).await?;
    ensure!((ack.node.as_str(), ack.timeline) == (leader.name.as_str(), 1), "{ack:?}");

    cluster.patch_config(json!({"primary_start_timeout": 0})).await?;
    // Every daemon reads the store at least once a loop; the copy in the data directory shows that it has.
    let copy = leader.layout.data_dir.join("patroni.dynamic.json");
    cluster
        .wait_for("the new timeout at the leader", Duration::from_secs(20), |_| {
            std::fs::read_to_string(&copy).is_ok_and(|text| text.contains("\"primary_start_timeout\":0"))
        })
        .await?;
    leader.kill_postmaster()?;
    let next = cluster.wait_leader_other_than(&leader.name, Duration::from_secs(15)).await?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let on_two = |state: &regent_harness::ClusterState| state.timeline(&next.name) == Some(2);
    cluster.wait_for("timeline 2", Duration::from_secs(10), on_two).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    cluster.finish().await
}

/// OPS-02, HA-15, CB-02: only the daemon dies and is started again within the lease: the server runs on.
async fn a_restarted_daemon_adopts_its_server(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("adopt").dcs(dcs).nodes(2).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let postmaster = leader.postmaster_pid();
    let prober = Prober::start(&cluster).await?;
    leader.kill_daemon()?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(30)).await?;
    ensure!(leader.health("/primary").await == Some(200));
    ensure!(leader.postmaster_pid() == postmaster, "the server was restarted");
    let report = prober.stop().await;
    let gap = report.longest_gap();
    ensure!(report.refused == 0 && report.unknown.is_empty(), "writes failed: {report:?}; longest gap {gap:?}");
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// DESIGN §4, the guard: the daemon is killed and stays away; its server acknowledges nothing once another leads.
async fn a_server_whose_daemon_died_stops_before_another_leads(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("orphan").dcs(dcs).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    leader.kill_daemon()?;
    let next = cluster.wait_leader_other_than(&leader.name, TTL + Duration::from_secs(15)).await?;
    ensure!(leader.postmaster_pid().is_none(), "the old server still runs");
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    ensure!(report.first_ack_of(&next.name, Duration::ZERO).is_some());
    cluster.finish().await
}

/// The same, with a daemon that hangs instead of dying, and comes back to itself later.
async fn a_server_whose_daemon_hangs_stops_before_another_leads(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("frozen").dcs(dcs).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    leader.freeze()?;
    cluster.wait_leader_other_than(&leader.name, TTL + Duration::from_secs(15)).await?;
    leader.thaw()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    cluster.finish().await
}
