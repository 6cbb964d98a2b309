//! The mark of a pg_rewind that began and has not come to its end: what tells a mixture of two histories from a data
//! directory that a server can run on. PostgreSQL has no such mark: pg_rewind writes the control file last, so that one
//! which is cut off leaves a control file that looks clean.
//!
//! The mark is a named pipe in the data directory itself; its name says what was copied from whom. It lies inside, for
//! the folder above may not be ours to write to, and what lies there stays behind when a volume with the data is mounted
//! elsewhere, or renamed, or put aside. It is a pipe, for pg_rewind removes every file, folder and link that its source
//! does not have, and passes over everything else; so does pg_basebackup, and no server runs here that it could copy.
//! Copies of files (`cp -a`, `tar`, `rsync -a`) take it along, and they are the same mixture. Nobody ever opens it.
//! Whoever empties the data directory removes it with everything else.

use super::error::PgError;
use regent_core::model::{RewindMark, Timeline};
use rustix::fs::{CWD, FileType, Mode};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What its name begins with: `regent_rewind.SOURCE.TIMELINE.BOOT`.
const PREFIX: &str = "regent_rewind.";

/// So much of the source's name is kept, in characters of the file's name: with everything else it stays below 255.
const SOURCE_LENGTH_MAX: usize = 180;

/// The copy of the dynamic configuration may be written anew at any time, and is of no account.
const OWN_FILE: &str = "patroni.dynamic.json";

/// Reads the mark of `data_dir`; `None` where there is none. One that is not understood stands for a rewind that can not
/// be repeated.
pub(super) fn read(data_dir: &Path) -> Option<RewindMark> {
    let name = find(data_dir)?;
    let unknown = RewindMark { source: "another member".to_owned(), timeline: Timeline(0), same_boot: false };
    Some(parse(&name, boot_id().as_deref()).unwrap_or(unknown))
}

/// Sets the mark, durably, before anything else is written. Where one is, it stays.
pub(super) fn set(data_dir: &Path, source: &str, timeline: Timeline) -> Result<(), PgError> {
    if find(data_dir).is_some() {
        return Ok(());
    }
    let boot = boot_id().unwrap_or_else(|| "unknown".to_owned());
    let path = data_dir.join(format!("{PREFIX}{}.{timeline}.{boot}", written(source)));
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(PgError::errno(format!("could not create {}", path.display())))?;
    sync(data_dir)
}

/// Removes the mark, durably.
pub(super) fn clear(data_dir: &Path) -> Result<(), PgError> {
    while let Some(name) = find(data_dir) {
        let path = data_dir.join(name);
        fs::remove_file(&path).map_err(PgError::io_at("remove", &path))?;
    }
    sync(data_dir)
}

fn sync(folder: &Path) -> Result<(), PgError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(PgError::io_at("sync", folder))
}

fn find(data_dir: &Path) -> Option<String> {
    let names = fs::read_dir(data_dir).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|name| name.starts_with(PREFIX))
}

fn parse(name: &str, boot: Option<&str>) -> Option<RewindMark> {
    let mut fields = name.strip_prefix(PREFIX)?.splitn(3, '.');
    let source = read_source(fields.next()?)?;
    let timeline = Timeline(fields.next()?.parse().ok()?);
    let same_boot = fields.next() == boot && boot.is_some();
    Some(RewindMark { source, timeline, same_boot })
}

/// The name in characters that a file's name may have; `%XX` for every other byte. A long one is cut, and then is no
/// member's.
fn written(source: &str) -> String {
    let mut text = String::new();
    for byte in source.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text.truncate(SOURCE_LENGTH_MAX);
    text
}

fn read_source(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let number = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok())?;
            bytes.push(u8::from_str_radix(number, 16).ok()?);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Which boot of the machine this is: what was written before it may be lost in part, in any order.
fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().replace('-', "")).filter(|id| !id.is_empty())
}

