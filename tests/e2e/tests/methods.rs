//! The operator's own ways to make a data directory: scripts that are called as the contract says.

use anyhow::{Context, Result, ensure};
use regent_harness::{Cluster, Exit, Node, binaries, config, wait};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// What the scripts below begin with: their own folder, the data directory and the connection string.
const PRELUDE: &str = r#"here=$(dirname "$0")
for a; do case "$a" in --datadir=*) d=${a#*=};; --connstring=*) c=${a#*=};; esac; done
"#;

fn script(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, format!("{PRELUDE}{text}")).with_context(|| path.display().to_string())
}

/// BOOT-07, BOOT-08, BOOT-09 (the list by its old name), BOOT-10, BOOT-13, OPS-13: the first method fails, the second clones; a reinitialization does it
/// again, though the log lies elsewhere.
#[tokio::test]
async fn a_replica_is_made_by_the_second_method() -> Result<()> {
    let cluster = Cluster::builder("methods")
        .nodes(2)
        .env("PATRONI_LOG_LEVEL", "INFO")
        .local_yaml(|node, yaml| {
            let command = |name: &str| format!("sh '{}' first", node.folder.join(name).display());
            let section = &mut yaml["postgresql"];
            section["create_replica_method"] = json!(["broken", "copy"]);
            section["broken"] = json!({"command": command("broken.sh")});
            section["copy"] = json!({"command": command("copy.sh"), "threshold": 10, "flag": true});
        })
        .prepare()
        .await?;
    let bin = binaries::postgresql()?;
    let second = cluster.node("node2");
    let folder = &second.layout.folder;
    script(&folder.join("broken.sh"), "mkdir -p \"$d\"; echo junk >\"$d/junk\"; echo 'out of order' >&2; exit 3")?;
    let copy = r#"echo "copying into $d"; ls -A "$d" >"$here/before"; env >"$here/environment"; echo "$@" >"$here/arguments"
BIN/pg_basebackup -D "$d" -d "$c" -X stream -c fast --waldir "$here/wal" || exit
until [ -e "$here/seen" ]; do sleep 0.1; done"#;
    script(&folder.join("copy.sh"), &copy.replace("BIN", &bin.display().to_string()))?;
    cluster.nodes[0].start()?;
    cluster.wait_leader(SOON).await?;
    second.start()?;
    its_progress_is_seen(&cluster).await?;
    std::fs::write(folder.join("seen"), "")?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;

    let written = |name: &str| std::fs::read_to_string(folder.join(name)).context(name.to_owned());
    let arguments = written("arguments")?;
    let begin =
        format!("first --scope=methods --role=replica --datadir={} --connstring=", second.layout.data_dir.display());
    ensure!(arguments.starts_with(&begin) && arguments.ends_with(" --threshold=10 --flag=True\n"), "{arguments}");
    let environment = written("environment")?;
    ensure!(environment.contains("PGPASSFILE=") && !environment.contains("PATRONI_"), "{environment}");
    ensure!(!format!("{arguments}{environment}").contains(config::REPLICATION.1), "a password is in plain sight");
    ensure!(written("before")?.is_empty(), "the second method started in the ruins of the first");
    let log = second.log();
    for said in ["broken: out of order", "exited with code=3", "copy: copying into", "created using copy"] {
        ensure!(log.contains(said), "the log does not say {said:?}");
    }
    ensure!(std::fs::read_link(second.layout.data_dir.join("pg_wal"))? == folder.join("wal"));

    std::fs::remove_file(folder.join("arguments"))?;
    let answer = second.rest("POST", "/reinitialize", Some(json!({"force": true}))).await?;
    ensure!(answer.status == 200, "{answer:?}");
    // The folder of the log must be empty for this to work.
    wait::until("the second copy", SOON, async || written("arguments").map_err(|error| error.to_string())).await?;
    cluster.wait_healthy(Duration::from_secs(90)).await?;
    cluster.finish().await
}

