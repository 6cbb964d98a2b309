//! What is known of PostgreSQL servers: roles, states, positions, control data.

use super::{Lsn, Moment, Observed, SlotRow, Timeline, WallTime};
use std::fmt;
use std::str::FromStr;

/// The part that a member plays, as the store, the API and callbacks name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Follows another server.
    #[default]
    Replica,
    /// Leads a standby cluster.
    StandbyLeader,
    /// Was primary, is no longer, and was not started again yet.
    Demoted,
    /// Was told to become primary and is on the way.
    Promoted,
    /// Has no data directory yet.
    Uninitialized,
}

impl Role {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::StandbyLeader => "standby_leader",
            Role::Demoted => "demoted",
            Role::Promoted => "promoted",
            Role::Uninitialized => "uninitialized",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role or state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName(pub String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a known name", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Role, UnknownName> {
        Ok(match text {
            "primary" | "master" => Role::Primary,
            "replica" => Role::Replica,
            "standby_leader" => Role::StandbyLeader,
            "demoted" => Role::Demoted,
            "promoted" => Role::Promoted,
            "uninitialized" => Role::Uninitialized,
            other => return Err(UnknownName(other.to_owned())),
        })
    }
}

/// The state of a server as members publish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PgState {
    /// initdb runs.
    InitializingNewCluster,
    /// initdb failed.
    InitdbFailed,
    /// A custom bootstrap method runs.
    RunningCustomBootstrap,
    /// A custom bootstrap method failed.
    CustomBootstrapFailed,
    /// A replica is being cloned.
    CreatingReplica,
    /// Accepts connections.
    Running,
    /// Started, does not accept connections yet.
    Starting,
    /// The same, after a custom bootstrap.
    StartingAfterCustomBootstrap,
    /// Could not be started.
    StartFailed,
    /// Is being restarted.
    Restarting,
    /// The restart failed.
    RestartFailed,
    /// Is being stopped.
    Stopping,
    /// Is stopped.
    Stopped,
    /// Could not be stopped.
    StopFailed,
    /// Ended without having been told to.
    Crashed,
}

impl PgState {
    /// Every state, in the order of the numbers that `/metrics` gives them.
    pub const ALL: [PgState; 15] = [
        PgState::InitializingNewCluster,
        PgState::InitdbFailed,
        PgState::RunningCustomBootstrap,
        PgState::CustomBootstrapFailed,
        PgState::CreatingReplica,
        PgState::Running,
        PgState::Starting,
        PgState::StartingAfterCustomBootstrap,
        PgState::StartFailed,
        PgState::Restarting,
        PgState::RestartFailed,
        PgState::Stopping,
        PgState::Stopped,
        PgState::StopFailed,
        PgState::Crashed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            PgState::InitializingNewCluster => "initializing new cluster",
            PgState::InitdbFailed => "initdb failed",
            PgState::RunningCustomBootstrap => "running custom bootstrap script",
            PgState::CustomBootstrapFailed => "custom bootstrap failed",
            PgState::CreatingReplica => "creating replica",
            PgState::Running => "running",
            PgState::Starting => "starting",
            PgState::StartingAfterCustomBootstrap => "starting after custom bootstrap",
            PgState::StartFailed => "start failed",
            PgState::Restarting => "restarting",
            PgState::RestartFailed => "restart failed",
            PgState::Stopping => "stopping",
            PgState::Stopped => "stopped",
            PgState::StopFailed => "stop failed",
            PgState::Crashed => "crashed",
        }
    }
}

impl fmt::Display for PgState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PgState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<PgState, UnknownName> {
        PgState::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// The data directory as it lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDirectory {
    /// It is missing or holds nothing.
    Empty,
    /// It holds a database cluster (`PG_VERSION` and a control file are there).
    Initialized,
    /// It holds something that is not a database cluster.
    Foreign,
    /// It holds a database cluster in which pg_rewind began to write and did not come to its end.
    HalfRewound(RewindMark),
    /// It cannot be read; the text is the system's reason.
    Inaccessible(String),
}

