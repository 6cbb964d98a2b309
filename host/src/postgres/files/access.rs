//! pg_hba.conf where the configuration does not own it: what initdb or a restore made of it, and what is added to that.

use super::store::{self, Access};
use crate::postgres::Server;
use crate::postgres::error::{PgError, blocking};
use std::io::ErrorKind;
use std::path::PathBuf;

impl Server {
    /// Appends lines to pg_hba.conf where the configuration does not own it (`bootstrap.pg_hba`).
    pub async fn append_access(&self, lines: &[String]) -> Result<(), PgError> {
        if lines.is_empty() || self.owns_access() {
            return Ok(());
        }
        let (settings, lines) = (self.settings.clone(), lines.join("\n"));
        blocking(move || {
            let file = settings.data_dir.join("pg_hba.conf");
            let present = std::fs::read_to_string(&file).map_err(PgError::io_at("read", &file))?;
            store::write_file(&settings.data_dir, &file, &format!("{present}\n{lines}\n"), Access::Server).map(|_| ())
        })
        .await
    }

    /// The text of pg_hba.conf, for [`Server::put_access_back`]; `None` where the configuration owns it, or there is none.
    pub async fn access_to_keep(&self) -> Result<Option<String>, PgError> {
        if self.owns_access() {
            return Ok(None);
        }
        let places = [store::hba_file(&self.settings), self.settings.data_dir.join("pg_hba.conf")];
        blocking(move || places.iter().find_map(|place| read(place).transpose()).transpose()).await
    }

    /// Writes the text of pg_hba.conf as it was before a bootstrap let nobody in but us.
    pub async fn put_access_back(&self, text: String) -> Result<(), PgError> {
        let settings = self.settings.clone();
        blocking(move || {
            store::write_file(&settings.data_dir, &store::hba_file(&settings), &text, Access::Server).map(|_| ())
        })
        .await
    }

    fn owns_access(&self) -> bool {
        self.settings.pg_hba.is_some() || self.custom_file("hba_file").is_some()
    }
}

fn read(file: &PathBuf) -> Result<Option<String>, PgError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PgError::io_at("read", file)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn what_a_restore_brought_comes_back_with_what_is_added() {
        // BOOT-06
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        fs::write(data.join("pg_hba.conf"), "local all all peer\n").unwrap();
        let server = Server::for_tests(|settings| {
            (settings.data_dir, settings.config_dir) = (data.clone(), data.join("etc"));
            settings.pg_hba = None;
        });
        server.append_access(&["host all all samenet md5".into()]).await.unwrap();
        let kept = server.access_to_keep().await.unwrap().unwrap();
        assert_eq!(kept, "local all all peer\n\nhost all all samenet md5\n");
        fs::create_dir(data.join("etc")).unwrap();
        fs::write(data.join("etc/pg_hba.conf"), "only us").unwrap();
        server.put_access_back(kept.clone()).await.unwrap();
        assert_eq!(fs::read_to_string(data.join("etc/pg_hba.conf")).unwrap(), kept);
        let configured = Server::for_tests(|settings| {
            settings.data_dir = data.clone();
            settings.pg_hba = Some(vec!["local all all trust".into()]);
        });
        configured.append_access(&["x".into()]).await.unwrap();
        assert_eq!(configured.access_to_keep().await.unwrap(), None);
    }
}
