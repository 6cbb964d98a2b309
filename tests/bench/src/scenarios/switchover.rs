//! A switchover: the leader hands over in good order.

use crate::bed::Bed;
use crate::metric::{SWITCHOVER_ANSWER, SWITCHOVER_GAP, SWITCHOVER_LOST, SWITCHOVER_WHOLE};
use crate::results::Results;
use crate::trial::{Trial, millis};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// Asks the leader to hand over to a standby by name.
///
/// # Errors
/// When it refuses, or the standby never takes writes.
pub async fn run(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    for _ in 0..rounds {
        let trial = Trial::begin(bed).await?;
        let candidate = bed.cluster.others(&trial.leader.name).next().context("there is a standby")?;
        let done = trial.done;
        let request = json!({ "leader": trial.leader.name, "candidate": candidate.name });
        let answer = trial.leader.rest("POST", "/switchover", Some(request)).await?;
        let answered = done.elapsed();
        ensure!(answer.status == 200, "the request was answered {} {}", answer.status, answer.body);
        trial.written(|ack| ack.node == candidate.name).await?;
        let outcome = trial.end().await;
        bed.streaming(&candidate.name, bed.cluster.nodes.len() - 1).await?;
        let whole = done.elapsed();
        outcome.keep(bed, "switchover", results)?;
        let lost = outcome.lost(bed).await?;
        for (metric, value) in [
            (SWITCHOVER_GAP, millis(outcome.gap.length())),
            (SWITCHOVER_ANSWER, millis(answered)),
            (SWITCHOVER_WHOLE, millis(whole)),
            (SWITCHOVER_LOST, lost),
        ] {
            results.add(bed.system, bed.timing, metric, value)?;
        }
    }
    Ok(())
}
