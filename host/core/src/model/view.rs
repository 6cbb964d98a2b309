//! The view: everything that is known at one instant, and the work that may be going on.

use super::{
    ClusterView, ControlData, ControlState, FenceMode, HistoryRow, Lsn, MemberStatus, Moment, Observed, ServerView,
    Settings, SlotSpec, Source, SyncState, Timeline, Version, WallTime,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Everything known at this instant.
#[derive(Clone, Debug)]
pub struct View {
    /// The boot-time clock.
    pub now: Moment,
    /// The wall clock; for schedules only.
    pub wall: WallTime,
    /// When this daemon started.
    pub started_at: Moment,
    /// What the operator wants.
    pub settings: Arc<Settings>,
    /// The store.
    pub store: StoreView,
    /// The lock, where we hold it and its end is ahead.
    pub lease: Option<LeaseView>,
    /// Failsafe mode.
    pub failsafe: super::FailsafeView,
    /// The local server.
    pub server: ServerView,
    /// The long work that is going on; at most one.
    pub running: Option<RunningTask>,
    /// The long work that ended last.
    pub finished: Option<FinishedTask>,
    /// Short work that is going on beside it.
    pub errands: BTreeSet<ErrandKind>,
    /// When an errand of a kind last failed, until one of that kind works.
    pub errand_failures: BTreeMap<ErrandKind, Moment>,
    /// The last errand of slots that went well brought about exactly these names (sorted).
    pub slots_synced: Option<(Vec<String>, Moment)>,
    /// The last round of questions to other members.
    pub probes: Option<ProbeRound>,
    /// The lease guard.
    pub guard: GuardView,
    /// The Linux watchdog.
    pub watchdog: WatchdogView,
    /// What operators asked for.
    pub requests: RequestsView,
}

impl View {
    /// This member's name.
    pub fn me(&self) -> &str {
        &self.settings.name
    }

    /// The server's timeline, as far as it is known. A half rewound data directory is on none.
    pub fn own_timeline(&self) -> Option<Timeline> {
        if matches!(self.server.data_directory, super::DataDirectory::HalfRewound(_)) {
            return None;
        }
        let monitoring = self.server.monitoring.value().filter(|_| self.server.postmaster.is_some());
        let said = monitoring.and_then(|monitoring| monitoring.timeline);
        said.or_else(|| {
            let control = self.server.control.value()?;
            Some(control.checkpoint_timeline.max(control.minimum_recovery_timeline))
        })
    }

    /// The watchdog is required and does not work: this member must not lead, and others need not wait for it.
    pub fn watchdog_failed(&self) -> bool {
        self.settings.watchdog == FenceMode::Required && !self.watchdog.usable
    }

    /// A stop is going on and has come so far that no session is left: the shutdown checkpoint is under way or done.
    pub fn stop_is_past_sessions(&self) -> bool {
        let stop = self.running.as_ref().filter(|running| matches!(running.task, Task::Stop { .. }));
        let ended = [ControlState::ShuttingDown, ControlState::ShutDown];
        match (stop, &self.server.control) {
            (Some(stop), Observed::Seen { value, at }) => *at >= stop.since && ended.contains(&value.state),
            _ => false,
        }
    }

    /// The last reading of the store.
    pub fn cluster(&self) -> Option<&ClusterView> {
        self.store.snapshot.as_ref().map(|(cluster, _)| cluster.as_ref())
    }
}

/// The store and the calls to it.
#[derive(Clone, Debug, Default)]
pub struct StoreView {
    /// The last successful reading, and when it was begun.
    pub snapshot: Option<(Arc<ClusterView>, Moment)>,
    /// Something changed in the store since that reading was begun.
    pub changed: bool,
    /// The call that is going on; at most one.
    pub in_flight: Option<StoreCallKind>,
    /// Since when calls fail without a verdict.
    pub failing_since: Option<Moment>,
    /// After a failure: not before then.
    pub retry_at: Option<Moment>,
    /// The store said no to our renewal or acquisition after the last reading was begun.
    pub lock_refused: bool,
    /// Our lock ran out unrenewed, and was not taken again since.
    pub lease_ran_out: bool,
    /// The claim to bootstrap is ours.
    pub claimed: bool,
    /// When the member key was last written.
    pub member_written_at: Option<Moment>,
    /// What the member key should say differs from what it says.
    pub member_differs: bool,
    /// The dynamic configuration that this node holds in memory, where it holds one: the leader restores a lost key.
    pub has_configuration: bool,
    /// The history that the local server's files tell, once it is known on the current timeline.
    pub local_history: Option<Vec<HistoryRow>>,
}

/// The lock as we hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Its end, counted from just before the renewing request was sent.
    pub deadline: Moment,
    /// When that request was sent.
    pub renewed_at: Moment,
    /// When the last attempt to renew was sent, well or not.
    pub attempted_at: Moment,
}

