//! Failsafe mode: while the store is away the leader goes on as long as every member says that it may.

use anyhow::{Result, ensure};
use regent_harness::{Cluster, ClusterState, Dcs, Prober};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(10);

/// HA-49, ha-rules §10: past the lock's end the leader takes writes; once a member is silent it stops; afterwards all
/// is as it was.
#[tokio::test]
async fn the_members_keep_a_leader_that_lost_the_store() -> Result<()> {
    let quick = json!({"failsafe_mode": true, "ttl": TTL.as_secs(), "loop_wait": 1, "allow_short_ttl": true});
    let cluster = Cluster::builder("failsafe").dcs(Dcs::Etcd3).dynamic(quick).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let named = async || match leader.rest("GET", "/failsafe", None).await {
        Ok(answer) if answer.status == 200 => match answer.json() {
            Ok(key) if cluster.nodes.iter().all(|node| key[&node.name].is_string()) => Ok(()),
            key => Err(format!("{key:?}")),
        },
        answer => Err(format!("{answer:?}")),
    };
    regent_harness::wait::until("a failsafe key that names all", SOON, named).await?;
    let prober = Prober::start(&cluster).await?;
    let outage = cluster.take_store_away()?;
    let began = prober.now();

    let active = |state: &ClusterState, name: &str| state.status(name, "failsafe_mode_is_active") == Some(&json!(true));
    let all_say_so = |state: &ClusterState| cluster.nodes.iter().all(|node| active(state, &node.name));
    cluster.wait_for("failsafe mode to show", SOON, all_say_so).await?;
    let long_after = |_: &ClusterState| prober.now() > began + TTL * 2;
    cluster.wait_for("twice a ttl of outage", SOON, long_after).await?;
    ensure!(leader.health("/primary").await == Some(200), "the members keep the leader");
    let late = prober.wait_acknowledged(SOON).await?;
    ensure!(late.node == leader.name && late.acknowledged > began + TTL * 2, "{late:?}");

    let silent = cluster.others(&leader.name).next().expect("there are three");
    silent.freeze()?;
    cluster.wait_for("no primary", SOON, |state| state.primaries().is_empty()).await?;
    silent.thaw()?;
    outage.end();
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}
