//! HAProxy with the checks that everybody configures follows the leader and never takes a healthy node for a dead one.

use anyhow::{Context, Result, ensure};
use regent_harness::os::ports;
use regent_harness::{Cluster, wait};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running HAProxy; dropped, it ends.
struct Proxy {
    child: Child,
    folder: tempfile::TempDir,
    primary: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen then.
        let _ended = self.child.kill().and_then(|()| self.child.wait()).is_err();
    }
}

impl Proxy {
    fn start(cluster: &Cluster) -> Result<Self> {
        let (primary, replicas) = (ports::claim()?.number, ports::claim()?.number);
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, configuration(cluster, folder.path(), primary, replicas))?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn().context("cannot start haproxy")?, folder, primary })
    }

    /// Each server of each backend: whether it is up, and how many of its checks failed.
    fn servers(&self) -> Result<BTreeMap<(String, String), (bool, u64)>> {
        let mut socket = UnixStream::connect(self.folder.path().join("stats"))?;
        socket.write_all(b"show stat\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        let names: Vec<&str> = text.lines().next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let column = |name: &str| names.iter().position(|other| *other == name).with_context(|| name.to_owned());
        let (status, failed) = (column("status")?, column("chkfail")?);
        let mut servers = BTreeMap::new();
        for fields in text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()) {
            let [backend, server, ..] = fields.as_slice() else { continue };
            if server.starts_with("node") {
                let failed = fields[failed].parse().unwrap_or(0);
                servers
                    .insert(((*backend).to_owned(), (*server).to_owned()), (fields[status].starts_with("UP"), failed));
            }
        }
        Ok(servers)
    }

    /// Who is up behind a port.
    fn up(&self, backend: &str) -> Result<Vec<String>> {
        let servers = self.servers()?.into_iter().filter(|((of, _), (up, _))| of == backend && *up);
        Ok(servers.map(|((_, name), _)| name).collect())
    }

    async fn wait_up(&self, backend: &str, expected: &[String]) -> Result<()> {
        wait::until(&format!("{expected:?} behind {backend}"), Duration::from_secs(20), async || {
            match self.up(backend) {
                Ok(up) if up == expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

fn configuration(cluster: &Cluster, folder: &Path, primary: u16, replicas: u16) -> String {
    let mut text = format!(
        "global\n  maxconn 100\n  stats socket {}/stats\ndefaults\n  mode tcp\n  timeout connect 2s\n  \
         timeout client 1m\n  timeout server 1m\n  timeout check 3s\n",
        folder.display()
    );
    for (name, port, check) in [("primary", primary, "/primary"), ("replicas", replicas, "/replica")] {
        let _ = writeln!(
            text,
            "listen {name}\n  bind 127.0.0.1:{port}\n  option httpchk OPTIONS {check}\n  http-check expect status 200\n  \
             default-server inter 300ms fall 1 rise 1 on-marked-down shutdown-sessions"
        );
        for node in &cluster.nodes {
            let (pg, rest) = (node.layout.pg_port, node.layout.rest_port);
            let _ = writeln!(text, "  server {} 127.0.0.1:{pg} check port {rest}", node.name);
        }
    }
    text
}

/// API-01, OPS-18: one failed check takes a server out here, so that none may fail on a node that is what it was.
#[tokio::test]
async fn haproxy_follows_the_leader() -> Result<()> {
    if Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
        return skipped();
    }
    let cluster = Cluster::builder("proxy").start().await?;
    let leader = cluster.wait_healthy(Duration::from_secs(90)).await?.name.clone();
    let others = |of: &str| cluster.others(of).map(|node| node.name.clone()).collect::<Vec<_>>();
    let proxy = Proxy::start(&cluster)?;
    wait::until("the proxy", Duration::from_secs(20), async || proxy.servers().map_err(|error| error.to_string()))
        .await?;
    proxy.wait_up("primary", std::slice::from_ref(&leader)).await?;
    proxy.wait_up("replicas", &others(&leader)).await?;
    let [next, third] = others(&leader).try_into().map_err(|_| anyhow::anyhow!("there are three nodes"))?;
    let before = proxy.servers()?;

    let answer = cluster.switchover(Some(&next)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    proxy.wait_up("primary", std::slice::from_ref(&next)).await?;
    cluster.wait_healthy(Duration::from_secs(40)).await?;
    proxy.wait_up("replicas", &others(&next)).await?;
    let through = regent_harness::sql::connect(proxy.primary, Duration::from_secs(5)).await?;
    ensure!(
        regent_harness::sql::is_writable(&through, Duration::from_secs(5)).await?,
        "the primary's port takes writes"
    );

    // Checks that a node fails because it has not that role are refusals: the one that stayed a replica had none.
    let after = proxy.servers()?;
    let failed = |of: &BTreeMap<(String, String), (bool, u64)>| {
        of.get(&("replicas".to_owned(), third.clone())).map_or(0, |(_, failed)| *failed)
    };
    ensure!(failed(&before) == failed(&after), "{third} was a healthy replica all the time: {before:?} {after:?}");
    let steady = after.get(&("primary".to_owned(), next.clone())).map(|(up, _)| *up);
    ensure!(steady == Some(true), "{after:?}");
    cluster.finish().await
}

#[allow(clippy::print_stderr, reason = "a test that was skipped says so")]
fn skipped() -> Result<()> {
    eprintln!("skipped: haproxy is not installed");
    Ok(())
}