/// A number that changes with every write to a file of the data directory, of its log and of its tablespaces: whether
/// pg_rewind had begun to write when it failed.
pub(super) fn fingerprint(data_dir: &Path) -> Result<u64, PgError> {
    let mut sum = 0;
    let mut folders: Vec<PathBuf> = vec![data_dir.to_owned()];
    let spaces = data_dir.join("pg_tblspc");
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(PgError::io_at("read", &folder))? {
            let entry = entry.map_err(PgError::io_at("read", &folder))?;
            let path = entry.path();
            let name = entry.file_name();
            let ours = name.as_encoded_bytes().starts_with(OWN_FILE.as_bytes())
                || name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
            if ours && folder == data_dir {
                continue;
            }
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(PgError::io_at("look at", &path)(error)),
            };
            let mut hasher = DefaultHasher::new();
            path.hash(&mut hasher);
            (found.ino(), found.mode(), found.size(), found.nlink()).hash(&mut hasher);
            (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()).hash(&mut hasher);
            // A sum, for the order of a folder's entries means nothing.
            sum = u64::wrapping_add(sum, hasher.finish());
            // Its links lead to its log and to tablespaces; where any other leads is no matter of pg_rewind.
            let outside = if folder == data_dir { name == "pg_wal" || name == "pg_xlog" } else { folder == spaces };
            if found.is_dir() || outside && fs::metadata(&path).is_ok_and(|there| there.is_dir()) {
                folders.push(path);
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_from_whom_and_survives_what_a_rewind_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(read(path), None);
        set(path, "node 1.example/ü", Timeline(7)).unwrap();
        let mark = RewindMark { source: "node 1.example/ü".into(), timeline: Timeline(7), same_boot: true };
        assert_eq!(read(path), Some(mark.clone()));
        // The first one counts: what was copied then lies there still.
        set(path, "another", Timeline(8)).unwrap();
        assert_eq!(read(path), Some(mark));
        // Neither a file, nor a folder, nor a link: pg_rewind passes over it.
        let kind = fs::read_dir(path).unwrap().next().unwrap().unwrap().file_type().unwrap();
        assert!(!kind.is_file() && !kind.is_dir() && !kind.is_symlink());
        clear(path).unwrap();
        assert_eq!((read(path), fs::read_dir(path).unwrap().count()), (None, 0));
        set(path, &"x".repeat(300), Timeline(1)).unwrap();
        assert_eq!(read(path).unwrap().source.len(), SOURCE_LENGTH_MAX);
    }

    #[test]
    fn what_is_not_understood_can_not_be_repeated() {
        let check = |name: &str, boot: Option<&str>, expected: Option<(&str, bool)>| {
            let found = parse(name, boot).map(|mark| (mark.source, mark.same_boot));
            assert_eq!(found, expected.map(|(source, same)| (source.to_owned(), same)), "{name}");
        };
        check("regent_rewind.b.1.x", Some("x"), Some(("b", true)));
        check("regent_rewind.b.1.x", Some("y"), Some(("b", false)));
        check("regent_rewind.b.1.x", None, Some(("b", false)));
        check("regent_rewind.b.1", None, Some(("b", false)));
        check("regent_rewind.b.one.x", Some("x"), None);
        check("regent_rewind.%4.1.x", Some("x"), None);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("regent_rewind.odd"), "").unwrap();
        assert!(!read(folder.path()).unwrap().same_boot);
    }

    #[test]
    fn a_write_anywhere_changes_the_fingerprint() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        for folder in ["data/base/1", "data/pg_tblspc", "space/PG_15"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(root.path().join("space"), data.join("pg_tblspc/16384")).unwrap();
        std::os::unix::fs::symlink(&data, data.join("base/round")).unwrap();
        for file in ["data/PG_VERSION", "data/base/1/2", "space/PG_15/3"] {
            fs::write(root.path().join(file), "one").unwrap();
        }
        let mut before = fingerprint(&data).unwrap();
        fs::write(data.join("patroni.dynamic.json"), "{}").unwrap();
        set(&data, "b", Timeline(1)).unwrap();
        assert_eq!(fingerprint(&data).unwrap(), before);
        let mut changed = |what: &str| {
            let after = fingerprint(&data).unwrap();
            assert_ne!(after, before, "{what}");
            before = after;
        };
        fs::write(data.join("base/1/2"), "two and more").unwrap();
        changed("a longer file");
        fs::write(root.path().join("space/PG_15/new"), "").unwrap();
        changed("a new file in a tablespace");
        fs::remove_file(data.join("PG_VERSION")).unwrap();
        changed("a file that is gone");
    }
}
