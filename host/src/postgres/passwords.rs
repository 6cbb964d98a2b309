//! Password files for child programs.

use super::Server;
use super::conninfo::password_file;
use super::error::{PgError, blocking};
use regent_core::model::{ServerSettings, Source};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Sees that the password file can be written: nothing but a file is in its place, and its folder is ours to write in.
/// With Kerberos there may be no password at all, so the folder is not asked for (CFG-36).
///
/// # Errors
/// When it can not.
pub fn check_password_file(settings: &ServerSettings) -> Result<(), PgError> {
    let path = &settings.pgpass;
    if path.exists() && !path.is_file() {
        return Err(PgError::NotAllowed(format!("postgresql.pgpass: {} is not a file", path.display())));
    }
    if settings.krbsrvname.is_some() {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(PgError::io_at("create", folder))?;
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
        .map_err(|errno| PgError::io_at("write to", folder)(errno.into()))
}

impl Server {
    /// Writes the password file that walreceivers and clones use for `source`; its path, where there is a password.
    pub(crate) async fn prepare_source_password(&self, source: &Source) -> Result<Option<PathBuf>, PgError> {
        let text = password_file(&self.settings.accounts.replication, &source.host, &source.port);
        self.prepare(self.settings.pgpass.clone(), text).await
    }

    /// Writes a password file for the superuser at the local server; its path, where there is a password.
    pub(crate) async fn prepare_local_password(&self, host: &str, port: u16) -> Result<Option<PathBuf>, PgError> {
        let hosts = if host == "localhost" { host.to_owned() } else { format!("{host},localhost") };
        let text = password_file(&self.settings.accounts.superuser, &hosts, &port.to_string());
        self.prepare(self.settings.pgpass.clone(), text).await
    }

    async fn prepare(&self, path: PathBuf, text: Option<String>) -> Result<Option<PathBuf>, PgError> {
        if text.is_none() {
            return Ok(None);
        }
        self.write_password_file(path.clone(), text).await?;
        Ok(Some(path))
    }

    /// Shuts everybody out of a data directory that somebody else made: the server refuses to start in an open one.
    pub(crate) async fn close_data_directory(&self) -> Result<(), PgError> {
        let data_dir = self.settings.data_dir.clone();
        blocking(move || {
            let failed = || PgError::io_at("set the mode of", &data_dir);
            let mode = std::fs::metadata(&data_dir).map_err(failed())?.permissions().mode() & 0o7777;
            if matches!(mode, 0o700 | 0o750) {
                return Ok(());
            }
            std::fs::set_permissions(&data_dir, std::fs::Permissions::from_mode(0o700)).map_err(failed())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_password_file_is_looked_at() {
        // CFG-36
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, kerberos: bool, expected: &str| {
            let mut settings = crate::postgres::testing::settings();
            settings.pgpass = folder.path().join(name);
            settings.krbsrvname = kerberos.then(|| "postgres".to_owned());
            let found = check_password_file(&settings).map_err(|error| error.to_string());
            match expected {
                "" => assert_eq!(found, Ok(()), "{name}"),
                _ => assert!(found.as_ref().is_err_and(|error| error.contains(expected)), "{name}: {found:?}"),
            }
        };
        check("pgpass", false, "");
        check("made/on/the/way/pgpass", false, "");
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        check("folder", false, "is not a file");
        std::fs::write(folder.path().join("file"), "").unwrap();
        check("file", false, "");
        check("file/pgpass", false, "file");
        check("file/pgpass", true, "");
    }
}
