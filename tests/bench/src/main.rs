//! `make bench`: the write gaps of a switchover and of a crash with their phases, the daemon's memory, and the cost of
//! a health check, on this machine. It measures and judges nothing but what it prints.
#![allow(clippy::print_stdout, reason = "this is the program's output")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod gaps;
mod phases;
mod requests;
mod table;

use anyhow::Result;
use regent_harness::{Cluster, Node};
use serde_json::json;
use std::time::{Duration, Instant};
use table::Table;

/// Repetitions of what is quick.
const TIMES: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let mut table = Table::default();
    // The usual timings of production: no gap may depend on loop_wait.
    let timings = json!({"ttl": 30, "loop_wait": 10, "retry_timeout": 10});
    let began = Instant::now();
    let cluster = Cluster::builder("bench").dynamic(timings).start().await?;
    cluster.wait_leader(Duration::from_secs(60)).await?;
    table.add("start-up: first leader takes writes", began.elapsed(), None);
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    table.add("start-up: all three nodes stream", began.elapsed(), None);

    idle(&cluster, &mut table).await?;
    requests::measure(&cluster, &mut table).await?;
    gaps::switchovers(&cluster, TIMES, &mut table).await?;
    gaps::crashes(&cluster, TIMES, &mut table).await?;
    cluster.patch_config(json!({"primary_start_timeout": 0})).await?;
    gaps::settled(&cluster).await?;
    gaps::handovers(&cluster, 3, &mut table).await?;
    cluster.finish().await?;
    table.print();
    table.append_json()
}

/// What daemons cost that have nothing to do.
async fn idle(cluster: &Cluster, table: &mut Table) -> Result<()> {
    let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
    let standby = cluster.others(&leader.name).next();
    let period = Duration::from_secs(10);
    for (role, node) in [("leader", Some(leader)), ("replica", standby)] {
        let Some(node) = node else { continue };
        idle_node(role, node, period, table).await?;
    }
    Ok(())
}

async fn idle_node(role: &str, node: &Node, period: Duration, table: &mut Table) -> Result<()> {
    let before = node.usage()?;
    tokio::time::sleep(period).await;
    let after = node.usage()?;
    let minute = 60.0 / period.as_secs_f64();
    table.add_value(&format!("idle {role}: resident memory"), after.resident as f64 / 1e6, "MB", Some(15.0));
    table.add_value(&format!("idle {role}: proportional memory"), after.proportional as f64 / 1e6, "MB", None);
    let cpu = (after.cpu - before.cpu).as_secs_f64() * minute;
    table.add_value(&format!("idle {role}: processor time a minute"), cpu, "s", None);
    let wakes = (after.switches - before.switches) as f64 * minute;
    table.add_value(&format!("idle {role}: wake-ups a minute"), wakes, "", None);
    table.add_value(&format!("idle {role}: threads"), after.threads as f64, "", None);
    Ok(())
}
