//! What a scenario is played on: a running cluster of one system, its store, and those who watch both.

use crate::moments::{Moment, Moments};
use crate::system::{System, Timing, builder};
use anyhow::{Result, bail, ensure};
use regent_harness::etcd::Etcd;
use regent_harness::{Cluster, Node, wait};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a cluster may take to come up, or to be whole again.
pub const HEALTHY: Duration = Duration::from_secs(120);

/// So many loops are watched where nothing happens.
pub const LOOPS: u64 = 15;

/// How long a start took.
pub struct Start {
    /// Until a server took writes.
    pub writable: Duration,
    /// Until one standby streamed from it.
    pub second: Duration,
    /// Until both did.
    pub all: Duration,
}

/// A cluster of three nodes.
pub struct Bed {
    pub system: System,
    pub timing: Timing,
    pub moments: Moments,
    pub cluster: Cluster,
}

impl Bed {
    /// Starts all nodes of a new cluster at once.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(system: System, timing: Timing, local: bool) -> Result<(Self, Start)> {
        let cluster = builder(system, timing, local).prepare().await?;
        let moments = Moments::watch(cluster.etcd().map(Etcd::port), &cluster.scope);
        let begun = Instant::now();
        cluster.nodes.iter().try_for_each(Node::start)?;
        let leader = first_leader(&cluster).await?;
        let writable = begun.elapsed();
        let bed = Self { system, timing, moments, cluster };
        bed.streaming(&leader, 1).await?;
        let second = begun.elapsed();
        bed.streaming(&leader, 2).await?;
        Ok((bed, Start { writable, second, all: begun.elapsed() }))
    }

    /// Takes it down.
    ///
    /// # Errors
    /// When a process does not go.
    pub async fn end(self) -> Result<()> {
        self.cluster.finish().await
    }

    /// The leader of the whole cluster: one leads, all others stream from it, and all say so.
    ///
    /// # Errors
    /// When it does not become whole.
    pub async fn leader(&self) -> Result<&Node> {
        let leader = self.cluster.wait_healthy(HEALTHY).await?;
        // What the members say is as old as their last loop; the leader's server knows better.
        self.streaming(&leader.name, self.cluster.nodes.len() - 1).await?;
        Ok(leader)
    }

    /// Waits until that many standbys stream, as the leader's server sees it.
    ///
    /// # Errors
    /// When they do not.
    pub async fn streaming(&self, leader: &str, count: usize) -> Result<()> {
        let question = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'";
        wait::until(&format!("{count} standbys of {leader}"), HEALTHY, async || {
            let found = self.cluster.sql(leader, question).await.map_err(|error| format!("{error:#}"))?.len();
            if found >= count { Ok(()) } else { Err(format!("{found} stream")) }
        })
        .await
    }

    /// Waits until half a loop after the leader renewed its lease: faults come at the same place in every system's
    /// loop, and the lease has the same time to run.
    ///
    /// # Errors
    /// When the leader does not write to the store at all.
    pub async fn middle_of_loop(&self) -> Result<()> {
        if !self.moments.sees_store {
            return Ok(());
        }
        let begun = Instant::now();
        let deadline = Duration::from_secs(self.timing.loop_wait * 3 + 5);
        let renewed = wait::until("the leader's next loop", deadline, async || {
            let renewed = self.moments.first(begun, |moment| *moment == Moment::Renewed);
            renewed.ok_or_else(|| "it does not write to the store".to_owned())
        })
        .await?;
        let middle = renewed + Duration::from_millis(self.timing.loop_wait * 500);
        // pace: half a loop is what is waited for
        tokio::time::sleep_until(middle.into()).await;
        Ok(())
    }

    /// Changes the dynamic configuration, and waits until a whole loop has run with it.
    ///
    /// # Errors
    /// When nobody accepts it, or the leader's loop stands.
    pub async fn configure(&self, changes: Value) -> Result<()> {
        let answer = self.cluster.patch_config(changes).await?;
        ensure!(answer.status == 200, "the change was refused: {}", answer.body);
        // pace: every daemon reads the configuration at least once a loop
        tokio::time::sleep(Duration::from_secs(self.timing.loop_wait + 1)).await;
        Ok(())
    }
}

/// Waits for the first server that takes writes, as long as every daemon runs.
async fn first_leader(cluster: &Cluster) -> Result<String> {
    let ended = wait::until("a daemon's end", HEALTHY, async || {
        let ended = cluster.nodes.iter().find(|node| !node.is_running());
        ended.map(|node| node.name.clone()).ok_or_else(|| "all run".to_owned())
    });
    tokio::select! {
        leader = cluster.primary_connection(HEALTHY) => Ok(leader?.0.name.clone()),
        name = ended => bail!("the daemon of {} ended", name?),
    }
}
