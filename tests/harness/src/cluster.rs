//! A whole cluster: described, started, asked, and taken down.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::backing::{Backing, Dcs};
use crate::binaries::{self, Binaries};
use crate::config::{self, Common, NodeLayout};
use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::folder::Folder;
use crate::http::Answer;
use crate::kubernetes::Kubernetes;
use crate::node::Node;
use crate::os::ports::{self, Port};
use crate::os::user::Account;
use crate::peer;
use crate::sql::{self, Rows};
use crate::state::ClusterState;
use crate::store::StoreOutage;
use crate::wait;
use crate::zookeeper::ZooKeeper;

/// How much of each log a failed test shows.
const LOG_LINES: usize = 60;
/// How long one attempt to reach a node by SQL may take: a frozen one must not hold up the others.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// How long regentctl may take.
const CTL_DEADLINE: Duration = Duration::from_secs(120);

type LocalChange = Box<dyn Fn(&NodeLayout, &mut Value)>;

/// What a cluster shall be like.
pub struct ClusterBuilder {
    scope: String,
    nodes: usize,
    dynamic: Value,
    changes: Vec<LocalChange>,
    environment: Vec<(String, String)>,
    binaries: Option<Binaries>,
    dcs: Dcs,
    peers: Vec<usize>,
    peer_tools: bool,
}

impl ClusterBuilder {
    /// The store; the embedded one unless said otherwise.
    pub fn dcs(mut self, dcs: Dcs) -> Self {
        self.dcs = dcs;
        self
    }

    /// The nodes, by their places from zero, that are the peer's: real Patroni under the same configuration. They need
    /// a store that the peer knows.
    pub fn peers(mut self, places: &[usize]) -> Self {
        self.peers = places.to_vec();
        self.on_etcd_with_peer_tools()
    }

    /// An etcd as the store, and the peer's patronictl at hand.
    pub fn on_etcd_with_peer_tools(mut self) -> Self {
        self.peer_tools = true;
        self.dcs = Dcs::Etcd3;
        self
    }

    /// How many nodes; three unless said otherwise.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Changes the first dynamic configuration, as a PATCH would.
    pub fn dynamic(mut self, changes: Value) -> Self {
        config::merge(&mut self.dynamic, &changes);
        self
    }

