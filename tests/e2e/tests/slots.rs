//! Replication slots: those that are to last survive the loss of a leader, those of members that are away are kept for
//! a while.

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, Node};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// What a statement gives on a node, as soon as `fits` accepts it.
async fn wait_value(node: &Node, statement: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
    let deadline = tokio::time::Instant::now() + SOON;
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    loop {
        pace.tick().await;
        // A standby is restarted while logical slots are brought over.
        let value = node.sql_value(statement).await;
        match value {
            Ok(value) if fits(&value) => return Ok(value),
            other if tokio::time::Instant::now() > deadline => {
                return other.with_context(|| format!("{} never had it: {statement}", node.name));
            }
            _ => {}
        }
    }
}

/// Waits until the node has a slot that reached `position`, and sees that it is not further than the leader's.
async fn wait_position(node: &Node, slot: &str, position: &str) -> Result<()> {
    let at = "coalesce(confirmed_flush_lsn, restart_lsn)";
    let reached = format!(
        "SELECT coalesce((SELECT {at} >= '{position}' FROM pg_replication_slots WHERE slot_name = '{slot}'), false)"
    );
    wait_value(node, &reached, |value| value == "t").await?;
    let exactly = format!("SELECT {at} = '{position}' FROM pg_replication_slots WHERE slot_name = '{slot}'");
    ensure!(node.sql_value(&exactly).await? == "t", "{slot} of {} is ahead of its consumer", node.name);
    Ok(())
}

/// Reads what the logical slot has, tells how far that was, and writes a row that nobody has read.
async fn consume_and_write(leader: &Node, unread: u32) -> Result<String> {
    leader.sql("SELECT count(*) FROM pg_logical_slot_get_changes('cdc', NULL, NULL)").await?;
    leader.sql(&format!("INSERT INTO read_later VALUES ({unread})")).await?;
    leader.sql_value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'cdc'").await
}

/// The new leader's slot still gives the row.
async fn has_unread(leader: &Node, unread: u32) -> Result<()> {
    let rows = leader.sql("SELECT data FROM pg_logical_slot_peek_changes('cdc', NULL, NULL)").await?;
    let row = format!("table public.read_later: INSERT: id[integer]:{unread}");
    let found = rows.iter().flatten().flatten().any(|data| *data == row);
    ensure!(found, "{} lost {row}: {rows:?}", leader.name);
    Ok(())
}

fn slot_count(name: &str) -> String {
    format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{name}'")
}

/// SLOT-08, SLOT-10, SLOT-11: no position is lost when the leader hands over or dies; a dead member's slot is kept on
/// all others for member_slots_ttl, and the member comes back to its logical slot.
#[tokio::test]
async fn lasting_slots_outlive_their_leader() -> Result<()> {
    let cluster = Cluster::builder("slots")
        .dynamic(json!({
            "slots": {
                "kept": {"type": "physical"},
                "cdc": {"type": "logical", "database": "postgres", "plugin": "test_decoding"}
            },
            "postgresql": {"parameters": {"wal_level": "logical"}}
        }))
        .start()
        .await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?;
    wait_value(first, &slot_count("cdc"), |count| count == "1").await?;
    first.sql("CREATE TABLE read_later (id int)").await?;
    let read = consume_and_write(first, 1).await?;
    let kept = "SELECT pg_replication_slot_advance('kept', pg_current_wal_flush_lsn())";
    first.sql(kept).await?;
    let kept = first.sql_value("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'kept'").await?;
    for standby in cluster.others(&first.name) {
        wait_position(standby, "cdc", &read).await?;
        wait_position(standby, "kept", &kept).await?;
        ensure!(standby.sql_value("SHOW hot_standby_feedback").await? == "on");
    }

    cluster.wait_members_streaming(2, SOON).await?;
    ensure!(cluster.switchover(None).await?.status == 200);
    let second = cluster.wait_leader_other_than(&first.name, SOON).await?;
    cluster.wait_healthy(SOON).await?;
    has_unread(second, 1).await?;

    let read = consume_and_write(second, 2).await?;
    for standby in cluster.others(&second.name) {
        wait_position(standby, "cdc", &read).await?;
    }
    cluster.wait_members_streaming(2, SOON).await?;
    second.kill_node()?;
    let third = cluster.wait_leader_other_than(&second.name, SOON).await?;
    wait_value(third, "SELECT pg_is_in_recovery()", |value| value == "f").await?;
    has_unread(third, 2).await?;
    ensure!(third.sql_value(&slot_count("kept")).await? == "1");
    the_dead_members_slot_goes_in_time(&cluster, second, third).await?;

    ensure!(cluster.patch_config(json!({"member_slots_ttl": "30min"})).await?.status == 200);
    second.start()?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    wait_position(second, "cdc", &read).await?;
    cluster.finish().await
}

/// SLOT-11: the slot stays on the leader and on the other standby after the member is gone, until the time is over.
async fn the_dead_members_slot_goes_in_time(cluster: &Cluster, dead: &Node, leader: &Node) -> Result<()> {
    let gone = |state: &regent_harness::ClusterState| {
        state.cluster().is_some_and(|_| state.members().len() == 2 && state.member(&dead.name).is_none())
    };
    cluster.wait_for("the dead member to leave the store", SOON, gone).await?;
    let alive = || cluster.others(&dead.name);
    for node in alive() {
        ensure!(node.sql_value(&slot_count(&dead.name)).await? == "1", "{} dropped it at once", node.name);
    }
    leader.sql("SELECT pg_create_physical_replication_slot('unknown')").await?;
    ensure!(cluster.patch_config(json!({"member_slots_ttl": 1})).await?.status == 200);
    for node in alive() {
        wait_value(node, &slot_count(&dead.name), |count| count == "0").await?;
    }
    wait_value(leader, &slot_count("unknown"), |count| count == "0").await.map(drop)
}
