//! Nothing happens, and nobody writes: what the daemons cost, each by itself and together at the store.

use crate::bed::Bed;
use crate::metric::{self, Metric};
use crate::results::Results;
use crate::statistics::Statements;
use crate::usage;
use anyhow::Result;
use regent_harness::Node;
use regent_harness::etcd::Counts as ByMethod;
use serde_json::json;
use std::time::{Duration, Instant};

/// To come to rest: the checkpoint after a start, the last state that is published.
const REST: Duration = Duration::from_secs(5);
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
    requests: ByMethod,
    messages: ByMethod,
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
    let statements = Statements::log(&bed.cluster.nodes).await?;
    let before = count(bed).await?;
    // pace: the interval that is measured
    tokio::time::sleep(period).await;
    let after = count(bed).await?;
    let statements = statements.count().await?;
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
        add(role.sql, statements.get(index).copied().unwrap_or_default() / loops)?;
    }
    if bed.cluster.etcd().is_some() {
        let turns = loops * bed.cluster.nodes.len() as f64;
        let requests = more(&before.requests, after.requests);
        let messages = more(&before.messages, after.messages);
        add(metric::IDLE_REQUESTS, requests.values().sum::<f64>() / turns)?;
        add(metric::IDLE_MESSAGES, messages.values().sum::<f64>() / turns)?;
        let note = json!({ "requests": requests, "messages": messages, "loops": loops });
        results.note(bed.system, bed.timing, "idle", &note)?;
    }
    Ok(())
}

/// What came since, by method.
fn more(before: &ByMethod, mut after: ByMethod) -> ByMethod {
    for (method, count) in before {
        after.entry(method.clone()).and_modify(|now| *now -= count);
    }
    after.retain(|_, count| *count > 0.0);
    after
}

fn is(node: &Node, other: &Node) -> bool {
    node.name == other.name
}

async fn count(bed: &Bed) -> Result<Counts> {
    Ok(Counts {
        at: Instant::now(),
        usages: bed.cluster.nodes.iter().map(usage::read).collect::<Result<_>>()?,
        requests: match bed.cluster.etcd() {
            Some(etcd) => etcd.requests().await?,
            None => ByMethod::new(),
        },
        messages: match bed.cluster.etcd() {
            Some(etcd) => etcd.messages().await?,
            None => ByMethod::new(),
        },
    })
}
