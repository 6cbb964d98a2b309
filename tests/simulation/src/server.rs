//! A modelled PostgreSQL server: its data directory, its process, and whom its commits wait for. It obeys signals and
//! knows nothing of leaders.

use crate::log::Log;
use regent_core::model::{
    CommitPoint, ControlData, ControlState, DataDirectory, Lsn, Moment, Monitoring, Postmaster, PostmasterStatus,
    ReplicationRow, RewindMark, StandbyNames, SyncMethod, Timeline, WallTime,
};
use std::time::Duration;

/// The identifier of the cluster that these worlds are about.
pub const SYSTEM_ID: &str = "7710345176211496303";

/// How long a server sleeps between two attempts to reach its source (wal_retrieve_retry_interval).
pub const RETRY: Duration = Duration::from_secs(5);

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none.
    Down,
    /// It recovers and takes nobody yet.
    Starting,
    /// It takes writes.
    Primary,
    /// It takes readers.
    Standby,
    /// It ends: nobody writes any more, standbys still get the rest.
    Stopping,
}

/// What lies on the disk.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The log.
    pub log: Log,
    /// A start goes into recovery.
    pub recovery_signal: bool,
    /// What the control file says.
    pub state: ControlState,
    /// The last checkpoint's record.
    pub checkpoint: Lsn,
    /// Its timeline.
    pub checkpoint_timeline: Timeline,
    /// A rewind began to write here and has not come to its end: whatever else is said here is not true.
    pub half_rewound: Option<RewindMark>,
    /// It is not consistent before it got from a source what a rewind's source wrote while that went on.
    pub lacks_log: bool,
}

/// A commit that waits for standbys.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Its place in the log.
    pub index: usize,
    /// Its record.
    pub id: u32,
}

/// The server.
#[derive(Clone, Debug)]
pub struct Server {
    /// `None`: the data directory is empty.
    pub directory: Option<Directory>,
    /// What the process does.
    pub phase: Phase,
    /// The process.
    pub postmaster: Option<Postmaster>,
    /// When it was started.
    pub started: Moment,
    /// `synchronous_standby_names`.
    pub names: String,
    /// Whom its configuration tells it to stream from.
    pub source: Option<usize>,
    /// Whom it is connected to.
    pub stream: Option<usize>,
    /// It tries to connect no sooner.
    pub retry_at: Moment,
    /// A standby tells less than its log holds until then: it replays what lies in pg_wal first.
    pub read_at: Moment,
    /// Which promotion of the whole world made it primary last.
    pub epoch: u32,
    /// Commits that wait for standbys.
    pub waiting: Vec<Waiting>,
    next_pid: i32,
}

impl Server {
    /// A machine with an empty disk.
    pub fn new() -> Server {
        Server {
            directory: None,
            phase: Phase::Down,
            postmaster: None,
            started: Moment(0),
            names: String::new(),
            source: None,
            stream: None,
            retry_at: Moment(0),
            read_at: Moment(0),
            epoch: 0,
            waiting: Vec::new(),
            next_pid: 100,
        }
    }

    /// Starts the process; it recovers first.
    pub fn spawn(&mut self, now: Moment) -> Postmaster {
        self.next_pid += 1;
        let postmaster = Postmaster { pid: self.next_pid, start_ticks: now.0 };
        self.postmaster = Some(postmaster);
        self.phase = Phase::Starting;
        self.started = now;
        self.stream = None;
        self.retry_at = now;
        if let Some(directory) = &mut self.directory {
            directory.state =
                if directory.recovery_signal { ControlState::InArchiveRecovery } else { ControlState::InCrashRecovery };
        }
        postmaster
    }

    /// Recovery is over: it takes connections. `id` is the record that the end of a crash recovery writes. A standby
    /// has read its own log at `read_at`, and looks for its source then.
    pub fn come_up(&mut self, id: u32, read_at: Moment) {
        let Some(directory) = &mut self.directory else { return };
        if directory.recovery_signal {
            self.phase = Phase::Standby;
            self.read_at = read_at;
            self.retry_at = read_at;
        } else {
            directory.log.append(id);
            directory.note_checkpoint(ControlState::InProduction);
            self.phase = Phase::Primary;
        }
    }

    /// It becomes primary on a timeline of its own.
    pub fn promote(&mut self, id: u32, epoch: u32, taken: Timeline) {
        let Some(directory) = &mut self.directory else { return };
        directory.log.begin_timeline(id, taken);
        directory.log.flush();
        directory.recovery_signal = false;
        directory.state = ControlState::InProduction;
        self.phase = Phase::Primary;
        self.stream = None;
        self.epoch = epoch;
    }

    /// The process is gone. A clean end leaves a checkpoint, `id`, where it was a primary.
    pub fn end(&mut self, clean: Option<u32>) {
        let was_standby = self.directory.as_ref().is_some_and(|directory| directory.recovery_signal);
        if let (Some(directory), Some(id)) = (&mut self.directory, clean) {
            if was_standby {
                directory.state = ControlState::ShutDownInRecovery;
            } else {
                directory.log.append(id);
                directory.note_checkpoint(ControlState::ShutDown);
            }
        }
        self.phase = Phase::Down;
        self.postmaster = None;
        self.stream = None;
        self.waiting.clear();
    }

