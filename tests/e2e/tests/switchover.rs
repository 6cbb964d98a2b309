//! Operators hand over, restart and make members anew, by REST and by the CLI, under writes.

#[macro_use]
mod common;

use anyhow::{Result, ensure};
use regent_harness::{Cluster, ClusterState, Dcs, Node, Prober, wait};
use serde_json::json;
use std::time::Duration;

on_each_store!(
    a_switchover_under_writes_loses_nothing,
    a_graceful_stop_hands_the_lock_over,
    a_switchover_after_a_crash_waits_for_the_stream,
);

/// API-13, CTL-16, HA-45: no acknowledged write is lost, by whichever way.
async fn a_switchover_under_writes_loses_nothing(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("switch").dcs(dcs).start().await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?.name.clone();
    let prober = Prober::start(&cluster).await?;
    let second = cluster.others(&first).next().map(|node| node.name.clone()).unwrap_or_default();

    let answer = cluster.switchover(Some(&second)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(answer.body == format!("Successfully switched over to \"{second}\""), "{answer:?}");
    let leader = cluster.wait_healthy(Duration::from_secs(30)).await?;
    ensure!(leader.name == second);

    let output = cluster.regentctl(&["switchover", "--leader", &second, "--candidate", &first, "--force"]).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains(&format!("Successfully switched over to \"{first}\"")), "{text}");
    let leader = cluster.wait_healthy(Duration::from_secs(30)).await?;
    ensure!(leader.name == first);
    let everybody = |state: &ClusterState| cluster.nodes.iter().all(|node| state.timeline(&node.name) == Some(3));
    cluster.wait_for("everybody on timeline 3", Duration::from_secs(30), everybody).await?;

    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;
    let list = cluster.regentctl(&["list"]).await?;
    let table = String::from_utf8_lossy(&list.stdout).into_owned();
    ensure!(table.contains("+ Cluster: switch (") && table.contains("| Leader "), "{table}");
    let why = cluster.regentctl(&["why"]).await?;
    ensure!(why.status.success() && String::from_utf8_lossy(&why.stdout).contains("rule"), "{why:?}");
    the_cli_reaches_the_servers(&cluster, &first).await?;
    cluster.finish().await
}

/// CTL-01, CTL-02, CTL-11, CTL-25: what the CLI says of the servers is so, and it gets through to them.
async fn the_cli_reaches_the_servers(cluster: &Cluster, leader: &str) -> Result<()> {
    let told = async |words: &[&str]| {
        let output = cluster.regentctl(words).await?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let leader = cluster.node(leader);
    let dsn = told(&["dsn"]).await?;
    ensure!(dsn == format!("host=127.0.0.1 port={}\n", leader.layout.pg_port), "{dsn}");
    let topology = told(&["topology"]).await?;
    ensure!(topology.contains(&format!("| {} ", leader.name)), "{topology}");
    for node in cluster.others(&leader.name) {
        ensure!(topology.contains(&format!("| + {} ", node.name)), "{topology}");
    }
    let sql = "SELECT pg_is_in_recovery() AS standby, inet_server_port() AS port";
    let rows = told(&["query", "-c", sql]).await?;
    ensure!(rows == format!("standby\tport\nFalse\t{}\n", leader.layout.pg_port), "{rows}");
    let rows = told(&["query", "-r", "replica", "--format", "json", "-c", sql]).await?;
    ensure!(rows.starts_with("[{\"standby\": true, \"port\": "), "{rows}");
    let history = told(&["history", "--explain"]).await?;
    let title = format!("\nTo timeline 3, led by {}, ", leader.name);
    let explained = history.split_once(&title).map(|(_, explained)| explained).unwrap_or_default();
    ensure!(
        explained.contains(&format!(" {} rule ", leader.name)) && explained.contains(" begin promotion: "),
        "{history}"
    );
    let doctor = told(&["doctor"]).await?;
    for good in ["the store answers within ", "PostgreSQL's programs are there", "clocks agree", "2 could take over"] {
        ensure!(doctor.lines().any(|line| line.starts_with("ok ") && line.contains(good)), "{good}: {doctor}");
    }
    let versions = told(&["version", &cluster.scope]).await?;
    ensure!(versions.contains(&format!("\n{}: Patroni ", leader.name)), "{versions}");
    Ok(())
}

/// HA-35: a restart for later is shown, is the only one, and can be taken back.
async fn a_scheduled_restart_can_be_taken_back(node: &Node) -> Result<()> {
    let later = json!({"schedule": "2999-01-01T00:00:00+00:00", "restart_pending": true});
    let said = node.rest("POST", "/restart", Some(later.clone())).await?;
    ensure!(said.status == 202, "{said:?}");
    ensure!(node.rest("POST", "/restart", Some(later)).await?.status == 409, "there is one already");
    let shown = node.rest("GET", "/patroni", None).await?.json()?["scheduled_restart"].clone();
    ensure!(shown["restart_pending"] == true && shown["schedule"].is_string(), "{shown}");
    let answers = [node.rest("DELETE", "/restart", None).await?, node.rest("DELETE", "/restart", None).await?];
    ensure!(answers.iter().map(|answer| answer.status).eq([200, 404]), "{answers:?}");
    Ok(())
}

/// HA-40: one connection for each purpose, also after the server was restarted.
async fn one_connection_for_each_purpose(node: &Node) -> Result<()> {
    let ours = "SELECT coalesce(max(count), 0) FROM (SELECT count(*) FROM pg_stat_activity
                WHERE application_name LIKE 'Patroni %' GROUP BY application_name) AS each";
    let most = node.sql_value(ours).await?;
    ensure!(most == "1", "{most} connections of one name");
    Ok(())
}

