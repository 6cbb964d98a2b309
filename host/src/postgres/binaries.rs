//! Finds the server's binaries, once, and their version.

use super::error::PgError;
use super::run::Program;
use regent_core::model::ServerSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Asking a binary for its version takes milliseconds; more than this means that the disk hangs.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// The first version whose server writes into `postmaster.pid` that it takes connections.
const OLDEST: u32 = 100_000;

/// Where distributions put the servers' binaries, one folder per major.
const LAST_RESORT: &str = "/usr/lib/postgresql";

/// A program of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// pg_ctl
    PgCtl,
    /// initdb
    Initdb,
    /// pg_controldata
    PgControldata,
    /// pg_basebackup
    PgBasebackup,
    /// postgres
    Postgres,
    /// pg_rewind
    PgRewind,
    /// pg_isready
    PgIsready,
    /// pg_waldump
    PgWaldump,
}

impl Tool {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Tool::PgCtl => "pg_ctl",
            Tool::Initdb => "initdb",
            Tool::PgControldata => "pg_controldata",
            Tool::PgBasebackup => "pg_basebackup",
            Tool::Postgres => "postgres",
            Tool::PgRewind => "pg_rewind",
            Tool::PgIsready => "pg_isready",
            Tool::PgWaldump => "pg_waldump",
        }
    }
}

/// The binaries of one PostgreSQL installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    path: Vec<PathBuf>,
    names: BTreeMap<String, String>,
    version: u32,
    described: BTreeSet<String>,
}

impl Binaries {
    /// Finds them: in `bin_dir`, else where PATH has `postgres`, else in the newest installed major's folder.
    pub async fn find(settings: &ServerSettings) -> Result<Binaries, PgError> {
        let path = crate::ports::program_folders();
        let names = settings.bin_name.clone();
        let server = names.get("postgres").map_or("postgres", String::as_str);
        let folder = match &settings.bin_dir {
            Some(folder) if executable(&folder.join(server)) => folder.clone(),
            Some(folder) => return Err(not_found(server, &folder.to_string_lossy())),
            None => match path.iter().find(|folder| executable(&folder.join(server))) {
                Some(folder) => folder.clone(),
                None => newest_installed(server).ok_or_else(|| not_found(server, "PATH"))?,
            },
        };
        let mut binaries = Binaries { folder, path, names, version: 0, described: BTreeSet::new() };
        let output = Program::new(binaries.path(Tool::Postgres)?).arg("--version").succeed(VERSION_LIMIT).await?;
        binaries.version = parse_version(&output.stdout)
            .ok_or_else(|| PgError::Unreadable(format!("not a version: {}", output.stdout.trim())))?;
        if binaries.version < OLDEST {
            let version = binaries.version;
            return Err(PgError::TooOld(format!("{}.{}", version / 10_000, version / 100 % 100)));
        }
        let postgres = Program::new(binaries.path(Tool::Postgres)?).arg("--describe-config");
        binaries.described = described(&postgres.succeed(VERSION_LIMIT).await?.stdout);
        Ok(binaries)
    }

    /// Binaries that are nowhere.
    #[cfg(test)]
    pub(super) fn for_tests(version: u32) -> Binaries {
        Binaries {
            folder: PathBuf::new(),
            path: Vec::new(),
            names: BTreeMap::new(),
            version,
            described: BTreeSet::from(["work_mem".to_owned()]),
        }
    }

    /// As `server_version_num` gives it: 150018 for 15.18.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The major version as it is compared everywhere: 15 for 15.18, 9 for 9.6.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// The server's own program lists the setting (`postgres --describe-config`).
    pub fn describes(&self, setting: &str) -> bool {
        self.described.contains(setting)
    }

