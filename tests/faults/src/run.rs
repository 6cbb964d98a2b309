//! All rounds of all modes. A cluster serves until a promise is broken; its story is kept, and the next one takes over.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::bed::Bed;
use crate::history::History;
use crate::options::{Mode, Options};
use crate::plan::plan;
use crate::round::Ground;
use crate::story::Story;
use crate::summary::Total;

/// The workspace's folder.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Plays all rounds.
///
/// # Errors
/// When clusters cannot be started, or a story not kept. Broken promises are no error here.
pub async fn run(options: &Options) -> Result<Vec<Total>> {
    let mut totals = Vec::new();
    for mode in &options.modes {
        totals.push(play(options, *mode).await?);
    }
    Ok(totals)
}

async fn play(options: &Options, mode: Mode) -> Result<Total> {
    let mut total = Total::new(mode);
    let mut ground: Option<Ground> = None;
    for round in 0..options.rounds {
        let mut now = match ground.take() {
            Some(ground) => ground,
            None => Ground::new(mode).await?,
        };
        now.story.tell(format!("{} round {} of {}, seed {}", mode.name(), round + 1, options.rounds, options.seed));
        let report = now.play(mode, &plan(mode.seed(options.seed), round, options.faults)).await?;
        let broken = !report.violations.is_empty();
        total.add(report);
        if broken || std::env::var("REGENT_KEEP").is_ok_and(|value| value == "1") {
            keep(
                &now.story,
                &now.history,
                &now.bed,
                &format!("{}-seed{}-round{}", mode.name(), options.seed, round + 1),
            )?;
        }
        if broken {
            now.bed.cluster.finish().await?;
        } else {
            ground = Some(now);
        }
    }
    if let Some(ground) = ground {
        ground.bed.cluster.finish().await?;
    }
    Ok(total)
}

/// Keeps what is needed to understand a broken promise: the story, every attempt, and the daemons' logs.
///
/// # Errors
/// When it cannot be written.
pub fn keep(story: &Story, history: &History, bed: &Bed, name: &str) -> Result<()> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let folder = folder()?.join(format!("{seconds}-{name}"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("story.txt"), story.text())?;
    let mut lines = String::new();
    for attempt in history.attempts() {
        let _ = writeln!(lines, "{}", attempt.json());
    }
    fs::write(folder.join("attempts.jsonl"), lines)?;
    for node in &bed.cluster.nodes {
        fs::write(folder.join(format!("{}.log", node.name)), node.log())?;
    }
    story.tell(format!("kept in {}", folder.display()));
    Ok(())
}

/// Where stories are kept: `faults` in the target folder.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(WORKSPACE).join("target"), PathBuf::from);
    let folder = target.join("faults");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(fs::canonicalize(folder)?)
}
