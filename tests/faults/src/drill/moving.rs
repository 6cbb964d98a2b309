//! Shots in which a data directory is being copied: a long rewind, a long clone. The leader that is copied from keeps
//! its lock, and when it dies another leads all the same.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::failover;
use super::field::{Course, Field, is_running, wait_process};
use super::lock;
use crate::inject;
use crate::plan::Fault;

/// How fast a server is copied from: so that it takes longer than the lock lives.
const RATE: u32 = 4 << 20;
/// How long the leader is watched meanwhile.
const WATCH: Duration = Duration::from_secs(20);
/// Into the copy, in shots in which its source dies.
const INTO: Duration = Duration::from_secs(2);
/// Rows of the table that makes copies long: about 64 MB.
const ROWS: usize = 60_000;
const PACE: Duration = Duration::from_millis(500);

/// A table that takes a while to copy.
///
/// # Errors
/// When it cannot be made.
pub async fn prepare(field: &Field, place: usize) -> Result<()> {
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS regent_bulk (id int, word text); TRUNCATE regent_bulk; \
         ALTER TABLE regent_bulk ALTER word SET STORAGE PLAIN; \
         INSERT INTO regent_bulk SELECT g, repeat('x', 1000) FROM generate_series(1, {ROWS}) g"
    );
    field.run_sql(place, &statement).await
}

/// The leader changes every block of the table, and nobody receives it; its node dies; when it is back, it is rewound.
///
/// # Errors
/// When it is not, or the machine stands in the way.
pub async fn play_rewind(field: &Field, course: &mut Course) -> Result<()> {
    let (bed, old) = (&field.bed, course.place);
    let links = bed.links.get(old).context("a node has links")?;
    links.server.cut();
    let changed = field.run_sql(old, "UPDATE regent_bulk SET id = id + 1").await;
    inject::hurt(bed, Fault::KillNode, old)?;
    links.server.mend();
    changed?;
    let found = field.wait_next_leader(course).await;
    throttle(field, Some(RATE));
    inject::heal(bed, Fault::KillNode, old).await?;
    found?;
    let played = watch_copy(field, course, old, "pg_rewind").await;
    throttle(field, None);
    played
}

/// A standby is made anew from the leader.
///
/// # Errors
/// When it is not, or the machine stands in the way.
pub async fn play_clone(field: &Field, course: &mut Course) -> Result<()> {
    let standby = (course.place + 1) % field.bed.cluster.nodes.len();
    throttle(field, Some(RATE));
    let answer = field.node(standby)?.rest("POST", "/reinitialize", Some(json!({ "force": true }))).await;
    let played = match answer {
        Ok(answer) if answer.status == 200 => watch_copy(field, course, standby, "pg_basebackup").await,
        Ok(answer) => Err(anyhow::anyhow!("reinitialize: {} {}", answer.status, answer.body)),
        Err(error) => Err(error),
    };
    throttle(field, None);
    played
}

fn throttle(field: &Field, rate: Option<u32>) {
    field.bed.links.iter().for_each(|links| links.server.throttle(rate));
}

/// Watches the lock while a node is copied to. In every second shot the source dies in the middle.
async fn watch_copy(field: &Field, course: &mut Course, place: usize, command: &str) -> Result<()> {
    let node = field.node(place)?;
    wait_process(node, command).await?;
    let source = field.bed.cluster.wait_leader(WATCH).await?;
    let (leader, at) = (source.name.clone(), source.layout.index);
    field.story.tell(format!("{command} runs on {}, {leader} leads", node.name));
    let since = Instant::now();
    if course.number.is_multiple_of(2) {
        // pace: in the middle of it
        sleep(INTO).await;
        ensure!(is_running(node, command), "{command} was over before its source died");
        let (first, first_place) = (course.leader.clone(), course.place);
        (course.leader, course.place) = (leader, at);
        let played = failover::play(field, course, Fault::KillNode).await;
        course.notes.push(format!("{command} lost its source {}", course.leader));
        (course.leader, course.place) = (first, first_place);
        let rules = field.rules(course, place).await?;
        course.notes.push(format!("{} decided by {rules:?}", node.name));
        return played;
    }
    while is_running(node, command) && since.elapsed() < WATCH {
        // pace: it is looked at
        sleep(PACE).await;
    }
    let took = since.elapsed();
    course.notes.push(format!("{command} was watched for {:.0} s", took.as_secs_f64()));
    match lock::is_kept(&field.looks_since(since), &leader) {
        Ok(left) => course.lowest = Some(left),
        Err(seen) => course.violations.push(format!("while {command} ran: {seen}")),
    }
    Ok(())
}
