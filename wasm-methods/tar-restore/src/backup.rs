//! A base backup in a folder: which archives there are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use unpack::{BUFFER_BYTES, Done, Error, Unpacker, archive_name, decompressed};

/// A backup: the archives by their names without endings (`base`, `pg_wal`, `16384`).
#[derive(Debug)]
pub struct Backup {
    archives: BTreeMap<String, PathBuf>,
}

impl Backup {
    /// The backup in a folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(folder: &Path) -> Result<Backup, Error> {
        let failed = |error| Error::Io(folder.to_owned(), error);
        let mut archives = BTreeMap::new();
        for file in fs::read_dir(folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(name) = archive_name(&file_name) {
                archives.insert(name.to_owned(), path);
            }
        }
        if !archives.contains_key("base") {
            return Err(Error::Missing(format!(
                "there is no base.tar, base.tar.gz or base.tar.zst in {}",
                folder.display()
            )));
        }
        Ok(Backup { archives })
    }

    /// Unpacks every archive.
    ///
    /// # Errors
    /// When an archive cannot be read or a file not written, and when a part has no place.
    pub fn restore(&self, mut unpacker: Unpacker<'_>) -> Result<Done, Error> {
        for (name, path) in &self.archives {
            let failed = |error| Error::Io(path.clone(), error);
            let file_name = path.file_name().unwrap_or_default().to_string_lossy();
            let file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(failed)?);
            let input = decompressed(&file_name, file).map_err(failed)?;
            unpacker.archive(name, &file_name, input)?;
        }
        unpacker.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unpack::testing::{entry, gz};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tar-restore-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("backup")).unwrap();
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::create_dir_all(folder.join("space")).unwrap();
        folder
    }

    #[test]
    fn every_part_goes_to_its_place() {
        let root = folder("parts");
        let end = vec![0; 1024];
        let base = [
            entry("PG_VERSION", b'0', b"15"),
            entry("pg_tblspc/7", b'2', b""),
            entry("pg_wal", b'5', b""),
            end.clone(),
        ]
        .concat();
        fs::write(root.join("backup/base.tar.gz"), gz(&base)).unwrap();
        fs::write(root.join("backup/pg_wal.tar"), [entry("0001", b'0', b"wal"), end.clone()].concat()).unwrap();
        fs::write(root.join("backup/7.tar"), [entry("PG_15/1", b'0', b"space"), end].concat()).unwrap();
        fs::write(root.join("backup/backup_manifest"), "{}").unwrap();
        let backup = Backup::find(&root.join("backup")).unwrap();
        let data = root.join("data");
        let error = backup.restore(Unpacker::new(&data, BTreeMap::new(), |_, _| {})).unwrap_err();
        assert!(error.to_string().contains("link: pg_tblspc/7"), "{error}");
        let places = [("pg_tblspc/7".to_owned(), root.join("space").display().to_string())].into();
        let done = backup.restore(Unpacker::new(&data, places, |_, _| {})).unwrap();
        assert_eq!(done, Done { files: 3, bytes: 10 });
        assert_eq!(fs::read_to_string(data.join("pg_wal/0001")).unwrap(), "wal");
        assert_eq!(fs::read_to_string(root.join("space/PG_15/1")).unwrap(), "space");
        assert!(data.join("PG_VERSION").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_no_backup_is_said() {
        let root = folder("none");
        assert!(Backup::find(&root.join("backup")).unwrap_err().to_string().contains("no base.tar"));
        fs::write(root.join("backup/base.tar.gz"), gz(&[0; 1024])).unwrap();
        let backup = Backup::find(&root.join("backup")).unwrap();
        let error = backup.restore(Unpacker::new(&root.join("data"), BTreeMap::new(), |_, _| {})).unwrap_err();
        assert!(error.to_string().contains("PG_VERSION"), "{error}");
        fs::write(root.join("backup/base.tar.gz"), "not gzip").unwrap();
        assert!(backup.restore(Unpacker::new(&root.join("data"), BTreeMap::new(), |_, _| {})).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
