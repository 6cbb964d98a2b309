//! The store goes away: for less than the lease nothing happens; for longer the leader stops taking writes in time.

#[macro_use]
mod common;

use anyhow::{Result, ensure};
use regent_harness::{Cluster, Dcs, Prober};
use std::time::Duration;

on_each_store!(a_short_outage_of_the_store_interrupts_nothing, a_long_outage_of_the_store_stops_the_leader_in_time,);

/// OPS-31, DESIGN §4: an outage shorter than the lease is no outage of the database.
async fn a_short_outage_of_the_store_interrupts_nothing(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("short").dcs(dcs).nodes(2).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    let outage = cluster.take_store_away()?;
    let began = prober.now();
    cluster
        .wait_for("eight seconds of outage", Duration::from_secs(30), |_| prober.now() > began + Duration::from_secs(8))
        .await?;
    ensure!(leader.health("/primary").await == Some(200), "the lock is still ours");
    outage.end();
    cluster.wait_healthy(Duration::from_secs(20)).await?;
    let report = prober.stop().await;
    ensure!(report.refused == 0 && report.unknown.is_empty(), "writes failed");
    report.verify(&cluster).await?;
    ensure!(cluster.state().await.timeline(&leader.name) == Some(1));
    cluster.finish().await
}

/// HA-06, ha-rules §10: a longer outage makes the leader stop before its lock ends; afterwards it is back.
async fn a_long_outage_of_the_store_stops_the_leader_in_time(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("long").dcs(dcs).nodes(2).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    let outage = cluster.take_store_away()?;
    let began = prober.now();
    cluster.wait_for("no primary", Duration::from_secs(25), |state| state.primaries().is_empty()).await?;
    let last = prober.last_ack().map(|ack| ack.acknowledged).unwrap_or_default();
    ensure!(last < began + Duration::from_secs(20), "writes were taken past the lock's end: {last:?} after {began:?}");
    leader.wait_log("begin start as standby", Duration::from_secs(15)).await?;
    outage.end();
    cluster.wait_healthy(Duration::from_secs(40)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}