    /// Changes each node's own configuration before it is written.
    pub fn local_yaml(mut self, change: impl Fn(&NodeLayout, &mut Value) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Adds a variable to the daemons' environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses these programs instead of the ones just built.
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Makes folders, ports and files, and starts every daemon. Nothing is waited for.
    ///
    /// # Errors
    /// When programs are missing or a daemon cannot be started.
    pub async fn start(self) -> Result<Cluster> {
        let cluster = self.prepare().await?;
        cluster.nodes.iter().try_for_each(Node::start)?;
        Ok(cluster)
    }

    /// Makes folders, ports and files, and starts nothing.
    ///
    /// # Errors
    /// When programs are missing.
    pub async fn prepare(self) -> Result<Cluster> {
        // Building the programs may take minutes; a timer of the test must not stand still meanwhile.
        let given = self.binaries.clone();
        let (programs, pg_bin) = tokio::task::spawn_blocking(move || {
            let programs = given.map_or_else(Binaries::locate, Ok)?;
            anyhow::Ok((programs, binaries::postgresql()?))
        })
        .await??;
        let folder = Folder::create(Account::unprivileged()?)?;
        let root = folder.root().to_owned();
        let embedded = root.join("store").join(format!("{}.db", self.scope));
        let store = Backing::start(self.dcs, embedded, &self.scope, self.nodes).await?;
        let mut environment = self.environment.clone();
        environment.extend(store.environment(&folder)?);
        let common = Common {
            store: store.section(),
            plugins: root.join("plugins"),
            sockets: root.join("s"),
            scope: self.scope.clone(),
            pg_bin,
            dynamic: self.dynamic.clone(),
        };
        for path in [root.join("store"), root.join("bin"), common.plugins.clone(), common.sockets.clone()] {
            folder.make(&path)?;
        }
        folder.place(&programs.regent, &root.join("bin/regent"))?;
        folder.place(&programs.regentctl, &root.join("bin/regentctl"))?;
        for plugin in &programs.plugins {
            folder.place(plugin, &common.plugins.join(plugin.file_name().unwrap_or_default()))?;
        }
        let peer = if self.peer_tools { Some(peer::programs(&folder)?) } else { None };
        let mut nodes = Vec::new();
        let mut claimed = Vec::new();
        for index in 0..self.nodes {
            let (rest, pg) = (ports::claim()?, ports::claim()?);
            let layout = NodeLayout::new(&root, index, rest.number, pg.number);
            claimed.extend([rest, pg]);
            let peer = peer.as_ref().filter(|_| self.peers.contains(&index));
            let (layout, account) = (self.prepare_node(&folder, &common, layout, peer)?, folder.account().clone());
            nodes.push(Node::new(layout, account, environment.clone()));
        }
        let (scope, finished) = (self.scope, false);
        Ok(Cluster { scope, nodes, store, peer, folder, finished, _ports: claimed })
    }

    fn prepare_node(
        &self,
        folder: &Folder,
        common: &Common,
        layout: NodeLayout,
        peer: Option<&Binaries>,
    ) -> Result<NodeLayout> {
        folder.make(&layout.folder)?;
        folder.make(&layout.bin)?;
        let bin = folder.root().join("bin");
        let (daemon, ctl) = (bin.join("regent"), bin.join("regentctl"));
        folder.place(peer.map_or(&daemon, |peer| &peer.regent), &layout.bin.join("regent"))?;
        folder.place(peer.map_or(&ctl, |peer| &peer.regentctl), &layout.bin.join("regentctl"))?;
        let mut config = config::node(common, &layout);
        self.changes.iter().for_each(|change| change(&layout, &mut config));
        folder.write(&layout.config_path, &serde_yaml::to_string(&config)?)?;
        Ok(layout)
    }
}

/// A cluster. Dropping it ends every process and removes every file; see [`Cluster::finish`].
pub struct Cluster {
    /// The cluster's name.
    pub scope: String,
    /// Its members, `node1` first.
    pub nodes: Vec<Node>,
    store: Backing,
    peer: Option<Binaries>,
    folder: Folder,
    finished: bool,
    _ports: Vec<Port>,
}

impl Cluster {
    /// Describes a cluster of that name: three nodes, ttl 20, loop_wait 2, retry_timeout 3.
    pub fn builder(scope: &str) -> ClusterBuilder {
        ClusterBuilder {
            scope: scope.to_owned(),
            nodes: 3,
            dynamic: config::default_dynamic(),
            changes: Vec::new(),
            environment: Vec::new(),
            binaries: None,
            dcs: Dcs::Local,
            peers: Vec::new(),
            peer_tools: false,
        }
    }

    /// Says that the test passed, and takes the cluster down. Without it the logs are shown.
    ///
    /// # Errors
    /// When a process of the cluster cannot be ended.
    pub async fn finish(mut self) -> Result<()> {
        self.finished = true;
        self.folder.kill_all()
    }

    // === members ===

    /// A member by name.
    ///
    /// # Panics
    /// When there is none: the test names its own nodes.
    pub fn node(&self, name: &str) -> &Node {
        match self.nodes.iter().find(|node| node.name == name) {
            Some(node) => node,
            None => panic!("the cluster has no node {name:?}"),
        }
    }