/// CFG-28: a server that does not come up is waited for as long as `timeout` and `pg_ctl_timeout` say, and then may be
/// made anew without force.
async fn a_start_that_hangs_is_not_waited_for(cluster: &Cluster, standby: &Node) -> Result<()> {
    let hold = standby.layout.folder.join("hold");
    std::fs::write(&hold, "")?;
    let command = format!("while [ -e {} ]; do sleep 0.2; done; false", hold.display());
    let recovery = json!({"pg_ctl_timeout": 1, "recovery_conf": {"restore_command": command}});
    cluster.patch_config(json!({"postgresql": recovery})).await?;
    let ask = async || standby.sql_value("SHOW restore_command").await;
    let in_force = async || ask().await.ok().filter(|value| *value == command).ok_or("not yet in force".to_owned());
    wait::until("the command of the recovery", Duration::from_secs(40), in_force).await?;
    let answer = standby.rest("POST", "/restart", Some(json!({"timeout": 1}))).await?;
    ensure!(answer.status == 503 && answer.body == "postgres is still starting", "{answer:?}");
    wait::until("a start that is in nobody's way", Duration::from_secs(40), async || {
        let answer = standby.rest("POST", "/restart", None).await.map_err(|error| error.to_string())?;
        if answer.body == "postgres is still starting" { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await?;
    let answer = standby.rest("POST", "/reinitialize", None).await?;
    ensure!(answer.status == 200, "{answer:?}");
    std::fs::remove_file(&hold)?;
    cluster.wait_members_streaming(1, Duration::from_secs(60)).await?;
    Ok(())
}

/// CFG-28, HA-34, HA-35, HA-38, HA-40, API-02, CFG-01: restart, pending_restart, reinitialize, and what is refused.
#[tokio::test]
async fn configuration_restart_and_reinitialize() -> Result<()> {
    let cluster = Cluster::builder("manage").nodes(2).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let standby = cluster.others(&leader.name).next().expect("there are two nodes");

    let answer =
        cluster.patch_config(json!({"postgresql": {"parameters": {"max_connections": 60, "work_mem": "8MB"}}})).await?;
    ensure!(answer.json()?["postgresql"]["parameters"]["max_connections"] == 60, "{answer:?}");
    cluster
        .wait_for("pending_restart on both", Duration::from_secs(20), |state| {
            cluster.nodes.iter().all(|node| state.status(&node.name, "pending_restart") == Some(&json!(true)))
        })
        .await?;
    ensure!(leader.sql_value("SHOW work_mem").await? == "8MB", "a parameter that needs no restart is in force");
    ensure!(leader.sql_value("SHOW max_connections").await? == "50");
    for node in &cluster.nodes {
        let answer = node.rest("POST", "/restart", Some(json!({"restart_pending": true}))).await?;
        ensure!(answer.status == 200 && answer.body == "restarted successfully", "{answer:?}");
        ensure!(node.sql_value("SHOW max_connections").await? == "60");
    }
    cluster
        .wait_for("no pending_restart", Duration::from_secs(20), |state| {
            cluster.nodes.iter().all(|node| state.status(&node.name, "pending_restart").is_none())
        })
        .await?;
    a_scheduled_restart_can_be_taken_back(standby).await?;
    one_connection_for_each_purpose(leader).await?;
    let answer = leader.rest("POST", "/reinitialize", None).await?;
    ensure!(answer.status == 503 && answer.body == "I am the leader, can not reinitialize", "{answer:?}");
    a_start_that_hangs_is_not_waited_for(&cluster, standby).await?;
    let mark = standby.layout.data_dir.join("mark");
    std::fs::write(&mark, "")?;
    let output = cluster.regentctl(&["reinit", "manage", &standby.name, "--force"]).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains(&format!("Success: reinitialize for member {}", standby.name)), "{text}");
    cluster
        .wait_for("a new data directory", Duration::from_secs(60), |state| !mark.exists() && state.streaming() == 1)
        .await?;
    let answer = leader.rest("POST", "/failover", Some(json!({}))).await?;
    ensure!(answer.status == 400 && answer.body == "Failover could be performed only to a specific candidate");
    cluster.finish().await
}

/// HA-21, HA-22, OPS-08: a daemon told to end stops its server, gives the lock back, and another leads at once.
async fn a_graceful_stop_hands_the_lock_over(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("stop").dcs(dcs).nodes(2).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    leader.sigterm_and_wait(Duration::from_secs(15)).await?;
    ensure!(leader.postmaster_pid().is_none() && leader.guard_pid().is_none());
    cluster.wait_leader_other_than(&leader.name, Duration::from_secs(10)).await?;
    leader.start()?;
    cluster.wait_healthy(Duration::from_secs(40)).await?;
    let report = prober.stop().await;
    report.verify(&cluster).await?;
    cluster.finish().await
}

/// HA-07, HA-45: a switchover right after the primary was restarted in place, while its standbys still try to connect
/// again, waits for the stream and loses nothing.
async fn a_switchover_after_a_crash_waits_for_the_stream(dcs: Dcs) -> Result<()> {
    let cluster = Cluster::builder("after").dcs(dcs).start().await?;
    let first = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let prober = Prober::start(&cluster).await?;
    first.kill_postmaster()?;
    let back = prober.wait_acknowledged(Duration::from_secs(20)).await?;
    ensure!(back.node == first.name, "it was restarted in place: {back:?}");
    let second = cluster.others(&first.name).next().map(|node| node.name.clone()).unwrap_or_default();
    let answer = cluster.switchover(Some(&second)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let leader = cluster.wait_healthy(Duration::from_secs(30)).await?;
    ensure!(leader.name == second);
    let report = prober.stop().await;
    ensure!(report.late_acks().is_empty());
    report.verify(&cluster).await?;
    cluster.finish().await
}
