//! The leader's postmaster is killed: healed in place, or handed over at once with `primary_start_timeout: 0`.

use crate::bed::{Bed, HEALTHY};
use crate::metric::{CRASH_GAP, CRASH_LOST, HANDOVER_GAP, HANDOVER_LOST};
use crate::results::Results;
use crate::trial::{Trial, millis};
use anyhow::Result;
use regent_harness::wait;
use serde_json::json;

/// The server is started again where it was.
///
/// # Errors
/// When nobody takes writes again.
pub async fn in_place(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    for _ in 0..rounds {
        let trial = Trial::begin(bed).await?;
        let killed = trial.leader.postmaster_pid();
        trial.leader.kill_postmaster()?;
        let leader = &trial.leader.name;
        // Another server in its place, or another member in the leader's.
        let up = wait::until("a server", HEALTHY, async || {
            let moved = trial.prober.last_ack().is_some_and(|ack| ack.sent > trial.mark && ack.node != *leader);
            let is_new = trial.leader.postmaster_pid().is_some_and(|pid| Some(pid) != killed);
            if moved || is_new { Ok(trial.prober.now()) } else { Err("none".to_owned()) }
        })
        .await?;
        trial.written(|ack| ack.sent > up || ack.node != *leader).await?;
        let outcome = trial.end().await;
        outcome.keep(bed, "crash", results)?;
        results.add(bed.system, bed.timing, CRASH_GAP, millis(outcome.gap.length()))?;
        results.add(bed.system, bed.timing, CRASH_LOST, outcome.lost(bed).await?)?;
    }
    Ok(())
}

/// Another member takes over at once. Replication is asynchronous: what the killed server had acknowledged and not yet
/// sent is lost, and counted.
///
/// # Errors
/// When nobody takes over.
pub async fn handed_over(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    bed.configure(json!({ "primary_start_timeout": 0 })).await?;
    for _ in 0..rounds {
        let trial = Trial::begin(bed).await?;
        trial.leader.kill_postmaster()?;
        let leader = &trial.leader.name;
        trial.written(|ack| ack.node != *leader).await?;
        let outcome = trial.end().await;
        outcome.keep(bed, "handover", results)?;
        results.add(bed.system, bed.timing, HANDOVER_GAP, millis(outcome.gap.length()))?;
        results.add(bed.system, bed.timing, HANDOVER_LOST, outcome.lost(bed).await?)?;
    }
    Ok(())
}
