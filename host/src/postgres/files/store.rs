//! Puts files on the disk so that a reader sees the old content or the new one and never a part, and so that a crash
//! loses neither; keeps the backups that survive a clone. Everything here blocks.

use super::super::error::PgError;
use regent_core::model::ServerSettings;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Who may read a generated file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner, and the group where the data directory says so; outside of the data directory what the umask allows.
    Server,
    /// Its owner only: it holds secrets.
    Secret,
}

/// Writes `content` to `path` unless it is there already; tells whether anything changed.
pub fn write_file(data_dir: &Path, path: &Path, content: &str, access: Access) -> Result<bool, PgError> {
    let mode = mode_for(data_dir, path, access);
    match fs::read(path) {
        Ok(present) if present == content.as_bytes() => {
            if let Some(mode) = mode {
                set_mode(path, mode)?;
            }
            return Ok(false);
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // What cannot be read can still be replaced.
        Err(error) => tracing::warn!("could not read {}: {error}", path.display()),
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.regent-new"));
    let written = write_new(&temporary, content, mode).and_then(|()| {
        fs::rename(&temporary, path).map_err(PgError::io_at("write", path))?;
        sync_folder(folder)
    });
    if written.is_err() {
        // The reason is being returned; a left-over temporary file would only confuse.
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| true)
}

fn write_new(path: &Path, content: &str, mode: Option<u32>) -> Result<(), PgError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(PgError::io_at("replace", path)(error));
        }
        _ => {}
    }
    // Born with its final mode: a secret is never readable, not even for an instant.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode.unwrap_or(0o666))
        .open(path)
        .map_err(PgError::io_at("create", path))?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(PgError::io_at("write", path))?;
    mode.map_or(Ok(()), |mode| set_mode(path, mode))
}

/// `None`: what the umask makes of 0666.
fn mode_for(data_dir: &Path, path: &Path, access: Access) -> Option<u32> {
    if access == Access::Secret {
        return Some(0o600);
    }
    path.starts_with(data_dir).then(|| {
        let group = fs::metadata(data_dir).is_ok_and(|meta| meta.permissions().mode() & 0o050 == 0o050);
        if group { 0o640 } else { 0o600 }
    })
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PgError> {
    let present = fs::metadata(path).map_err(PgError::io_at("read", path))?.permissions();
    if present.mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(PgError::io_at("set the mode of", path))
}

/// Makes what happened to the names in a folder survive a crash.
pub fn sync_folder(folder: &Path) -> Result<(), PgError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(PgError::io_at("sync", folder))
}

/// Removes a file if it is there; tells whether it was.
pub fn remove_if_there(path: &Path) -> Result<bool, PgError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PgError::io_at("remove", path)(error)),
    }
}

/// The original configuration file keeps its content under another name, from which ours includes it (CFG-07).
pub fn keep_base(settings: &ServerSettings) -> Result<(), PgError> {
    let (main, base) = (main_file(settings), base_file(settings));
    if settings.custom_conf.is_some() || base.exists() {
        return Ok(());
    }
    let failed = || PgError::io_at("write", &base);
    fs::create_dir_all(&settings.config_dir).map_err(failed())?;
    if main.exists() {
        return fs::rename(&main, &base).map_err(failed());
    }
    // With a configuration folder of its own, initdb's file is still in the data directory; or there is none at all.
    let original = settings.data_dir.join(main.file_name().unwrap_or_default());
    let content = fs::read_to_string(original).unwrap_or_default();
    write_file(&settings.data_dir, &base, &content, Access::Server).map(|_| ())
}

/// `postgresql.conf`.
pub fn main_file(settings: &ServerSettings) -> PathBuf {
    settings.config_dir.join(format!("{}.conf", settings.config_base_name))
}

/// `postgresql.base.conf`.
pub fn base_file(settings: &ServerSettings) -> PathBuf {
    settings.config_dir.join(format!("{}.base.conf", settings.config_base_name))
}

