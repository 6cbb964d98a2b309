//! The systems under test: how a cluster of either is made. What is measured knows only the cluster.

use crate::store::Store;
use anyhow::{Context, Result, ensure};
use regent_harness::os::user::Account;
use regent_harness::{Binaries, Cluster, ClusterBuilder};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The version that Regent is measured against.
const PEER_VERSION: &str = "4.1.5";

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

/// Describes a cluster of three nodes on that store.
///
/// # Errors
/// When Patroni is not there.
pub fn builder(system: System, timing: Timing, store: &Store) -> Result<ClusterBuilder> {
    let port = store.port();
    let builder = Cluster::builder("bench").dynamic(timing.dynamic()).local_yaml(move |_, config| {
        let Some(port) = port else { return };
        let Some(root) = config.as_object_mut() else { return };
        root.shift_remove("local");
        if system == System::Patroni {
            root.shift_remove("plugins");
        }
        root.insert("etcd3".to_owned(), json!({ "host": format!("127.0.0.1:{port}") }));
    });
    match system {
        System::Regent => Ok(builder),
        System::Patroni => Ok(builder.binaries(peer()?)),
    }
}

/// Patroni's programs under the names by which the harness starts a node.
fn peer() -> Result<Binaries> {
    let programs = std::env::var_os("REGENT_PATRONI_BIN")
        .map_or_else(|| Path::new(WORKSPACE).join(format!(".cache/patroni-{PEER_VERSION}/bin")), PathBuf::from);
    ensure!(
        programs.join("patroni").is_file(),
        "Patroni {PEER_VERSION} is not in {}: make a venv there with patroni[etcd3,psycopg3]=={PEER_VERSION}, \
         or measure Regent alone with --peer no",
        programs.display()
    );
    let programs = fs::canonicalize(programs)?;
    check_peer(&programs.join("patroni"))?;
    let script = |name: &str| -> Result<PathBuf> {
        let path = results_folder()?.join(format!("run-{name}"));
        fs::write(&path, format!("#!/bin/sh\nexec '{}/{name}' \"$@\"\n", programs.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    };
    Ok(Binaries { regent: script("patroni")?, regentctl: script("patronictl")?, plugins: Vec::new() })
}

/// Whether the clusters' account can run it: the way to it may be barred, or its Python be in somebody's home.
fn check_peer(patroni: &Path) -> Result<()> {
    let account = Account::unprivileged()?;
    let output = account.apply(Command::new(patroni).arg("--version").current_dir("/")).output();
    let output = output.with_context(|| format!("{} cannot be run by {}", patroni.display(), account.name))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains(PEER_VERSION), "{} is not Patroni {PEER_VERSION}: {said}", patroni.display());
    Ok(())
}

/// Checks that what will be measured is there, before half of it was.
///
/// # Errors
/// When Patroni is missing.
pub fn check(systems: &[System]) -> Result<()> {
    if systems.contains(&System::Patroni) { peer().map(drop) } else { Ok(()) }
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
