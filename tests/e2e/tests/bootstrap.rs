//! A cluster comes to be: bootstrap, two clones, slots, the keys that others read.

use anyhow::{Result, ensure};
use regent_harness::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

/// BOOT-01, BOOT-16, HA-42, SLOT-01, API-03, API-04, API-05, CFG-01, CFG-07, CFG-13.
#[tokio::test]
async fn one_member_bootstraps_and_two_are_cloned() -> Result<()> {
    let cluster = Cluster::builder("boot").start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let streams = |status: Option<&Value>| {
        let rows = status.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        rows.len() == 2 && rows.iter().all(|row| row["state"] == "streaming")
    };
    cluster
        .wait_for("two rows of replication", Duration::from_secs(10), |state| {
            streams(state.status(&leader.name, "replication"))
        })
        .await?;
    let status = leader.rest("GET", "/patroni", None).await?.json()?;
    ensure!(status["role"] == "primary" && status["state"] == "running", "{status}");
    ensure!(status["timeline"] == 1, "{status}");
    ensure!(status["server_version"].as_u64().is_some_and(|version| version >= 130_000), "{status}");
    let system_id = leader.sql_value("SELECT system_identifier::text FROM pg_control_system()").await?;
    ensure!(status["database_system_identifier"] == system_id.as_str(), "{status}");
    let slots = cluster.sql(&leader.name, "SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1").await?;
    ensure!(slots.len() == 2, "each standby streams through a slot of its own: {slots:?}");
    for standby in cluster.others(&leader.name) {
        let status = standby.rest("GET", "/patroni", None).await?.json()?;
        ensure!(status["role"] == "replica" && status["replication_state"] == "streaming", "{status}");
        ensure!(standby.health("/replica").await == Some(200) && standby.health("/primary").await == Some(503));
        let conf = std::fs::read_to_string(standby.layout.data_dir.join("postgresql.conf"))?;
        ensure!(conf.contains("postgresql.base.conf"), "{conf}");
        let conninfo = conf.lines().find(|line| line.starts_with("primary_conninfo")).unwrap_or_default();
        ensure!(conninfo.contains(&format!("application_name={}", standby.name)), "{conninfo}");
        ensure!(!conninfo.contains("replication-secret"), "a password is in the configuration file");
    }
    let log = cluster.nodes.iter().map(regent_harness::Node::log).collect::<String>();
    ensure!(!log.contains("-secret"), "a password is in a log");
    cluster.finish().await
}

/// CFG-32, API-07, HA-44, CB-01: tags and callbacks as configured.
#[tokio::test]
async fn tags_and_callbacks_are_honoured() -> Result<()> {
    let cluster = Cluster::builder("tags")
        .nodes(2)
        .local_yaml(|node, yaml| {
            let record = node.folder.join("callbacks");
            let script = format!("sh -c 'echo $0 $1 $2 >> {}'", record.display());
            let mut callbacks = serde_json::Map::new();
            for name in ["on_start", "on_stop", "on_role_change"] {
                callbacks.insert(name.to_owned(), Value::String(script.clone()));
            }
            yaml["postgresql"]["callbacks"] = Value::Object(callbacks);
            if node.index == 1 {
                yaml["tags"] = json!({"nofailover": true, "noloadbalance": true, "custom": "1"});
            }
        })
        .prepare()
        .await?;
    cluster.nodes[0].start()?;
    cluster.wait_leader(Duration::from_secs(60)).await?;
    cluster.nodes[1].start()?;
    let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
    ensure!(leader.name == "node1");
    let standby = cluster.node("node2");
    ensure!(standby.health("/replica").await == Some(503), "noloadbalance keeps readers away");
    ensure!(standby.health("/health").await == Some(200));
    let status = standby.rest("GET", "/patroni", None).await?.json()?;
    ensure!(status["tags"] == json!({"nofailover": true, "noloadbalance": true, "custom": "1"}), "{status}");
    let answer = cluster.switchover(Some("node2")).await?;
    ensure!(answer.status == 412, "a member that must not lead is no candidate: {answer:?}");
    let heard = |node: &regent_harness::Node| std::fs::read_to_string(node.layout.folder.join("callbacks"));
    ensure!(heard(leader)?.lines().next() == Some("on_start primary tags"), "{:?}", heard(leader));
    ensure!(heard(standby)?.lines().next() == Some("on_start replica tags"), "{:?}", heard(standby));
    cluster.finish().await
}