/// While it copies: by its own API, by another member's, by the list and by the figures.
async fn its_progress_is_seen(cluster: &Cluster) -> Result<()> {
    let [first, second] = ["node1", "node2"].map(|name| cluster.node(name));
    let of_ours = |progress: &serde_json::Value| {
        progress["method"] == "copy" && progress["bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20)
    };
    wait::until("progress", SOON, async || {
        let asked = async || -> Result<String> {
            let own = second.rest("GET", "/patroni", None).await?.json()?;
            let all = first.rest("GET", "/cluster", None).await?.json()?;
            let listed = cluster.regentctl(&["list"]).await?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let figures = second.rest("GET", "/metrics", None).await?.body;
            let member = all["members"].as_array().into_iter().flatten().find(|member| member["name"] == "node2");
            let counted = figures.lines().any(|line| line.starts_with("regent_method_bytes") && !line.ends_with(" 0"));
            let seen = of_ours(&own["progress"])
                && member.is_some_and(|member| of_ours(&member["progress"]))
                && listed.contains("| copy: ")
                && counted;
            Ok(if seen { String::new() } else { format!("{own} {all} {listed}") })
        };
        match asked().await {
            Ok(missing) if missing.is_empty() => Ok(()),
            Ok(missing) => Err(missing),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// BOOT-03, BOOT-05, BOOT-06, BOOT-18: a backup that is missing first fails the bootstrap, and once it is there a new
/// cluster begins where the old one was at that point.
#[tokio::test]
async fn a_cluster_is_restored_to_a_point_of_another() -> Result<()> {
    let old = Cluster::builder("old").nodes(1).local_yaml(archiving).start().await?;
    let node = old.wait_leader(SOON).await?;
    let (backup, archive) = (node.layout.folder.join("backup"), node.layout.folder.join("archive"));
    node.sql("CREATE TABLE t AS SELECT 1 AS n").await?;
    back_up(node, &backup)?;
    // Statements that are sent together commit together.
    for statement in ["INSERT INTO t VALUES (2)", "SELECT pg_create_restore_point('here')", "INSERT INTO t VALUES (3)"]
    {
        node.sql(statement).await?;
    }
    let segment = node.sql_value("SELECT pg_walfile_name(pg_switch_wal())").await?;
    wait::until("the archive", SOON, async || {
        if archive.join(&segment).exists() { Ok(()) } else { Err(format!("{segment} is not there")) }
    })
    .await?;

    let new = Cluster::builder("new")
        .nodes(2)
        .local_yaml(archiving)
        .local_yaml(move |node, yaml| {
            yaml["bootstrap"]["method"] = json!("restore");
            yaml["bootstrap"]["restore"] = json!({
                "command": format!("sh '{}'", node.folder.join("restore.sh").display()),
                "from": backup,
                "recovery_conf": {
                    "restore_command": format!("cp {}/%f %p", archive.display()),
                    "recovery_target_name": "here",
                    "recovery_target_action": "promote",
                }
            });
            // Not configured: what the restore brings counts, and what the bootstrap adds.
            let lines = yaml["postgresql"]["pg_hba"].take();
            yaml["bootstrap"]["pg_hba"] = lines;
        })
        .prepare()
        .await?;
    let first = new.node("node1");
    let text = r#"echo "$@" >"$here/arguments"; mkdir -p "$d"
for a; do case "$a" in --from=*) from=${a#*=};; esac; done
if ! [ -e "$here/tried" ]; then touch "$here/tried" "$d/junk"; echo "no backup today"; exit 2; fi
chmod 700 "$d"; touch "$here/begun"; while ! [ -e "$here/go" ]; do sleep 0.1; done
cp -R "$from/." "$d" && echo "host all all 192.0.2.1/32 reject" >"$d/pg_hba.conf""#;
    script(&first.layout.folder.join("restore.sh"), text)?;
    a_failed_bootstrap_is_put_aside(first).await?;

    first.start()?;
    let here = |name: &str| first.layout.folder.join(name);
    wait::until("the script", SOON, async || here("begun").exists().then_some(()).ok_or_else(|| first.log_tail(5)))
        .await?;
    new.wait_for("the state", SOON, |state| {
        state.status("node1", "state").is_some_and(|state| state == "running custom bootstrap script")
    })
    .await?;
    std::fs::write(here("go"), "")?;
    new.wait_leader(Duration::from_secs(90)).await?;
    new.node("node2").start()?;
    new.wait_healthy(Duration::from_secs(90)).await?;
    let rows = first.sql_value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t").await?;
    ensure!(rows == "1 2", "{rows}");
    ensure!(first.sql_value("SHOW archive_mode").await? == "on");
    let hba = std::fs::read_to_string(first.layout.data_dir.join("pg_hba.conf"))?;
    ensure!(hba.starts_with("host all all 192.0.2.1/32 reject") && hba.contains(config::REPLICATION.0), "{hba}");
    ensure!(!here("archive").join("00000002.history").exists(), "it was archived while the cluster was set up");
    let signal = ["recovery.signal", "standby.signal"].iter().find(|name| first.layout.data_dir.join(name).exists());
    ensure!(signal.is_none(), "{signal:?} is left");
    old.finish().await?;
    new.finish().await
}

fn archiving(node: &config::NodeLayout, yaml: &mut serde_json::Value) {
    let archive = node.folder.join("archive");
    let parameters = &mut yaml["postgresql"]["parameters"];
    parameters["archive_mode"] = json!("on");
    parameters["archive_command"] = json!(format!("mkdir -p {0} && cp %p {0}/%f", archive.display()));
}

fn back_up(node: &Node, target: &Path) -> Result<()> {
    let mut command = node.command_at(&binaries::postgresql()?.join("pg_basebackup"));
    command.env("PGPASSWORD", config::REPLICATION.1).arg("-D").arg(target);
    command.args(["-X", "stream", "-c", "fast", "-h", "127.0.0.1", "-U", config::REPLICATION.0]);
    let output = command.arg("-p").arg(node.layout.pg_port.to_string()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn a_failed_bootstrap_is_put_aside(node: &Node) -> Result<()> {
    node.start()?;
    ensure!(node.wait_exit(SOON).await? == Exit::Code(1), "{}", node.log_tail(20));
    ensure!(node.log().contains("restore: no backup today"), "{}", node.log_tail(20));
    ensure!(node.layout.folder.join("data.failed/junk").exists(), "the ruins were not put aside");
    let arguments = std::fs::read_to_string(node.layout.folder.join("arguments"))?;
    let begin = format!("--scope=new --datadir={} --from=", node.layout.data_dir.display());
    ensure!(arguments.starts_with(&begin) && !arguments.contains("recovery_conf"), "{arguments}");
    Ok(())
}