    /// Every member but one.
    pub fn others(&self, name: &str) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.name != name)
    }

    /// The node whose health check says that it is the primary, if there is exactly one.
    pub async fn leader(&self) -> Option<&Node> {
        let state = self.state().await;
        match state.primaries().as_slice() {
            [name] => Some(self.node(name)),
            _ => None,
        }
    }

    // === waiting ===

    /// What every node says now.
    pub async fn state(&self) -> ClusterState {
        let ports = self.nodes.iter().map(|node| (node.name.clone(), node.layout.rest_port));
        ClusterState::read(ports).await
    }

    /// Waits until the cluster is in a state that a test names.
    ///
    /// # Errors
    /// With the last state, when it is not reached before the deadline.
    pub async fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        reached: impl Fn(&ClusterState) -> bool,
    ) -> Result<ClusterState> {
        wait::until(what, deadline, async || {
            let state = self.state().await;
            if reached(&state) { Ok(state) } else { Err(state.to_string()) }
        })
        .await
    }

    /// Waits until one node leads: by its health check, by `GET /cluster`, and by taking writes.
    ///
    /// # Errors
    /// With the last state, when it is not reached before the deadline.
    pub async fn wait_leader(&self, deadline: Duration) -> Result<&Node> {
        self.wait_leader_where("a leader", deadline, |_| true).await
    }

    /// The same, for another node than the one named.
    ///
    /// # Errors
    /// With the last state, when it is not reached before the deadline.
    pub async fn wait_leader_other_than(&self, name: &str, deadline: Duration) -> Result<&Node> {
        let what = format!("a leader other than {name}");
        self.wait_leader_where(&what, deadline, |leader| leader != name).await
    }

    async fn wait_leader_where(&self, what: &str, deadline: Duration, fits: impl Fn(&str) -> bool) -> Result<&Node> {
        wait::until(what, deadline, async || {
            let state = self.state().await;
            let leader = match state.primaries().as_slice() {
                [name] if state.leader() == Some(name) && fits(name) => self.node(name),
                _ => return Err(state.to_string()),
            };
            match self.writable_client(leader).await {
                Some(_) => Ok(leader),
                None => Err(format!("{} takes no writes{state}", leader.name)),
            }
        })
        .await
    }

    /// Waits until that many members stream from a leader: `GET /cluster` says so, and so does the leader's own server.
    /// A member's word alone is not enough: for some seconds after its sender ended it may still believe in the stream.
    ///
    /// # Errors
    /// With the last state, when it is not reached before the deadline.
    pub async fn wait_members_streaming(&self, count: usize, deadline: Duration) -> Result<ClusterState> {
        wait::until(&format!("{count} streaming members"), deadline, async || {
            let state = self.state().await;
            let Some(leader) = state.leader().filter(|_| state.streaming() >= count) else {
                return Err(state.to_string());
            };
            match self.senders(leader).await {
                Ok(names) if names.len() >= count => Ok(state),
                Ok(names) => Err(format!("{leader} sends to {names:?} only{state}")),
                Err(error) => Err(format!("{leader} does not say whom it sends to: {error:#}{state}")),
            }
        })
        .await
    }

    /// The members that a node's server streams to, as its `pg_stat_replication` names them.
    async fn senders(&self, node: &str) -> Result<Vec<String>> {
        let statement = "SELECT DISTINCT application_name FROM pg_stat_replication WHERE state = 'streaming'";
        let rows = self.sql(node, statement).await?;
        let names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        Ok(names.filter(|name| self.nodes.iter().any(|node| node.name == *name)).collect())
    }

    /// Waits until one node leads and all others stream.
    ///
    /// # Errors
    /// With the last state, when it is not reached before the deadline.
    pub async fn wait_healthy(&self, deadline: Duration) -> Result<&Node> {
        self.wait_members_streaming(self.nodes.len() - 1, deadline).await?;
        self.wait_leader(deadline).await
    }

    // === SQL ===

    /// Runs statements on a node's server and gives their rows.
    ///
    /// # Errors
    /// When the server refuses or does not answer within ten seconds.
    pub async fn sql(&self, node: &str, statements: &str) -> Result<Rows> {
        self.node(node).sql(statements).await
    }

    /// A connection to whichever server takes writes, as libpq makes it with all hosts in its string.
    ///
    /// # Errors
    /// When none takes writes before the deadline.
    pub async fn primary_connection(&self, deadline: Duration) -> Result<(&Node, Client)> {
        wait::until("a server that takes writes", deadline, async || {
            for node in &self.nodes {
                if let Some(client) = self.writable_client(node).await {
                    return Ok((node, client));
                }
            }
            Err("every node is away or read-only".to_owned())
        })
        .await
    }

    async fn writable_client(&self, node: &Node) -> Option<Client> {
        let client = sql::connect(node.layout.pg_port, CONNECT_DEADLINE).await.ok()?;
        let writable = sql::is_writable(&client, CONNECT_DEADLINE).await;
        writable.is_ok_and(|writable| writable).then_some(client)
    }

    /// The connection string that always reaches the primary.
    pub fn primary_dsn(&self) -> String {
        let ports: Vec<String> = self.nodes.iter().map(|node| node.layout.pg_port.to_string()).collect();
        let hosts = vec!["127.0.0.1"; ports.len()].join(",");
        let (user, password) = config::SUPERUSER;
        format!(
            "host={hosts} port={} user={user} password={password} dbname=postgres target_session_attrs=read-write",
            ports.join(",")
        )
    }

    // === REST, CLI, store ===

    /// Sends a request to a node's REST API.
    ///
    /// # Errors
    /// When there is no answer: 3 s for GET, 90 s for what acts.
    pub async fn rest(&self, node: &str, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        self.node(node).rest(method, path, body).await
    }

    /// Changes the dynamic configuration through a node that answers.
    ///
    /// # Errors
    /// When no node accepts it.
    pub async fn patch_config(&self, changes: Value) -> Result<Answer> {
        let mut last = None;
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            match node.rest("PATCH", "/config", Some(changes.clone())).await {
                Ok(answer) if answer.status == 200 => return Ok(answer),
                Ok(answer) => last = Some(format!("{}: {} {}", node.name, answer.status, answer.body)),
                Err(error) => last = Some(format!("{error:#}")),
            }
        }
        bail!("nobody accepted {changes}: {}", last.unwrap_or_else(|| "no daemon runs".to_owned()))
    }

    /// Asks the leader to hand over.
    ///
    /// # Errors
    /// When nobody leads, or there is no answer in 90 s.
    pub async fn switchover(&self, candidate: Option<&str>) -> Result<Answer> {
        let leader = self.leader().await.context("there is no leader to hand over")?;
        let mut body = json!({ "leader": leader.name });
        if let Some(candidate) = candidate {
            body["candidate"] = json!(candidate);
        }
        leader.rest("POST", "/switchover", Some(body)).await
    }

    /// Runs regentctl with the first node's configuration, without a terminal.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than two minutes.
    pub async fn regentctl(&self, arguments: &[&str]) -> Result<Output> {
        let node = self.nodes.first().context("the cluster has no nodes")?;
        self.control(node.command("regentctl"), arguments).await
    }

    /// Runs the peer's patronictl in the same way.
    ///
    /// # Errors
    /// When the cluster was made without it; else as above.
    pub async fn patronictl(&self, arguments: &[&str]) -> Result<Output> {
        let node = self.nodes.first().context("the cluster has no nodes")?;
        let peer = self.peer.as_ref().context("the cluster was made without the peer's programs")?;
        self.control(node.command_at(&peer.regentctl), arguments).await
    }

    async fn control(&self, mut command: std::process::Command, arguments: &[&str]) -> Result<Output> {
        let node = self.nodes.first().context("the cluster has no nodes")?;
        let (user, password) = config::SUPERUSER;
        command.env("PGUSER", user).env("PGPASSWORD", password).env("PGDATABASE", "postgres");
        command.arg("-c").arg(&node.layout.config_path).args(arguments);
        let mut command = tokio::process::Command::from(command);
        let output = tokio::time::timeout(CTL_DEADLINE, command.kill_on_drop(true).output());
        let output = output.await.with_context(|| arguments.join(" "))?;
        output.with_context(|| format!("cannot start the program for {}", arguments.join(" ")))
    }

    /// Takes the store away from all nodes until the returned value is dropped.
    ///
    /// # Errors
    /// When there is no store yet.
    pub fn take_store_away(&self) -> Result<StoreOutage> {
        self.store.take_away()
    }

    /// Refuses all nodes to write to the store until the returned value is dropped.
    ///
    /// # Errors
    /// When there is no store yet.
    pub fn make_store_read_only(&self) -> Result<StoreOutage> {
        StoreOutage::begin_for_writes(self.store.path())
    }

    /// The embedded store's file.
    pub fn store_path(&self) -> &std::path::Path {
        self.store.path()
    }

    /// How many requests the store has had so far; `None`: it does not count.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn store_requests(&self) -> Result<Option<f64>> {
        self.store.requests().await
    }

    /// The etcd that the cluster is on, if it is.
    pub fn etcd(&self) -> Option<&Etcd> {
        if let Backing::Etcd(etcd, _) = &self.store { Some(etcd) } else { None }
    }

    /// The Consul that the cluster is on, if it is.
    pub fn consul(&self) -> Option<&Consul> {
        if let Backing::Consul(consul) = &self.store { Some(consul) } else { None }
    }

    /// The ZooKeeper that the cluster is on, if it is.
    pub fn zookeeper(&self) -> Option<&ZooKeeper> {
        if let Backing::ZooKeeper(zookeeper) = &self.store { Some(zookeeper) } else { None }
    }

    /// The API server that the cluster is on, if it is.
    pub fn kubernetes(&self) -> Option<&Kubernetes> {
        if let Backing::Kubernetes(kubernetes) = &self.store { Some(kubernetes) } else { None }
    }

    /// The cluster's folder.
    pub fn root(&self) -> &std::path::Path {
        self.folder.root()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.finished && !std::thread::panicking() {
            return;
        }
        for node in &self.nodes {
            eprintln!("--- {}: the last {LOG_LINES} lines of {}", node.name, node.layout.log_path.display());
            eprintln!("{}", node.log_tail(LOG_LINES));
        }
        if std::env::var("REGENT_KEEP").is_ok_and(|value| value == "1") {
            self.folder.keep();
        }
    }
}
