//! Where a component works: not in the data directory, but in a folder inside it. Until the work has been looked over the
//! data directory holds nothing that makes it one, and nothing that a component planted is ever followed.

use crate::methods::inspect::{self, Maker, inspect, is_number, move_entries};
use crate::postgres::{PgError, blocking};
use regent_core::model::SandboxSettings;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// The folder's name. A data directory that holds only names with a dot in front counts as empty.
const STAGING: &str = ".regent-restoring";

/// Where the component works, and what its work will be.
#[derive(Clone, Debug)]
pub(super) struct Place {
    data_dir: PathBuf,
    /// The folder that the component takes for the data directory.
    pub(super) staging: PathBuf,
    /// The links of the data directory, and where they lead.
    links: Vec<(String, PathBuf)>,
}

impl Place {
    /// Makes an empty place. An `Err` inside says what is wrong with the configuration.
    pub(super) async fn prepare(data_dir: &Path, settings: &SandboxSettings) -> Result<Result<Place, String>, PgError> {
        let links =
            settings.directories.iter().filter_map(|granted| Some((granted.link.clone()?, granted.path.clone())));
        let place = Place { staging: data_dir.join(STAGING), data_dir: data_dir.to_owned(), links: links.collect() };
        if let Some((odd, _)) = place.links.iter().find(|(name, _)| !is_place(name)) {
            return Ok(Err(format!("`link: {odd}` of the method: only pg_wal and pg_tblspc/OID can be links")));
        }
        let own = place.clone();
        blocking(move || own.make().map(|()| own)).await.map(Ok)
    }

    fn make(&self) -> Result<(), PgError> {
        let private = |path: &Path| match DirBuilder::new().mode(0o700).recursive(true).create(path) {
            Ok(()) => Ok(()),
            Err(error) => Err(PgError::io_at("make", path)(error)),
        };
        private(&self.data_dir)?;
        remove_tree(&self.staging)?;
        private(&self.staging)?;
        self.links.iter().try_for_each(|(_, folder)| empty(folder))
    }

    /// Looks the work over, and makes it the data directory. An `Err` inside says what is wrong with it; then it is gone.
    pub(super) async fn adopt(self) -> Result<Result<(), String>, PgError> {
        blocking(move || {
            let looked_at = std::iter::once(&self.staging).chain(self.links.iter().map(|(_, folder)| folder));
            for folder in looked_at {
                if let Err(wrong) = inspect(folder, Maker::Sandboxed)? {
                    self.remove()?;
                    return Ok(Err(wrong));
                }
            }
            for (name, folder) in &self.links {
                if let Err(wrong) = link(&self.staging, name, folder)? {
                    self.remove()?;
                    return Ok(Err(wrong));
                }
            }
            move_entries(&self.staging, &self.data_dir)?;
            fs::remove_dir(&self.staging).map_err(PgError::io_at("remove", &self.staging))?;
            inspect::sync(&self.data_dir).map(Ok)
        })
        .await
    }

    /// Removes the work.
    pub(super) async fn discard(self) -> Result<(), PgError> {
        blocking(move || self.remove()).await
    }

    fn remove(&self) -> Result<(), PgError> {
        remove_tree(&self.staging)?;
        self.links.iter().try_for_each(|(_, folder)| empty(folder))
    }
}

fn is_place(name: &str) -> bool {
    name == "pg_wal" || name.strip_prefix("pg_tblspc/").is_some_and(is_number)
}

/// Makes the link in the place of the empty folder, or of nothing.
fn link(staging: &Path, name: &str, folder: &Path) -> Result<Result<(), String>, PgError> {
    let path = staging.join(name);
    match fs::remove_dir(&path) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            return Ok(Err(format!("{name} has something in it, and should be a link")));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(PgError::io_at("replace", &path)(error)),
        _ => {}
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new().mode(0o700).recursive(true).create(parent).map_err(PgError::io_at("make", parent))?;
    }
    symlink(folder, &path).map_err(PgError::io_at("link", &path)).map(Ok)
}

/// Removes a folder with all that is in it; links are removed, never followed.
fn remove_tree(folder: &Path) -> Result<(), PgError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            fs::remove_file(folder).map_err(PgError::io_at("remove", folder))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(PgError::io_at("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// Empties a folder that the configuration names; itself it stays: it may be a mount point.
fn empty(folder: &Path) -> Result<(), PgError> {
    for entry in fs::read_dir(folder).map_err(PgError::io_at("read", folder))? {
        let entry = entry.map_err(PgError::io_at("read", folder))?;
        if entry.file_name() == "lost+found" {
            continue;
        }
        remove_tree(&entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use regent_core::model::GrantedDirectory;
    use std::collections::BTreeMap;

    fn settings(links: &[(&str, &Path)]) -> SandboxSettings {
        let granted = |(name, path): &(&str, &Path)| GrantedDirectory {
            path: path.to_path_buf(),
            seen_as: format!("/{name}"),
            writable: true,
            link: Some((*name).to_owned()),
        };
        SandboxSettings {
            component: PathBuf::new(),
            sha256: None,
            directories: links.iter().map(granted).collect(),
            hosts: Vec::new(),
            certificates: None,
            environment: BTreeMap::new(),
            memory_bytes_max: 0,
            timeout: None,
            with_password: false,
        }
    }

    #[tokio::test]
    async fn work_becomes_the_data_directory_with_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (data, wal) = (folder.path().join("data"), folder.path().join("wal"));
        fs::create_dir(&wal).unwrap();
        fs::write(wal.join("stale"), "").unwrap();
        let place = Place::prepare(&data, &settings(&[("pg_wal", &wal)])).await.unwrap().unwrap();
        assert!(!wal.join("stale").exists());
        fs::write(place.staging.join("PG_VERSION"), "15").unwrap();
        fs::create_dir(place.staging.join("pg_wal")).unwrap();
        fs::write(wal.join("1"), "").unwrap();
        place.adopt().await.unwrap().unwrap();
        assert!(data.join("PG_VERSION").exists() && data.join("pg_wal/1").exists());
        assert!(!data.join(STAGING).exists());
        let odd = Place::prepare(&data, &settings(&[("../x", &wal)])).await.unwrap();
        assert!(odd.unwrap_err().contains("../x"));
    }

    #[tokio::test]
    async fn bad_work_is_gone_and_nothing_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (data, precious) = (folder.path().join("data"), folder.path().join("precious"));
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("1"), "").unwrap();
        let place = Place::prepare(&data, &settings(&[])).await.unwrap().unwrap();
        fs::write(place.staging.join("PG_VERSION"), "15").unwrap();
        symlink("../../precious", place.staging.join("pg_wal")).unwrap();
        let refused = place.adopt().await.unwrap().unwrap_err();
        assert!(refused.contains("pg_wal is a link"), "{refused}");
        assert!(precious.join("1").exists());
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }
}
