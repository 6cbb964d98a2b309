//! Looks a data directory over that a method made, before a server does: no link leads out of it but where one may, no
//! pipe or device is in it, nobody else gets in, and all of it is on disk.

use crate::postgres::PgError;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// A program with all our rights: the links that PostgreSQL itself knows of are its to make.
    Trusted,
    /// A component: every link is made for it, so that it has none to make.
    Sandboxed,
}

/// Links that a server, or whoever set it up, puts into a data directory; besides those to tablespaces.
const USUAL_LINKS: [&str; 5] = ["pg_wal", "pg_xlog", "log", "pg_log", "pg_stat_tmp"];

/// Looks over `folder` and puts its modes right. An `Err` inside says what may not be in a data directory.
pub(super) fn inspect(folder: &Path, maker: Maker) -> Result<Result<(), String>, PgError> {
    let root = fs::canonicalize(folder).map_err(PgError::io_at("find", folder))?;
    let top = fs::metadata(&root).map_err(PgError::io_at("look at", &root))?.permissions().mode();
    // A cluster may have been made to be read by its group, backups are taken so.
    let group = if maker == Maker::Trusted && top & 0o777 == 0o750 { 0o050 } else { 0 };
    let inspection = Inspection { root: &root, maker, group };
    set_mode(&root, top, 0o700 | group)?;
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(PgError::io_at("read", &folder))? {
            let path = entry.map_err(PgError::io_at("read", &folder))?.path();
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(PgError::io_at("look at", &path)(error)),
            };
            if let Err(wrong) = inspection.entry(&path, &meta)? {
                return Ok(Err(wrong));
            }
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    sync(&root)?;
    Ok(Ok(()))
}

struct Inspection<'a> {
    root: &'a Path,
    maker: Maker,
    group: u32,
}

impl Inspection<'_> {
    fn entry(&self, path: &Path, meta: &Metadata) -> Result<Result<(), String>, PgError> {
        let kind = meta.file_type();
        let mode = meta.permissions().mode();
        if kind.is_symlink() {
            return Ok(self.link(path));
        }
        if kind.is_dir() {
            return set_mode(path, mode, 0o700 | self.group).map(Ok);
        }
        if kind.is_file() {
            return set_mode(path, mode, 0o600 | (self.group & 0o040)).map(Ok);
        }
        // A socket is what a server that was copied left behind, and harms nobody.
        if kind.is_socket() && self.maker == Maker::Trusted {
            return Ok(Ok(()));
        }
        Ok(Err(format!("{} is no file and no folder", path.display())))
    }

    fn link(&self, path: &Path) -> Result<(), String> {
        let target = fs::read_link(path).unwrap_or_default();
        if self.maker == Maker::Sandboxed {
            return Err(format!("{} is a link to {}", path.display(), target.display()));
        }
        let inside = fs::canonicalize(path).is_ok_and(|target| target.starts_with(self.root));
        if inside || self.is_usual(path) {
            return Ok(());
        }
        // Certificates, keys, folders of extensions: whoever set the server up knows why. Below, only PostgreSQL writes.
        if path.parent() == Some(self.root) {
            tracing::warn!("{} is a link out of the data directory, to {}", path.display(), target.display());
            return Ok(());
        }
        Err(format!("{} is a link out of the data directory, to {}", path.display(), target.display()))
    }

    fn is_usual(&self, path: &Path) -> bool {
        let inside = path.strip_prefix(self.root).unwrap_or(path);
        let name = inside.to_string_lossy();
        let tablespace = |name: &str| name.strip_prefix("pg_tblspc/").is_some_and(is_number);
        USUAL_LINKS.contains(&name.as_ref()) || tablespace(&name) || !name.contains('/') && name.ends_with(".conf")
    }
}

