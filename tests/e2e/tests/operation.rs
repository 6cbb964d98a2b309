//! What an operator of the machine meets: the log, the service manager, the first process of a container.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regent_harness::os::user::Account;
use regent_harness::{Cluster, wait};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use tokio::net::UnixDatagram;

/// OPS-01, OPS-19, LOG-01, LOG-03, LOG-04, LOG-08, LOG-09: the log goes into its file as JSON objects, without the renewals of every
/// loop, and a reload changes its level and form.
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

    cluster
        .wait_for("a loop", Duration::from_secs(20), |_| read().is_ok_and(|text| text.contains("no action. rule 890")))
        .await?;
    ensure!(!read()?.contains("renew the lock"), "renewals are for who looks for them");
    // OPS-19: what it takes while nothing happens.
    let resident = node.usage()?.resident;
    ensure!(resident < 50 << 20, "the daemon takes {resident} bytes");

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
    cluster
        .wait_for("a heartbeat", Duration::from_secs(20), |_| {
            read().is_ok_and(|text| text.contains("\n<INFO> no action. rule 890: the leader with the lock"))
        })
        .await?;
    cluster
        .wait_for("a renewal", Duration::from_secs(20), |_| {
            let renewal = |line: &str| line.starts_with("<DEBUG> rule ") && line.contains("renew the lock");
            read().is_ok_and(|text| text.lines().any(renewal))
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

/// OPS-28: the service manager hears when the daemon is up, reads its configuration again, and ends; PostgreSQL does not
/// see its socket.
#[tokio::test]
async fn the_service_manager_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
    let builder = Cluster::builder("notify").nodes(1).env("NOTIFY_SOCKET", &path.to_string_lossy());
    let cluster = builder.start().await?;
    let node = &cluster.nodes[0];
    ensure!(hear(&socket).await? == "READY=1\n");
    cluster.wait_leader(Duration::from_secs(60)).await?;
    let postmaster = node.postmaster_pid().context("there is no postmaster")?;
    let environment = std::fs::read(format!("/proc/{postmaster}/environ"))?;
    ensure!(!String::from_utf8_lossy(&environment).contains("NOTIFY_SOCKET"));
    node.signal(Signal::SIGHUP)?;
    let reloading = hear(&socket).await?;
    ensure!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading:?}");
    ensure!(hear(&socket).await? == "READY=1\n");
    node.sigterm_and_wait(Duration::from_secs(30)).await?;
    ensure!(hear(&socket).await? == "STOPPING=1\n");
    cluster.finish().await
}

async fn hear(socket: &UnixDatagram) -> Result<String> {
    let mut buffer = [0; 512];
    let heard = tokio::time::timeout(Duration::from_secs(30), socket.recv(&mut buffer));
    let length = heard.await.context("the service manager hears nothing")??;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// OPS-05: as process 1 the program collects orphans, passes signals on, and ends as the daemon ends.
#[tokio::test]
async fn process_one_is_an_init() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a namespace of process numbers here");
        return Ok(());
    }
    let cluster = Cluster::builder("init").nodes(1).prepare().await?;
    let node = &cluster.nodes[0];
    let mark = node.layout.folder.join("orphan-ended");
    let callback = format!("sh -c '(sleep 0.2; touch {}) & exit 0'", mark.display());
    node.edit_config(|yaml| yaml["postgresql"]["callbacks"] = json!({"on_start": callback}))?;
    let mut first = run_as_process_one(&node.layout.bin.join("regent"), &node.layout.config_path)?;
    let leader = cluster.wait_leader(Duration::from_secs(60)).await;
    let checked = match leader {
        Ok(_) => check_init(&mut first, &mark).await,
        Err(error) => Err(error),
    };
    if checked.is_err() {
        first.kill()?;
    }
    checked?;
    ensure!(node.processes().is_empty(), "left behind: {:?}", node.processes());

    node.write_config("scope: [unclosed\n")?;
    let mut second = run_as_process_one(&node.layout.bin.join("regent"), &node.layout.config_path)?;
    ensure!(wait_exit(&mut second).await? == Some(1), "the daemon's exit code is passed on");
    cluster.finish().await
}

fn run_as_process_one(program: &Path, config: &Path) -> Result<Child> {
    let account = Account::unprivileged()?;
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "setpriv", "--clear-groups"]);
    command.arg(format!("--reuid={}", account.uid)).arg(format!("--regid={}", account.gid));
    command.arg(program).arg(config).current_dir("/");
    command.spawn().context("cannot start unshare")
}

async fn check_init(outside: &mut Child, orphan_ended: &Path) -> Result<()> {
    let pid = outside.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let init: i32 = children.trim().parse()?;
    wait::until("the orphan's end", Duration::from_secs(20), async || {
        if orphan_ended.exists() { Ok(()) } else { Err("it did not run".to_owned()) }
    })
    .await?;
    wait::until("orphans that are collected", Duration::from_secs(10), async || match zombies_of(init) {
        zombies if zombies.is_empty() => Ok(()),
        zombies => Err(format!("{zombies:?} are not")),
    })
    .await?;
    kill(Pid::from_raw(init), Signal::SIGTERM)?;
    ensure!(wait_exit(outside).await? == Some(0), "the signal is passed on and the daemon ends in order");
    Ok(())
}

async fn wait_exit(child: &mut Child) -> Result<Option<i32>> {
    wait::until("its end", Duration::from_secs(30), async || match child.try_wait() {
        Ok(Some(status)) => Ok(status.code()),
        Ok(None) => Err("it runs".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
}

/// Children that have ended and were not collected.
fn zombies_of(parent: i32) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let stats = processes.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(&format!(" Z {parent} "))))
        .collect()
}
