//! The one temporary folder of a cluster, and everything that must be gone when it goes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::os::memory::Segments;
use crate::os::process;
use crate::os::sentinel::Sentinel;
use crate::os::user::Account;

/// A socket's path must fit 107 bytes; below the folder we need up to 30 of them.
const BASE_LENGTH_MAX: usize = 60;

/// The folder. Dropping it kills every process that belongs to it and removes it.
pub struct Folder {
    root: Option<TempDir>,
    account: Account,
    sentinel: Sentinel,
    segments: Segments,
    keep: bool,
}

impl Folder {
    /// Makes a folder for the account, below `REGENT_TEST_DIR` or the system's temporary folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(account: Account) -> Result<Self> {
        let chosen = std::env::var_os("REGENT_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let base = if chosen.as_os_str().len() > BASE_LENGTH_MAX { PathBuf::from("/tmp") } else { chosen };
        let root = tempfile::Builder::new()
            .prefix("regent-")
            .tempdir_in(&base)
            .with_context(|| format!("cannot make a folder in {}", base.display()))?;
        account.own(root.path())?;
        let sentinel = Sentinel::post(root.path()).context("cannot start a shell")?;
        let segments = Segments::snapshot(account.uid);
        Ok(Self { root: Some(root), account, sentinel, segments, keep: false })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.root.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// The account that owns it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Makes a folder in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        self.account.own(path)
    }

    /// Writes a file that only the account may read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, text: &str) -> Result<()> {
        write_private(&self.account, path, text)
    }

    /// Puts a program or library where the account can reach it: a link if possible, else a copy.
    ///
    /// # Errors
    /// When the original cannot be read.
    pub fn place(&self, original: &Path, target: &Path) -> Result<()> {
        let mode =
            fs::metadata(original).with_context(|| format!("{} is missing", original.display()))?.permissions().mode();
        // A link shares its permissions with the original, which is not ours to change.
        if mode & 0o005 == 0o005 && fs::hard_link(original, target).is_ok() {
            return Ok(());
        }
        fs::copy(original, target)
            .with_context(|| format!("cannot copy {} to {}", original.display(), target.display()))?;
        fs::set_permissions(target, Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Leaves the folder (not the processes) in place when it is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Kills every process that belongs to it.
    ///
    /// # Errors
    /// When one of them does not go.
    pub fn kill_all(&self) -> Result<()> {
        process::kill_folder(self.root(), Some(self.sentinel.pid()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.kill_all() {
            eprintln!("harness: {error:#}");
        }
        self.segments.remove_new();
        let Some(root) = self.root.take() else { return };
        if self.keep {
            eprintln!("harness: kept {}", root.keep().display());
        } else if let Err(error) = root.close() {
            eprintln!("harness: {error}");
        }
    }
}

/// Writes a file with mode 0600 for the account, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(account: &Account, path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_extension("new");
    let context = || format!("cannot write {}", path.display());
    fs::write(&fresh, text).with_context(context)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600)).with_context(context)?;
    account.own(&fresh)?;
    fs::rename(&fresh, path).with_context(context)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::os::reaper;

    #[test]
    fn nothing_is_left() {
        let account = Account::unprivileged().expect("an unprivileged account exists");
        let folder = Folder::create(account).expect("a folder can be made");
        let root = folder.root().to_owned();
        let inside = root.join("inside");
        folder.make(&inside).expect("a folder can be made");
        folder.write(&inside.join("secret"), "x").expect("a file can be written");
        let mode = fs::metadata(inside.join("secret")).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut command = Command::new("sleep");
        let command = folder.account().apply(command.arg("600").current_dir(&inside));
        let pid = reaper::spawn(command).expect("sleep starts");
        drop(folder);
        assert!(!root.exists());
        assert!(!process::is_alive(pid));
    }

    #[test]
    fn a_placed_program_can_be_run_by_the_account() {
        let account = Account::unprivileged().expect("an unprivileged account exists");
        let folder = Folder::create(account).expect("a folder can be made");
        let original = folder.root().join("original");
        fs::write(&original, "#!/bin/sh\nexit 0\n").expect("a file can be written");
        fs::set_permissions(&original, Permissions::from_mode(0o700)).expect("it is ours");
        let target = folder.root().join("target");
        folder.place(&original, &target).expect("it can be copied");
        let mut command = Command::new(&target);
        assert!(folder.account().apply(&mut command).status().expect("it starts").success());
    }
}
