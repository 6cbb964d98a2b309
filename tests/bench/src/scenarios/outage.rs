//! The store is away for half a minute: nobody answers, or somebody accepts connections and is silent.

use crate::bed::Bed;
use crate::metric::{HANG_AWAY, HANG_BACK, HANG_HELD, HANG_LOST, OUTAGE_AWAY, OUTAGE_BACK, OUTAGE_HELD, OUTAGE_LOST};
use crate::results::Results;
use crate::trial::{Trial, millis};
use anyhow::Result;
use regent_harness::etcd::Etcd;
use std::time::Duration;

/// Longer than the lease.
const AWAY: Duration = Duration::from_secs(30);

/// How it is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Killed,
    Frozen,
}

/// Takes the store away and gives it back.
///
/// # Errors
/// When nobody takes writes afterwards.
pub async fn run(bed: &Bed, rounds: usize, kind: Kind, results: &mut Results) -> Result<()> {
    for _ in 0..rounds {
        let trial = Trial::begin(bed).await?;
        away(bed, kind).await?;
        let back = trial.prober.now();
        trial.written(|ack| ack.sent > back).await?;
        let outcome = trial.end().await;
        let first = outcome.report.acks.iter().find(|ack| ack.sent > back);
        let returned = first.map_or(Duration::ZERO, |ack| ack.acknowledged.saturating_sub(back));
        let held = outcome.gap.from.saturating_sub(outcome.mark);
        let (name, metrics) = match kind {
            Kind::Killed => ("outage", [OUTAGE_AWAY, OUTAGE_HELD, OUTAGE_BACK, OUTAGE_LOST]),
            Kind::Frozen => ("hang", [HANG_AWAY, HANG_HELD, HANG_BACK, HANG_LOST]),
        };
        outcome.keep(bed, name, results)?;
        let lost = outcome.lost(bed).await?;
        let values = [millis(outcome.gap.length()), millis(held), millis(returned), lost];
        for (metric, value) in metrics.into_iter().zip(values) {
            results.add(bed.system, bed.timing, metric, value)?;
        }
    }
    Ok(())
}

async fn away(bed: &Bed, kind: Kind) -> Result<()> {
    match (bed.cluster.etcd(), kind) {
        (Some(etcd), Kind::Killed) => {
            etcd.down()?;
            outage().await;
            etcd.up().await
        }
        (Some(etcd), Kind::Frozen) => hang(etcd).await,
        (None, _) => {
            let locked = bed.cluster.take_store_away()?;
            outage().await;
            locked.end();
            Ok(())
        }
    }
}

async fn hang(etcd: &Etcd) -> Result<()> {
    etcd.freeze()?;
    outage().await;
    etcd.thaw()
}

async fn outage() {
    // pace: the outage itself
    tokio::time::sleep(AWAY).await;
}
