//! Where the programs under test are, building them first when nobody did.
//!
//! `REGENT_BIN_DIR` names a folder with `regent`, `regentctl` and the plugins: they are used as they
//! are. Otherwise they are built next to the test, once, unless `REGENT_BUILD=0` says not to.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

/// The folder of the workspace.
pub const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The programs of one build.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The daemon.
    pub regent: PathBuf,
    /// The operator's program.
    pub regentctl: PathBuf,
    /// The DCS plugins.
    pub plugins: Vec<PathBuf>,
}

impl Binaries {
    /// Finds the programs, and builds them if need be.
    ///
    /// # Errors
    /// When they cannot be built or are not there.
    pub fn locate() -> Result<Self> {
        if let Some(folder) = env::var_os("REGENT_BIN_DIR") {
            return Self::in_folder(Path::new(&folder));
        }
        let folder = folder_of_this_build()?;
        if env::var("REGENT_BUILD").as_deref() != Ok("0") {
            build(&folder)?;
        }
        Self::in_folder(&folder)
    }

    /// The programs in a folder.
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let program = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { Ok(path) } else { bail!("{} is missing: build it first", path.display()) }
        };
        let mut plugins: Vec<PathBuf> = fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("libregent_dcs_") && name.ends_with(".so")
            })
            .collect();
        plugins.sort();
        Ok(Self { regent: program("regent")?, regentctl: program("regentctl")?, plugins })
    }
}

/// `target/debug` for `target/debug/deps/some_test-0123`.
fn folder_of_this_build() -> Result<PathBuf> {
    let test = env::current_exe().context("this program has no path")?;
    let folder = test.parent().context("a program lies in a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(folder.context("a build has a folder")?.to_owned())
}

/// Builds the programs into the folder. Test processes run side by side: one builds, the others
/// wait, and find nothing left to do.
fn build(folder: &Path) -> Result<()> {
    let lock = File::create(folder.join(".regent-harness.lock"))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "-p", "regent", "-p", "regent-dcs-local", "-p", "regent-dcs-etcd3"])
        .args(["-p", "regent-dcs-consul", "-p", "regent-dcs-zookeeper", "-p", "regent-dcs-exhibitor"])
        .args([
            "-p",
            "regent-dcs-etcd",
            "-p",
            "regent-dcs-kubernetes",
            "-p",
            "regent-dcs-mutants",
            "-p",
            "regent-dcs-conformance",
        ])
        .current_dir(WORKSPACE);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    if folder.ends_with("release") {
        command.arg("--release");
    }
    // What Cargo tells the test about itself would make build scripts run again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "NEXTEST"].iter().any(|own| text.starts_with(own)) {
            command.env_remove(&name);
        }
    }
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// The folder of PostgreSQL's programs. `tests/setup.sh` knows where they may be; `REGENT_PG_BIN`
/// overrides it.
///
/// # Errors
/// When there is no complete set of them.
pub fn postgresql() -> Result<PathBuf> {
    let output = Command::new("bash")
        .args(["tests/setup.sh", "--print-bin"])
        .current_dir(WORKSPACE)
        .output()
        .context("cannot run tests/setup.sh")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.trim().is_empty() {
        bail!("PostgreSQL's programs were not found: run tests/setup.sh, it says what is missing");
    }
    Ok(PathBuf::from(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresql_is_found() {
        let folder = postgresql().expect("tests/setup.sh found it before");
        assert!(folder.join("initdb").is_file());
    }

    #[test]
    fn a_folder_without_programs_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = Binaries::in_folder(folder.path()).expect_err("it is empty");
        assert!(error.to_string().contains("regent is missing"), "{error}");
        for name in ["regent", "regentctl", "libregent_dcs_local.so", "libother.so"] {
            fs::write(folder.path().join(name), "").expect("a file can be written");
        }
        let found = Binaries::in_folder(folder.path()).expect("all are there");
        assert_eq!(found.plugins, [folder.path().join("libregent_dcs_local.so")]);
    }
}
