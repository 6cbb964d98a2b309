//! What is wrong is said clearly, naming the file, the key and the reason, and nothing is lost.

use anyhow::{Result, ensure};
use regent_harness::{Cluster, Exit};
use serde_json::json;
use std::time::Duration;

/// CFG-23, OPS-16: a broken file at start, one without a store, and at reload; HA-27 of a foreign data directory: HA-11 of ha-rules §3.
#[tokio::test]
async fn a_broken_configuration_is_refused_and_the_old_one_stays() -> Result<()> {
    let cluster = Cluster::builder("broken").nodes(1).prepare().await?;
    let node = &cluster.nodes[0];
    let good = std::fs::read_to_string(&node.layout.config_path)?;
    node.write_config("scope: [unclosed\n")?;
    node.start()?;
    node.wait_exit(Duration::from_secs(10)).await?;
    ensure!(node.log().contains("regent.yml"), "the file is named: {}", node.log());
    node.write_config(&good)?;
    node.edit_config(|yaml| yaml["postgresql"]["parameters"] = json!("not a dictionary"))?;
    node.start()?;
    node.wait_exit(Duration::from_secs(10)).await?;
    ensure!(node.log().contains("postgresql.parameters"), "the key is named: {}", node.log());
    node.write_config(&good)?;
    node.edit_config(|yaml| drop(yaml.as_object_mut().and_then(|yaml| yaml.shift_remove("local"))))?;
    node.start()?;
    ensure!(node.wait_exit(Duration::from_secs(10)).await? == Exit::Code(1));
    let available = "Available implementations: consul, etcd, etcd3,";
    ensure!(node.log().contains(available), "the stores are named: {}", node.log_tail(5));

    node.write_config(&good)?;
    node.start()?;
    cluster.wait_leader(Duration::from_secs(60)).await?;
    node.write_config("scope: [unclosed\n")?;
    let answer = node.rest("POST", "/reload", None).await?;
    ensure!(answer.status == 202, "{answer:?}");
    node.wait_log("the old one stays", Duration::from_secs(10)).await?;
    ensure!(node.health("/primary").await == Some(200));
    cluster.finish().await
}

/// OPS-17: a plugin file that is none.
#[tokio::test]
async fn a_bad_plugin_file_is_refused_in_one_line() -> Result<()> {
    let cluster = Cluster::builder("plugin").nodes(1).prepare().await?;
    let node = &cluster.nodes[0];
    let bad = node.layout.folder.join("bad.so");
    std::fs::write(&bad, "this is no library")?;
    node.edit_config(|yaml| yaml["plugins"]["dcs"] = json!({"local": {"path": bad}}))?;
    node.start()?;
    node.wait_exit(Duration::from_secs(10)).await?;
    let log = node.log();
    let line = log.lines().find(|line| line.contains("bad.so")).unwrap_or_default();
    ensure!(line.contains("ELF"), "{log}");
    cluster.finish().await
}

/// ha-rules §3.11: the data directory of another cluster ends the daemon and stays as it is.
#[tokio::test]
async fn a_data_directory_of_another_cluster_is_left_alone() -> Result<()> {
    let cluster = Cluster::builder("foreign").nodes(2).prepare().await?;
    let (first, second) = (&cluster.nodes[0], &cluster.nodes[1]);
    second.edit_config(|yaml| yaml["scope"] = json!("other"))?;
    first.start()?;
    second.start()?;
    first.wait_log("the leader with the lock", Duration::from_secs(60)).await?;
    second.wait_log("the leader with the lock", Duration::from_secs(60)).await?;
    second.sigterm_and_wait(Duration::from_secs(20)).await?;
    second.edit_config(|yaml| yaml["scope"] = json!("foreign"))?;
    second.start()?;
    second.wait_exit(Duration::from_secs(20)).await?;
    ensure!(second.log().contains("system ID mismatch"), "{}", second.log_tail(20));
    ensure!(second.layout.data_dir.join("PG_VERSION").exists());
    ensure!(first.health("/primary").await == Some(200));
    cluster.finish().await
}

