//! Which scenarios run at which intervals, and their order: all of one system on one cluster, then the other's.

use crate::bed::Bed;
use crate::options::Options;
use crate::results::Results;
use crate::scenarios::{self, Scenario};
use crate::system::{System, Timing};
use anyhow::Result;

/// Everything at a short loop; what depends on the loop or the lease also at the default intervals; and the shortest
/// lease that only Regent allows. A hand-over comes last, because it changes the configuration for good.
const GROUPS: [(Timing, &[Scenario]); 3] = [
    (
        Timing { ttl: 20, loop_wait: 2, retry_timeout: 3 },
        &[
            Scenario::Startup,
            Scenario::Idle,
            Scenario::Health,
            Scenario::Flood,
            Scenario::Methods,
            Scenario::Stores,
            Scenario::Switchover,
            Scenario::Crash,
            Scenario::Death,
            Scenario::Killed,
            Scenario::Frozen,
            Scenario::Outage,
            Scenario::Hang,
            Scenario::Handover,
        ],
    ),
    (
        Timing { ttl: 30, loop_wait: 10, retry_timeout: 10 },
        &[
            Scenario::Startup,
            Scenario::Idle,
            Scenario::Switchover,
            Scenario::Crash,
            Scenario::Death,
            Scenario::Handover,
        ],
    ),
    (Timing { ttl: 5, loop_wait: 1, retry_timeout: 2 }, &[Scenario::Death]),
];

/// Runs what was asked for.
///
/// # Errors
/// When the results cannot be written. A scenario that fails is a result.
pub async fn run(options: &Options, results: &mut Results) -> Result<()> {
    for (timing, scenarios) in GROUPS {
        let wanted: Vec<Scenario> =
            scenarios.iter().copied().filter(|scenario| options.wants(scenario.name())).collect();
        if wanted.is_empty() {
            continue;
        }
        for system in &options.systems {
            let refuses = timing.is_short() && *system == System::Patroni;
            if !refuses {
                run_group(*system, timing, &wanted, options, results).await?;
            }
        }
    }
    Ok(())
}

async fn run_group(
    system: System,
    timing: Timing,
    wanted: &[Scenario],
    options: &Options,
    results: &mut Results,
) -> Result<()> {
    let mut bed = None;
    for scenario in wanted {
        if *scenario == Scenario::Hang && options.local {
            continue;
        }
        // Some have clusters of their own.
        let (local, rounds) = (options.local, options.rounds);
        let apart = match scenario {
            Scenario::Flood => Some(scenarios::flood::run(system, timing, local, rounds, results).await),
            Scenario::Methods => Some(scenarios::methods::run(system, timing, local, rounds, results).await),
            Scenario::Stores => Some(scenarios::stores::run(system, timing, results).await),
            _ => None,
        };
        if let Some(ended) = apart {
            if let Err(error) = ended {
                results.add_failure(system, timing, scenario.name(), &error)?;
            }
            continue;
        }
        match play(*scenario, bed.take(), system, timing, options, results).await {
            Ok(whole) => bed = Some(whole),
            // The next scenario begins on a new cluster, if there can be one at all.
            Err(error) => {
                results.add_failure(system, timing, scenario.name(), &error)?;
                if *scenario == Scenario::Startup {
                    break;
                }
            }
        }
    }
    match bed {
        Some(bed) => bed.end().await,
        None => Ok(()),
    }
}

/// Plays one scenario and gives back the cluster for the next one.
async fn play(
    scenario: Scenario,
    bed: Option<Bed>,
    system: System,
    timing: Timing,
    options: &Options,
    results: &mut Results,
) -> Result<Bed> {
    if scenario == Scenario::Startup {
        return scenarios::startup::run(system, timing, options, results).await;
    }
    let bed = match bed {
        Some(bed) => bed,
        None => Bed::start(system, timing, options.local).await?.0,
    };
    scenario.run(&bed, options.rounds, results).await?;
    Ok(bed)
}