impl LeaseView {
    /// A renewal is sent now with this ttl, which may be shorter than the one before: the store may go by it although its
    /// answer never comes.
    #[must_use]
    pub fn being_renewed(self, now: Moment, ttl: Duration) -> LeaseView {
        LeaseView { deadline: self.deadline.min(now + ttl), ..self }
    }
}

/// Calls to the store, by what they are for.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreCall {
    /// Read everything.
    Load,
    /// Take the lock.
    Acquire,
    /// Keep the lock; the position and the slots go with it.
    Renew,
    /// Give the lock back, saying how far we had written.
    Release {
        /// The position to leave in `status`.
        optime: Option<Lsn>,
    },
    /// Write the member key.
    TouchMember,
    /// Claim the bootstrap.
    ClaimInitialize,
    /// Say which cluster this is.
    SetInitialize {
        /// The system identifier.
        system_id: String,
    },
    /// Give the claim back.
    CancelInitialize,
    /// Write the dynamic configuration that we hold.
    RestoreConfig,
    /// Clear the `failover` key.
    ClearFailover {
        /// Only this version.
        version: Version,
    },
    /// Say which standbys may take over without loss.
    WriteSync {
        /// What to say.
        sync: SyncState,
        /// Only over this version; `None`: only where the key is absent.
        over: Option<Version>,
    },
    /// Remove the `sync` key: synchronous mode is off.
    DeleteSync {
        /// Only this version.
        version: Version,
    },
    /// Say which members have to be asked in failsafe mode.
    WriteFailsafe {
        /// Names and API addresses.
        members: BTreeMap<String, String>,
    },
    /// Write the history of timelines.
    WriteHistory {
        /// Its rows.
        rows: Vec<HistoryRow>,
    },
}

/// A [`StoreCall`] without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreCallKind {
    /// See [`StoreCall::Load`].
    Load,
    /// See [`StoreCall::Acquire`].
    Acquire,
    /// See [`StoreCall::Renew`].
    Renew,
    /// See [`StoreCall::Release`].
    Release,
    /// See [`StoreCall::TouchMember`].
    TouchMember,
    /// Any other write; also one that an operator's request caused.
    Write,
}

impl StoreCall {
    /// What kind it is.
    pub fn kind(&self) -> StoreCallKind {
        match self {
            StoreCall::Load => StoreCallKind::Load,
            StoreCall::Acquire => StoreCallKind::Acquire,
            StoreCall::Renew => StoreCallKind::Renew,
            StoreCall::Release { .. } => StoreCallKind::Release,
            StoreCall::TouchMember => StoreCallKind::TouchMember,
            _ => StoreCallKind::Write,
        }
    }
}

/// How a server is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// Taking writes; only with the lock.
    Primary,
    /// In recovery, streaming from there.
    Follow(Source),
    /// In recovery, streaming from nowhere.
    Standby,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopMode {
    /// Sessions are ended, a checkpoint is written, standbys get everything.
    Fast,
    /// Sessions are ended, nothing is written; the next start recovers.
    Immediate,
    /// Every process is killed.
    Kill,
}

