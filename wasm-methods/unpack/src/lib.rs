//! Base backups in tar form: an archive for the data directory (`base`), one for the log (`pg_wal`) and one for each
//! tablespace (its OID), plain, `.gz` or `.zst`. Knows where what is in them belongs, and not where they come from.

mod archive;
mod output;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use archive::{Archive, Kind};
use output::Folders;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

/// Large enough that reading and writing cost little; larger buys nothing.
pub const BUFFER_BYTES: usize = 256 * 1024;

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

/// The archive that a file is: its name without ending, `base`, `pg_wal` or an OID.
pub fn archive_name(file: &str) -> Option<&str> {
    let name = [".tar", ".tar.gz", ".tar.zst"].iter().find_map(|end| file.strip_suffix(end))?;
    let known = name == "base" || name == "pg_wal" || is_number(name);
    known.then_some(name)
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the file of this name holds, decompressed.
///
/// # Errors
/// When it is not what its name says.
pub fn decompressed<'a>(file: &str, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match Path::new(file).extension().and_then(|end| end.to_str()) {
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Some("zst") => Box::new(ruzstd::decoding::StreamingDecoder::new(input).map_err(io::Error::other)?),
        _ => Box::new(input),
    })
}

/// Puts archives into a data directory.
pub struct Unpacker<'a> {
    data_directory: PathBuf,
    places: BTreeMap<String, String>,
    made: BTreeSet<PathBuf>,
    folders: Folders,
    done: Done,
    report: Box<dyn FnMut(&Done, &str) + 'a>,
}

impl<'a> Unpacker<'a> {
    /// Into this folder; `places` are the folders of the parts that lie elsewhere.
    pub fn new(
        data_directory: &Path,
        places: BTreeMap<String, String>,
        report: impl FnMut(&Done, &str) + 'a,
    ) -> Unpacker<'a> {
        let (made, done) = Default::default();
        Unpacker {
            data_directory: data_directory.to_owned(),
            places,
            made,
            folders: Folders::new(),
            done,
            report: Box::new(report),
        }
    }

    /// Unpacks the archive of this name from the file `file`.
    ///
    /// # Errors
    /// When it cannot be read, a file not be written, or a tablespace has no place.
    pub fn archive(&mut self, name: &str, file: &str, input: impl Read) -> Result<(), Error> {
        let part = match name {
            "base" => None,
            "pg_wal" => Some("pg_wal".to_owned()),
            oid => {
                let place = format!("pg_tblspc/{oid}");
                if !self.places.contains_key(&place) {
                    return Err(Error::Missing(format!(
                        "the tablespace {oid} has no place: grant a directory with `link: {place}`"
                    )));
                }
                Some(place)
            }
        };
        let failed = |error| Error::Io(file.into(), error);
        let mut archive = Archive::new(input);
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Some(entry) = archive.next_entry().map_err(failed)? {
            let place = self.place(part.as_deref(), &entry.path);
            match entry.kind {
                Kind::Folder => self.make(&place)?,
                // A tablespace's link: the host makes it.
                Kind::Link => {}
                Kind::File(_) => {
                    if let Some(parent) = place.parent() {
                        self.make(parent)?;
                    }
                    let not_written = |error| Error::Io(place.clone(), error);
                    let mut out = self.folders.create(&place).map_err(not_written)?;
                    while let count @ 1.. = archive.read(&mut buffer).map_err(failed)? {
                        out.write_all(&buffer[..count]).map_err(not_written)?;
                        self.done.bytes += count as u64;
                    }
                    self.done.files += 1;
                    (self.report)(&self.done, file);
                }
            }
        }
        Ok(())
    }

    /// All archives are unpacked.
    ///
    /// # Errors
    /// When they made no data directory.
    pub fn finish(self) -> Result<Done, Error> {
        if !self.data_directory.join("PG_VERSION").exists() {
            return Err(Error::Missing("the backup has no PG_VERSION: it is not one of a data directory".into()));
        }
        Ok(self.done)
    }

    /// Where a path of an archive belongs: in the folder of the part that it is in, where that lies elsewhere.
    fn place(&self, part: Option<&str>, path: &str) -> PathBuf {
        let whole = part.map_or_else(|| path.to_owned(), |part| format!("{part}/{path}"));
        let whole = whole.trim_end_matches('/');
        for (name, folder) in &self.places {
            match whole.strip_prefix(name.as_str()) {
                Some("") => return PathBuf::from(folder),
                Some(rest) if rest.starts_with('/') => return Path::new(folder).join(&rest[1..]),
                _ => {}
            }
        }
        if whole.is_empty() { self.data_directory.clone() } else { self.data_directory.join(whole) }
    }

    fn make(&mut self, folder: &Path) -> Result<(), Error> {
        if self.made.insert(folder.to_owned()) {
            fs::create_dir_all(folder).map_err(|error| Error::Io(folder.to_owned(), error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let check = |file: &str, expected: Option<&str>| assert_eq!(archive_name(file), expected, "{file}");
        check("base.tar", Some("base"));
        check("pg_wal.tar.gz", Some("pg_wal"));
        check("16384.tar.zst", Some("16384"));
        check(".tar", None);
        check("other.tar", None);
        check("backup_manifest", None);
        check("base.tar.lz4", None);
    }
}
