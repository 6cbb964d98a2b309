//! The real pgBackRest through the contract of commands: it clones a replica, and begins a cluster at a point in time.
#![allow(clippy::print_stderr, reason = "a test says what it skips")]

use anyhow::{Context, Result, ensure};
use regent_harness::config::NodeLayout;
use regent_harness::{Cluster, Node, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);

/// Its program; `None`, with a word, where it is not installed.
fn program() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/bin/pgbackrest");
    if path.is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED: pgBackRest is not installed: tests/setup.sh --peers installs it");
    None
}

/// What a node runs it as: everything of it is in the node's folder but the backups.
fn command(node: &NodeLayout, rest: &str) -> String {
    format!("/usr/bin/pgbackrest --config={} --stanza=main {rest}", node.folder.join("pgbackrest.conf").display())
}

/// A restore as an operator's command: pgBackRest wants the folder to be there.
fn restore(node: &NodeLayout, before: &str, options: &str) -> String {
    let folder = node.data_dir.display();
    format!("sh -c \"{before}mkdir -p -m 700 {folder} && exec {}\"", command(node, &format!("{options} restore")))
}

fn configure(node: &Node, repository: &Path, sockets: &Path) -> Result<()> {
    let layout = &node.layout;
    let at = |name: &str| layout.folder.join(name).display().to_string();
    let text = format!(
        "[global]\nrepo1-path={}\nlog-path={}\nlock-path={}\nspool-path={}\nlog-level-console=info\nstart-fast=y\n\
         compress-level=1\narchive-timeout=60\n\n[main]\npg1-path={}\npg1-port={}\npg1-socket-path={}\npg1-user=postgres\n",
        repository.display(),
        at("log"),
        at("lock"),
        at("spool"),
        layout.data_dir.display(),
        layout.pg_port,
        sockets.display()
    );
    std::fs::write(layout.folder.join("pgbackrest.conf"), text).context("pgbackrest.conf")
}

fn run(node: &Node, program: &Path, words: &[&str]) -> Result<()> {
    let mut command = node.command_at(program);
    command.arg(format!("--config={}", node.layout.folder.join("pgbackrest.conf").display())).arg("--stanza=main");
    let output = command.args(words).output()?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.success(), "{words:?}: {}", said.concat());
    Ok(())
}

fn archiving(node: &NodeLayout, yaml: &mut Value) {
    let parameters = &mut yaml["postgresql"]["parameters"];
    parameters["archive_mode"] = json!("on");
    parameters["archive_command"] = json!(command(node, "archive-push %p"));
    yaml["postgresql"]["recovery_conf"] = json!({"restore_command": command(node, "archive-get %f %p")});
}

/// BOOT-03, BOOT-04, BOOT-10, BOOT-12: a replica is restored from the repository, over what its data directory holds; and
/// a new cluster begins where the old one was at a point, by the recovery settings that pgBackRest itself writes. While it
/// restores, nobody asks the data directory anything.
#[tokio::test]
async fn pgbackrest_clones_a_replica_and_restores_to_a_point() -> Result<()> {
    let Some(program) = program() else { return Ok(()) };
    let old = Cluster::builder("old")
        .nodes(2)
        .env("PATRONI_LOG_LEVEL", "INFO")
        .local_yaml(|node, yaml| {
            archiving(node, yaml);
            yaml["postgresql"]["create_replica_methods"] = json!(["pgbackrest"]);
            yaml["postgresql"]["pgbackrest"] =
                json!({"command": restore(node, "", "--delta"), "keep_data": true, "no_params": true});
        })
        .prepare()
        .await?;
    let (first, second) = (old.node("node1"), old.node("node2"));
    let repository = first.layout.folder.join("repository");
    for node in [first, second] {
        configure(node, &repository, &old.root().join("s"))?;
    }
    first.start()?;
    old.wait_leader(SOON).await?;
    run(first, &program, &["stanza-create"])?;
    first.sql("CREATE TABLE t AS SELECT 1 AS n").await?;
    run(first, &program, &["backup", "--type=full"])?;
    second.start()?;
    old.wait_healthy(LONG).await?;
    ensure!(second.log().contains("replica has been created using pgbackrest"), "{}", second.log_tail(20));

    for statement in ["INSERT INTO t VALUES (2)", "SELECT pg_create_restore_point('here')", "INSERT INTO t VALUES (3)"]
    {
        first.sql(statement).await?;
    }
    let segment = first.sql_value("SELECT pg_walfile_name(pg_switch_wal())").await?;
    wait::until("the archive", SOON, async || {
        let sql = "SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver";
        let archived = first.sql_value(sql).await.map_err(|error| error.to_string())?;
        if archived >= segment { Ok(()) } else { Err(format!("{archived} is the last one")) }
    })
    .await?;
    restore_to_the_point(&repository).await?;
    old.finish().await
}

async fn restore_to_the_point(repository: &Path) -> Result<()> {
    let new = Cluster::builder("new")
        .nodes(1)
        .env("PATRONI_LOG_LEVEL", "INFO")
        .local_yaml(|node, yaml| {
            // It waits for the test, which looks at the node meanwhile.
            let here = node.folder.display();
            let wait = format!("touch {here}/begun; while ! [ -e {here}/go ]; do sleep 0.1; done; ");
            yaml["bootstrap"]["method"] = json!("pgbackrest");
            yaml["bootstrap"]["pgbackrest"] = json!({
                "command": restore(node, &wait, "--type=name --target=here --target-action=promote"),
                "keep_existing_recovery_conf": true,
                "no_params": true,
            });
        })
        .prepare()
        .await?;
    let node = new.node("node1");
    configure(node, repository, &new.root().join("s"))?;
    node.start()?;
    let here = |name: &str| node.layout.folder.join(name);
    wait::until("the restore", SOON, async || here("begun").exists().then_some(()).ok_or_else(|| node.log_tail(5)))
        .await?;
    new.wait_for("the state", SOON, |state| {
        state.status("node1", "state").is_some_and(|state| state == "running custom bootstrap script")
    })
    .await?;
    let answer = node.rest("GET", "/health", None).await?;
    ensure!(answer.status == 503, "{answer:?}");
    let status = node.rest("GET", "/patroni", None).await?.json()?;
    ensure!(status["role"] == "uninitialized", "{status}");
    ensure!(status.get("database_system_identifier").is_none(), "{status}");
    std::fs::write(here("go"), "")?;
    new.wait_leader(LONG).await?;
    let rows = node.sql_value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t").await?;
    ensure!(rows == "1 2", "{rows}");
    ensure!(node.sql_value("SHOW hot_standby").await? == "on");
    let status = node.rest("GET", "/patroni", None).await?.json()?;
    ensure!(status["database_system_identifier"].is_string(), "{status}");
    new.finish().await
}