/// pg_hba.conf, where it is ours.
pub fn hba_file(settings: &ServerSettings) -> PathBuf {
    settings.config_dir.join("pg_hba.conf")
}

/// pg_ident.conf, where it is ours.
pub fn ident_file(settings: &ServerSettings) -> PathBuf {
    settings.config_dir.join("pg_ident.conf")
}

fn backed_up(settings: &ServerSettings) -> Vec<PathBuf> {
    let mut files = vec![main_file(settings), hba_file(settings), ident_file(settings)];
    if settings.custom_conf.is_none() {
        files.push(base_file(settings));
    }
    files
}

fn backup_of(settings: &ServerSettings, file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    settings.data_dir.join(format!("{name}.backup"))
}

/// Copies the configuration into the data directory, where every clone of it takes them along.
pub fn save_backups(settings: &ServerSettings) -> Result<(), PgError> {
    for file in backed_up(settings) {
        match fs::read_to_string(&file) {
            Ok(content) => {
                write_file(&settings.data_dir, &backup_of(settings, &file), &content, Access::Server)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(PgError::io_at("read", &file)(error)),
        }
    }
    Ok(())
}

/// After a clone: configuration files that did not come along are taken from the backups; pg_ident.conf is created
/// empty where there is none at all (CFG-15).
pub fn restore_backups(settings: &ServerSettings) -> Result<(), PgError> {
    fs::create_dir_all(&settings.config_dir).map_err(PgError::io_at("create", &settings.config_dir))?;
    for file in backed_up(settings).iter().filter(|file| !file.exists()) {
        match fs::read_to_string(backup_of(settings, file)) {
            Ok(content) => {
                write_file(&settings.data_dir, file, &content, Access::Server)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(PgError::io_at("read the backup of", file)(error)),
        }
    }
    let ident = ident_file(settings);
    if !ident.exists() {
        write_file(&settings.data_dir, &ident, "", Access::Server)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_only_when_they_differ_and_closed_to_others() {
        // CFG-30
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("data"), folder.path().join("pgpass"));
        fs::create_dir(&inside).unwrap();
        let file = inside.join("a.conf");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert!(write_file(&inside, &file, "x", Access::Server).unwrap());
        assert!(!write_file(&inside, &file, "x", Access::Server).unwrap());
        assert!(write_file(&inside, &file, "y", Access::Server).unwrap());
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode(&file) & 0o007), ("y", 0));
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o700)).unwrap();
        write_file(&inside, &file, "y", Access::Server).unwrap();
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o750)).unwrap();
        write_file(&inside, &file, "y", Access::Server).unwrap();
        assert_eq!(mode(&file), 0o640);
        write_file(&inside, &outside, "secret", Access::Secret).unwrap();
        assert_eq!(mode(&outside), 0o600);
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
    }

    #[test]
    fn backups_bring_back_what_a_clone_left_out() {
        // CFG-15
        let folder = tempfile::tempdir().unwrap();
        let mut settings = crate::postgres::testing::settings();
        settings.data_dir = folder.path().join("data");
        settings.config_dir = folder.path().join("etc");
        fs::create_dir(&settings.data_dir).unwrap();
        fs::create_dir(&settings.config_dir).unwrap();
        fs::write(main_file(&settings), "main").unwrap();
        keep_base(&settings).unwrap();
        assert_eq!(fs::read_to_string(base_file(&settings)).unwrap(), "main");
        fs::write(main_file(&settings), "ours").unwrap();
        keep_base(&settings).unwrap();
        assert_eq!(fs::read_to_string(base_file(&settings)).unwrap(), "main");
        save_backups(&settings).unwrap();
        fs::remove_dir_all(&settings.config_dir).unwrap();
        restore_backups(&settings).unwrap();
        assert_eq!(fs::read_to_string(main_file(&settings)).unwrap(), "ours");
        assert_eq!(fs::read_to_string(ident_file(&settings)).unwrap(), "");
    }
}
