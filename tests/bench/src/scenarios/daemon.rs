//! The leader's daemon is killed or frozen while its server goes on: who takes writes, and what becomes of them.

use crate::bed::Bed;
use crate::metric::{
    FROZEN_GAP, FROZEN_LATE, FROZEN_LOST, FROZEN_OVERLAP, KILLED_GAP, KILLED_LATE, KILLED_LOST, KILLED_OVERLAP, Metric,
};
use crate::results::Results;
use crate::trial::{Outcome, Trial, millis};
use anyhow::Result;
use regent_harness::Node;
use std::time::Duration;

/// How long both are watched after another member takes writes, before the daemon is back.
const WATCHED: Duration = Duration::from_secs(5);

/// SIGKILL; later the daemon is started again.
///
/// # Errors
/// When nobody takes over.
pub async fn killed(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    let metrics = [KILLED_GAP, KILLED_OVERLAP, KILLED_LATE, KILLED_LOST];
    for _ in 0..rounds {
        let outcome = away(bed, Node::kill_daemon, Node::start).await?;
        keep(bed, "killed", &outcome, metrics, results).await?;
    }
    Ok(())
}

/// SIGSTOP; later SIGCONT.
///
/// # Errors
/// When nobody takes over.
pub async fn frozen(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    let metrics = [FROZEN_GAP, FROZEN_OVERLAP, FROZEN_LATE, FROZEN_LOST];
    for _ in 0..rounds {
        let outcome = away(bed, Node::freeze, Node::thaw).await?;
        keep(bed, "frozen", &outcome, metrics, results).await?;
    }
    Ok(())
}

async fn away(bed: &Bed, take: fn(&Node) -> Result<()>, give: fn(&Node) -> Result<()>) -> Result<Outcome> {
    let trial = Trial::begin(bed).await?;
    let leader = trial.leader;
    take(leader)?;
    trial.written(|ack| ack.node != leader.name).await?;
    // pace: the interval in which two may take writes
    tokio::time::sleep(WATCHED).await;
    give(leader)?;
    // Until it is whole, so that what the old leader's server still acknowledges is counted.
    bed.leader().await?;
    Ok(trial.end().await)
}

async fn keep(
    bed: &Bed,
    scenario: &str,
    outcome: &Outcome,
    [gap, overlap, late, lost]: [&'static Metric; 4],
    results: &mut Results,
) -> Result<()> {
    outcome.keep(bed, scenario, results)?;
    results.add(bed.system, bed.timing, gap, millis(outcome.gap.length()))?;
    results.add(bed.system, bed.timing, overlap, millis(outcome.overlap()))?;
    results.add(bed.system, bed.timing, late, outcome.report.late_acks().len() as f64)?;
    results.add(bed.system, bed.timing, lost, outcome.lost(bed).await?)
}
