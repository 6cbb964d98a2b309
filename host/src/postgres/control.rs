//! Reads the control file of a data directory, and what lies in the directory at all.

use super::binaries::{Binaries, Tool};
use super::error::PgError;
use super::mark;
use regent_core::model::{ControlData, ControlState, DataDirectory, Lsn, Timeline};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

/// pg_controldata reads 8 kB; more than this means that the disk hangs.
const CONTROL_LIMIT: Duration = Duration::from_secs(10);

/// Every line that pg_controldata printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlFile {
    values: BTreeMap<String, String>,
}

impl ControlFile {
    /// Reads pg_controldata's output. Lines without a colon say nothing (BOOT-17); old majors put `Current ` before
    /// some names.
    pub fn parse(text: &str) -> ControlFile {
        let values = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| {
                (name.strip_prefix("Current ").unwrap_or(name).trim().to_owned(), value.trim().to_owned())
            })
            .collect();
        ControlFile { values }
    }

    /// The value of the line `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Every line, for the log.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The size of a segment of the log, in bytes.
    pub fn segment_bytes(&self) -> Option<u64> {
        self.get("Bytes per WAL segment")?.parse().ok()
    }

    /// What decisions need of it.
    pub fn data(&self) -> Result<ControlData, PgError> {
        let missing = |name: &str| PgError::Unreadable(format!("pg_controldata gave no usable {name:?}"));
        let text = |name: &'static str| self.get(name).ok_or_else(|| missing(name));
        let lsn = |name: &'static str| text(name)?.parse::<Lsn>().map_err(|_| missing(name));
        let timeline = |name: &'static str| text(name)?.parse::<u32>().map(Timeline).map_err(|_| missing(name));
        Ok(ControlData {
            system_id: text("Database system identifier")?.to_owned(),
            state: state_from(text("Database cluster state")?).ok_or_else(|| missing("Database cluster state"))?,
            checkpoint: lsn("Latest checkpoint location")?,
            checkpoint_timeline: timeline("Latest checkpoint's TimeLineID")?,
            minimum_recovery_end: lsn("Minimum recovery ending location")?,
            minimum_recovery_timeline: timeline("Min recovery ending loc's timeline")?,
            can_rewind: self.get("wal_log_hints setting") == Some("on")
                || self.get("Data page checksum version").is_some_and(|version| version != "0"),
        })
    }
}

fn state_from(text: &str) -> Option<ControlState> {
    Some(match text {
        "starting up" => ControlState::StartingUp,
        "shut down" => ControlState::ShutDown,
        "shut down in recovery" => ControlState::ShutDownInRecovery,
        "shutting down" => ControlState::ShuttingDown,
        "in crash recovery" => ControlState::InCrashRecovery,
        "in archive recovery" => ControlState::InArchiveRecovery,
        "in production" => ControlState::InProduction,
        _ => return None,
    })
}

/// Everything in the control file of `data_dir`.
pub async fn control_file(binaries: &Binaries, data_dir: &Path) -> Result<ControlFile, PgError> {
    let output = binaries.program(Tool::PgControldata)?.arg(data_dir).succeed(CONTROL_LIMIT).await?;
    Ok(ControlFile::parse(&output.stdout))
}

/// What decisions need of the control file of `data_dir`.
pub async fn control_data(binaries: &Binaries, data_dir: &Path) -> Result<ControlData, PgError> {
    control_file(binaries, data_dir).await?.data()
}

/// The state in the control file, read without starting a program: the first fields of the file (system identifier, two
/// versions, state) have had the same layout in every major. `None` where the file does not look like one.
pub fn peek_state(data_dir: &Path) -> Option<ControlState> {
    let mut head = [0; 20];
    std::fs::File::open(data_dir.join("global/pg_control")).ok()?.read_exact(&mut head).ok()?;
    let number = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    // pg_control_version of 9.3 is 937; far above today's 1800 the layout cannot be trusted.
    if !(900..3000).contains(&number(8)) {
        return None;
    }
    Some(match number(16) {
        0 => ControlState::StartingUp,
        1 => ControlState::ShutDown,
        2 => ControlState::ShutDownInRecovery,
        3 => ControlState::ShuttingDown,
        4 => ControlState::InCrashRecovery,
        5 => ControlState::InArchiveRecovery,
        6 => ControlState::InProduction,
        _ => return None,
    })
}

/// What lies in `path`. Hidden entries and `lost+found` do not make a directory full.
pub fn data_directory(path: &Path) -> DataDirectory {
    let inaccessible = |error: std::io::Error| DataDirectory::Inaccessible(error.to_string());
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return DataDirectory::Empty,
        Err(error) => return inaccessible(error),
    };
    let mut empty = true;
    for entry in entries {
        match entry {
            Ok(entry) => {
                let name = entry.file_name();
                empty &= name.as_encoded_bytes().starts_with(b".") || name == "lost+found";
            }
            Err(error) => return inaccessible(error),
        }
    }
    let exists = |file: &str| path.join(file).try_exists();
    match (empty, exists("PG_VERSION"), exists("global/pg_control")) {
        (true, ..) => DataDirectory::Empty,
        (_, Err(error), _) | (_, _, Err(error)) => inaccessible(error),
        (_, Ok(true), Ok(true)) => mark::read(path).map_or(DataDirectory::Initialized, DataDirectory::HalfRewound),
        _ => DataDirectory::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "a line without the sign\n\
        pg_control version number:            1300\n\
        Database system identifier:           7341234567890123456\n\
        Database cluster state:               shut down\n\
        Latest checkpoint location:           0/3000028\n\
        Latest checkpoint's TimeLineID:       2\n\
        Minimum recovery ending location:     0/0\n\
        Min recovery ending loc's timeline:   0\n\
        Current wal_log_hints setting:        on\n\
        Data page checksum version:           0\n\
        Bytes per WAL segment:                16777216\n";

    #[test]
    fn control_data_is_read_and_odd_lines_are_ignored() {
        // BOOT-17
        let file = ControlFile::parse(OUTPUT);
        let data = file.data().unwrap();
        assert_eq!(data.system_id, "7341234567890123456");
        assert_eq!(data.state, ControlState::ShutDown);
        assert_eq!(data.checkpoint, Lsn(0x300_0028));
        assert_eq!(data.checkpoint_timeline, Timeline(2));
        assert!(data.can_rewind);
        assert_eq!(file.segment_bytes(), Some(16 << 20));
        assert!(ControlFile::parse("").data().is_err());
    }

    #[test]
    fn a_directory_is_empty_initialized_or_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let check = |expected| assert_eq!(data_directory(path), expected);
        check(DataDirectory::Empty);
        std::fs::write(path.join(".hidden"), "").unwrap();
        std::fs::create_dir(path.join("lost+found")).unwrap();
        check(DataDirectory::Empty);
        std::fs::write(path.join("PG_VERSION"), "15\n").unwrap();
        check(DataDirectory::Foreign);
        std::fs::create_dir(path.join("global")).unwrap();
        std::fs::write(path.join("global/pg_control"), "").unwrap();
        check(DataDirectory::Initialized);
        assert_eq!(data_directory(&path.join("missing")), DataDirectory::Empty);
        assert!(matches!(data_directory(&path.join("PG_VERSION")), DataDirectory::Inaccessible(_)));
    }
}
