//! Restores the latest backup of WAL-E or WAL-G, where that is less work than a copy of the primary: where little was
//! written since (BOOT-14, BOOT-15). Ends with 0 when it is there, 1 when a later attempt may do better, 2 when another
//! method should.

use super::{Arguments, causes, pause};
use crate::ctl::ask_server;
use regent_core::model::Lsn;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How long is waited before another attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a list of backups may take.
const LIST_LIMIT: Duration = Duration::from_secs(600);

const MEGABYTE: u64 = 1 << 20;

/// Why it did not work: the exit code.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Retry(String),
    GiveUp(String),
}

/// Which program keeps the backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    WalE,
    WalG,
}

/// What is to be restored, and when not.
struct Restore<'a> {
    tool: Tool,
    envdir: Option<&'a Path>,
    data_dir: &'a Path,
    connstring: Option<&'a str>,
    use_iam: bool,
    no_leader: bool,
    retries: u64,
    threshold_bytes: u64,
    threshold_percent: u64,
}

/// The newest backup.
#[derive(Debug, PartialEq, Eq)]
struct Backup {
    bytes: u64,
    start: Lsn,
}

pub(super) async fn run(arguments: &Arguments) -> u8 {
    let outcome = match Restore::from(arguments) {
        Ok(restore) => restore.attempts().await,
        Err(why) => Err(Failure::GiveUp(why)),
    };
    match outcome {
        Ok(()) => 0,
        Err(Failure::Retry(why)) => {
            eprintln!("{why}");
            1
        }
        Err(Failure::GiveUp(why)) => {
            eprintln!("{why}");
            2
        }
    }
}

