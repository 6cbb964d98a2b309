//! What a cluster is made on: the embedded store, or a real server of some kind, ended with the cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::folder::Folder;
use crate::kubernetes::Kubernetes;
use crate::store::StoreOutage;
use crate::zookeeper::ZooKeeper;

/// Which store a cluster is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dcs {
    /// The embedded one.
    Local,
    /// A real etcd, over its v3 API.
    Etcd3,
    /// A real etcd, over its v2 API.
    Etcd,
    /// A real Consul.
    Consul,
    /// A real ZooKeeper.
    ZooKeeper,
    /// A real Kubernetes API server, over its Endpoints.
    Kubernetes,
}

/// The store of a cluster.
pub(crate) enum Backing {
    Embedded(PathBuf),
    /// And the section that its nodes call it by.
    Etcd(Etcd, &'static str),
    Consul(Consul),
    ZooKeeper(ZooKeeper),
    Kubernetes(Kubernetes),
}

impl Backing {
    /// Starts one for a cluster of so many nodes.
    pub async fn start(dcs: Dcs, embedded: PathBuf, scope: &str, nodes: usize) -> Result<Self> {
        Ok(match dcs {
            Dcs::Local => Self::Embedded(embedded),
            Dcs::Etcd3 => Self::Etcd(Etcd::start().await?, "etcd3"),
            Dcs::Etcd => Self::Etcd(Etcd::start_with_v2().await?, "etcd"),
            Dcs::Consul => Self::Consul(Consul::start().await?),
            Dcs::ZooKeeper => Self::ZooKeeper(ZooKeeper::start().await?),
            Dcs::Kubernetes => Self::Kubernetes(Kubernetes::start(scope, nodes).await?),
        })
    }

    /// The section of the nodes' configuration.
    pub fn section(&self) -> (&'static str, Value) {
        match self {
            Self::Embedded(path) => ("local", json!({ "path": path })),
            Self::Etcd(etcd, name) => (name, json!({ "hosts": [etcd.address()] })),
            Self::Consul(consul) => ("consul", json!({ "host": consul.address(), "register_service": true })),
            Self::ZooKeeper(zookeeper) => ("zookeeper", json!({ "hosts": [zookeeper.address()] })),
            Self::Kubernetes(kubernetes) => ("kubernetes", kubernetes.section()),
        }
    }

    /// What the nodes' environment has to say.
    pub fn environment(&self, folder: &Folder) -> Result<Option<(String, String)>> {
        let Self::Kubernetes(kubernetes) = self else { return Ok(None) };
        let path = folder.root().join("kubeconfig");
        folder.write(&path, kubernetes.kubeconfig())?;
        let path = path.to_str().context("the folder has a plain name")?;
        Ok(Some(("KUBECONFIG".to_owned(), path.to_owned())))
    }

    /// The embedded store's file.
    ///
    /// # Panics
    /// Where there is none: the test made its cluster on another store.
    pub fn path(&self) -> &Path {
        match self {
            Self::Embedded(path) => path,
            _ => panic!("the cluster is on a server"),
        }
    }

    /// How many requests its clients have sent it so far, as it counts them itself; `None`: it does not count. A stream is
    /// one, when it ends.
    pub async fn requests(&self) -> Result<Option<f64>> {
        Ok(match self {
            Self::Embedded(_) => None,
            Self::Etcd(etcd, "etcd") => Some(etcd.plain_requests().await?),
            Self::Etcd(etcd, _) => Some(etcd.requests().await?.values().sum()),
            Self::Consul(consul) => Some(consul.requests().await?),
            Self::ZooKeeper(zookeeper) => Some(zookeeper.requests().await?),
            Self::Kubernetes(kubernetes) => Some(kubernetes.requests().await?),
        })
    }

    /// Keeps it from answering until the returned value is dropped.
    pub fn take_away(&self) -> Result<StoreOutage> {
        match self {
            Self::Embedded(path) => StoreOutage::begin(path),
            Self::Etcd(etcd, _) => StoreOutage::freeze(etcd.pid()),
            Self::Consul(consul) => StoreOutage::freeze(consul.pid()),
            Self::ZooKeeper(zookeeper) => StoreOutage::freeze(zookeeper.pid()),
            Self::Kubernetes(kubernetes) => StoreOutage::freeze(kubernetes.pid()?),
        }
    }
}
