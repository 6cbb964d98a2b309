//! The cluster that is hurt: three nodes on an etcd, each with links to the world that can be cut.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use regent_harness::{Cluster, Dcs, Etcd, Node, NodeLayout};
use serde_json::{Value, json};

use crate::clients::{Server, TABLE};
use crate::link::Link;

/// How long a new cluster may take.
const START: Duration = Duration::from_secs(120);
const NODES: usize = 3;
/// The cluster's name.
pub const SCOPE: &str = "faults";
/// The lock's life, in seconds: short, so that a round has room for several failovers.
const TTL: u64 = 8;
const LOOP_WAIT: u64 = 1;
const RETRY_TIMEOUT: u64 = 3;

/// How a node is connected.
#[derive(Debug)]
pub struct Links {
    /// From the node to the store.
    pub store: Link,
    /// From others to its server.
    pub server: Link,
    /// From others to its REST API.
    pub api: Link,
}

impl Links {
    /// Puts links before a node's ports, and writes them into its configuration.
    fn insert(layout: &NodeLayout, config: &mut Value) -> Result<Self> {
        let store = config["etcd3"]["hosts"][0].as_str().context("the store is no etcd")?;
        let port = store.rsplit(':').next().unwrap_or_default().parse().context("a port of etcd")?;
        let links =
            Self { store: Link::to(port)?, server: Link::to(layout.pg_port)?, api: Link::to(layout.rest_port)? };
        let address = |link: &Link| format!("127.0.0.1:{}", link.port);
        // Discovery would lead around the link.
        config["etcd3"] = json!({ "hosts": [address(&links.store)], "use_proxies": true });
        config["postgresql"]["connect_address"] = json!(address(&links.server));
        config["restapi"]["connect_address"] = json!(address(&links.api));
        Ok(links)
    }
}

/// The cluster and its links.
pub struct Bed {
    /// The cluster.
    pub cluster: Cluster,
    /// By the nodes' places.
    pub links: Vec<Links>,
}

impl Bed {
    /// Starts a cluster with this dynamic configuration and waits until all its members stream.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(dynamic: Value) -> Result<Self> {
        let made: Arc<Mutex<Vec<Result<Links>>>> = Arc::default();
        let place = Arc::clone(&made);
        let timing = json!({
            "ttl": TTL, "loop_wait": LOOP_WAIT, "retry_timeout": RETRY_TIMEOUT, "allow_short_ttl": true,
            // What a rewind leaves whose source dies in the middle, no rewind repairs: without it a person would have to.
            "postgresql": { "remove_data_directory_on_rewind_failure": true },
        });
        let builder = Cluster::builder(SCOPE).dcs(Dcs::Etcd3).nodes(NODES).dynamic(timing).dynamic(dynamic);
        let builder = builder.local_yaml(move |layout, config| {
            place.lock().unwrap_or_else(PoisonError::into_inner).push(Links::insert(layout, config));
        });
        let cluster = builder.start().await?;
        let made = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
        let bed = Self { cluster, links: made.into_iter().collect::<Result<_>>()? };
        ensure!(bed.links.len() == NODES, "a node has no links");
        let leader = bed.cluster.wait_healthy(START).await?;
        // No key: a number that is there twice is to be found, not refused.
        leader.sql(&format!("CREATE TABLE {TABLE} (id bigint NOT NULL, client int NOT NULL)")).await?;
        Ok(bed)
    }

    /// A node by its place.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, place: usize) -> Result<&Node> {
        self.cluster.nodes.get(place).with_context(|| format!("there is no node at place {place}"))
    }

    /// A node's place by its name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.cluster.nodes.iter().position(|node| node.name == name)
    }

    /// The store.
    ///
    /// # Errors
    /// When it is no etcd.
    pub fn etcd(&self) -> Result<&Etcd> {
        match self.cluster.etcd() {
            Some(etcd) => Ok(etcd),
            None => bail!("the cluster has no etcd"),
        }
    }

    /// Every node's place and server.
    pub fn servers(&self) -> Vec<Server> {
        self.cluster.nodes.iter().map(|node| (node.layout.index, node.layout.pg_port)).collect()
    }

    /// Every node's name and the port of its REST API.
    pub fn apis(&self) -> Vec<(String, u16)> {
        self.cluster.nodes.iter().map(|node| (node.name.clone(), node.layout.rest_port)).collect()
    }
}