impl<'a> Restore<'a> {
    fn from(arguments: &'a Arguments) -> Result<Restore<'a>, String> {
        let tool = match arguments.text("tool") {
            None | Some("wal-e") => Tool::WalE,
            Some("wal-g") => Tool::WalG,
            Some(other) => return Err(format!("--tool is wal-e or wal-g, not {other:?}")),
        };
        let envdir = arguments.text("envdir").map(Path::new);
        if tool == Tool::WalE && envdir.is_none() {
            return Err("--envdir is missing: the folder with the variables of wal-e".into());
        }
        if let Some(missing) = envdir.filter(|folder| !folder.is_dir()) {
            return Err(format!("{} is no folder", missing.display()));
        }
        Ok(Restore {
            tool,
            envdir,
            data_dir: arguments.text("datadir").map(Path::new).ok_or("--datadir is missing")?,
            connstring: arguments.text("connstring"),
            use_iam: arguments.truth("use-iam"),
            no_leader: arguments.truth("no-leader") || arguments.truth("no-master"),
            retries: arguments.number("retries", 1)?,
            threshold_bytes: arguments.number("threshold-megabytes", 10_240)?.saturating_mul(MEGABYTE),
            threshold_percent: arguments.number("threshold-backup-size-percentage", 30)?,
        })
    }

    async fn attempts(&self) -> Result<(), Failure> {
        let mut left = self.retries;
        loop {
            match self.attempt().await {
                Err(Failure::Retry(why)) if left > 0 => {
                    eprintln!("{why}: trying again");
                    left -= 1;
                    pause(PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    async fn attempt(&self) -> Result<(), Failure> {
        if self.connstring.is_some() {
            let backup = self.latest().await?;
            self.worth_it(&backup).await?;
        }
        let status = self.tool(&["backup-fetch"]).arg(self.data_dir).arg("LATEST").status().await;
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(Failure::Retry(format!("backup-fetch ended with {status}"))),
            Err(error) => return Err(Failure::Retry(format!("backup-fetch cannot be started: {error}"))),
        }
        mend_log_folder(self.data_dir).map_err(|error| Failure::Retry(format!("the folder of the log: {error}")))
    }

    /// The program with its variables, and this to do.
    fn tool(&self, words: &[&str]) -> Command {
        let name = match self.tool {
            Tool::WalE => "wal-e",
            Tool::WalG => "wal-g",
        };
        let mut command = match self.envdir {
            Some(folder) => {
                let mut command = Command::new("envdir");
                command.arg(folder).arg(name);
                command
            }
            None => Command::new(name),
        };
        if self.use_iam && self.tool == Tool::WalE {
            command.arg("--aws-instance-profile");
        }
        command.args(words).stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    async fn latest(&self) -> Result<Backup, Failure> {
        let words: &[&str] = match self.tool {
            Tool::WalE => &["backup-list", "--detail", "LATEST"],
            Tool::WalG => &["backup-list", "--detail", "--json"],
        };
        let output = tokio::time::timeout(LIST_LIMIT, self.tool(words).output()).await;
        let output = output
            .map_err(|_| Failure::Retry("the list of backups takes too long".into()))?
            .map_err(|error| Failure::Retry(format!("the list of backups: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::Retry(format!("the list of backups ended with {}: {}", output.status, said.trim())));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        match self.tool {
            Tool::WalE => latest_of_table(&text),
            Tool::WalG => latest_of_json(&text),
        }
    }

    /// Little enough was written since the backup.
    async fn worth_it(&self, backup: &Backup) -> Result<(), Failure> {
        let Some(written) = self.written_since(backup.start).await? else {
            return Ok(());
        };
        let percent_bytes = u128::from(backup.bytes) * u128::from(self.threshold_percent) / 100;
        if written < self.threshold_bytes && u128::from(written) < percent_bytes {
            return Ok(());
        }
        Err(Failure::GiveUp(format!(
            "{written} bytes were written since the backup of {} bytes: --threshold_megabytes and \
             --threshold_backup_size_percentage allow {} bytes and {} %",
            backup.bytes, self.threshold_bytes, self.threshold_percent
        )))
    }

    /// How much the server is ahead; `None` where it cannot be asked and need not be there. A replica is as good as the
    /// primary here.
    async fn written_since(&self, start: Lsn) -> Result<Option<u64>, Failure> {
        let sql = format!(
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN GREATEST(\
             pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '{start}'), \
             pg_catalog.pg_wal_lsn_diff(COALESCE(pg_catalog.pg_last_wal_receive_lsn(), '0/0'), '{start}')) \
             ELSE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '{start}') END::bigint"
        );
        let mut left = self.retries;
        loop {
            match ask_server(self.connstring.unwrap_or_default(), &sql).await {
                Ok(answer) => {
                    let bytes =
                        answer.parse::<i64>().map_err(|_| Failure::Retry(format!("an odd answer: {answer}")))?;
                    return Ok(Some(u64::try_from(bytes).unwrap_or(0)));
                }
                Err(why) if left == 0 && self.no_leader => {
                    eprintln!("{why}: going on without");
                    return Ok(None);
                }
                Err(why) if left == 0 => return Err(Failure::GiveUp(why)),
                Err(_) => {
                    left -= 1;
                    pause(PAUSE).await;
                }
            }
        }
    }
}

/// A table with tabs between the columns, which are known by their names; exactly one backup is the latest.
fn latest_of_table(text: &str) -> Result<Backup, Failure> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').map(str::trim).collect();
    let rows: Vec<&str> = lines.collect();
    let [row] = rows.as_slice() else {
        return Err(Failure::GiveUp(format!("{} backups are listed as the latest, one is wanted", rows.len())));
    };
    let row: BTreeMap<&str, &str> = names.into_iter().zip(row.split('\t').map(str::trim)).collect();
    let odd = |name: &str| Failure::Retry(format!("the list of backups has no usable {name}"));
    let column = |name: &str| row.get(name).copied().ok_or_else(|| odd(name));
    let number = |name: &str| column(name)?.parse::<u64>().map_err(|_| odd(name));
    let segment = column("wal_segment_backup_start")?;
    let part = |range| segment.get(range).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let (Some(high), Some(low)) = (part(8..16), part(16..24)) else {
        return Err(odd("wal_segment_backup_start"));
    };
    let offset = number("wal_segment_offset_backup_start")?;
    Ok(Backup { bytes: number("expanded_size_bytes")?, start: Lsn((high << 32) + (low << 24) + offset) })
}

/// A list of backups, the latest one last.
fn latest_of_json(text: &str) -> Result<Backup, Failure> {
    let list: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|error| Failure::Retry(format!("the list of backups: {error}")))?;
    let Some(latest) = list.last() else {
        return Err(Failure::GiveUp("there is no backup".into()));
    };
    let number = |name: &str| {
        latest[name].as_u64().ok_or_else(|| Failure::Retry(format!("the list of backups has no usable {name}")))
    };
    Ok(Backup { bytes: number("uncompressed_size")?, start: Lsn(number("start_lsn")?) })
}

/// The backup may hold the link of another machine, which leads nowhere here.
fn mend_log_folder(data_dir: &Path) -> std::io::Result<()> {
    for name in ["pg_wal", "pg_xlog"] {
        let path: PathBuf = data_dir.join(name);
        if path.is_symlink() && !path.exists() {
            std::fs::remove_file(&path)?;
            std::fs::create_dir(&path).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{}: {}", path.display(), causes(&error)))
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "name\tlast_modified\texpanded_size_bytes\twal_segment_backup_start\t\
        wal_segment_offset_backup_start\twal_segment_backup_stop\twal_segment_offset_backup_stop\n";
    const ROW: &str = "base_1\t2026-01-01T00:00:00.000Z\t167772160\t00000001000000020000007F\t00000040\t0\t0\n";

    fn check(text: &str, expected: Result<Backup, &str>) {
        match (latest_of_table(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(Failure::Retry(why) | Failure::GiveUp(why)), Err(expected)) => {
                assert!(why.contains(expected), "{why}")
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    /// BOOT-15
    #[test]
    fn the_table_is_read_by_the_names_of_its_columns() {
        let expected = Backup { bytes: 167_772_160, start: Lsn(0x2_7F00_0028) };
        check(&format!("{TABLE}{ROW}"), Ok(expected));
        let other = "wal_segment_offset_backup_start\twal_segment_backup_start\texpanded_size_bytes\n\
            64\t000000010000000000000001\t5\n";
        check(other, Ok(Backup { bytes: 5, start: Lsn(0x100_0040) }));
        check(TABLE, Err("0 backups"));
        check(&format!("{TABLE}{ROW}{ROW}"), Err("2 backups"));
        check("", Err("0 backups"));
        check("name\nbase_1\n", Err("no usable wal_segment_backup_start"));
        check(&format!("{TABLE}{}", ROW.replace("167772160", "many")), Err("no usable expanded_size_bytes"));
        // One backup too many is for another method, a broken table for a later attempt.
        assert!(matches!(latest_of_table(TABLE), Err(Failure::GiveUp(_))));
        assert!(matches!(latest_of_table("name\nbase_1\n"), Err(Failure::Retry(_))));
    }

    #[test]
    fn the_latest_of_wal_g_is_the_last() {
        let text = r#"[{"start_lsn": 1, "uncompressed_size": 2}, {"start_lsn": 67108904, "uncompressed_size": 25}]"#;
        assert_eq!(latest_of_json(text), Ok(Backup { bytes: 25, start: Lsn(67_108_904) }));
        assert!(matches!(latest_of_json("[]"), Err(Failure::GiveUp(_))));
        assert!(matches!(latest_of_json("no backups"), Err(Failure::Retry(_))));
    }

    /// BOOT-14
    #[test]
    fn the_options_are_the_peers() {
        let folder = tempfile::tempdir().unwrap();
        let envdir = format!("--envdir={}", folder.path().display());
        let read = |words: &[&str]| Arguments::read(words.iter().map(|word| (*word).to_owned()).collect());
        let usual = read(&[&envdir, "--scope=s", "--role=replica", "--datadir=/d", "--connstring=host=h"]);
        let restore = Restore::from(&usual).unwrap();
        assert_eq!((restore.threshold_bytes, restore.threshold_percent, restore.retries), (10_240 << 20, 30, 1));
        assert!(!restore.no_leader && !restore.use_iam);
        let other = read(&[&envdir, "--datadir", "/d", "--no_master=1", "--use_iam=1", "--threshold_megabytes=5"]);
        let restore = Restore::from(&other).unwrap();
        assert!(restore.no_leader && restore.use_iam && restore.connstring.is_none());
        assert_eq!(restore.threshold_bytes, 5 << 20);
        for wrong in [
            &["--datadir=/d"][..],
            &["--datadir=/d", "--envdir=/missing"],
            &[&envdir],
            &[&envdir, "--datadir=/d", "--retries=x"],
        ] {
            assert!(Restore::from(&read(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_becomes_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", folder.path().join("pg_wal")).unwrap();
        mend_log_folder(folder.path()).unwrap();
        assert!(!folder.path().join("pg_wal").is_symlink() && folder.path().join("pg_wal").is_dir());
        assert!(!folder.path().join("pg_xlog").exists());
    }
}
