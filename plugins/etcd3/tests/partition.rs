//! A server that is cut off from the other two, and still answers its clients: real network namespaces, as root.

mod support;

use regent_plugin_api::host::{Backend, KeyKind, Lease, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{BUDGET, eventually, find, key, lasting};

const SERVERS: usize = 3;

/// Three servers, each in a network of its own with a link to each other and one to us.
struct Network {
    id: u32,
    servers: Vec<Child>,
    _folder: tempfile::TempDir,
}

impl Network {
    fn start() -> Network {
        let folder = tempfile::tempdir().expect("a folder");
        let mut network = Network { id: std::process::id() % 100_000, servers: Vec::new(), _folder: folder };
        network.lay();
        let cluster: Vec<_> = (0..SERVERS).map(|server| format!("s{server}=http://{}:2380", peer(server))).collect();
        for server in 0..SERVERS {
            let data = network._folder.path().join(format!("s{server}"));
            let child = network.etcd(server, &data, &cluster.join(","));
            network.servers.push(child);
        }
        network
    }

    fn namespace(&self, server: usize) -> String {
        format!("rg{}-{server}", self.id)
    }

    /// One end of a link: in `of`, to `to`.
    fn link(&self, of: usize, to: &str) -> String {
        format!("r{}{of}{to}", self.id)
    }

    fn lay(&self) {
        for server in 0..SERVERS {
            let space = self.namespace(server);
            ip(&["netns", "add", &space]);
            let (ours, theirs) = (self.link(server, "o"), self.link(server, "i"));
            ip(&["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &space]);
            ip(&["address", "add", &format!("{}/30", host(server)), "dev", &ours]);
            ip(&["link", "set", &ours, "up"]);
            ip(&["-n", &space, "address", "add", &format!("{}/30", client(server)), "dev", &theirs]);
            ip(&["-n", &space, "address", "add", &format!("{}/32", peer(server)), "dev", "lo"]);
            ip(&["-n", &space, "link", "set", &theirs, "up"]);
            ip(&["-n", &space, "link", "set", "lo", "up"]);
        }
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let ends = [(one, other), (other, one)].map(|(of, to)| (of, to, self.link(of, &to.to_string())));
            let [(_, _, first), (_, _, second)] = &ends;
            let spaces = (self.namespace(one), self.namespace(other));
            let pair = ["link", "add", first, "netns", &spaces.0, "type", "veth", "peer", "name", second];
            ip(&[&pair[..], &["netns", &spaces.1]].concat());
            for (of, to, end) in &ends {
                let space = self.namespace(*of);
                ip(&["-n", &space, "link", "set", end, "up"]);
                ip(&["-n", &space, "route", "add", &peer(*to), "dev", end, "src", &peer(*of)]);
            }
        }
    }

    fn etcd(&self, server: usize, data: &Path, cluster: &str) -> Child {
        let (client, peer) = (format!("http://{}:2379", client(server)), format!("http://{}:2380", peer(server)));
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(server), "etcd", "--name", &format!("s{server}")]);
        command.arg("--data-dir").arg(data).args(["--initial-cluster", cluster]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcd starts")
    }

    /// Takes a server's links to the others down, or up again. Clients reach it all the time.
    fn set_links(&self, server: usize, state: &str) {
        let space = self.namespace(server);
        for other in (0..SERVERS).filter(|other| *other != server) {
            let end = self.link(server, &other.to_string());
            ip(&["-n", &space, "link", "set", &end, state]);
            if state == "up" {
                // A link that was down has lost its routes.
                ip(&["-n", &space, "route", "replace", &peer(other), "dev", &end, "src", &peer(server)]);
                let back = self.link(other, &server.to_string());
                ip(&[
                    "-n",
                    &self.namespace(other),
                    "route",
                    "replace",
                    &peer(server),
                    "dev",
                    &back,
                    "src",
                    &peer(other),
                ]);
            }
        }
    }

    fn section(&self) -> String {
        let hosts: Vec<_> = (0..SERVERS).map(|server| format!("{}:2379", client(server))).collect();
        format!("{{\"hosts\": {hosts:?}}}")
    }

    async fn leader(&self) -> usize {
        eventually("a leader of the store", async || {
            for server in 0..SERVERS {
                let mut client = etcd_client::Client::connect([format!("{}:2379", client(server))], None).await.ok()?;
                let status = client.status().await.ok()?;
                if status.leader() == status.header()?.member_id() {
                    return Some(server);
                }
            }
            None
        })
        .await
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It may have ended already.
            let _ended = server.kill().and_then(|()| server.wait()).is_err();
        }
        for server in 0..SERVERS {
            let _gone = Command::new("ip").args(["netns", "del", &self.namespace(server)]).status().is_err();
        }
    }
}

/// Our end of the link to a server, the server's end, and the address that the others know it by.
fn host(server: usize) -> String {
    format!("10.213.{server}.1")
}

fn client(server: usize) -> String {
    format!("10.213.{server}.2")
}

fn peer(server: usize) -> String {
    format!("10.213.9.{}", server + 1)
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn may_make_networks() -> bool {
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok();
    let may = rustix::process::geteuid().is_root() && found;
    if !may {
        #[allow(clippy::print_stderr, reason = "a test that was skipped says so")]
        {
            eprintln!("skipped: network namespaces need root and iproute2");
        }
    }
    may
}

async fn heartbeat(member: &Backend, lease: Lease, value: &str) -> Lease {
    let status = vec![Write { key: key(KeyKind::Status), value: value.as_bytes().to_vec() }];
    // On a busy machine the servers lose each other by themselves: while they choose a leader there is no verdict.
    let renewed =
        eventually("a verdict", async || member.renew_leader(BUDGET, lease.clone(), status.clone()).await.ok());
    let lease = renewed.await.expect("it is ours");
    let snapshot = eventually("a reading", async || member.load(BUDGET).await.ok()).await;
    assert_eq!(find(&snapshot, &key(KeyKind::Status)).expect("it was written").value, value.as_bytes());
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_of_three_may_be_cut_off_whichever_it_is() {
    if !may_make_networks() {
        return;
    }
    let network = Network::start();
    let a = eventually("a store that answers", async || {
        let a = lasting("a", &network.section()).await;
        a.load(BUDGET).await.is_ok().then_some(a)
    })
    .await;
    let mut lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    for round in 0..4 {
        // The three, and the one that leads.
        let victim = if round == 3 { network.leader().await } else { round };
        network.set_links(victim, "down");
        lease = heartbeat(&a, lease, &format!("1{round}")).await;
        lease = heartbeat(&a, lease, &format!("2{round}")).await;
        network.set_links(victim, "up");
        lease = heartbeat(&a, lease, &format!("3{round}")).await;
    }
}