/// Long work on the server; at most one at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Create the first server of the cluster and start it.
    Bootstrap,
    /// Create this server from others.
    Clone {
        /// Stream from here; `None`: only methods that need no source.
        source: Option<Source>,
        /// Only by pg_basebackup.
        only_basebackup: bool,
    },
    /// Start it.
    Start(StartMode),
    /// Stop it.
    Stop {
        /// How.
        mode: StopMode,
        /// Write a checkpoint while sessions still run, so that the stop is short.
        checkpoint_first: bool,
    },
    /// Let it take writes.
    Promote,
    /// Let a running standby stream from elsewhere; `None`: from nowhere.
    Follow(Option<Source>),
    /// Let go of the lost leader, so that the position stands still while positions are compared.
    StopReceiving,
    /// Stop and start in the same role.
    Restart(StartMode),
    /// Find out whether the local history leaves the leader's.
    CompareHistories(Source),
    /// Bring a diverged data directory back to the leader's history.
    Rewind(Source),
    /// Finish crash recovery without letting anybody in.
    RecoverInSingleUserMode,
    /// Bring the leader's logical slots over; the standby is restarted for it, and follows the source.
    CopySlots {
        /// Which.
        slots: Vec<SlotSpec>,
        /// The leader.
        from: Source,
        /// Whom the standby follows.
        follow: Source,
    },
    /// Stop at once and remove the data directory.
    Wipe,
    /// Keep a failed bootstrap's data directory aside.
    SetAsideFailedBootstrap,
}

/// Long work that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningTask {
    /// What.
    pub task: Task,
    /// Since when.
    pub since: Moment,
    /// For a stop: how hard it is trying at the moment, and since when.
    pub escalated: Option<StopMode>,
    /// It was told to end.
    pub cancelled: bool,
}

/// Long work that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedTask {
    /// Grows with each finished task.
    pub number: u64,
    /// What.
    pub task: Task,
    /// What came of it.
    pub outcome: TaskOutcome,
    /// When it ended.
    pub at: Moment,
}

/// What came of long work.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskOutcome {
    /// It worked.
    Done,
    /// It worked; what was found out about both histories.
    Histories(LocalEnd, LeaderHistory),
    /// It did not; the text says why.
    Failed(String),
    /// The operator's script forbade it, and nothing was changed; the text says what the script said.
    Refused(String),
    /// It was cancelled.
    Cancelled,
}

/// Where the local log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalEnd {
    /// On which timeline.
    pub timeline: Timeline,
    /// In recovery: what was replayed; else the start of the last checkpoint record.
    pub lsn: Lsn,
    /// It is the end of a replay, not of a clean shutdown of a primary.
    pub in_recovery: bool,
}

/// The leader's timeline and where its older ones ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHistory {
    /// Its timeline.
    pub timeline: Timeline,
    /// Older timelines and the positions at which they were left.
    pub switches: Vec<(Timeline, Lsn)>,
}

/// Short work beside the long, one of a kind at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    /// Ask members for their status.
    Probe {
        /// Whom.
        members: Vec<String>,
        /// Who among them is not worth a long wait: it had the lock and lost it.
        former_leader: Option<String>,
    },
    /// Ask members whether this leader may go on without the store.
    AskFailsafe {
        /// Names and API addresses.
        members: BTreeMap<String, String>,
    },
    /// Drop, create and move slots, in this order.
    SyncSlots {
        /// Slots to have, sorted.
        wanted: Vec<String>,
        /// Those of them to make.
        create: Vec<SlotSpec>,
        /// Slots to drop, sorted; one that is to be made anew is in both.
        unwanted: Vec<String>,
        /// Slots to move forward, and whereto.
        advance: Vec<(SlotSpec, Lsn)>,
    },
    /// The first checkpoint of a new primary.
    CheckpointAfterPromote,
    /// Write changed configuration and let the server read it.
    ApplyConfiguration {
        /// Whom a standby follows.
        follow: Option<Source>,
    },
    /// Let the running primary wait for these standbys.
    SetStandbyNames {
        /// `synchronous_standby_names`; `None`: what the user's parameters say.
        names: Option<String>,
    },
    /// Tell the operator's script.
    Callback(Callback, super::Role),
    /// Read the history of timelines from the local files.
    ReadHistory,
    /// Read the control file of a stopped server once more.
    ReadControl,
    /// Let a standby that lost its stream connect again now, not when PostgreSQL would try next (five seconds later).
    WakeReceiver,
}

