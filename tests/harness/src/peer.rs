//! The peer's own programs, Patroni and patronictl, so that its nodes can share a cluster with ours.
//!
//! `tests/setup.sh` puts them into `.cache` of the checkout. The account that runs the nodes may not be let in there;
//! then they are copied to where it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::binaries::{Binaries, WORKSPACE};
use crate::folder::Folder;

/// The version that we share clusters with.
pub const PEER_VERSION: &str = "4.1.5";

/// Where the programs are, or why there are none: what a test says that is skipped for it.
///
/// # Errors
/// When they were not installed.
pub fn installed() -> Result<PathBuf> {
    let default = || Path::new(WORKSPACE).join(format!(".cache/patroni-{PEER_VERSION}"));
    let place = std::env::var_os("REGENT_PATRONI").map_or_else(default, PathBuf::from);
    if !place.join("complete").is_file() {
        bail!("Patroni {PEER_VERSION} is not in {}: tests/setup.sh --peers installs it", place.display());
    }
    Ok(fs::canonicalize(place)?)
}

/// Scripts that run the programs as this folder's account, under the names by which the harness starts a node's.
pub(crate) fn programs(folder: &Folder) -> Result<Binaries> {
    let place = reachable(folder, installed()?)?;
    let scripts = folder.root().join("peer-bin");
    folder.make(&scripts)?;
    let packages = site_packages(&place)?;
    let python = fs::canonicalize(place.join("bin/python"))?;
    let script = |name: &str, entry: &str| -> Result<PathBuf> {
        let path = scripts.join(name);
        let text = format!(
            "#!/bin/sh\nPYTHONPATH='{}' exec '{}' -P -c 'from {entry} as main; main()' \"$@\"\n",
            packages.display(),
            python.display()
        );
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let regent = script("patroni", "patroni.__main__ import main")?;
    let regentctl = script("patronictl", "patroni.ctl import ctl")?;
    let mut check = Command::new(&regent);
    let output = folder.account().apply(check.arg("--version").current_dir(folder.root())).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains(PEER_VERSION), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(Binaries { regent, regentctl, plugins: Vec::new() })
}

/// The installation itself, or a copy where the account may read.
fn reachable(folder: &Folder, place: PathBuf) -> Result<PathBuf> {
    let mut look = Command::new("test");
    let look = folder.account().apply(look.arg("-r").arg(place.join("bin/patroni")).current_dir("/"));
    if look.status().is_ok_and(|status| status.success()) {
        return Ok(place);
    }
    let copy = folder.root().join("peer");
    let copied = Command::new("cp").arg("-a").arg(&place).arg(&copy).status().context("cannot run cp")?;
    ensure!(copied.success(), "cannot copy {}", place.display());
    Ok(copy)
}

fn site_packages(place: &Path) -> Result<PathBuf> {
    let versions = fs::read_dir(place.join("lib"))?.flatten().map(|entry| entry.path().join("site-packages"));
    versions.into_iter().find(|path| path.join("patroni").is_dir()).context("there are no packages in the installation")
}
