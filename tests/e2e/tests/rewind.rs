//! A pg_rewind that is cut off after it began to write: no server runs on what it leaves, until it is whole again.

use anyhow::{Result, ensure};
use regent_harness::{Cluster, Node, wait};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// While this file is beside the data directory, no file can be written beyond 4 MB: pg_rewind dies in the middle of its
/// work, for a segment of the log alone has 16.
const CUT: &str = "cut";

/// REW-04: the old leader's rewind dies half way. Its server is not started, not by a restart, not by a new daemon; it
/// says so; and where the setting allows it, it is made anew.
#[tokio::test]
async fn no_server_runs_on_a_half_rewound_directory() -> Result<()> {
    let cluster = Cluster::builder("rewind").nodes(2).local_yaml(|node, config| {
        config["postgresql"]["bin_name"] = json!({"pg_rewind": node.folder.join("pg_rewind.sh")});
    });
    let cluster = cluster.prepare().await?;
    for node in &cluster.nodes {
        place_program(node)?;
        node.start()?;
    }
    let old = cluster.wait_healthy(SOON).await?;
    std::fs::write(old.layout.folder.join(CUT), "")?;
    old.kill_node()?;
    cluster.wait_leader_other_than(&old.name, SOON).await?;
    old.start()?;
    wait_until_unusable(&cluster, old).await?;
    let answer = old.rest("POST", "/restart", Some(json!({}))).await?;
    ensure!(answer.status == 503 && answer.body.contains("cut off half way"), "{answer:?}");
    ensure!(old.postmaster_pid().is_none() && mark(old).is_some(), "a server runs on half of two histories");

    // A new daemon, which knows nothing of it but what it reads, and a disk that takes everything again.
    std::fs::remove_file(old.layout.folder.join(CUT))?;
    old.kill_daemon()?;
    old.start()?;
    // pg_rewind may mend it, or find that its first attempt removed what it needs: then the setting says what is done.
    cluster.patch_config(json!({"postgresql": {"remove_data_directory_on_rewind_failure": true}})).await?;
    cluster.wait_healthy(SOON).await?;
    ensure!(mark(old).is_none(), "the mark stays on a whole data directory");
    cluster.finish().await
}

fn place_program(node: &Node) -> Result<()> {
    let program = node.layout.folder.join("pg_rewind.sh");
    let (cut, real) = (node.layout.folder.join(CUT), regent_harness::binaries::postgresql()?.join("pg_rewind"));
    let text = format!("#!/bin/sh\n[ -e {} ] && ulimit -f 8192\nexec {} \"$@\"\n", cut.display(), real.display());
    std::fs::write(&program, text)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// What is published of the member says why it is not there.
async fn wait_until_unusable(cluster: &Cluster, node: &Node) -> Result<()> {
    wait::until("the member to say that it is half rewound", SOON, async || {
        let state = cluster.state().await;
        let tags = state.member(&node.name).map(|member| member["tags"].clone()).unwrap_or_default();
        let told = tags["unusable"].as_str().is_some_and(|why| why.contains("pg_rewind")) && tags["nofailover"] == true;
        if told && node.postmaster_pid().is_none() { Ok(()) } else { Err(tags.to_string()) }
    })
    .await
}

fn mark(node: &Node) -> Option<String> {
    let names = std::fs::read_dir(&node.layout.data_dir).ok()?.flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|name| name.starts_with("regent_rewind."))
}
