//! All shots of all drills, some clusters at a time. A cluster serves until a promise is broken. Each shot is written to
//! a file when it is over, so that an interruption loses nothing.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Builder;

use super::field::{Course, Field};
use super::options::Options;
use super::shot::Shot;
use super::{Drill, busy, failover, hanging, moving};
use crate::run::{folder, keep};

/// How often a drill's cluster may fail to be ready for a shot. That nothing was done to it then is the machine's fault.
const MISFIRES: usize = 10;

/// Fires all shots that were asked for, and gives them.
///
/// # Errors
/// When a cluster cannot be started, or a shot not kept. Broken promises are no error here.
pub fn run(options: &Options) -> Result<Vec<Shot>> {
    let queue: Mutex<VecDeque<Drill>> = Mutex::new(options.drills.iter().copied().collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        let jobs = options.jobs.min(options.drills.len());
        // A runtime for each cluster: nothing that blocks one of them holds another up.
        let work = || -> Result<Vec<Shot>> {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let mut shots = Vec::new();
            while let Some(drill) = next() {
                let count = options.shots.unwrap_or_else(|| drill.shots());
                shots.extend(runtime.block_on(play(drill, count, options))?);
            }
            Ok(shots)
        };
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut shots = Vec::new();
        for thread in threads {
            shots.extend(thread.join().map_err(|_| anyhow!("a drill panicked"))??);
        }
        Ok(shots)
    })
}

/// One drill, on one cluster unless a promise is broken.
async fn play(drill: Drill, count: usize, options: &Options) -> Result<Vec<Shot>> {
    let mut shots = Vec::new();
    let mut field: Option<Field> = None;
    let mut misfires = 0;
    while shots.len() < count {
        let number = shots.len() + 1;
        let mut now = match field.take() {
            Some(field) => field,
            None => prepared(drill, options.ttl).await?,
        };
        let mut shot = match fire(&mut now, number).await {
            Ok(shot) => shot,
            Err(error) if misfires < MISFIRES => {
                misfires += 1;
                tell(&format!("{} {number}: no shot, on a new cluster again: {error:#}", drill.name()));
                now.bed.cluster.finish().await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        shot.label = options.label.clone();
        record(&shot)?;
        if shot.violations.is_empty() {
            field = Some(now);
        } else {
            keep(&now.story, &now.history, &now.bed, &format!("{}-{number}", drill.name()))?;
            now.bed.cluster.finish().await?;
        }
        shots.push(shot);
    }
    if let Some(field) = field {
        field.bed.cluster.finish().await?;
    }
    Ok(shots)
}

async fn prepared(drill: Drill, ttl: u64) -> Result<Field> {
    let field = Field::start(drill, ttl).await.with_context(|| format!("a cluster for {}", drill.name()))?;
    let place = field.bed.cluster.wait_leader(super::field::STATEMENT).await?.layout.index;
    match drill {
        Drill::CommitStorm => busy::prepare_storm(&field, place).await?,
        Drill::ThousandTables => busy::prepare_tables(&field, place).await?,
        Drill::Rewind | Drill::Clone => moving::prepare(&field, place).await?,
        _ => {}
    }
    Ok(field)
}

async fn fire(field: &mut Field, number: usize) -> Result<Shot> {
    let mut course = field.begin(number).await?;
    if let Err(error) = aim(field, &mut course).await {
        course.violations.push(format!("{error:#}"));
    }
    field.conclude(course).await
}

async fn aim(field: &Field, course: &mut Course) -> Result<()> {
    match (field.drill, field.drill.fault()) {
        (Drill::ThousandTables, _) => busy::play_tables(field, course).await,
        (_, Some(fault)) => failover::play(field, course, fault).await,
        (Drill::CommitStorm, None) => busy::play_storm(field, course).await,
        (Drill::Rewind, None) => moving::play_rewind(field, course).await,
        (Drill::Clone, None) => moving::play_clone(field, course).await,
        (_, None) => hanging::play(field, course).await,
    }
}

/// Where shots are kept.
///
/// # Errors
/// When the folder cannot be made.
pub fn file() -> Result<PathBuf> {
    Ok(folder()?.join("drills.jsonl"))
}

#[allow(clippy::print_stdout, reason = "a shot is told when it is over")]
fn tell(line: &str) {
    println!("{line}");
}

fn record(shot: &Shot) -> Result<()> {
    tell(&shot.line());
    if shot.label.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().create(true).append(true).open(file()?)?;
    file.write_all(format!("{}\n", shot.json()).as_bytes()).context("a shot cannot be kept")
}

/// Every shot that was kept.
///
/// # Errors
/// When there is no such file.
pub fn kept() -> Result<Vec<Shot>> {
    let path = file()?;
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let values = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    Ok(values.map(|value: serde_json::Value| Shot::of_json(&value)).collect())
}