impl DataDirectory {
    /// A database cluster is there, fit for a server or not.
    pub fn holds_cluster(&self) -> bool {
        matches!(self, DataDirectory::Initialized | DataDirectory::HalfRewound(_))
    }
}

/// What is known of a pg_rewind that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewindMark {
    /// Whose data were being copied.
    pub source: String,
    /// The timeline that the source was on.
    pub timeline: Timeline,
    /// The machine was not booted since: what was written before is all there.
    pub same_boot: bool,
}

/// `Database cluster state` of the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlState {
    /// "starting up"
    StartingUp,
    /// "shut down"
    ShutDown,
    /// "shut down in recovery"
    ShutDownInRecovery,
    /// "shutting down"
    ShuttingDown,
    /// "in crash recovery"
    InCrashRecovery,
    /// "in archive recovery"
    InArchiveRecovery,
    /// "in production"
    InProduction,
}

/// What the control file says (pg_controldata), as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlData {
    /// `Database system identifier`.
    pub system_id: String,
    /// `Database cluster state`.
    pub state: ControlState,
    /// `Latest checkpoint location`.
    pub checkpoint: Lsn,
    /// `Latest checkpoint's TimeLineID`.
    pub checkpoint_timeline: Timeline,
    /// `Minimum recovery ending location`; 0/0 where there is none.
    pub minimum_recovery_end: Lsn,
    /// `Min recovery ending loc's timeline`.
    pub minimum_recovery_timeline: Timeline,
    /// `wal_log_hints setting` is on or `Data page checksum version` is not 0: pg_rewind can work.
    pub can_rewind: bool,
}

/// How a running server's walsenders look: one row per connected standby.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicationRow {
    /// The user that it connected as.
    pub usename: String,
    /// Its application name: for members, the member's name.
    pub application_name: String,
    /// Its address; empty for a Unix socket.
    pub client_addr: Option<String>,
    /// `streaming`, `catchup`, ...
    pub state: String,
    /// `async`, `sync`, `potential`, `quorum`.
    pub sync_state: String,
    /// Its rank in synchronous_standby_names.
    pub sync_priority: i32,
    /// How far it was sent.
    pub sent_lsn: Option<Lsn>,
    /// How far it wrote.
    pub write_lsn: Option<Lsn>,
    /// How far it flushed.
    pub flush_lsn: Option<Lsn>,
    /// How far it replayed.
    pub replay_lsn: Option<Lsn>,
}

/// Which position of a synchronous standby a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitPoint {
    /// Written by it: `remote_write`.
    Written,
    /// Flushed by it: `on`, and whatever does not wait at all.
    #[default]
    Flushed,
    /// Replayed by it: `remote_apply`.
    Replayed,
}

impl CommitPoint {
    /// What `synchronous_commit` says.
    pub fn of(setting: &str) -> CommitPoint {
        match setting {
            "remote_write" => CommitPoint::Written,
            "remote_apply" => CommitPoint::Replayed,
            _ => CommitPoint::Flushed,
        }
    }
}

/// One answer of the monitoring query.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitoring {
    /// The server is not in recovery: it takes writes.
    pub is_primary: bool,
    /// `server_version_num`.
    pub server_version: u32,
    /// When the postmaster started.
    pub postmaster_start: WallTime,
    /// Primary: its timeline; replica: that of what it receives or replays, where known.
    pub timeline: Option<Timeline>,
    /// Primary: how far it has written.
    pub current_lsn: Option<Lsn>,
    /// Replica: how far it received.
    pub received_lsn: Option<Lsn>,
    /// Replica: how far it replayed.
    pub replayed_lsn: Option<Lsn>,
    /// Replica: the last replayed transaction's time.
    pub replayed_at: Option<WallTime>,
    /// Replica: the newest position that its sender told it of (pg_stat_wal_receiver.latest_end_lsn).
    pub latest_end_lsn: Option<Lsn>,
    /// Replica: replay is paused.
    pub replay_paused: bool,
    /// Replica: what lies in its pg_wal was replayed to the end once since the server was started. Until then it has
    /// more of the log than the positions above say.
    pub log_was_read: bool,
    /// Replica: `streaming` where the walreceiver is connected, `in archive recovery` otherwise.
    pub replication_state: Option<String>,
    /// Replica: host and port that the walreceiver is connected to, where it is.
    pub streaming_from: Option<(String, u16)>,
    /// Primary (or cascading replica): connected standbys.
    pub replication: Vec<ReplicationRow>,
    /// The server's slots.
    pub slots: Vec<SlotRow>,
    /// `synchronous_standby_names` as the server has it.
    pub synchronous_standby_names: String,
    /// `synchronous_commit` as sessions get it unless they ask for something else.
    pub synchronous_commit: CommitPoint,
}

