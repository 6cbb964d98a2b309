//! What a method in the sandbox costs the daemon: a replica that a component made beside one that `pg_basebackup` made,
//! each in a cluster of its own, after both have come to rest. Patroni has no such methods.

use crate::bed::HEALTHY;
use crate::metric;
use crate::results::Results;
use crate::system::{System, Timing, builder};
use crate::usage;
use anyhow::{Context, Result};
use regent_harness::Cluster;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where `make components` leaves them.
const COMPONENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm-methods/target/wasm32-wasip2/release");

/// To come to rest.
const REST: Duration = Duration::from_secs(10);

/// Plays it; `timing` is what the nodes run at.
///
/// # Errors
/// When a replica is not made, or the component was not built.
pub async fn run(system: System, timing: Timing, local: bool, rounds: usize, results: &mut Results) -> Result<()> {
    if system == System::Patroni {
        return Ok(());
    }
    let component = Path::new(COMPONENTS).join("stream_backup.wasm").canonicalize();
    let component = component.context("stream_backup.wasm: `make components` builds it, or says what is missing")?;
    for _ in 0..rounds {
        let usual = replica(system, timing, local, None).await?;
        let sandboxed = replica(system, timing, local, Some(&component)).await?;
        results.add(system, timing, metric::METHODS_USUAL, usual)?;
        results.add(system, timing, metric::METHODS_COMPONENT, sandboxed)?;
        results.add(system, timing, metric::METHODS_MORE, sandboxed - usual)?;
    }
    Ok(())
}

/// The resident memory of a replica's daemon in MiB, once it has been made.
async fn replica(system: System, timing: Timing, local: bool, component: Option<&PathBuf>) -> Result<f64> {
    let cluster: Cluster = builder(system, timing, local).nodes(2).prepare().await?;
    let (leader, replica) = (cluster.node("node1"), cluster.node("node2"));
    if let Some(component) = component {
        replica.edit_config(|config| {
            let leader = format!("127.0.0.1:{}", leader.layout.pg_port);
            config["postgresql"]["create_replica_methods"] = json!(["stream"]);
            config["postgresql"]["stream"] =
                json!({"wasm": component, "connstring": "with-password", "hosts": [leader]});
        })?;
    }
    leader.start()?;
    cluster.wait_leader(HEALTHY).await?;
    replica.start()?;
    cluster.wait_healthy(HEALTHY).await?;
    // pace: the cluster comes to rest
    tokio::time::sleep(REST).await;
    let used = usage::read(replica)?.resident;
    cluster.finish().await?;
    Ok(used)
}
