//! Timeline history files: which timeline began where, and why. Pure, except for reading the local files.

use super::Server;
use super::error::{PgError, blocking};
use regent_core::model::{Lsn, Timeline};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The end of one timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The timeline that ended.
    pub timeline: Timeline,
    /// Where: the next timeline goes on from here.
    pub switchpoint: Lsn,
    /// Why, in the server's words.
    pub reason: String,
}

/// Reads a history file: `timeline`, position and reason, separated by white space, one line each. What is not such a
/// line (a comment, an empty line) says nothing.
pub fn parse_history(text: &str) -> Vec<HistoryRow> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (timeline, rest) = line.split_once(char::is_whitespace)?;
            let rest = rest.trim_start();
            let (position, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            Some(HistoryRow {
                timeline: Timeline(timeline.parse().ok()?),
                switchpoint: position.parse().ok()?,
                reason: reason.trim().to_owned(),
            })
        })
        .collect()
}

impl Server {
    /// How the timelines up to `timeline` came to be, from the local files; `None` where the file is not there.
    pub async fn local_history(&self, timeline: Timeline) -> Result<Option<Vec<HistoryRow>>, PgError> {
        let wal = if self.binaries.version() >= 100_000 { "pg_wal" } else { "pg_xlog" };
        let path = self.settings.data_dir.join(wal).join(format!("{:08X}.history", timeline.0));
        blocking(move || match std::fs::read(&path) {
            Ok(text) => Ok(Some(parse_history(&String::from_utf8_lossy(&text)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PgError::io_at("read", &path)(error)),
        })
        .await
    }
}

/// So many timelines may have begun elsewhere while this server heard of none; more than that is a broken document.
const MOST_TAKEN: u32 = 64;

fn reserve_all(wal: &Path, own: Timeline, last: Timeline) -> Result<(), PgError> {
    for timeline in own.0 + 1..=last.0 {
        let path = wal.join(format!("{timeline:08X}.history"));
        if !path.exists() {
            tracing::info!("timeline {timeline} is taken by another server");
            reserve(&path).map_err(PgError::io_at("write", &path))?;
        }
    }
    Ok(())
}

fn reserve(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(TAKEN.as_bytes())?;
    file.sync_all()
}

/// What stands in the file of a timeline that exists elsewhere: nothing that a server in recovery could follow.
const TAKEN: &str = "# taken by another server of this cluster\n";

impl Server {
    /// Keeps the next promotion from beginning a timeline up to `last` that another server of the cluster began and this
    /// one has not heard of: two histories of one number could not be told apart.
    ///
    /// PostgreSQL takes the first number above its own that has no history file.
    pub async fn reserve_timelines(&self, last: Timeline) -> Result<(), PgError> {
        if last <= Timeline(1) {
            return Ok(());
        }
        let control = super::control_data(&self.binaries, &self.settings.data_dir).await?;
        let own = control.checkpoint_timeline.max(control.minimum_recovery_timeline);
        let wal = self.settings.data_dir.join(if self.binaries.version() < 100_000 { "pg_xlog" } else { "pg_wal" });
        if last.0.saturating_sub(own.0) > MOST_TAKEN {
            tracing::warn!(
                "timeline {last} is out of reach of this server's {own}: whoever published it is not believed"
            );
            return Ok(());
        }
        blocking(move || reserve_all(&wal, own, last)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// REW: a promotion begins the first timeline that has no history file.
    #[test]
    fn numbers_of_timelines_that_others_began_are_taken() {
        let wal = tempfile::tempdir().expect("a directory");
        let real = wal.path().join("00000003.history");
        std::fs::write(&real, "1\t0/5000148\tbefore\n").expect("written");
        reserve_all(wal.path(), Timeline(2), Timeline(5)).expect("reserved");
        reserve_all(wal.path(), Timeline(2), Timeline(5)).expect("twice is as good as once");
        let mut names: Vec<_> =
            std::fs::read_dir(wal.path()).expect("read").map(|it| it.expect("read").file_name()).collect();
        names.sort();
        assert_eq!(names, ["00000003.history", "00000004.history", "00000005.history"]);
        assert!(!parse_history(&std::fs::read_to_string(&real).expect("read")).is_empty(), "what was known stays");
        let taken = std::fs::read_to_string(wal.path().join("00000005.history")).expect("read");
        assert!(parse_history(&taken).is_empty(), "nothing that could be followed");
    }

    #[test]
    fn history_is_read_and_comments_are_not() {
        let text =
            "# comment\n1\t0/5000148\tno recovery target specified\n\n2\t0/6000000\tbefore 2020\t-01-01\n3 0/7\nx\n";
        let rows = parse_history(text);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].switchpoint, Lsn(0x500_0148));
        assert_eq!(rows[0].reason, "no recovery target specified");
        assert_eq!(rows[1].reason, "before 2020\t-01-01");
        assert_eq!((rows[2].timeline, rows[2].reason.as_str()), (Timeline(3), ""));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in "\\PC*|[0-9A-F/\t \n]*") {
            parse_history(&text);
        }

        #[test]
        fn what_postgresql_writes_comes_back(rows in prop::collection::vec((1u32.., any::<u64>(), "[a-z][a-z ]{0,20}[a-z]"), 0..20)) {
            let text: String = rows.iter().map(|(tli, lsn, why)| format!("{tli}\t{}\t{why}\n", Lsn(*lsn))).collect();
            let read = parse_history(&text);
            let expected: Vec<_> = rows.into_iter().map(|(timeline, lsn, reason)| HistoryRow { timeline: Timeline(timeline), switchpoint: Lsn(lsn), reason }).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
