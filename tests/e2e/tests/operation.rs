//! What an operator of the machine meets: the log.

use anyhow::{Context, Result, ensure};
use regent_harness::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

/// LOG-01, LOG-03, LOG-04, LOG-09: the log goes into its file as JSON objects, and a reload changes its level and form.
#[tokio::test]
async fn the_log_goes_where_and_looks_as_it_is_told() -> Result<()> {
    let cluster = Cluster::builder("log").nodes(1).prepare().await?;
    let node = &cluster.nodes[0];
    let dir = node.layout.folder.join("log");
    node.edit_config(|yaml| {
        yaml["log"] = json!({
            "dir": dir, "type": "json", "level": "INFO", "mode": "0640",
            "format": [{"levelname": "severity"}, "message"], "static_fields": {"app": "db"},
        });
    })?;
    node.start()?;
    cluster.wait_leader(Duration::from_secs(60)).await?;
    let file = dir.join("patroni.log");
    let read = || std::fs::read_to_string(&file);
    let first: Value = serde_json::from_str(read()?.lines().next().context("the log is empty")?)?;
    ensure!(first["app"] == "db" && first["severity"].is_string() && first["message"].is_string(), "{first}");

    node.edit_config(|yaml| {
        yaml["log"] = json!({"dir": dir, "level": "DEBUG", "format": "<%(levelname)s> %(message)s"});
    })?;
    let answer = node.rest("POST", "/reload", None).await?;
    ensure!(answer.status == 202, "{answer:?}");
    cluster
        .wait_for("a line of the new form and level", Duration::from_secs(20), |_| {
            read().is_ok_and(|text| text.contains("\n<DEBUG> "))
        })
        .await?;

    // A folder that can not be made: the old log goes on.
    node.edit_config(|yaml| yaml["log"]["dir"] = json!(file.join("below")))?;
    node.rest("POST", "/reload", None).await?;
    cluster
        .wait_for("the error in the old log", Duration::from_secs(20), |_| {
            read().is_ok_and(|text| text.contains("can not be opened"))
        })
        .await?;
    cluster.finish().await
}
