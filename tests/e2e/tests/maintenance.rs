//! Maintenance: the daemons keep the store true and leave the servers to the operator.

use anyhow::{Result, bail, ensure};
use regent_harness::{Cluster, ClusterState, Exit, Node, wait};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// PAUSE-01, PAUSE-04, PAUSE-05, PAUSE-11, PAUSE-12, CTL-15: nobody promotes for a dead leader, a named member is switched to, a daemon
/// that ends leaves its server, and all goes on afterwards.
#[tokio::test]
async fn in_maintenance_the_servers_are_the_operators() -> Result<()> {
    let cluster = Cluster::builder("pause").start().await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?.name.clone();
    let output = cluster.regentctl(&["pause", "--wait"]).await?;
    ensure!(output.status.success(), "{output:?}");
    // It ends once all members have said so, and so do their keys.
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(told.starts_with("'pause' request sent, waiting until it is recognized by all nodes\n"), "{told}");
    ensure!(told.ends_with("Success: cluster management is paused\n"), "{told}");

    let second = cluster.others(&first).next().expect("there are three").name.clone();
    let answer = cluster.switchover(Some(&second)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let node = cluster.node(&second);
    ensure!(cluster.wait_leader(SOON).await?.name == second);
    // What was stopped to hand over comes back, for that is a part of it.
    cluster.wait_members_streaming(2, SOON).await?;

    let postmaster = node.postmaster_pid();
    ensure!(postmaster.is_some() && node.sigterm_and_wait(SOON).await? == Exit::Code(0));
    ensure!(node.postmaster_pid() == postmaster, "the server goes on without its daemon");
    node.start()?;
    ensure!(cluster.wait_leader(SOON).await?.name == second);

    node.kill_postmaster()?;
    // Each daemon has seen that there is no leader, and so asked itself whether to lead.
    let leads = |member: &serde_json::Value| member["role"] == "leader";
    let all_know = |state: &regent_harness::ClusterState| {
        let lists = state.nodes.values().map(|node| node.cluster.as_ref().and_then(|list| list["members"].as_array()));
        lists.into_iter().all(|members| members.is_some_and(|members| !members.iter().any(leads)))
    };
    cluster.wait_for("all to see that nobody leads", SOON, all_know).await?;
    for node in &cluster.nodes {
        ensure!(node.health("/primary").await == Some(503), "{} took over", node.name);
    }

    let output = cluster.regentctl(&["resume", "--wait"]).await?;
    ensure!(output.status.success(), "{output:?}");
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?.name.clone();
    restart_one_after_the_other(&cluster, &leader).await?;
    pause_without_the_leader(&cluster, cluster.node(&leader)).await?;
    cluster.finish().await
}

/// PAUSE-11: the leader's node is gone and holds the lock still: another member takes the word, and so nobody takes over.
async fn pause_without_the_leader(cluster: &Cluster, leader: &Node) -> Result<()> {
    leader.kill_node()?;
    let output = cluster.regentctl(&["pause"]).await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && told.contains("Success: cluster management is paused"), "{output:?}");
    for node in cluster.others(&leader.name) {
        let answer = node.rest("GET", "/config", None).await?;
        ensure!(answer.json()?["pause"] == true, "{answer:?}");
    }
    Ok(())
}

/// `restart --rolling`: each server is another one afterwards, the leader's was the last, and it leads still.
async fn restart_one_after_the_other(cluster: &Cluster, leader: &str) -> Result<()> {
    let before: Vec<_> = cluster.nodes.iter().map(Node::postmaster_pid).collect();
    let output = cluster.regentctl(&["restart", "pause", "--rolling", "--force"]).await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let turn: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("Success: restart on member ")).collect();
    let mut sorted = turn.clone();
    sorted.sort_unstable();
    ensure!(sorted == ["node1", "node2", "node3"] && turn.last() == Some(&leader), "{told}");
    for (node, before) in cluster.nodes.iter().zip(before) {
        ensure!(node.postmaster_pid().is_some() && node.postmaster_pid() != before, "{} was not restarted", node.name);
    }
    ensure!(cluster.wait_healthy(Duration::from_secs(90)).await?.name == leader);
    Ok(())
}

