//! A power cut: every process of the leader's node is killed at once, and started again when another one leads.

use crate::bed::Bed;
use crate::metric::{DEATH_AFTER, DEATH_GAP, DEATH_LOST, DEATH_REJOIN};
use crate::results::Results;
use crate::trial::{Trial, millis};
use anyhow::{Context, Result};
use std::time::Instant;

/// Kills the leader's node.
///
/// # Errors
/// When nobody takes over.
pub async fn run(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    for _ in 0..rounds {
        let trial = Trial::begin(bed).await?;
        let dead = trial.leader;
        dead.kill_node()?;
        trial.written(|ack| ack.node != dead.name).await?;
        let next = trial.prober.last_ack().context("somebody writes")?.node;
        let outcome = trial.end().await;
        outcome.keep(bed, "death", results)?;
        let started = Instant::now();
        dead.start()?;
        bed.streaming(&next, bed.cluster.nodes.len() - 1).await?;
        let rejoined = started.elapsed();
        results.add(bed.system, bed.timing, DEATH_GAP, millis(outcome.gap.length()))?;
        if let Some((gone, first)) = outcome.phases.get("key gone").zip(outcome.phases.get("first write")) {
            results.add(bed.system, bed.timing, DEATH_AFTER, first - gone)?;
        }
        results.add(bed.system, bed.timing, DEATH_REJOIN, millis(rejoined))?;
        results.add(bed.system, bed.timing, DEATH_LOST, outcome.lost(bed).await?)?;
    }
    Ok(())
}