impl Monitoring {
    /// Primary: the written position; replica: the greater of received and replayed.
    pub fn position(&self) -> Option<Lsn> {
        if self.is_primary { self.current_lsn } else { self.received_lsn.max(self.replayed_lsn) }
    }
}

/// The process behind a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postmaster {
    /// Its process id.
    pub pid: i32,
    /// Its start in clock ticks after boot (field 22 of /proc/PID/stat): with the pid, its identity.
    pub start_ticks: u64,
}

/// What a running postmaster says of itself in its pid file, told apart by its control file where that says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PostmasterStatus {
    /// Not ready yet.
    Starting,
    /// Stopping.
    Stopping,
    /// Takes connections, read-only: in recovery.
    Standby,
    /// Takes connections, read-write.
    Ready,
}

/// The local server as far as it is known at this instant.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerView {
    /// The data directory.
    pub data_directory: DataDirectory,
    /// The running postmaster, if there is one.
    pub postmaster: Option<Postmaster>,
    /// What it says of itself, where it runs: here `Standby` is a server that takes read-only connections, whatever
    /// word its pid file has for that.
    pub status: Option<PostmasterStatus>,
    /// The last answer of the monitoring query, from this postmaster.
    pub monitoring: Observed<Monitoring>,
    /// The control file; read whenever the server stops, starts or is found stopped.
    pub control: Observed<ControlData>,
    /// When the postmaster was last seen to end, for whatever reason.
    pub ended_at: Option<Moment>,
    /// `standby.signal` or `recovery.signal` (or recovery.conf) is there: a start goes into recovery.
    pub recovery_signal: bool,
    /// `server_version_num` of the binaries.
    pub version: u32,
}

impl ServerView {
    /// The server takes writes, or may do so at any moment without being asked: it runs and is not held in recovery.
    pub fn may_take_writes(&self) -> bool {
        self.postmaster.is_some()
            && match self.status {
                Some(PostmasterStatus::Ready) => true,
                Some(PostmasterStatus::Standby) => false,
                Some(PostmasterStatus::Starting | PostmasterStatus::Stopping) | None => !self.recovery_signal,
            }
    }

    /// The server takes writes now.
    pub fn is_primary(&self) -> bool {
        self.postmaster.is_some() && self.status == Some(PostmasterStatus::Ready)
    }

    /// The server takes read-only connections.
    pub fn is_standby(&self) -> bool {
        self.postmaster.is_some() && self.status == Some(PostmasterStatus::Standby)
    }

    /// Takes a reading of the control file. Several may be under way when a server ends: one that was begun earlier does
    /// not replace one that was begun later, nor does a failed one that of a server that is down.
    pub fn take_control(&mut self, new: Observed<ControlData>) {
        let outdated = match (&self.control, &new) {
            (Observed::Seen { at: known, .. }, Observed::Seen { at, .. }) => at < known,
            (Observed::Seen { .. }, Observed::Unseen(_)) => {
                self.postmaster.is_none() && self.data_directory.holds_cluster()
            }
            (Observed::Unseen(_), _) => false,
        };
        if !outdated {
            self.control = new;
        }
    }

    /// The control file as it was left by the last process that ended, or as found.
    pub fn control_after_end(&self) -> Option<&ControlData> {
        match (&self.control, self.ended_at) {
            (Observed::Seen { value, at }, Some(ended)) if *at >= ended => Some(value),
            (Observed::Seen { value, .. }, None) => Some(value),
            _ => None,
        }
    }
}
