//! Stopping the server, and noticing the instant at which its shutdown is complete on the disk.

use super::control::{self, ControlFile};
use super::error::{PgError, within};
use super::process::{self, Ended};
use super::watch::StatusWatch;
use super::{Binaries, Server, Tool};
use regent_core::model::{ControlState, Lsn, Postmaster};
use rustix::process::{Pid, Signal};
use std::path::Path;
use std::time::Duration;

/// Reading one record of the log takes milliseconds.
const WALDUMP_LIMIT: Duration = Duration::from_secs(10);

/// Where the first record of a segment begins: after the long page header. A record that begins there follows either a
/// full segment or a SWITCH record.
const FIRST_RECORD_OFFSET: u64 = 0x28;

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// After every client has left.
    Smart,
    /// After the clients were disconnected, with a checkpoint.
    Fast,
    /// At once; the next start recovers.
    Immediate,
    /// Killed with all its processes.
    Kill,
}

/// The end of a server's log, once it is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutDown {
    /// The shutdown checkpoint: a standby that received this much has everything.
    pub checkpoint: Lsn,
    /// The record before it where that is a SWITCH record, else the checkpoint: all that counts is up to here.
    pub last_record: Lsn,
}

/// Asks this server to stop and waits for its end, for at most `limit`. It is no error if it has ended already.
pub async fn stop(postmaster: Postmaster, mode: StopMode, limit: Duration) -> Result<Ended, PgError> {
    let told = match mode {
        StopMode::Smart => process::signal(postmaster, Signal::TERM),
        StopMode::Fast => process::signal(postmaster, Signal::INT),
        StopMode::Immediate => process::signal(postmaster, Signal::QUIT),
        StopMode::Kill => kill(postmaster).await,
    };
    match told {
        Ok(()) | Err(PgError::NotRunning) => {}
        Err(error) => return Err(error),
    }
    within(limit, "the stop of the server", process::ended(postmaster)).await
}

/// Stopped first, so that it cannot replace the children that are killed before it.
async fn kill(postmaster: Postmaster) -> Result<(), PgError> {
    process::signal(postmaster, Signal::STOP)?;
    let children = super::error::blocking(move || Ok(process::children(postmaster.pid))).await?;
    for child in children.into_iter().filter_map(Pid::from_raw) {
        // A child that is gone already needs no signal.
        let _ = rustix::process::kill_process(child, Signal::KILL);
    }
    process::signal(postmaster, Signal::KILL)
}

impl Server {
    /// Waits until the control file says that the server is shut down, for at most `limit`; the process may live on to
    /// archive. An error if the server ends without having shut down cleanly.
    pub async fn wait_until_shut_down(&self, postmaster: Postmaster, limit: Duration) -> Result<ShutDown, PgError> {
        let data_dir = &self.settings.data_dir;
        let mut watch = StatusWatch::open(data_dir)?;
        let down = watch.until_control(postmaster, &[ControlState::ShutDown, ControlState::ShutDownInRecovery]);
        within(limit, "the shutdown of the server", down).await?;
        shutdown_checkpoint(&self.binaries, data_dir).await?.ok_or(PgError::NotRunning)
    }
}

/// Where the log of a server that was shut down as a primary ends; `None` where the control file says that it was not.
pub async fn shutdown_checkpoint(binaries: &Binaries, data_dir: &Path) -> Result<Option<ShutDown>, PgError> {
    let file = control::control_file(binaries, data_dir).await?;
    let data = file.data()?;
    match data.state {
        ControlState::ShutDown => {}
        ControlState::ShutDownInRecovery => {
            return Ok(Some(ShutDown { checkpoint: data.checkpoint, last_record: data.checkpoint }));
        }
        _ => return Ok(None),
    }
    let last_record = match before_checkpoint(binaries, data_dir, &file).await {
        Ok(switch) => switch.unwrap_or(data.checkpoint),
        Err(error) => {
            tracing::warn!("could not read the record before the shutdown checkpoint: {error}");
            data.checkpoint
        }
    };
    Ok(Some(ShutDown { checkpoint: data.checkpoint, last_record }))
}

