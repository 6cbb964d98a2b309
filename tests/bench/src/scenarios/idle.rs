//! Nothing happens, and nobody writes: what the daemons cost, each by itself and together at the store.

use crate::bed::Bed;
use crate::metric::{self, Metric};
use crate::results::Results;
use crate::statistics::transactions;
use crate::store::Store;
use crate::usage;
use anyhow::Result;
use regent_harness::Node;
use std::time::{Duration, Instant};

/// To come to rest: an idle session tells the server after ten seconds what it has run before.
const REST: Duration = Duration::from_secs(12);
/// Watched for that many loops, but not shorter than the least.
const LOOPS: u64 = 6;
const LEAST: Duration = Duration::from_secs(30);

/// The metrics of one role.
struct Role {
    resident: &'static Metric,
    proportional: &'static Metric,
    threads: &'static Metric,
    cpu: &'static Metric,
    wakes: &'static Metric,
    sql: &'static Metric,
}

const LEADER: Role = Role {
    resident: metric::IDLE_LEADER_RSS,
    proportional: metric::IDLE_LEADER_PSS,
    threads: metric::IDLE_LEADER_THREADS,
    cpu: metric::IDLE_LEADER_CPU,
    wakes: metric::IDLE_LEADER_WAKES,
    sql: metric::IDLE_LEADER_SQL,
};
const REPLICA: Role = Role {
    resident: metric::IDLE_REPLICA_RSS,
    proportional: metric::IDLE_REPLICA_PSS,
    threads: metric::IDLE_REPLICA_THREADS,
    cpu: metric::IDLE_REPLICA_CPU,
    wakes: metric::IDLE_REPLICA_WAKES,
    sql: metric::IDLE_REPLICA_SQL,
};

/// What is counted at one moment.
struct Counts {
    at: Instant,
    usages: Vec<usage::Usage>,
    transactions: Vec<f64>,
    requests: f64,
}

/// Watches all nodes for a while.
///
/// # Errors
/// When a daemon does not run.
pub async fn run(bed: &Bed, results: &mut Results) -> Result<()> {
    let leader = bed.leader().await?;
    let period = LEAST.max(Duration::from_secs(bed.timing.loop_wait * LOOPS));
    // pace: the cluster comes to rest
    tokio::time::sleep(REST).await;
    let before = count(bed).await?;
    // pace: the interval that is measured
    tokio::time::sleep(period).await;
    let after = count(bed).await?;
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    let loops = seconds / bed.timing.loop_wait as f64;
    let mut add = |metric, value| results.add(bed.system, bed.timing, metric, value);
    for (index, node) in bed.cluster.nodes.iter().enumerate() {
        let role = if is(node, leader) { LEADER } else { REPLICA };
        let pair = before.usages.get(index).zip(after.usages.get(index));
        let (before_usage, now) = pair.map(|(before, after)| (*before, *after)).unwrap_or_default();
        add(role.resident, now.resident)?;
        add(role.proportional, now.proportional)?;
        add(role.threads, now.threads)?;
        add(role.cpu, (now.cpu - before_usage.cpu) * 60.0 / seconds)?;
        add(role.wakes, (now.wakes - before_usage.wakes) * 60.0 / seconds)?;
        let run = |counts: &Counts| counts.transactions.get(index).copied().unwrap_or_default();
        add(role.sql, (run(&after) - run(&before)) / loops)?;
    }
    if bed.store.etcd().is_some() {
        let nodes = bed.cluster.nodes.len() as f64;
        add(metric::IDLE_REQUESTS, (after.requests - before.requests) / loops / nodes)?;
    }
    Ok(())
}

fn is(node: &Node, other: &Node) -> bool {
    node.name == other.name
}

async fn count(bed: &Bed) -> Result<Counts> {
    let mut counted = Vec::new();
    for node in &bed.cluster.nodes {
        counted.push(transactions(node).await?);
    }
    Ok(Counts {
        at: Instant::now(),
        usages: bed.cluster.nodes.iter().map(usage::read).collect::<Result<_>>()?,
        transactions: counted,
        requests: match &bed.store {
            Store::Etcd(etcd) => etcd.requests().await?,
            Store::Local => 0.0,
        },
    })
}
