//! Synchronous mode: an acknowledged write is on a standby that may take over, whoever dies.

#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, ClusterState, Dcs, Node, Prober};
use serde_json::{Value, json};
use std::time::Duration;

#[macro_use]
mod common;

on_each_store!(no_acknowledged_write_is_lost_with_its_leader);

const TTL: Duration = Duration::from_secs(20);

/// The members that the cluster calls synchronous.
fn synchronous<'a>(state: &'a ClusterState, role: &str) -> Vec<&'a str> {
    let members = state.members().iter().filter(|member| member["role"] == role);
    members.filter_map(|member| member["name"].as_str()).collect()
}

/// Waits until one standby is synchronous by the key, and PostgreSQL says the same.
async fn wait_synchronous<'a>(cluster: &'a Cluster, not: &str) -> Result<(&'a Node, &'a Node)> {
    let one = |state: &ClusterState| {
        let names = synchronous(state, "sync_standby");
        state.leader().is_some() && names.len() == 1 && names[0] != not
    };
    let state = cluster.wait_for("one synchronous standby", Duration::from_secs(40), one).await?;
    let leader = cluster.node(state.leader().unwrap_or_default());
    let standby = cluster.node(synchronous(&state, "sync_standby")[0]);
    // The key forgets a standby before PostgreSQL does, so the key may be a step ahead.
    wait_names(leader, &standby.name).await?;
    let sql = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'";
    ensure!(leader.sql_value(sql).await? == standby.name);
    Ok((leader, standby))
}

async fn start(name: &str, nodes: usize, dynamic: Value) -> Result<Cluster> {
    let cluster = Cluster::builder(name).nodes(nodes).dynamic(dynamic).start().await?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    Ok(cluster)
}

/// SYNC-01, SYNC-02, SYNC-08, API-06, SYNC-09, SYNC-16: what is shown, who may be switched to, and the way back.
#[tokio::test]
async fn the_synchronous_standby_is_shown_and_may_be_switched_to() -> Result<()> {
    // The user's own names count while the mode is off, and only then.
    let own = json!({"parameters": {"synchronous_standby_names": "*"}});
    let cluster = start("sync", 3, json!({"synchronous_mode": true, "postgresql": own})).await?;
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    let other = cluster.others(&leader.name).find(|node| node.name != standby.name).context("there are three")?;

    cluster
        .wait_for("health checks that tell them apart", Duration::from_secs(10), |state| {
            state.status(&standby.name, "sync_standby") == Some(&json!(true))
        })
        .await?;
    for (path, on_leader, on_standby, on_other) in [
        ("/sync", 503, 200, 503),
        ("/synchronous", 503, 200, 503),
        ("/async", 503, 503, 200),
        ("/asynchronous", 503, 503, 200),
        ("/read-only-sync", 200, 200, 503),
        ("/quorum", 503, 503, 503),
    ] {
        let found = (leader.health(path).await, standby.health(path).await, other.health(path).await);
        ensure!(found == (Some(on_leader), Some(on_standby), Some(on_other)), "{path}: {found:?}");
    }
    let metrics = standby.rest("GET", "/metrics", None).await?.body;
    ensure!(metrics.lines().any(|line| line.starts_with("patroni_sync_standby{") && line.ends_with(" 1")), "{metrics}");
    let list = cluster.regentctl(&["list"]).await?;
    ensure!(String::from_utf8_lossy(&list.stdout).contains("| Sync Standby |"), "{list:?}");

    let prober = Prober::start(&cluster).await?;
    let answer = cluster.switchover(Some(&other.name)).await?;
    ensure!((answer.status, answer.body.as_str()) == (412, "candidate name does not match with sync_standby"));
    let answer = cluster.switchover(None).await?;
    ensure!(answer.body == format!("Successfully switched over to \"{}\"", standby.name), "{answer:?}");
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    let other = cluster.others(&leader.name).find(|node| node.name != standby.name).context("there are three")?;
    cluster.wait_healthy(Duration::from_secs(30)).await?;
    let answer = leader.rest("POST", "/failover", Some(json!({"candidate": other.name}))).await?;
    ensure!(answer.body == format!("Successfully failed over to \"{}\"", other.name), "{answer:?}");
    let (leader, _) = wait_synchronous(&cluster, "").await?;
    ensure!(leader.name == other.name);

    cluster.patch_config(json!({"synchronous_mode": null})).await?;
    let none = |state: &ClusterState| synchronous(state, "sync_standby").is_empty();
    cluster.wait_for("no synchronous standby", Duration::from_secs(20), none).await?;
    wait_names(leader, "*").await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}