    /// The folder that holds `postgres`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where `tool` is: beside `postgres`, else along PATH.
    pub fn path(&self, tool: Tool) -> Result<PathBuf, PgError> {
        let name = self.names.get(tool.name()).map_or(tool.name(), String::as_str);
        std::iter::once(&self.folder)
            .chain(&self.path)
            .map(|folder| folder.join(name))
            .find(|path| executable(path))
            .ok_or_else(|| not_found(name, &self.folder.to_string_lossy()))
    }

    /// `tool` as a program that speaks English, for output that is parsed.
    pub fn program(&self, tool: Tool) -> Result<Program, PgError> {
        Ok(Program::new(self.path(tool)?).env("LC_ALL", "C").env("LANG", "C"))
    }
}

fn not_found(name: &str, place: &str) -> PgError {
    PgError::NoBinary { name: name.to_owned(), place: place.to_owned() }
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn newest_installed(server: &str) -> Option<PathBuf> {
    let majors = std::fs::read_dir(LAST_RESORT).ok()?.flatten();
    let folder = majors
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<f64>().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| executable(&folder.join(server)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, folder)| folder)?;
    tracing::info!("postgresql.bin_dir is not set and PATH has no {server}: using {}", folder.display());
    Some(folder)
}

/// The first column of each line, in lower case.
fn described(output: &str) -> BTreeSet<String> {
    output.lines().filter_map(|line| line.split('\t').next()).map(str::to_lowercase).collect()
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)` is 150018; `9.6.24` is 90624; `18beta1` is 180000.
fn parse_version(text: &str) -> Option<u32> {
    let number = |part: Option<&str>| -> u32 {
        let part = part.unwrap_or_default();
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().unwrap_or(0)
    };
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = word.split('.');
    match number(parts.next()) {
        0 => None,
        major @ 1..=9 => Some(major * 10_000 + number(parts.next()) * 100 + number(parts.next())),
        major @ 10..=999 => Some(major * 10_000 + number(parts.next())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_a_server_describes_are_read() {
        let output = "work_mem\tuser\tResources\tINTEGER\t4096\nDateStyle\tuser\tClient\tSTRING\n";
        assert_eq!(described(output), BTreeSet::from(["datestyle".to_owned(), "work_mem".to_owned()]));
    }

    #[tokio::test]
    async fn programs_come_from_the_folder_that_is_named() {
        // CFG-11
        let folder = tempfile::tempdir().unwrap();
        let mut settings = crate::postgres::testing::settings();
        settings.bin_dir = Some(folder.path().to_owned());
        let refused = Binaries::find(&settings).await.unwrap_err().to_string();
        assert!(refused.contains("postgres") && refused.contains(&folder.path().display().to_string()), "{refused}");
        let says = |text: &str| format!("#!/bin/sh\n[ \"$1\" = --version ] && echo '{text}'\nexit 0\n");
        for (name, text) in [("postgres", "postgres (PostgreSQL) 14.9"), ("pg_ctl", "")] {
            std::fs::write(folder.path().join(name), says(text)).unwrap();
            std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let found = Binaries::find(&settings).await.unwrap();
        assert_eq!((found.version(), found.folder()), (140_009, folder.path()));
        assert_eq!(found.path(Tool::PgCtl).unwrap(), folder.path().join("pg_ctl"));
        std::fs::write(folder.path().join("postgres"), says("postgres (PostgreSQL) 9.6.24")).unwrap();
        let refused = Binaries::find(&settings).await.unwrap_err().to_string();
        assert_eq!(refused, "PostgreSQL 9.6 is too old: the oldest that is supported is 10");
    }

    /// HA-37
    #[test]
    fn versions_become_numbers() {
        let check = |text: &str, expected| assert_eq!(parse_version(text), expected, "{text:?}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(150018));
        check("postgres (PostgreSQL) 10.1", Some(100_001));
        check("postgres (PostgreSQL) 9.6.24", Some(90624));
        check("postgres (PostgreSQL) 18beta1", Some(180000));
        check("postgres (PostgreSQL) 17devel", Some(170000));
        check("postgres", None);
        check("99999999999", None);
    }
}
