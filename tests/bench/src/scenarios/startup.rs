//! Start-up: three nodes of a new cluster at once.

use crate::bed::Bed;
use crate::metric::{STARTUP_ALL, STARTUP_SECOND, STARTUP_WRITABLE};
use crate::options::Options;
use crate::results::Results;
use crate::system::{System, Timing};
use crate::trial::millis;
use anyhow::{Context, Result};

/// Starts a cluster for each round, and gives the last one.
///
/// # Errors
/// When one does not come up.
pub async fn run(system: System, timing: Timing, options: &Options, results: &mut Results) -> Result<Bed> {
    let mut last: Option<Bed> = None;
    for _ in 0..options.rounds {
        if let Some(bed) = last.take() {
            bed.end().await?;
        }
        let (bed, start) = Bed::start(system, timing, options.local).await?;
        results.add(system, timing, STARTUP_WRITABLE, millis(start.writable))?;
        results.add(system, timing, STARTUP_SECOND, millis(start.second))?;
        results.add(system, timing, STARTUP_ALL, millis(start.all))?;
        last = Some(bed);
    }
    last.context("there is at least one round")
}
