//! `make simulate`: runs many worlds and says what happened; a seed that goes wrong is told as a story.
#![allow(clippy::print_stdout, reason = "this is the program's output")]
#![allow(clippy::disallowed_methods, reason = "it says how fast it was")]

use anyhow::{Context, Result, bail};
use regent_simulation::{Plan, Statistics, run, shrink};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many lines of a story are shown: its end.
const LINES: usize = 120;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut seeds, mut first, mut only) = (10_000_u64, 0_u64, false);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            let text = arguments.next().with_context(|| format!("{argument} wants a number"))?;
            text.parse().with_context(|| format!("{argument}: {text} is not a number"))
        };
        match argument.as_str() {
            "--seeds" => seeds = number()?,
            "--from" => first = number()?,
            "--seed" => (first, only) = (number()?, true),
            other => bail!("{other} is not known: --seeds N, --from SEED, --seed SEED"),
        }
    }
    if only {
        tell(first);
        return Ok(());
    }
    let begun = Instant::now();
    let (total, failures) = many(first, first + seeds);
    let seconds = begun.elapsed().as_secs_f64();
    println!("{total}");
    println!("{:.0} schedules a second", total.worlds as f64 / seconds.max(0.001));
    for seed in failures.iter().take(3) {
        tell(*seed);
    }
    if !failures.is_empty() {
        let seeds: Vec<String> = failures.iter().take(20).map(u64::to_string).collect();
        bail!("{} seeds went wrong, among them {}", failures.len(), seeds.join(" "));
    }
    Ok(())
}

/// Runs the seeds on every processor.
fn many(first: u64, end: u64) -> (Statistics, Vec<u64>) {
    let next = AtomicU64::new(first);
    let results = Mutex::new((Statistics::default(), Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let (mut sum, mut failures) = (Statistics::default(), Vec::new());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let outcome = run(&Plan::of(seed), None, false);
                    sum.add(&outcome.statistics);
                    if outcome.violation.is_some() {
                        failures.push(seed);
                    }
                }
                let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                results.0.add(&sum);
                results.1.extend(failures);
            });
        }
    });
    let (sum, mut failures) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failures.sort_unstable();
    (sum, failures)
}

/// Tells what happens with a seed, without the faults that do not matter.
fn tell(seed: u64) {
    let plan = shrink(&Plan::of(seed), None);
    let outcome = run(&plan, None, true);
    println!("\n{plan}");
    let skip = outcome.story.len().saturating_sub(LINES);
    for line in &outcome.story[skip..] {
        println!("{line}");
    }
    println!("=> {}", outcome.violation.as_deref().unwrap_or("all well"));
}