/// Silent clients, and clients that stop in the middle of a request, keep nobody waiting but themselves.
#[tokio::test]
async fn silent_clients_do_not_starve_health_checks() -> Result<()> {
    let cluster = Cluster::builder("silent").nodes(1).start().await?;
    let leader = cluster.wait_leader(Duration::from_secs(60)).await?;
    let mut silent = Vec::new();
    for count in 0..200 {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", leader.layout.rest_port))?;
        if count % 2 == 0 {
            std::io::Write::write_all(&mut stream, b"GET /pri")?;
        }
        silent.push(stream);
    }
    for _ in 0..50 {
        ensure!(leader.health("/primary").await == Some(200));
    }
    drop(silent);
    // A connection that asked for something else before gets the same answers to health checks as a fresh one.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", leader.layout.rest_port))?;
    let request =
        "GET /journal?last=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /primary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes())?;
    let mut answers = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answers)?;
    ensure!(answers.matches(" 200 OK\r\n").count() == 2, "{answers}");
    cluster.finish().await
}

/// CFG-21: a malformed value, or none, in the store; HTTP bodies that are none.
#[tokio::test]
async fn bad_values_in_the_store_and_in_requests_change_nothing() -> Result<()> {
    let cluster = Cluster::builder("values").nodes(2).start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?;
    let before = leader.rest("GET", "/config", None).await?.json()?;
    for body in ["[]", "null", "\"text\""] {
        let body: serde_json::Value = serde_json::from_str(body)?;
        let answer = leader.rest("PATCH", "/config", Some(body)).await?;
        ensure!(answer.status == 400, "{answer:?}");
    }
    let answer = cluster.patch_config(json!({"ttl": "soon", "loop_wait": {"a": 1}})).await?;
    ensure!(answer.status == 200, "{answer:?}");
    cluster.patch_config(json!({"ttl": 20, "loop_wait": 2})).await?;
    let after = leader.rest("GET", "/config", None).await?.json()?;
    ensure!(before == after, "{before} {after}");
    cluster.wait_healthy(Duration::from_secs(20)).await?;
    ensure!(cluster.state().await.timeline(&leader.name) == Some(1));
    cluster.finish().await
}

/// CFG-35: settings that the server does not know or refuses are left out, and one beyond its limits is adjusted; with
/// any of them as written the restart would fail.
#[tokio::test]
async fn a_wrong_parameter_stops_no_server() -> Result<()> {
    let cluster = Cluster::builder("wrong").nodes(1).start().await?;
    let node = cluster.wait_leader(Duration::from_secs(60)).await?;
    let parameters =
        json!({"work_men": "8MB", "work_mem": "5min", "authentication_timeout": "1h", "checkpoint_timeout": "15min"});
    cluster.patch_config(json!({"postgresql": {"parameters": parameters}})).await?;
    let conf = node.layout.data_dir.join("postgresql.conf");
    cluster
        .wait_for("the new settings in the file", Duration::from_secs(20), |_| {
            std::fs::read_to_string(&conf).is_ok_and(|text| text.contains("checkpoint_timeout = '15min'"))
        })
        .await?;
    let answer = node.rest("POST", "/restart", Some(json!({}))).await?;
    ensure!(answer.status == 200, "{answer:?}");
    cluster.wait_leader(Duration::from_secs(30)).await?;
    ensure!(node.sql_value("SHOW authentication_timeout").await? == "10min");
    ensure!(node.sql_value("SHOW checkpoint_timeout").await? == "15min");
    ensure!(node.sql_value("SHOW work_mem").await? == "4MB");
    let log = node.log();
    ensure!(log.contains("this server does not know work_men"), "{}", node.log_tail(30));
    ensure!(log.contains("work_mem = \"5min\" is not a number"), "{}", node.log_tail(30));
    cluster.finish().await
}
