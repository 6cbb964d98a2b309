//! `make simulate`: runs many worlds and says what happened; a seed that goes wrong is told as a story.
#![allow(clippy::print_stdout, reason = "this is the program's output")]
#![allow(clippy::disallowed_methods, reason = "it says how fast it was")]

use anyhow::{Context, Result, bail};
use regent_simulation::{Mutant, Plan, Sheet, Statistics, run, shrink};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A third of the time goes to small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many lines of a story are shown: its end.
const LINES: usize = 120;

/// What is wanted.
struct Options {
    seeds: u64,
    first: u64,
    only: bool,
    threads: usize,
    /// Sums are kept in this file, chunk by chunk: a run that was interrupted goes on where it was.
    append: Option<PathBuf>,
    /// A broken rule, by its name.
    mutant: Option<Mutant>,
}

/// So many seeds are run between two looks at the clock and two writes of the file.
const CHUNK: u64 = 2_000;

fn main() -> Result<()> {
    let options = read_options()?;
    if options.only {
        tell(options.first, options.mutant);
        return Ok(());
    }
    let mut sheet = match &options.append {
        Some(path) => Sheet::read(path)?,
        None => Sheet::default(),
    };
    let end = options.first + options.seeds;
    let mut next = options.first.max(sheet.next.unwrap_or(options.first));
    let (begun, run_before) = (Instant::now(), next);
    while next < end {
        let stop = end.min(next + CHUNK);
        let (sum, failures) = many(next, stop, options.threads, options.mutant);
        next = stop;
        sheet.add(&sum, &failures, next);
        let speed = (next - run_before) as f64 / begun.elapsed().as_secs_f64().max(0.001);
        if let Some(path) = &options.append {
            sheet.write(path)?;
            println!("{next}: {speed:.0} schedules a second, {} went wrong", sheet.failures.len());
        }
        if next == end {
            println!("{sheet}{speed:.0} schedules a second");
        }
    }
    for seed in sheet.failures.iter().take(3) {
        tell(*seed, options.mutant);
    }
    if !sheet.failures.is_empty() {
        let seeds: Vec<String> = sheet.failures.iter().take(20).map(u64::to_string).collect();
        bail!("{} seeds went wrong, among them {}", sheet.failures.len(), seeds.join(" "));
    }
    Ok(())
}

fn read_options() -> Result<Options> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut options = Options { seeds: 10_000, first: 0, only: false, threads, append: None, mutant: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let text = arguments.next().with_context(|| format!("{argument} wants a value"))?;
        let number = || text.parse::<u64>().with_context(|| format!("{argument}: {text} is not a number"));
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.first = number()?,
            "--seed" => (options.first, options.only) = (number()?, true),
            "--threads" => options.threads = usize::try_from(number()?)?.max(1),
            "--append" => options.append = Some(PathBuf::from(&text)),
            "--mutant" => {
                let mut all = Mutant::ALL.into_iter();
                let found = all.find(|mutant| format!("{mutant:?}") == text);
                options.mutant = Some(found.with_context(|| format!("no mutant is called {text}"))?);
            }
            other => bail!(
                "{other} is not known: --seeds N, --from SEED, --seed SEED, --threads N, --append FILE, --mutant NAME"
            ),
        }
    }
    Ok(options)
}

/// Runs the seeds on so many processors.
fn many(first: u64, end: u64, threads: usize, mutant: Option<Mutant>) -> (Statistics, Vec<u64>) {
    let next = AtomicU64::new(first);
    let results = Mutex::new((Statistics::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut sum, mut failures) = (Statistics::default(), Vec::new());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let outcome = run(&Plan::of(seed), mutant, false);
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
fn tell(seed: u64, mutant: Option<Mutant>) {
    let plan = shrink(&Plan::of(seed), mutant);
    let outcome = run(&plan, mutant, true);
    println!("\n{plan}");
    let skip = outcome.story.len().saturating_sub(LINES);
    for line in &outcome.story[skip..] {
        println!("{line}");
    }
    println!("=> {}", outcome.violation.as_deref().unwrap_or("all well"));
}
