//! Real clusters for the tests: Regent daemons and PostgreSQL servers on loopback, under one
//! temporary folder, as an unprivileged user; hurt in every way a test can think of, and removed
//! without a trace, even when the test itself is killed.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use regent_harness::{Cluster, Prober};
//!
//! let cluster = Cluster::builder("demo").nodes(3).start().await?;
//! let leader = cluster.wait_healthy(Duration::from_secs(60)).await?;
//! let prober = Prober::start(&cluster).await?;
//! leader.kill_node()?;
//! let next = cluster.wait_leader_other_than(&leader.name, Duration::from_secs(40)).await?;
//! let report = prober.stop().await;
//! println!("{} leads, no write for {:?}", next.name, report.longest_gap().length());
//! report.verify(&cluster).await?;
//! cluster.finish().await
//! # }
//! ```
//!
//! A cluster that is dropped without [`Cluster::finish`] belongs to a test that failed: the end of
//! every node's log goes to standard error. `REGENT_KEEP=1` keeps its folder then.
//!
//! The harness knows programs, ports, files and the REST API. It must not use any crate of the
//! product: it sees a cluster as a stranger does.
#![allow(clippy::disallowed_methods, reason = "tests pace their polling, and time what they see by their own clock")]
#![allow(clippy::print_stderr, reason = "the end of a log is printed when a test fails")]

pub mod backing;
pub mod binaries;
pub mod browser;
pub mod cluster;
pub mod config;
pub mod consul;
pub mod etcd;
pub mod exhibitor;
pub mod folder;
pub mod http;
pub mod kubernetes;
mod metrics;
pub mod node;
pub mod os;
pub mod peer;
pub mod prober;
pub mod sql;
pub mod state;
pub mod store;
pub mod wait;
pub mod zookeeper;

pub use backing::Dcs;
pub use binaries::Binaries;
pub use browser::Browser;
pub use cluster::{Cluster, ClusterBuilder};
pub use config::NodeLayout;
pub use consul::Consul;
pub use etcd::Etcd;
pub use exhibitor::Exhibitor;
pub use http::Answer;
pub use kubernetes::Kubernetes;
pub use node::{Node, Usage};
pub use os::reaper::Exit;
pub use prober::{Ack, Gap, Prober, ProberOptions, Report};
pub use sql::Rows;
pub use state::{ClusterState, NodeState};
pub use store::StoreOutage;
pub use zookeeper::ZooKeeper;
