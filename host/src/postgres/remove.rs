//! Removing a data directory, or putting it aside, with everything of it that lies elsewhere. Whether that may be done
//! is not decided here.

use super::Server;
use super::error::{PgError, blocking};
use super::orphans::end_strays;
use super::process;
use super::run;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

impl Server {
    /// Empties the data directory and the folders that its links for the log and for tablespaces lead to. The folders
    /// themselves stay, with their owners and modes: they may be mount points. Refuses while a server runs on it.
    pub async fn remove_data_directory(&self) -> Result<(), PgError> {
        self.refuse_while_running().await?;
        let data_dir = self.settings.data_dir.clone();
        tracing::info!("removing the data directory {}", data_dir.display());
        blocking(move || wipe(&data_dir)).await
    }

    /// Empties the data directory as soon as the cancelled program that was filling it has ended.
    pub(crate) fn remove_when_ended(&self) {
        let data_dir = self.settings.data_dir.clone();
        run::once_ended(async move {
            if process::find_running(&data_dir).is_some() {
                return;
            }
            tracing::info!("removing what was begun in {}", data_dir.display());
            if let Err(error) = blocking(move || wipe(&data_dir)).await {
                tracing::warn!("what was begun stays: {error}");
            }
        });
    }

    /// Puts the data directory aside as `NAME.failed`, with its log and tablespaces, for somebody to look at; what was
    /// put aside before is removed.
    pub async fn rename_failed_data_directory(&self) -> Result<(), PgError> {
        self.refuse_while_running().await?;
        let data_dir = self.settings.data_dir.clone();
        tracing::info!("renaming the data directory {} to *.failed", data_dir.display());
        blocking(move || {
            for (link, target) in outside(&data_dir) {
                let aside = put_aside(&target)?;
                fs::remove_file(&link).map_err(PgError::io_at("replace", &link))?;
                std::os::unix::fs::symlink(&aside, &link).map_err(PgError::io_at("replace", &link))?;
            }
            if data_dir.exists() { put_aside(&data_dir).map(|_| ()) } else { Ok(()) }
        })
        .await
    }

    async fn refuse_while_running(&self) -> Result<(), PgError> {
        run::settled().await;
        match process::find_running(&self.settings.data_dir) {
            Some(running) => Err(PgError::Running(running.pid)),
            None => end_strays(&self.settings.data_dir).await.map(drop),
        }
    }
}

/// The links that lead out of a data directory, and where to: the log and the tablespaces (BOOT-13).
fn outside(data_dir: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut links = vec![data_dir.join("pg_wal"), data_dir.join("pg_xlog")];
    if let Ok(entries) = fs::read_dir(data_dir.join("pg_tblspc")) {
        links.extend(entries.flatten().map(|entry| entry.path()));
    }
    links
        .into_iter()
        .filter(|link| link.is_symlink())
        .filter_map(|link| fs::canonicalize(&link).ok().map(|target| (link, target)))
        .filter(|(_, target)| target.is_dir())
        .collect()
}

/// Begins with the control file: without it, what an interruption leaves is no data directory that a server could be
/// started on, with holes in its data.
fn wipe(data_dir: &Path) -> Result<(), PgError> {
    let control = data_dir.join("global/pg_control");
    match fs::remove_file(&control) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(PgError::io_at("remove", &control)(error));
        }
        _ => {}
    }
    for (_, target) in outside(data_dir) {
        empty(&target)?;
    }
    empty(data_dir)
}

fn empty(folder: &Path) -> Result<(), PgError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PgError::io_at("read", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(PgError::io_at("read", folder))?;
        // The entry's own kind: a link is removed, never what it leads to.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if entry.file_name() == "lost+found" {
            continue;
        }
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(PgError::io_at("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn put_aside(folder: &Path) -> Result<PathBuf, PgError> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".failed");
    let aside = folder.with_file_name(name);
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(PgError::io_at("remove", &aside)(error));
        }
        _ => {}
    }
    fs::rename(folder, &aside).map_err(PgError::io_at("rename", folder))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data directory whose log and one tablespace lie elsewhere, and a link that leads where nothing may be touched.
    fn directory(root: &Path) -> PathBuf {
        let data = root.join("data");
        for folder in ["data/pg_tblspc", "data/base", "wal", "space", "precious"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["wal/1", "space/2", "precious/3", "data/base/4", "data/PG_VERSION"] {
            fs::write(root.join(file), "").unwrap();
        }
        for (from, to) in [("wal", "data/pg_wal"), ("space", "data/pg_tblspc/16384"), ("precious", "data/base/link")] {
            std::os::unix::fs::symlink(root.join(from), root.join(to)).unwrap();
        }
        data
    }

    #[test]
    fn emptying_reaches_the_log_and_tablespaces_and_nothing_else() {
        // BOOT-13
        let root = tempfile::tempdir().unwrap();
        let data = directory(root.path());
        wipe(&data).unwrap();
        let left = |folder: &str| fs::read_dir(root.path().join(folder)).unwrap().count();
        assert_eq!((left("data"), left("wal"), left("space"), left("precious")), (0, 0, 0, 1));
        empty(&root.path().join("missing")).unwrap();
    }

    #[test]
    fn putting_aside_replaces_what_was_put_aside_before() {
        let root = tempfile::tempdir().unwrap();
        let data = directory(root.path());
        fs::create_dir(root.path().join("data.failed")).unwrap();
        fs::write(root.path().join("data.failed/old"), "").unwrap();
        let aside = put_aside(&data).unwrap();
        assert!(aside.join("PG_VERSION").exists() && !aside.join("old").exists() && !data.exists());
    }
}