async fn wait_names(node: &Node, expected: &str) -> Result<()> {
    regent_harness::wait::until(&format!("names {expected:?}"), Duration::from_secs(20), async || {
        match node.sql_value("SHOW synchronous_standby_names").await {
            Ok(names) if names == expected => Ok(()),
            Ok(names) => Err(names),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

/// SYNC-01, DESIGN §3 invariant 2: whoever dies under writes, only the synchronous standby takes over, with every
/// acknowledged write; a synchronous standby that dies is replaced.
async fn no_acknowledged_write_is_lost_with_its_leader(dcs: Dcs) -> Result<()> {
    let dynamic = json!({"synchronous_mode": true, "maximum_lag_on_failover": 1_000_000_000});
    let cluster = Cluster::builder("syncdeath").dcs(dcs).dynamic(dynamic).start().await?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    let (first, standby) = wait_synchronous(&cluster, "").await?;
    let prober = Prober::start(&cluster).await?;
    standby.kill_node()?;
    let (_, next_standby) = wait_synchronous(&cluster, &standby.name).await?;
    prober.wait_acknowledged(Duration::from_secs(10)).await?;
    standby.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    first.kill_node()?;
    let leader = cluster.wait_leader_other_than(&first.name, TTL + Duration::from_secs(15)).await?;
    ensure!(leader.name == next_standby.name, "{} leads, {} was synchronous", leader.name, next_standby.name);
    first.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    ensure!(report.first_ack_of(&leader.name, Duration::ZERO).is_some(), "the new leader took no write");
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// SYNC-03, SYNC-05, SYNC-06: without a standby a strict cluster acknowledges nothing, also right after a promotion; a
/// standby that is stopped in order is let go of first in a cluster that is not strict.
#[tokio::test]
async fn a_strict_cluster_waits_for_a_standby() -> Result<()> {
    let cluster = start("strict", 2, json!({"synchronous_mode": true, "synchronous_mode_strict": true})).await?;
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    leader.sql("CREATE TABLE t (i int); INSERT INTO t VALUES (1)").await?;
    standby.kill_node()?;
    let blocked = leader.sql("SET statement_timeout = '3s'; INSERT INTO t VALUES (2)").await;
    // PostgreSQL ends the wait with a warning where the statement is cancelled: a wait there was.
    let names = leader.sql_value("SHOW synchronous_standby_names").await?;
    ensure!(names == standby.name, "{names}: {blocked:?}");
    let waiting = leader.sql("SET statement_timeout = 0; INSERT INTO t VALUES (3)").await;
    ensure!(waiting.is_err(), "a strict cluster acknowledged without a standby");
    let phrase = "No active replication connections from Patroni members and synchronous_mode_strict is requested";
    leader.wait_log(phrase, Duration::from_secs(10)).await?;
    standby.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    wait_synchronous(&cluster, "").await?;
    leader.sql("INSERT INTO t VALUES (4)").await?;

    leader.kill_node()?;
    let waiting = regent_harness::wait::until("the promotion", TTL + Duration::from_secs(15), async || {
        match standby.sql_value("SELECT pg_is_in_recovery()").await {
            Ok(answer) if answer == "f" => Ok(standby.sql("INSERT INTO t VALUES (5)").await),
            other => Err(format!("{other:?}")),
        }
    });
    ensure!(waiting.await?.is_err(), "acknowledged right after the promotion, without a standby");

    cluster.patch_config(json!({"synchronous_mode_strict": false})).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    let prober = Prober::start(&cluster).await?;
    standby.sigterm_and_wait(Duration::from_secs(15)).await?;
    let log = standby.log();
    ensure!(log.contains("Waiting for primary to release us from synchronous standby"), "it did not ask");
    wait_names(leader, "").await?;
    let report = prober.stop().await;
    let gap = report.longest_gap();
    ensure!(gap.length() < Duration::from_secs(5), "commits hung for {:?}", gap.length());
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// SYNC-02, HA-07, OPS-02: a server that is restarted, crashes or loses its daemon goes on waiting for whom the key
/// names; at no moment does the key name somebody for whom it does not.
#[tokio::test]
async fn a_server_that_comes_back_waits_for_the_same_standby() -> Result<()> {
    let cluster = start("syncback", 2, json!({"synchronous_mode": true, "synchronous_mode_strict": true})).await?;
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    let prober = Prober::start(&cluster).await?;
    prober.wait_acknowledged(Duration::from_secs(10)).await?;
    for step in ["restart", "crash", "daemon"] {
        match step {
            "restart" => {
                let answer = leader.rest("POST", "/restart", None).await?;
                ensure!(answer.status == 200, "{answer:?}");
            }
            "crash" => leader.kill_postmaster()?,
            _ => {
                leader.kill_daemon()?;
                leader.start()?;
            }
        }
        ensure!(cluster.wait_healthy(Duration::from_secs(30)).await?.name == leader.name, "{step}");
        wait_names(leader, &standby.name).await?;
        wait_synchronous(&cluster, "").await?;
        prober.wait_acknowledged(Duration::from_secs(10)).await?;
    }
    leader.kill_node()?;
    cluster.wait_leader_other_than(&leader.name, TTL + Duration::from_secs(15)).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// SYNC-04, SYNC-11, SYNC-12, SYNC-14: two standbys at once; priority, nosync and lag decide who.
#[tokio::test]
async fn operators_say_which_standbys_are_synchronous() -> Result<()> {
    let dynamic = json!({"synchronous_mode": true, "synchronous_node_count": 2, "maximum_lag_on_syncnode": 1_048_576});
    let cluster = start("choice", 3, dynamic).await?;
    let two = |state: &ClusterState| synchronous(state, "sync_standby").len() == 2;
    let state = cluster.wait_for("two synchronous standbys", Duration::from_secs(40), two).await?;
    let leader = cluster.node(state.leader().unwrap_or_default());
    let names = synchronous(&state, "sync_standby");
    wait_names(leader, &format!("2 ({},{})", names[0], names[1])).await?;
    cluster.patch_config(json!({"synchronous_node_count": 1})).await?;
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    let other = cluster.others(&leader.name).find(|node| node.name != standby.name).context("there are three")?;
    other.edit_config(|config| config["tags"] = json!({"sync_priority": 5}))?;
    other.rest("POST", "/reload", None).await?;
    let (_, preferred) = wait_synchronous(&cluster, &standby.name).await?;
    ensure!(preferred.name == other.name);
    other.edit_config(|config| config["tags"] = json!({"nosync": true}))?;
    other.rest("POST", "/reload", None).await?;
    let (_, left) = wait_synchronous(&cluster, &other.name).await?;
    ensure!(left.name == standby.name);
    cluster.finish().await
}

/// SYNC-13, API-06: any of two standbys confirms; the leader dies, then the next; nothing acknowledged is lost.
#[tokio::test]
async fn in_quorum_mode_any_standby_confirms_and_none_is_lost() -> Result<()> {
    let dynamic = json!({"synchronous_mode": "quorum", "maximum_lag_on_failover": 1_000_000_000});
    let cluster = start("quorum", 3, dynamic).await?;
    let leader = wait_quorum(&cluster).await?;
    for node in cluster.others(&leader.name) {
        let found = (node.health("/quorum").await, node.health("/read-only-quorum").await, node.health("/sync").await);
        ensure!(found == (Some(200), Some(200), Some(503)), "{found:?}");
        let status = node.rest("GET", "/patroni", None).await?.json()?;
        ensure!(status["quorum_standby"] == true && status.get("sync_standby").is_none(), "{status}");
    }
    let list = cluster.regentctl(&["list"]).await?;
    ensure!(String::from_utf8_lossy(&list.stdout).matches("| Quorum Standby |").count() == 2, "{list:?}");

    let prober = Prober::start(&cluster).await?;
    leader.kill_node()?;
    let next = cluster.wait_leader_other_than(&leader.name, TTL + Duration::from_secs(15)).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    wait_quorum(&cluster).await?;
    let answer = cluster.switchover(None).await?;
    ensure!(answer.status == 200, "{answer:?}");
    cluster.wait_leader_other_than(&next.name, Duration::from_secs(20)).await?;
    cluster.wait_healthy(Duration::from_secs(30)).await?;
    wait_quorum(&cluster).await?;
    cluster.patch_config(json!({"synchronous_mode": true})).await?;
    let (leader, standby) = wait_synchronous(&cluster, "").await?;
    let answer = standby.rest("POST", "/restart", None).await?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(standby.log().contains("Waiting for primary to release us from synchronous standby"), "it did not ask");
    cluster.patch_config(json!({"synchronous_mode": "quorum"})).await?;
    ensure!(wait_quorum(&cluster).await?.name == leader.name);
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// Waits until both standbys are voters, and PostgreSQL says the same.
async fn wait_quorum(cluster: &Cluster) -> Result<&Node> {
    let two = |state: &ClusterState| state.leader().is_some() && synchronous(state, "quorum_standby").len() == 2;
    let state = cluster.wait_for("two voters", Duration::from_secs(40), two).await?;
    let leader = cluster.node(state.leader().unwrap_or_default());
    let names = synchronous(&state, "quorum_standby");
    wait_names(leader, &format!("ANY 1 ({},{})", names[0], names[1])).await?;
    Ok(leader)
}

/// SYNC-01, SYNC-13 in a cluster that real Patroni shares: it leads with our standbys, we lead with it as standby, and
/// each takes over from the other with every acknowledged write.
async fn the_peer_and_we_keep_each_others_commits(mode: Value) -> Result<()> {
    if let Err(why) = regent_harness::peer::installed() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let dynamic = json!({"synchronous_mode": mode, "maximum_lag_on_failover": 1_000_000_000});
    let prefer_the_peer = |layout: &regent_harness::NodeLayout, config: &mut Value| {
        if layout.index == 0 {
            config["tags"] = json!({"sync_priority": 5, "failover_priority": 5});
        }
    };
    let builder = Cluster::builder("mixedsync").dcs(Dcs::Etcd3).peers(&[0]).dynamic(dynamic);
    let cluster = builder.local_yaml(prefer_the_peer).start().await?;
    let settled = async || match mode.as_str() {
        Some(_) => wait_quorum(&cluster).await,
        None => wait_synchronous(&cluster, "").await.map(|(leader, _)| leader),
    };
    cluster.wait_healthy(Duration::from_secs(120)).await?;
    let leader = settled().await?;
    if leader.name != "node1" {
        let answer = leader.rest("POST", "/failover", Some(json!({"candidate": "node1"}))).await?;
        ensure!(answer.status == 200, "{answer:?}");
        cluster.wait_healthy(Duration::from_secs(60)).await?;
    }
    ensure!(settled().await?.name == "node1", "the peer was to lead");
    let prober = Prober::start(&cluster).await?;
    prober.wait_acknowledged(Duration::from_secs(10)).await?;
    cluster.node("node1").kill_node()?;
    let ours = cluster.wait_leader_other_than("node1", TTL + Duration::from_secs(20)).await?;
    cluster.node("node1").start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    ensure!(settled().await?.name == ours.name, "the lead changed by itself");
    if mode == true {
        let (_, standby) = wait_synchronous(&cluster, "").await?;
        if standby.name != "node1" {
            wait_synchronous(&cluster, &standby.name).await?;
        }
    }
    prober.wait_acknowledged(Duration::from_secs(10)).await?;
    ours.kill_node()?;
    let next = cluster.wait_leader_other_than(&ours.name, TTL + Duration::from_secs(20)).await?;
    ensure!(next.name == "node1" || mode != true, "{} leads, the peer was synchronous", next.name);
    ours.start()?;
    cluster.wait_healthy(Duration::from_secs(60)).await?;
    settled().await?;
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty(), "writes were doubly accepted");
    report.verify(&cluster).await?;
    cluster.finish().await
}

#[tokio::test]
async fn a_cluster_shared_with_the_peer_loses_nothing() -> Result<()> {
    the_peer_and_we_keep_each_others_commits(json!(true)).await
}

#[tokio::test]
async fn a_quorum_shared_with_the_peer_loses_nothing() -> Result<()> {
    the_peer_and_we_keep_each_others_commits(json!("quorum")).await
}
