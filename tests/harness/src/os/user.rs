//! Who PostgreSQL and Regent run as: never root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::{User, geteuid};

/// The account that the processes of a cluster run under.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account's name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Whether this process must change to it first.
    changes: bool,
}

impl Account {
    /// Ourselves, or an unprivileged account when we are root: `postgres`, else `nobody`.
    ///
    /// # Errors
    /// When we are root and neither account exists.
    pub fn unprivileged() -> Result<Self> {
        let changes = geteuid().is_root();
        let user = if changes {
            let found = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok()?);
            found.context("started as root, and there is neither a user postgres nor a user nobody")?
        } else {
            User::from_uid(geteuid())?.context("the current user has no entry in the user database")?
        };
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), changes })
    }

    /// Lets a command run under this account.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if self.changes {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file or folder to this account.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn own(&self, path: &Path) -> Result<()> {
        if self.changes {
            chown(path, Some(self.uid), Some(self.gid))
                .with_context(|| format!("cannot give {} to {}", path.display(), self.name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_never_run_as_root() {
        let account = Account::unprivileged().expect("an unprivileged account exists");
        let mut command = Command::new("id");
        let output = account.apply(command.arg("-u")).output().expect("id runs");
        let uid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert_eq!(uid, account.uid.to_string());
        assert_ne!(uid, "0");
    }
}