    /// The log; empty without a data directory.
    pub fn log(&self) -> Option<&Log> {
        self.directory.as_ref().map(|directory| &directory.log)
    }

    /// What the pid file and the control file tell.
    pub fn status(&self) -> Option<PostmasterStatus> {
        match self.phase {
            Phase::Down => None,
            Phase::Starting => Some(PostmasterStatus::Starting),
            Phase::Primary => Some(PostmasterStatus::Ready),
            Phase::Standby => Some(PostmasterStatus::Standby),
            Phase::Stopping => Some(PostmasterStatus::Stopping),
        }
    }

    /// The data directory as a daemon finds it.
    pub fn data_directory(&self) -> DataDirectory {
        match &self.directory {
            Some(Directory { half_rewound: Some(mark), .. }) => DataDirectory::HalfRewound(mark.clone()),
            Some(_) => DataDirectory::Initialized,
            None => DataDirectory::Empty,
        }
    }

    /// A start would go into recovery.
    pub fn has_recovery_signal(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.recovery_signal)
    }

    /// The control file.
    pub fn control(&self) -> Option<ControlData> {
        let directory = self.directory.as_ref()?;
        let recovering = directory.recovery_signal;
        Some(ControlData {
            system_id: SYSTEM_ID.to_owned(),
            state: directory.state,
            checkpoint: directory.checkpoint,
            checkpoint_timeline: directory.checkpoint_timeline,
            minimum_recovery_end: if recovering { directory.log.end() } else { Lsn(0) },
            minimum_recovery_timeline: if recovering { directory.log.timeline() } else { Timeline(0) },
            can_rewind: true,
        })
    }

    /// What the monitoring query answers; `None` while it takes no connections.
    pub fn monitoring(&self, names: &[String], replication: Vec<ReplicationRow>, now: Moment) -> Option<Monitoring> {
        let is_primary = self.phase == Phase::Primary;
        let log = self.log().filter(|_| is_primary || self.phase == Phase::Standby)?;
        let log_was_read = is_primary || now >= self.read_at;
        let (timeline, end) = match &self.directory {
            Some(directory) if !log_was_read => (directory.checkpoint_timeline, directory.checkpoint.min(log.end())),
            _ => (log.timeline(), log.end()),
        };
        let standby = (!is_primary).then_some(end);
        let connected = self.stream.filter(|_| !is_primary);
        let state = if connected.is_some() { "streaming" } else { "in archive recovery" };
        Some(Monitoring {
            is_primary,
            server_version: 150_000,
            postmaster_start: WallTime(i64::try_from(self.started.0).unwrap_or(0)),
            timeline: Some(timeline),
            current_lsn: is_primary.then(|| log.flushed_end()),
            received_lsn: standby,
            replayed_lsn: standby,
            replayed_at: None,
            latest_end_lsn: standby,
            replay_paused: false,
            log_was_read,
            replication_state: (!is_primary).then(|| state.to_owned()),
            streaming_from: connected.map(|source| (names[source].clone(), 5432)),
            replication,
            slots: Vec::new(),
            synchronous_standby_names: self.names.clone(),
            synchronous_commit: CommitPoint::Flushed,
        })
    }

    /// Whom commits wait for.
    pub fn standby_names(&self) -> StandbyNames {
        StandbyNames::parse(&self.names).unwrap_or_default()
    }
}

/// So many of the standbys that have the commit are enough for these names.
pub fn is_confirmed(names: &StandbyNames, having: &[&str]) -> bool {
    let needed = usize::try_from(names.count).unwrap_or(usize::MAX);
    match names.method {
        SyncMethod::First | SyncMethod::Any if names.names.is_empty() => true,
        SyncMethod::First | SyncMethod::Any => names.members().filter(|name| having.contains(name)).count() >= needed,
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Directory {
    /// What initdb makes.
    pub fn initial(id: u32) -> Directory {
        let mut log = Log::default();
        log.append(id);
        log.flush();
        let checkpoint = log.start_of_last();
        Directory {
            log,
            recovery_signal: false,
            state: ControlState::ShutDown,
            checkpoint,
            checkpoint_timeline: Timeline(1),
            half_rewound: None,
            lacks_log: false,
        }
    }

    /// A copy of another server's, to be started as its standby.
    pub fn copy_of(source: &Directory) -> Directory {
        let mut copy = Directory { recovery_signal: true, state: ControlState::InArchiveRecovery, ..source.clone() };
        copy.log.lose(usize::MAX);
        copy
    }

    /// The last record is a checkpoint.
    pub fn note_checkpoint(&mut self, state: ControlState) {
        self.log.flush();
        self.checkpoint = self.log.start_of_last();
        self.checkpoint_timeline = self.log.timeline();
        self.state = state;
    }
}
