//! Waits until a cluster is whole again after its faults, and reads the table on every node.

use std::time::Duration;

use anyhow::{Context, Result};
use regent_harness::{sql, wait};

use crate::bed::Bed;
use crate::check::Table;
use crate::clients::TABLE;
use crate::history::History;

/// How long a cluster may take to be whole once nothing hurts it: leases, a rewind or a clone, on a busy machine.
const WHOLE: Duration = Duration::from_secs(400);
/// How often that is looked at.
const PACE: Duration = Duration::from_millis(400);
/// How long a standby may take to have replayed what its leader wrote.
const REPLAY: Duration = Duration::from_secs(60);
/// How long a table may take to be read.
const READ: Duration = Duration::from_secs(60);

/// Waits until one node leads, the others stream from it on its timeline, and writes are acknowledged.
///
/// # Errors
/// When that does not come.
pub async fn wait(bed: &Bed, history: &History) -> Result<()> {
    let healed = history.now();
    wait_roughly(bed).await?;
    bed.cluster.wait_healthy(WHOLE).await?;
    bed.cluster
        .wait_for("one timeline", WHOLE, |state| {
            let leader = state.leader().and_then(|name| state.timeline(name));
            leader.is_some() && state.members().iter().all(|member| member["timeline"].as_u64() == leader)
        })
        .await?;
    wait::until("an acknowledged write", WHOLE, async || {
        if history.is_written_after(healed) { Ok(()) } else { Err("none".to_owned()) }
    })
    .await
}

/// Waits until the members say that they are whole. They are asked less often than by those who measure them.
///
/// # Errors
/// When that does not come.
pub async fn wait_roughly(bed: &Bed) -> Result<()> {
    wait::until_paced("streaming members", WHOLE, PACE, async || {
        let state = bed.cluster.state().await;
        let is_whole = state.leader().is_some() && state.streaming() + 1 >= bed.cluster.nodes.len();
        if is_whole { Ok(()) } else { Err(state.to_string()) }
    })
    .await
}

/// How many timelines the cluster has behind it.
///
/// # Errors
/// When nobody leads, or it does not say.
pub async fn past_timelines(bed: &Bed) -> Result<usize> {
    let leader = bed.cluster.wait_leader(WHOLE).await?;
    let history = leader.rest("GET", "/history", None).await?.json()?;
    Ok(history.as_array().context("the history is no list")?.len())
}

/// The table on every node, the leader's first, once all have what the leader has. Nobody may write meanwhile.
///
/// # Errors
/// When a standby does not get so far, or a node does not answer.
pub async fn tables(bed: &Bed) -> Result<Vec<Table>> {
    let leader = bed.cluster.wait_leader(WHOLE).await?;
    let position = leader.sql_value("SELECT pg_current_wal_lsn()").await?;
    let mut tables = vec![table(&leader.name, leader.layout.pg_port).await?];
    for node in bed.cluster.others(&leader.name) {
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn");
        wait::until(&format!("{} to replay {position}", node.name), REPLAY, async || {
            match node.sql_value(&replayed).await {
                Ok(answer) if answer == "t" => Ok(()),
                Ok(answer) => Err(answer),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await?;
        tables.push(table(&node.name, node.layout.pg_port).await?);
    }
    Ok(tables)
}

async fn table(node: &str, port: u16) -> Result<Table> {
    let connection = sql::connect(port, READ).await?;
    let rows = sql::query(&connection, &format!("SELECT id FROM {TABLE}"), READ).await?;
    let ids = rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect();
    Ok(Table { node: node.to_owned(), ids })
}
