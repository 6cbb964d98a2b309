//! The demo's own etcd, where the embedded store is not wanted. It ends with the nodes: its files lie in their folder.

use super::folder::{Folder, free_port};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long etcd may take to come up.
const UP: Duration = Duration::from_secs(20);

/// Between two looks whether it is up.
const PACE: Duration = Duration::from_millis(50);

/// Starts it and waits until it answers; does nothing for a demo on the embedded store.
pub(super) async fn start(folder: &Folder, client: &reqwest::Client) -> Result<(), String> {
    let Some(port) = folder.etcd_port else {
        return Ok(());
    };
    let own = folder.root().join("store");
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "etcd is missing: it is in Debian's package etcd-server (tests/setup.sh --etcd installs it)".to_owned()
        }
        _ => format!("etcd can not be started: {error}"),
    };
    let log = File::create(folder.root().join("etcd.log")).map_err(wrong)?;
    let errors = log.try_clone().map_err(wrong)?;
    let (mine, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()?));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(own.join("etcd")).current_dir(&own);
    command.args(["--listen-client-urls", &mine, "--advertise-client-urls", &mine]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
    if let Some((uid, gid)) = folder.user {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    let mut etcd = command.spawn().map_err(wrong)?;
    let end = crate::ports::now() + UP;
    let url = format!("{mine}/health");
    while !is_up(client, &url).await {
        let ended = etcd.try_wait().ok().flatten().is_some();
        if ended || crate::ports::now() > end {
            let said = std::fs::read_to_string(folder.root().join("etcd.log")).unwrap_or_default();
            return Err(format!("etcd did not come up:\n{}", said.lines().last().unwrap_or_default()));
        }
        pause().await;
    }
    println!("a single etcd at {mine} is the store");
    Ok(())
}

async fn is_up(client: &reqwest::Client, url: &str) -> bool {
    let answer = client.get(url).timeout(Duration::from_secs(1)).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

#[allow(clippy::disallowed_methods, reason = "paces looking whether etcd is up, which gives no sign")]
async fn pause() {
    tokio::time::sleep(PACE).await; // pace: the start of a program that is not ours
}
