//! A cluster of stand-ins: shell scripts that behave like a daemon with a guard and a server. They
//! show that the harness finds, hurts and removes processes, and needs no product for it.
#![allow(clippy::disallowed_methods, reason = "a test waits for what it polls")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use regent_harness::os::process;
use regent_harness::wait::block_until;
use regent_harness::{Binaries, Cluster, Exit};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// Starts a guard and, in sessions of their own, a postmaster that works in the data directory and
/// a backend of it; ends with code 3 when asked to.
const DAEMON: &str = r#"#!/bin/bash
trap 'echo stopping; exit 3' TERM
mkdir -p data
(exec -a regent setsid sleep 600) &
(cd data; setsid bash -c 'echo $$ >new; mv new postmaster.pid; (exec env -i sleep 600) & exec env -i sleep 600') &
echo "started with $1"
while true; do sleep 0.05; done
"#;

fn stand_ins(folder: &Path) -> Binaries {
    for (name, text) in
        [("regent", DAEMON), ("regentctl", "#!/bin/sh\necho ctl \"$@\"\nid -u\n"), ("libregent_dcs_local.so", "")]
    {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
    }
    Binaries::in_folder(folder).expect("all are there")
}

async fn start(folder: &Path) -> Cluster {
    let cluster = Cluster::builder("stand-in")
        .nodes(2)
        .dynamic(json!({"ttl": 25}))
        .local_yaml(|node, config| config["tags"] = json!({"index": node.index}))
        .binaries(stand_ins(folder))
        .start()
        .await
        .expect("the stand-ins start");
    for node in &cluster.nodes {
        assert!(block_until(DEADLINE, POLL, || node.postmaster_pid().is_some() && node.processes().len() >= 4));
    }
    cluster
}

#[tokio::test]
async fn a_node_is_hurt_and_its_neighbour_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cluster = start(folder.path()).await;
    let [one, two] = cluster.nodes.as_slice() else { panic!("two nodes were asked for") };
    let living = || (two.daemon_pid(), two.postmaster_pid(), two.guard_pid());
    let before = living();

    one.kill_daemon().expect("it runs");
    assert!(!one.is_running() && one.postmaster_pid().is_some(), "the server outlives its daemon");
    one.start().expect("it can be started again");
    one.kill_postmaster().expect("it runs");
    assert!(one.postmaster_pid().is_none());
    one.kill_node().expect("all can be killed");
    assert!(one.processes().is_empty());

    assert_eq!(living(), before);
    two.freeze_node().expect("all can be frozen");
    let state = |pid| process::Stat::read(pid).map(|stat| stat.state);
    let pid = two.daemon_pid().expect("a frozen daemon is still there");
    assert!(block_until(DEADLINE, POLL, || state(pid) == Some('T')));
    two.thaw_node().expect("all can be thawed");
    assert!(block_until(DEADLINE, POLL, || state(pid) != Some('T')));
    let exit = two.sigterm_and_wait(DEADLINE).await.expect("it stops");
    assert_eq!(exit, Exit::Code(3));
    two.wait_log("stopping", DEADLINE).await.expect("it said so");
    cluster.finish().await.expect("nothing is left");
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cluster = start(folder.path()).await;
    let root = cluster.root().to_owned();
    assert!(process::in_folder(&root).len() >= 8);
    drop(cluster);
    assert!(process::in_folder(&root).is_empty() && !root.exists());
}

#[tokio::test]
async fn configuration_and_programs_are_the_nodes_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cluster = start(folder.path()).await;
    let node = cluster.node("node2");
    let text = fs::read_to_string(&node.layout.config_path).expect("it was written");
    for line in ["name: node2", "    ttl: 25", "    loop_wait: 2", "  index: 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    node.edit_config(|config| config["tags"]["index"] = json!(7)).expect("it is YAML");
    assert!(fs::read_to_string(&node.layout.config_path).expect("it exists").contains("index: 7"));
    let output = cluster.regentctl(&["list", "-e"]).await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("regent.yml list -e"), "{text}");
    assert_ne!(lines[1], "0", "nothing runs as root");
    cluster.finish().await.expect("nothing is left");
}