/// A tablespace's link is named by a number.
pub(super) fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Takes away what goes beyond `wanted`, and gives the owner what is missing of it.
fn set_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), PgError> {
    let mode = mode & 0o7777;
    let right = mode & wanted | wanted & 0o700;
    // An owner's right to run what is no folder does no harm.
    if mode == right || mode == right | 0o100 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(right)).map_err(PgError::io_at("set the mode of", path))
}

/// Everything that was written so far on this file system is on disk when it returns.
pub(super) fn sync(folder: &Path) -> Result<(), PgError> {
    let failed = || PgError::io_at("sync", folder);
    let opened = fs::File::open(folder).map_err(failed())?;
    rustix::fs::syncfs(&opened).map_err(|errno| failed()(errno.into()))
}

/// Puts every entry of `from` into `to`; what makes a data directory one comes last.
pub(super) fn move_entries(from: &Path, to: &Path) -> Result<(), PgError> {
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(from).map_err(PgError::io_at("read", from))? {
        names.push(entry.map_err(PgError::io_at("read", from))?.file_name().into());
    }
    names.sort_by_key(|name| name == Path::new("PG_VERSION"));
    for name in names {
        fs::rename(from.join(&name), to.join(&name)).map_err(PgError::io_at("move", &from.join(&name)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn check(maker: Maker, make: impl FnOnce(&Path), expected: Result<(), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("base/1")).unwrap();
        fs::create_dir(data.join("pg_tblspc")).unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        fs::write(data.join("base/1/file"), "x").unwrap();
        fs::set_permissions(data.join("base/1/file"), Permissions::from_mode(0o4666)).unwrap();
        fs::set_permissions(data.join("base"), Permissions::from_mode(0o777)).unwrap();
        make(&data);
        match (inspect(&data, maker).unwrap(), expected) {
            (Ok(()), Ok(())) => {
                let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o7777;
                assert_eq!((mode(""), mode("base"), mode("base/1/file")), (0o700, 0o700, 0o600));
            }
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (said, expected) => panic!("{said:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn links_lead_out_only_where_they_may() {
        use Maker::{Sandboxed, Trusted};
        let link = |to: &'static str, name: &'static str| move |data: &Path| symlink(to, data.join(name)).unwrap();
        check(Trusted, |_| {}, Ok(()));
        check(Sandboxed, |_| {}, Ok(()));
        check(Trusted, link("../elsewhere", "pg_wal"), Ok(()));
        check(Sandboxed, link("../elsewhere", "pg_wal"), Err("is a link to ../elsewhere"));
        check(Trusted, link("../../elsewhere", "pg_tblspc/16384"), Ok(()));
        check(Trusted, link("../../elsewhere", "pg_tblspc/x"), Err("link out of"));
        check(Trusted, link("/etc", "base/2"), Err("base/2 is a link out of the data directory, to /etc"));
        check(Trusted, link("1", "base/2"), Ok(()));
        check(Sandboxed, link("1", "base/2"), Err("is a link"));
        check(Trusted, link("/nowhere", "base/2"), Err("link out of"));
        check(Trusted, link("/etc/postgresql/pg_hba.conf", "pg_hba.conf"), Ok(()));
        check(Trusted, link("/etc/ssl/server.key", "server.key"), Ok(()));
    }

    #[test]
    fn pipes_do_not_get_in() {
        let pipe = |data: &Path| nix::unistd::mkfifo(&data.join("base/1/2"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        check(Maker::Trusted, pipe, Err("no file and no folder"));
    }

    #[test]
    fn what_makes_it_a_data_directory_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for name in ["from/PG_VERSION", "from/base", "from/z"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::create_dir_all(&to).unwrap();
        // What is in the way stops it before the last entry.
        fs::create_dir_all(to.join("z/full")).unwrap();
        assert!(move_entries(&from, &to).is_err());
        assert!(!to.join("PG_VERSION").exists());
        fs::remove_dir_all(to.join("z")).unwrap();
        move_entries(&from, &to).unwrap();
        assert!(to.join("PG_VERSION").exists() && to.join("z").exists());
    }
}
