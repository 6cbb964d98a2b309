//! Shots on busy leaders: a storm of small commits, and a thousand tables that all change.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use regent_harness::{binaries, sql, wait};
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::failover;
use super::field::{Course, Field, STATEMENT};
use super::lock;
use crate::plan::Fault;

/// What commits of the storm wait for, in turn.
const VARIANTS: [&str; 5] = ["on", "off", "local", "remote_write", "remote_apply"];
const STORM_CLIENTS: &str = "64";
/// How long it blows: several lives of the lock.
const STORM_SECONDS: &str = "24";
const STORM_ENDS: Duration = Duration::from_secs(180);
/// Into the storm, in shots that end with the leader's death.
const BEFORE_THE_KILL: Duration = Duration::from_secs(6);

const TABLES: usize = 1000;
const BATCH: usize = 100;

/// The tables that these shots need.
///
/// # Errors
/// When they cannot be made.
pub async fn prepare_storm(field: &Field, place: usize) -> Result<()> {
    field.run_sql(place, "CREATE TABLE IF NOT EXISTS regent_storm (number int)").await
}

/// A storm with one kind of commits; in every second shot the leader's node is killed in it.
///
/// # Errors
/// When the machine stands in the way, or nobody leads instead.
pub async fn play_storm(field: &Field, course: &mut Course) -> Result<()> {
    let variant = VARIANTS[course.number / 2 % VARIANTS.len()];
    let (since, kills) = (Instant::now(), course.number.is_multiple_of(2));
    course.notes.push(format!("synchronous_commit {variant}{}", if kills { ", node killed" } else { "" }));
    let storm = storm(field, course.place, variant)?;
    if kills {
        // pace: the storm is to have begun
        sleep(BEFORE_THE_KILL).await;
        let seen = lock::is_kept(&field.looks_since(since), &course.leader);
        match seen {
            Ok(left) => course.lowest = Some(left),
            Err(seen) => course.violations.push(seen),
        }
        failover::play(field, course, Fault::KillNode).await?;
    }
    let output = timeout(STORM_ENDS, storm.wait_with_output()).await.context("pgbench does not end")??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if kills {
        return Ok(());
    }
    let done = said.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "));
    course.notes.push(format!("{} commits in {STORM_SECONDS} s", done.unwrap_or("unknown").trim()));
    match lock::is_kept(&field.looks_since(since), &course.leader) {
        Ok(left) => course.lowest = Some(left),
        Err(seen) => course.violations.push(seen),
    }
    field.run_sql(course.place, "TRUNCATE regent_storm").await
}

fn storm(field: &Field, place: usize, variant: &str) -> Result<Child> {
    let node = field.node(place)?;
    let script = node.layout.folder.join("storm.sql");
    std::fs::write(&script, "INSERT INTO regent_storm VALUES (1);\n")?;
    let mut command = node.command_at(&binaries::postgresql()?.join("pgbench"));
    let (user, password) = regent_harness::config::SUPERUSER;
    command.env("PGPASSWORD", password).env("PGOPTIONS", format!("-c synchronous_commit={variant}"));
    command.args(["-n", "-h", "127.0.0.1", "-U", user, "-p", &node.layout.pg_port.to_string()]);
    command.args(["-c", STORM_CLIENTS, "-j", "2", "-T", STORM_SECONDS, "-f"]).arg(&script).arg("postgres");
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(Command::from(command).kill_on_drop(true).spawn()?)
}

/// A thousand tables, each with an index and a few rows.
///
/// # Errors
/// When they cannot be made.
pub async fn prepare_tables(field: &Field, place: usize) -> Result<()> {
    for first in (0..TABLES).step_by(BATCH) {
        let last = first + BATCH - 1;
        let statement = format!(
            "DO $$ BEGIN FOR i IN {first}..{last} LOOP EXECUTE format('CREATE TABLE IF NOT EXISTS many_%s \
             (id int PRIMARY KEY, word text)', i); EXECUTE format('INSERT INTO many_%s SELECT g, repeat(''x'', 100) \
             FROM generate_series(1, 20) g ON CONFLICT DO NOTHING', i); END LOOP; END $$"
        );
        field.run_sql(place, &statement).await?;
    }
    Ok(())
}

/// Every table changes, over and over; then the leader's node is killed.
///
/// # Errors
/// When the machine stands in the way, or nobody leads instead.
pub async fn play_tables(field: &Field, course: &mut Course) -> Result<()> {
    let writer = change_tables(field.node(course.place)?.layout.pg_port);
    let dirty = "SELECT count(*) FROM pg_stat_user_tables WHERE relname LIKE 'many_%' AND n_tup_upd > 0";
    wait::until("a thousand changed tables", STATEMENT, async || {
        match field.node(course.place).map_err(|error| error.to_string())?.sql_value(dirty).await {
            Ok(count) if count == TABLES.to_string() => Ok(()),
            Ok(count) => Err(format!("{count} are")),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await?;
    let played = failover::play(field, course, Fault::KillNode).await;
    writer.abort();
    played
}

fn change_tables(port: u16) -> AbortHandle {
    let task = tokio::spawn(async move {
        let Ok(connection) = sql::connect(port, STATEMENT).await else { return };
        for first in (0..TABLES).step_by(BATCH).cycle() {
            let last = first + BATCH - 1;
            let statement = format!(
                "DO $$ BEGIN FOR i IN {first}..{last} LOOP EXECUTE format('UPDATE many_%s SET word = word', i); \
                 END LOOP; END $$"
            );
            if sql::query(&connection, &statement, STATEMENT).await.is_err() {
                return;
            }
        }
    });
    task.abort_handle()
}