/// An [`Errand`] without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrandKind {
    /// See [`Errand::Probe`].
    Probe,
    /// See [`Errand::AskFailsafe`].
    AskFailsafe,
    /// See [`Errand::SyncSlots`].
    SyncSlots,
    /// See [`Errand::CheckpointAfterPromote`].
    CheckpointAfterPromote,
    /// See [`Errand::ApplyConfiguration`].
    ApplyConfiguration,
    /// See [`Errand::SetStandbyNames`].
    SetStandbyNames,
    /// See [`Errand::Callback`].
    Callback,
    /// See [`Errand::ReadHistory`].
    ReadHistory,
    /// See [`Errand::ReadControl`].
    ReadControl,
    /// See [`Errand::WakeReceiver`].
    WakeReceiver,
}

impl Errand {
    /// What kind it is.
    pub fn kind(&self) -> ErrandKind {
        match self {
            Errand::Probe { .. } => ErrandKind::Probe,
            Errand::AskFailsafe { .. } => ErrandKind::AskFailsafe,
            Errand::SyncSlots { .. } => ErrandKind::SyncSlots,
            Errand::CheckpointAfterPromote => ErrandKind::CheckpointAfterPromote,
            Errand::ApplyConfiguration { .. } => ErrandKind::ApplyConfiguration,
            Errand::SetStandbyNames { .. } => ErrandKind::SetStandbyNames,
            Errand::Callback(..) => ErrandKind::Callback,
            Errand::ReadHistory => ErrandKind::ReadHistory,
            Errand::ReadControl => ErrandKind::ReadControl,
            Errand::WakeReceiver => ErrandKind::WakeReceiver,
        }
    }
}

/// The events that operators' scripts hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callback {
    /// The server started, or was found running.
    OnStart,
    /// It stopped.
    OnStop,
    /// It was restarted in the same role.
    OnRestart,
    /// Its configuration was read again.
    OnReload,
    /// Its role changed.
    OnRoleChange,
}

impl Callback {
    /// The name in the configuration and in the script's first argument.
    pub fn as_str(self) -> &'static str {
        match self {
            Callback::OnStart => "on_start",
            Callback::OnStop => "on_stop",
            Callback::OnRestart => "on_restart",
            Callback::OnReload => "on_reload",
            Callback::OnRoleChange => "on_role_change",
        }
    }
}

/// A round of questions to other members.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRound {
    /// When it was begun.
    pub begun_at: Moment,
    /// Whom it asked, and what they answered; `None`: no answer in time.
    pub answers: BTreeMap<String, Option<MemberStatus>>,
}

/// The lease guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardView {
    /// It answers.
    pub alive: bool,
}

/// The Linux watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogView {
    /// What became of it.
    pub state: WatchdogState,
    /// It could be opened for writing lately, and its time fits into the lease.
    pub usable: bool,
}

/// What became of the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogState {
    /// It is not open; where it was asked for, the answer is on the way.
    Closed,
    /// It counts down from this, and is fed.
    Open {
        /// So long after it was last fed it resets the host.
        timeout: Duration,
    },
    /// It was asked for, and is not to be had.
    Failed,
}

impl Default for WatchdogView {
    fn default() -> WatchdogView {
        WatchdogView { state: WatchdogState::Closed, usable: true }
    }
}

/// What operators asked for and nobody did yet.
#[derive(Clone, Debug, Default)]
pub struct RequestsView {
    /// Stop the server and end.
    pub shutdown: bool,
    /// Restart the server; how long the start may take.
    pub restart: Option<RestartRequest>,
    /// Throw the data away and clone anew.
    pub reinitialize: Option<ReinitializeRequest>,
    /// The server's configuration changed.
    pub apply_configuration: bool,
}

/// A restart whose conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRequest {
    /// How long the start may take before others may take over.
    pub timeout: Option<Duration>,
}

/// A reinitialization that may go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReinitializeRequest {
    /// Clone from the leader by pg_basebackup.
    pub from_leader: bool,
    /// Cancel what is going on.
    pub force: bool,
}

/// What the control file said when the server was last found stopped; for messages.
pub fn describe_control(control: &ControlData) -> String {
    format!("state {:?}, checkpoint {} on timeline {}", control.state, control.checkpoint, control.checkpoint_timeline)
}
