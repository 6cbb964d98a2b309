//! A base backup in tar form: which archives there are, and where what is in them belongs. Tells nobody how far it is; it
//! is told whom to tell.

use crate::archive::{Archive, Kind};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Large enough that reading and writing cost little; larger buys nothing.
const BUFFER_BYTES: usize = 256 * 1024;

/// What has been restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why it was not.
#[derive(Debug)]
pub enum Error {
    /// A file or folder fails.
    Io(PathBuf, io::Error),
    /// Something is missing.
    Missing(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Error::Missing(what) => f.write_str(what),
        }
    }
}

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
            let stem = [".tar", ".tar.gz", ".tar.zst"].iter().find_map(|end| file_name.strip_suffix(end));
            if let Some(name) = stem {
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

    /// Unpacks every archive into its place; `places` are the folders of the parts that lie elsewhere.
    ///
    /// # Errors
    /// When an archive cannot be read or a file not written, and when a part has no place.
    pub fn restore(
        &self,
        data_directory: &Path,
        places: &BTreeMap<String, String>,
        report: &mut dyn FnMut(&Done, &str),
    ) -> Result<Done, Error> {
        let mut done = Done::default();
        let mut folders = Folders { places, made: Default::default() };
        for (name, path) in &self.archives {
            let target = match name.as_str() {
                "base" => (data_directory.to_owned(), None),
                "pg_wal" => (data_directory.join("pg_wal"), Some("pg_wal".to_owned())),
                oid if oid.bytes().all(|byte| byte.is_ascii_digit()) => {
                    let place = format!("pg_tblspc/{oid}");
                    if !places.contains_key(&place) {
                        return Err(Error::Missing(format!(
                            "the tablespace {oid} has no place: grant a directory with `link: {place}`"
                        )));
                    }
                    (data_directory.join(&place), Some(place))
                }
                _ => continue,
            };
            folders.unpack(path, &target.0, target.1.as_deref(), &mut done, report)?;
        }
        if !data_directory.join("PG_VERSION").exists() {
            return Err(Error::Missing("the backup has no PG_VERSION: it is not one of a data directory".into()));
        }
        Ok(done)
    }
}

struct Folders<'a> {
    places: &'a BTreeMap<String, String>,
    made: std::collections::BTreeSet<PathBuf>,
}

impl Folders<'_> {
    fn unpack(
        &mut self,
        path: &Path,
        target: &Path,
        part: Option<&str>,
        done: &mut Done,
        report: &mut dyn FnMut(&Done, &str),
    ) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = |error| Error::Io(path.to_owned(), error);
        let mut archive = Archive::new(open(path).map_err(failed)?);
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Some(entry) = archive.next_entry().map_err(failed)? {
            let place = self.place(target, part, &entry.path);
            match entry.kind {
                Kind::Folder => self.make(&place)?,
                // A tablespace's link: the host makes it.
                Kind::Link => {}
                Kind::File(_) => {
                    if let Some(parent) = place.parent() {
                        self.make(parent)?;
                    }
                    let not_written = |error| Error::Io(place.clone(), error);
                    let mut file = File::create(&place).map_err(not_written)?;
                    loop {
                        let count = archive.read(&mut buffer).map_err(failed)?;
                        if count == 0 {
                            break;
                        }
                        file.write_all(&buffer[..count]).map_err(not_written)?;
                        done.bytes += count as u64;
                    }
                    done.files += 1;
                    report(done, &name);
                }
            }
        }
        Ok(())
    }

    /// Where a path of an archive belongs: in the folder of the part that it is in, where that lies elsewhere.
    fn place(&self, target: &Path, part: Option<&str>, path: &str) -> PathBuf {
        let whole = part.map_or_else(|| path.to_owned(), |part| format!("{part}/{path}"));
        for (name, folder) in self.places {
            if let Some(rest) = whole.strip_prefix(name.as_str()) {
                if rest.is_empty() {
                    return PathBuf::from(folder);
                }
                if let Some(rest) = rest.strip_prefix('/') {
                    return Path::new(folder).join(rest);
                }
            }
        }
        if path.is_empty() { target.to_owned() } else { target.join(path) }
    }

    fn make(&mut self, folder: &Path) -> Result<(), Error> {
        if self.made.insert(folder.to_owned()) {
            fs::create_dir_all(folder).map_err(|error| Error::Io(folder.to_owned(), error))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = io::BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    Ok(match path.extension().and_then(|end| end.to_str()) {
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Some("zst") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file).map_err(io::Error::other)?;
            Box::new(decoder)
        }
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::entry;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tar-restore-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("backup")).unwrap();
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::create_dir_all(folder.join("space")).unwrap();
        folder
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
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
        let error = backup.restore(&data, &BTreeMap::new(), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("link: pg_tblspc/7"), "{error}");
        let places = [("pg_tblspc/7".to_owned(), root.join("space").display().to_string())].into();
        let done = backup.restore(&data, &places, &mut |_, _| {}).unwrap();
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
        let error = backup.restore(&root.join("data"), &BTreeMap::new(), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("PG_VERSION"), "{error}");
        fs::write(root.join("backup/base.tar.gz"), "not gzip").unwrap();
        assert!(backup.restore(&root.join("data"), &BTreeMap::new(), &mut |_, _| {}).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
