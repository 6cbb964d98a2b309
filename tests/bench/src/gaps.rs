//! How long writers wait: switchover, crash of the postmaster in place, and the same handed over.

use crate::phases;
use crate::table::{Table, median};
use anyhow::{Result, ensure};
use regent_harness::{Cluster, Prober, ProberOptions};
use std::time::{Duration, Instant};

/// Aims on an idle machine with two cores.
const SWITCHOVER_AIM: Duration = Duration::from_millis(400);
const CRASH_AIM: Duration = Duration::from_millis(500);

fn quick() -> ProberOptions {
    ProberOptions { pace: Duration::from_millis(2), ..ProberOptions::default() }
}

/// Everybody streams, and every daemon has read the store once more.
pub async fn settled(cluster: &Cluster) -> Result<()> {
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    // One heartbeat on, every daemon has read the store, whatever it was doing.
    tokio::time::sleep(Duration::from_secs(11)).await;
    cluster.wait_healthy(Duration::from_secs(60)).await.map(drop)
}

/// Switchovers to a named standby under writes.
pub async fn switchovers(cluster: &Cluster, times: usize, table: &mut Table) -> Result<()> {
    let (mut gaps, mut answers, mut last) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..times {
        let leader = cluster.wait_healthy(Duration::from_secs(60)).await?.name.clone();
        let candidate = cluster.others(&leader).next().map(|node| node.name.clone());
        let prober = Prober::start_with(cluster, quick()).await?;
        let marks = phases::mark(&cluster.nodes);
        let (mark, began) = (prober.now(), Instant::now());
        let answer = cluster.switchover(candidate.as_deref()).await?;
        answers.push(began.elapsed());
        ensure!(answer.status == 200, "{answer:?}");
        cluster.wait_healthy(Duration::from_secs(60)).await?;
        let report = prober.stop().await;
        report.verify(cluster).await?;
        gaps.push(report.longest_gap_after(mark).length());
        last = phases::since(&marks, &cluster.nodes);
    }
    table.add("switchover: no write for (median)", median(gaps), Some(SWITCHOVER_AIM));
    table.detail(last);
    table.add("switchover: POST /switchover answered after (median)", median(answers), None);
    Ok(())
}

/// SIGKILL of the leader's postmaster; it comes back in place.
pub async fn crashes(cluster: &Cluster, times: usize, table: &mut Table) -> Result<()> {
    let (gaps, last) = kill_postmasters(cluster, times).await?;
    table.add("postmaster crash, in place: no write for (median)", median(gaps), Some(CRASH_AIM));
    table.detail(last);
    Ok(())
}

/// The same with primary_start_timeout 0: another member takes over.
pub async fn handovers(cluster: &Cluster, times: usize, table: &mut Table) -> Result<()> {
    let (gaps, last) = kill_postmasters(cluster, times).await?;
    table.add("postmaster crash, handed over: no write for (median)", median(gaps), Some(CRASH_AIM));
    table.detail(last);
    Ok(())
}

async fn kill_postmasters(cluster: &Cluster, times: usize) -> Result<(Vec<Duration>, String)> {
    let (mut gaps, mut last) = (Vec::new(), String::new());
    for _ in 0..times {
        let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
        let prober = Prober::start_with(cluster, quick()).await?;
        let marks = phases::mark(&cluster.nodes);
        let mark = prober.now();
        leader.kill_postmaster()?;
        cluster.wait_healthy(Duration::from_secs(90)).await?;
        let report = prober.stop().await;
        gaps.push(report.longest_gap_after(mark).length());
        last = phases::since(&marks, &cluster.nodes);
    }
    Ok((gaps, last))
}
