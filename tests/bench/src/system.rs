//! The systems under test: how a cluster of either is made. What is measured knows only the cluster.

use anyhow::{Context, Result};
use regent_harness::{Cluster, ClusterBuilder, Dcs, peer};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's folder.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The clusters' name.
const SCOPE: &str = "bench";

/// Whose cluster it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    Regent,
    Patroni,
}

impl System {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regent => "Regent",
            Self::Patroni => "Patroni",
        }
    }
}

/// The intervals of a cluster, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timing {
    pub ttl: u64,
    pub loop_wait: u64,
    pub retry_timeout: u64,
}

impl Timing {
    /// `ttl/loop_wait/retry_timeout`.
    pub fn name(self) -> String {
        format!("{}/{}/{}", self.ttl, self.loop_wait, self.retry_timeout)
    }

    /// Whether Patroni would refuse it: its shortest lease is 20 s.
    pub fn is_short(self) -> bool {
        self.ttl < 20
    }

    fn dynamic(self) -> Value {
        let mut dynamic = json!({
            "ttl": self.ttl, "loop_wait": self.loop_wait, "retry_timeout": self.retry_timeout,
            // It would come and go in the middle of a measurement.
            "postgresql": { "parameters": { "autovacuum": "off" } }
        });
        if self.is_short() {
            dynamic["allow_short_ttl"] = json!(true);
        }
        dynamic
    }
}

/// Describes a cluster of three nodes on an etcd of its own, or on the embedded store.
pub fn builder(system: System, timing: Timing, local: bool) -> ClusterBuilder {
    let builder = Cluster::builder(SCOPE).dynamic(timing.dynamic());
    match system {
        System::Regent if local => builder.dcs(Dcs::Local),
        System::Regent => builder.dcs(Dcs::Etcd3),
        System::Patroni => builder.peers(&[0, 1, 2]),
    }
}

/// The same of Regent on any store.
pub fn on(dcs: Dcs, timing: Timing) -> ClusterBuilder {
    Cluster::builder(SCOPE).dynamic(timing.dynamic()).dcs(dcs)
}

/// Checks that what will be measured is there, before half of it was.
///
/// # Errors
/// When Patroni is missing.
pub fn check(systems: &[System]) -> Result<()> {
    if systems.contains(&System::Patroni) {
        peer::installed().context("Regent alone is measured with --peer no")?;
    }
    Ok(())
}

/// Where results are kept: `bench` in the target folder.
///
/// # Errors
/// When it cannot be made.
pub fn results_folder() -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(WORKSPACE).join("target"), PathBuf::from);
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(fs::canonicalize(folder)?)
}