/// The SWITCH record right before the latest checkpoint, if there is one. A server that archives switches to a new
/// segment before its last checkpoint; only a checkpoint at the very start of a segment can follow a switch, so that
/// the log is read in that case only.
async fn before_checkpoint(binaries: &Binaries, data_dir: &Path, file: &ControlFile) -> Result<Option<Lsn>, PgError> {
    let data = file.data()?;
    let segment = file.segment_bytes().filter(|bytes| *bytes > 0).unwrap_or(16 << 20);
    if data.checkpoint.0 % segment != FIRST_RECORD_OFFSET {
        return Ok(None);
    }
    let timeline = data.checkpoint_timeline.0;
    let Some(checkpoint) = read_record(binaries, data_dir, timeline, data.checkpoint).await? else {
        return Ok(None);
    };
    let Some(before) = read_record(binaries, data_dir, timeline, checkpoint.previous).await? else {
        return Ok(None);
    };
    Ok((before.manager == "XLOG" && before.description.starts_with("SWITCH")).then_some(checkpoint.previous))
}

/// One record of the log as pg_waldump prints it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub manager: String,
    pub previous: Lsn,
    pub description: String,
}

impl Record {
    /// `rmgr: XLOG  len (rec/tot): 24/24, tx: 0, lsn: 0/01000028, prev 0/00000000, desc: SWITCH`
    pub fn parse(line: &str) -> Option<Record> {
        let rest = line.strip_prefix("rmgr:")?;
        let manager = rest.split_whitespace().next()?.to_owned();
        let (_, rest) = rest.split_once(" prev ")?;
        let (previous, rest) = rest.split_once(',')?;
        let (_, description) = rest.split_once("desc:")?;
        Some(Record { manager, previous: previous.parse().ok()?, description: description.trim().to_owned() })
    }
}

async fn read_record(
    binaries: &Binaries,
    data_dir: &Path,
    timeline: u32,
    start: Lsn,
) -> Result<Option<Record>, PgError> {
    let wal = if binaries.version() >= 100_000 { "pg_wal" } else { "pg_xlog" };
    let program = binaries.program(Tool::PgWaldump)?.arg("-p").arg(data_dir.join(wal)).args([
        "-t",
        &timeline.to_string(),
        "-s",
        &start.to_string(),
        "-n",
        "1",
    ]);
    let output = program.output(WALDUMP_LIMIT).await?;
    Ok(output.stdout.lines().find_map(Record::parse))
}

/// Where the record at `start` ends, that is where the next one would begin; read from what pg_waldump says when it
/// finds no further record. `None` where it does not say.
pub async fn end_of_record(
    binaries: &Binaries,
    data_dir: &Path,
    timeline: u32,
    start: Lsn,
) -> Result<Option<Lsn>, PgError> {
    let wal = if binaries.version() >= 100_000 { "pg_wal" } else { "pg_xlog" };
    let program = binaries.program(Tool::PgWaldump)?.arg("-p").arg(data_dir.join(wal)).args([
        "-t",
        &timeline.to_string(),
        "-s",
        &start.to_string(),
        "-n",
        "2",
    ]);
    let output = program.output(WALDUMP_LIMIT).await?;
    Ok(end_from_error(&output.stderr))
}

/// `pg_waldump: error: error in WAL record at 0/3000028: invalid record length at 0/30000A0: wanted 24, got 0`: the last
/// position that is named is where the next record would be.
fn end_from_error(text: &str) -> Option<Lsn> {
    let line = text.lines().find(|line| line.contains("error in WAL record at"))?;
    let (_, rest) = line.split_once("error in WAL record at")?;
    let (_, rest) = rest.split_once(": ")?;
    rest.split(" at ").nth(1)?.split([':', ',', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_printed() {
        let line = "rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/03000060, prev 0/03000028, \
                    desc: SWITCH ";
        let expected = Record { manager: "XLOG".into(), previous: Lsn(0x300_0028), description: "SWITCH".into() };
        assert_eq!(Record::parse(line), Some(expected));
        assert_eq!(Record::parse("pg_waldump: fatal"), None);
    }

    #[test]
    fn the_end_of_a_record_is_in_the_error() {
        let check = |text, expected| assert_eq!(end_from_error(text), expected, "{text}");
        check(
            "pg_waldump: error: error in WAL record at 0/3000028: invalid record length at 0/30000A0: wanted 24, got 0",
            Some(Lsn(0x300_00a0)),
        );
        check("pg_waldump: error in WAL record at 0/28: record with incorrect prev-link 0/1 at 0/A0", Some(Lsn(0xa0)));
        check("something else", None);
    }
}
