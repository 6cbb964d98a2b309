//! Shots in which a server's stop does not end. The lock is kept while the server may still write, and given up when it
//! surely cannot: by its last checkpoint, or because it was killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use regent_harness::http;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::field::{Course, Field, signal};
use super::lock;
use crate::inject;
use crate::plan::Fault;

/// Into the stop, where something else happens then.
const INTO: Duration = Duration::from_secs(3);
/// How long a request to hand over may take.
const SWITCHOVER: Duration = Duration::from_secs(120);

/// Plays one of four, in turn.
///
/// # Errors
/// When nobody leads instead, or the machine stands in the way.
pub async fn play(field: &Field, course: &mut Course) -> Result<()> {
    match course.number % 4 {
        1 => hands_over_when_it_ends(field, course).await,
        2 => is_left_to_the_guard(field, course).await,
        3 => waits_for_a_standby(field, course).await,
        _ => is_for_the_locks_sake(field, course).await,
    }
}

/// The leader hands over, and its checkpointer stands still: the lock stays, renewed, until the server is down.
async fn hands_over_when_it_ends(field: &Field, course: &mut Course) -> Result<()> {
    course.notes.push("checkpointer stands still, hand-over".to_owned());
    let node = field.node(course.place)?;
    signal(node, "checkpointer", Signal::SIGSTOP)?;
    let (since, request) = (Instant::now(), hand_over(field, course, None)?);
    // pace: that nothing happens in two lives of the lock is what is to be seen
    sleep(field.ttl * 2).await;
    let seen = lock::is_kept(&field.looks_since(since), &course.leader);
    signal(node, "checkpointer", Signal::SIGCONT)?;
    match seen {
        Ok(left) => course.lowest = Some(left),
        Err(seen) => course.violations.push(format!("while the stop hung: {seen}")),
    }
    field.wait_next_leader(course).await?;
    expect_rules(field, course, &[840]).await?;
    answered(course, request).await
}

/// The same, and the daemon dies meanwhile: the guard ends the server before the lock ends.
async fn is_left_to_the_guard(field: &Field, course: &mut Course) -> Result<()> {
    course.notes.push("checkpointer stands still, hand-over, daemon killed".to_owned());
    let node = field.node(course.place)?;
    signal(node, "checkpointer", Signal::SIGSTOP)?;
    let request = hand_over(field, course, None)?;
    // pace: the stop is to hang
    sleep(INTO).await;
    ensure!(node.postmaster_pid().is_some(), "the server is down though its checkpointer stands still");
    inject::hurt(&field.bed, Fault::KillDaemon, course.place)?;
    let found = field.wait_next_leader(course).await;
    if node.postmaster_pid().is_some() {
        course.violations.push("the server outlived its lock, though nobody could write to it".to_owned());
    }
    inject::heal(&field.bed, Fault::KillDaemon, course.place).await?;
    found?;
    request.abort();
    Ok(())
}

/// A standby receives nothing any more, and the server waits for it: its last checkpoint is written, the candidate has
/// it, and so the lock is given back although the postmaster lives on.
async fn waits_for_a_standby(field: &Field, course: &mut Course) -> Result<()> {
    course.notes.push("a standby's receiver stands still, hand-over".to_owned());
    let count = field.bed.cluster.nodes.len();
    let (candidate, silent) = ((course.place + 1) % count, (course.place + 2) % count);
    let silent = field.node(silent)?;
    signal(silent, "walreceiver", Signal::SIGSTOP)?;
    let request = hand_over(field, course, Some(field.node(candidate)?.name.clone()))?;
    let found = field.wait_next_leader(course).await;
    let lives = field.node(course.place)?.postmaster_pid().is_some();
    course.notes.push(format!("the old postmaster {}", if lives { "lived on" } else { "was gone" }));
    // It may have been ended, and another been started.
    let _gone = signal(silent, "walreceiver", Signal::SIGCONT).is_err();
    found?;
    expect_rules(field, course, &[840, 420]).await?;
    answered(course, request).await
}

/// The leader loses the store while its checkpointer stands still: it is stopped, then at once, then killed, and all of
/// that before the lock ends.
async fn is_for_the_locks_sake(field: &Field, course: &mut Course) -> Result<()> {
    course.notes.push("checkpointer stands still, cut from the store".to_owned());
    let node = field.node(course.place)?;
    let server = node.postmaster_pid();
    signal(node, "checkpointer", Signal::SIGSTOP)?;
    inject::hurt(&field.bed, Fault::CutFromStore, course.place)?;
    let found = field.wait_next_leader(course).await;
    if server.is_some() && node.postmaster_pid() == server {
        course.violations.push("the server outlived its lock".to_owned());
    }
    let expected = expect_rules(field, course, &[130]).await;
    inject::heal(&field.bed, Fault::CutFromStore, course.place).await?;
    found?;
    expected
}

/// Asks the leader to hand over; the answer comes later.
fn hand_over(field: &Field, course: &Course, candidate: Option<String>) -> Result<JoinHandle<Result<String>>> {
    let mut body = json!({ "leader": course.leader });
    if let Some(candidate) = candidate {
        body["candidate"] = json!(candidate);
    }
    let port = field.node(course.place)?.layout.rest_port;
    Ok(tokio::spawn(async move {
        let answer = http::request(port, "POST", "/switchover", Some(&body), SWITCHOVER).await?;
        Ok(format!("{} {}", answer.status, answer.body.trim()))
    }))
}

async fn answered(course: &mut Course, request: JoinHandle<Result<String>>) -> Result<()> {
    let answer = request.await.context("the request")?;
    course.notes.push(answer.unwrap_or_else(|error| format!("the request: {error:#}")));
    Ok(())
}

/// The old leader must have decided by all of these.
async fn expect_rules(field: &Field, course: &mut Course, expected: &[u64]) -> Result<()> {
    let rules = field.rules(course, course.place).await?;
    for rule in expected.iter().filter(|rule| !rules.contains(rule)) {
        course.violations.push(format!("{} did not decide by rule {rule}, but by {rules:?}", course.leader));
    }
    course.notes.push(format!("{} decided by {rules:?}", course.leader));
    Ok(())
}
