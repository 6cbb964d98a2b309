//! Password files for child programs.

use super::Server;
use super::conninfo::password_file;
use super::error::{PgError, blocking};
use regent_core::model::Source;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

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