/// PAUSE-03, REW-02: a primary of before takes the lock in maintenance once its successor is gone, and leads on afterwards: a
/// member that is further on than it is rewound to its older timeline, and so is the successor, which comes back.
#[tokio::test]
async fn an_older_primary_is_joined_after_maintenance() -> Result<()> {
    let cluster = Cluster::builder("older").dynamic(json!({"ttl": 20})).start().await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?;
    first.sql("CREATE TABLE words (word text); INSERT INTO words VALUES ('common')").await?;
    let others: Vec<&Node> = cluster.others(&first.name).collect();
    let [second, third] = others[..] else { bail!("there are three") };
    ensure!(cluster.regentctl(&["pause", "--wait"]).await?.status.success());

    ensure!(first.sigterm_and_wait(SOON).await? == Exit::Code(0));
    let nobody = |state: &ClusterState| state.leader().is_none();
    cluster.wait_for("the lock to run out", SOON, nobody).await?;
    let output = cluster.regentctl(&["failover", "older", "--candidate", &second.name, "--force"]).await?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(cluster.wait_leader(SOON).await?.name == second.name);
    second.sql("INSERT INTO words VALUES ('given up')").await?;
    wait_for_words(third, "common, given up").await?;

    first.start()?;
    let listed = |state: &ClusterState| state.member_state(&first.name) == Some("running");
    cluster.wait_for("the older primary's daemon", SOON, listed).await?;
    second.kill_postmaster()?;
    let leads = |state: &ClusterState| state.leader() == Some(first.name.as_str());
    cluster.wait_for("the older primary to lead", SOON, leads).await?;
    first.sql("INSERT INTO words VALUES ('kept')").await?;
    wait_for_words(third, "common, given up").await?;

    ensure!(cluster.regentctl(&["resume", "--wait"]).await?.status.success());
    ensure!(cluster.wait_healthy(Duration::from_secs(90)).await?.name == first.name);
    for node in [second, third] {
        wait_for_words(node, "common, kept").await?;
    }
    cluster.finish().await
}

async fn wait_for_words(node: &Node, expected: &str) -> Result<()> {
    let sql = "SELECT string_agg(word, ', ' ORDER BY word) FROM words";
    wait::until(&format!("{expected:?} on {}", node.name), SOON, async || match node.sql_value(sql).await {
        Ok(words) if words == expected => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// HA-52, CFG-40: a member whose pre_promote refuses gives the lock back, and another leads; before_stop runs before a
/// planned stop.
#[tokio::test]
async fn the_operators_scripts_have_their_say() -> Result<()> {
    let cluster = Cluster::builder("scripts")
        .local_yaml(|node, config| {
            let note = node.folder.join("stopping");
            config["postgresql"]["before_stop"] = json!(format!("touch {}", note.display()));
            if node.index == 1 {
                config["tags"] = json!({"failover_priority": 2});
                config["postgresql"]["pre_promote"] = json!("false");
            }
        })
        .dynamic(json!({"ttl": 20}))
        .start()
        .await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let refusing = cluster.nodes.iter().find(|node| node.layout.index == 1).expect("there are three");
    if first.name == refusing.name {
        // A bootstrap promotes nobody: what is to be seen begins once another leads.
        let other = cluster.others(&first.name).next().expect("there are three");
        ensure!(cluster.switchover(Some(&other.name)).await?.status == 200);
        cluster.wait_healthy(SOON).await?;
    }
    let old = cluster.wait_leader(SOON).await?;
    ensure!(!refusing.layout.folder.join("stopping").exists() || first.name == refusing.name);
    let timeline = cluster.state().await.timeline(&old.name);
    cluster.switchover(Some(&refusing.name)).await?;
    let next = cluster.wait_healthy(Duration::from_secs(90)).await?;
    ensure!(next.name != refusing.name && old.layout.folder.join("stopping").exists());
    ensure!(cluster.state().await.timeline(&next.name) > timeline, "it was promoted by a race");
    refusing.wait_log("pre_promote", SOON).await?;
    cluster.finish().await
}
