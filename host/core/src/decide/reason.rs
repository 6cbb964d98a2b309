//! Why a rule fired: a closed set with data, rendered to one sentence for the log, the API and the journal.

use super::Standing;
use crate::model::{Callback, Lsn, Moment, Role, Task, Timeline};
use std::fmt;
use std::time::Duration;

/// Why a rule fired.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant's sentence in Display is its documentation")]
pub enum Reason {
    LockHeldByOther { leader: String },
    RenewalRefused,
    LockRanOut,
    LockEndsSoon { left: Duration },
    StopIsLate { left: Duration },
    StoreSilent { since: Moment },
    RenewalDue,
    ReadingDue,
    OwnLockFound,
    MemberKeyDue,
    ScriptsToTell { event: Callback, role: Role },
    LeavingInPause,
    ShuttingDown,
    ReinitializeRequested,
    RestartRequested,
    ConfigurationChanged,
    TimelineToAnnounce { next: Timeline },
    StartTookTooLong { limit: Duration },
    StopTookTooLong { limit: Duration },
    AskingForCandidates,
    HandoverReady { to: String, at: Lsn },
    SourceIsGone { source: String },
    WaitingForTask { task: Task },
    DirectoryInaccessible { why: String },
    DirectoryForeign,
    DirectoryGone,
    HalfRewound { source: String },
    HalfRewoundForGood { source: String },
    ClusterNotInitialized,
    BootstrapClaimed,
    BootstrapPublishing,
    BootstrapFailed,
    CloningFromNobody,
    CloningFrom { member: String },
    WaitingForLeaderToBootstrap,
    SystemIdMismatch { ours: String, theirs: String },
    ReplicaOfUnknownCluster,
    ClusterNotIdentified,
    PausedAndDown,
    ControlUnknown,
    CrashHandedOver { to: Vec<String> },
    PrimaryCrashed,
    StoppedForHandover,
    StartFailed,
    PromotionRefused,
    LostLeaderMayWrite { position: Lsn },
    GivingWay,
    CrashedEarlier,
    HistoriesToCompare { leader: String },
    LeaderHasNoCheckpoint { leader: String },
    Diverged { leader: String },
    MadeAnew,
    StartingAsStandbyOf { source: String },
    StartingAsStandbyOfNobody,
    PauseAfterFailure,
    PausedAndNotPrimary,
    GuardMissing,
    WatchdogMissing,
    WatchdogOpening,
    StopMustEnd,
    LockAcquired,
    PromotionEnds,
    NobodyToHandOverTo,
    RequestNotForUs,
    HandingOver { to: Option<String>, targets: Vec<String> },
    WaitingForStream { targets: Vec<String> },
    StreamLost { leader: String },
    KeyLost,
    TimelinesToTell,
    FirstCheckpointDue,
    StoreSilentInFailsafe,
    FailsafeKeyDiffers,
    KeptByMembers,
    WordGiven { leader: String },
    NotInFailsafeKey,
    MayHaveForgotten { silent: Vec<String> },
    SlotsDiffer,
    ClusterDemoted,
    LeadingSite,
    WaitingForStandbyLeader,
    LogicalSlotsMissing { leader: String },
    Leading,
    StalePrimary { mine: Option<Timeline>, cluster: Timeline },
    PrimaryTakesFreeLock,
    PausedWithoutLeader,
    NotAllowedToLead,
    NamedByOperator,
    OtherNamed { candidate: String },
    GaveLockUp,
    RaceBegins,
    AskingForPositions,
    OwnPositionUnknown,
    PositionUnsettled { name: String },
    SyncKeyNotOurs { former: Option<String> },
    SyncKeyUnread,
    StandbysLeave { stay: Vec<String> },
    StandbysChosen { names: String },
    StandbysEnter { standbys: Vec<String> },
    QuorumChanges { voters: Vec<String>, quorum: u32 },
    StrictWithoutStandby,
    SynchronousModeOff,
    WaitingForRelease,
    NotSynchronous,
    FirstInRace { position: Lsn },
    StandingBack { standing: Standing, position: Lsn },
    FollowingChanged { source: Option<String> },
    ServerStarting,
    Following { leader: String },
    FollowingWithoutLeader,
    NothingToDo,
}

impl fmt::Display for Reason {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::LockEndsSoon { left } => write!(f, "the lock ends in {} ms and could not be renewed", left.as_millis()),
            Reason::StopIsLate { left } => write!(f, "the stop takes too long, and the lock ends in {} ms", left.as_millis()),
            Reason::LockHeldByOther { leader } => write!(f, "this server takes writes, but {leader} has the lock"),
            Reason::StoreSilent { since } => write!(f, "the store has not answered since {since} after boot, so the lock can not be confirmed"),
            Reason::ScriptsToTell { event, role } => write!(f, "{} as {role} is to be told to the operator's script", event.as_str()),
            Reason::TimelineToAnnounce { next } => write!(f, "the member key has to say that timeline {next} begins here"),
            Reason::StartTookTooLong { limit } => write!(f, "the primary was not up after {} s and another member can take over", limit.as_secs()),
            Reason::StopTookTooLong { limit } => write!(f, "the primary was not down after {} s, and its standbys have every commit", limit.as_secs()),
            Reason::HandoverReady { to, at } => write!(f, "{to} has everything up to the last checkpoint at {at}"),
            Reason::SourceIsGone { source } => write!(f, "{source} is no longer the leader"),
            Reason::WaitingForTask { task } => write!(f, "waiting for: {task}"),
            Reason::DirectoryInaccessible { why } => write!(f, "the data directory is not accessible: {why}"),
            Reason::HalfRewound { source } => write!(f, "pg_rewind from {source} was cut off half way: no server can run on this data directory before the same rewind came to its end, or `regentctl reinit` made it anew"),
            Reason::HalfRewoundForGood { source } => write!(f, "pg_rewind from {source} was cut off half way and can not be repeated: no server can run on this data directory before `regentctl reinit` made it anew"),
            Reason::CloningFrom { member } => write!(f, "the data directory is empty; {member} can be cloned"),
            Reason::SystemIdMismatch { ours, theirs } => write!(f, "system ID mismatch: the data directory is of system {ours}, the cluster is {theirs}"),
            Reason::CrashHandedOver { to } => write!(f, "the primary crashed, primary_start_timeout is 0, and {} can take over", to.join(" or ")),
            Reason::HistoriesToCompare { leader } => write!(f, "whether the local history is part of {leader}'s has to be found out"),
            Reason::LeaderHasNoCheckpoint { leader } => write!(f, "{leader} has not written its first checkpoint yet, which pg_rewind needs"),
            Reason::Diverged { leader } => write!(f, "the local history has left that of {leader}"),
            Reason::StartingAsStandbyOf { source } => write!(f, "the server is down and {source} is there to follow"),
            Reason::HandingOver { to: Some(to), .. } => write!(f, "an operator asked to hand over to {to}, which is ready"),
            Reason::HandingOver { to: None, targets } => write!(f, "an operator asked to hand over; ready: {}", targets.join(", ")),
            Reason::WaitingForStream { targets } => write!(f, "{} could take over, but nothing is being streamed there: a hand-over would lose what is written now", targets.join(" or ")),
            Reason::StreamLost { leader } => write!(f, "{leader} leads and nothing is received from it"),
            Reason::StalePrimary { mine, cluster } => write!(f, "this primary is on timeline {}, the cluster on {cluster}", mine.map_or(0, |mine| mine.0)),
            Reason::OtherNamed { candidate } => write!(f, "an operator named {candidate}, which answers"),
            Reason::PositionUnsettled { name } => write!(f, "{name} has not let go of the lost leader yet, so its position is not final"),
            Reason::LostLeaderMayWrite { position } => write!(f, "the lost leader may still write (this member is at {position}): primary_race_backoff is waited for"),
            Reason::FirstInRace { position } => write!(f, "nobody who answered goes before this member at {position}"),
            Reason::StandingBack { standing, position } => write!(f, "{standing} (this member is at {position})"),
            Reason::FollowingChanged { source: Some(source) } => write!(f, "{source} is to be followed"),
            Reason::FollowingChanged { source: None } => write!(f, "nobody is to be followed"),
            Reason::WordGiven { leader } => write!(f, "the lock is free, but this member let {leader} go on without the store"),
            Reason::MayHaveForgotten { silent } => {
                write!(f, "{} may go on by a word that this member gave before its daemon was started", silent.join(", "))
            }
            Reason::LogicalSlotsMissing { leader } => write!(f, "logical slots that {leader} has are missing or broken here"),
            Reason::Following { leader } => write!(f, "a secondary, following the leader {leader}"),
            Reason::SyncKeyNotOurs { former: Some(former) } => write!(f, "the sync key is {former}'s and has to be this leader's"),
            Reason::SyncKeyNotOurs { former: None } => f.write_str("synchronous mode is on and there is no sync key yet"),
            Reason::StandbysLeave { stay } => write!(f, "of the standbys in the sync key only [{}] stay", stay.join(", ")),
            Reason::StandbysChosen { names } => write!(f, "commits are to wait for: {}", if names.is_empty() { "nobody" } else { names }),
            Reason::QuorumChanges { voters, quorum } => write!(f, "an election needs {quorum} votes of [{}]", voters.join(", ")),
            Reason::StandbysEnter { standbys } => write!(f, "commits wait for [{}], which have caught up", standbys.join(", ")),
            other => f.write_str(other.plain()),
        }
    }
}

impl Reason {
    /// The sentence of a reason without data.
    #[rustfmt::skip]
    fn plain(&self) -> &'static str {
        match self {
            Reason::RenewalRefused => "this server takes writes, but the store refused to renew the lock",
            Reason::LockRanOut => "this server takes writes or is about to, but its lock ran out",
            Reason::RenewalDue => "the lock is due for renewal",
            Reason::ReadingDue => "the store is due for a reading",
            Reason::OwnLockFound => "the lock carries this member's name",
            Reason::MemberKeyDue => "the member key is due",
            Reason::LeavingInPause => "the daemon ends; the cluster is in maintenance, so the server runs on",
            Reason::ShuttingDown => "the daemon was told to end",
            Reason::ReinitializeRequested => "an operator asked to make this member anew",
            Reason::RestartRequested => "an operator asked for a restart",
            Reason::ConfigurationChanged => "the server's configuration changed",
            Reason::AskingForCandidates => "members that could take over are being asked",
            Reason::DirectoryForeign => "the data directory holds something that is not a database cluster",
            Reason::DirectoryGone => "the data directory is gone",
            Reason::ClusterNotInitialized => "the cluster was never initialized and this member may do it",
            Reason::BootstrapClaimed => "the claim to bootstrap is ours",
            Reason::BootstrapPublishing => "the new cluster is being made known",
            Reason::BootstrapFailed => "the bootstrap failed",
            Reason::CloningFromNobody => "bootstrap (without leader)",
            Reason::WaitingForLeaderToBootstrap => "waiting for leader to bootstrap",
            Reason::ReplicaOfUnknownCluster => "the store knows no system identifier and this server is a running replica: start the primary's node first",
            Reason::ClusterNotIdentified => "the store knows no system identifier; this data directory's is written",
            Reason::PausedAndDown => "the server is not running and the cluster is in maintenance",
            Reason::ControlUnknown => "the control file is being read",
            Reason::PrimaryCrashed => "the primary ended by itself and this member still has the lock",
            Reason::StoppedForHandover => "the server is down and its standbys have everything",
            Reason::PromotionRefused => "the pre_promote script refused the promotion",
            Reason::StartFailed => "the server could not be brought up as primary",
            Reason::GivingWay => "the server ended and another member is to take over",
            Reason::CrashedEarlier => "the server did not shut down cleanly",
            Reason::MadeAnew => "the data directory diverged, can not be rewound, and a setting allows removing it",
            Reason::StartingAsStandbyOfNobody => "the server is down and there is nobody to follow",
            Reason::PauseAfterFailure => "the last attempt failed; the next one waits",
            Reason::PausedAndNotPrimary => "the cluster is in maintenance and the server is not a primary",
            Reason::WatchdogMissing => "the watchdog is required and does not work",
            Reason::WatchdogOpening => "the watchdog is being opened",
            Reason::StopMustEnd => "the stop did not end in time, and the lock ends or is gone",
            Reason::GuardMissing => "the lease guard is required and does not answer",
            Reason::LockAcquired => "this member has the lock and its server is a standby",
            Reason::PromotionEnds => "the server was promoted and is about to say so",
            Reason::NobodyToHandOverTo => "no member is fit to take over",
            Reason::RequestNotForUs => "the request to hand over is done, stale, or names another leader",
            Reason::KeyLost => "a key that the leader keeps is missing from the store",
            Reason::TimelinesToTell => "the history of timelines is to be written",
            Reason::FirstCheckpointDue => "the new primary has not written a checkpoint yet",
            Reason::SlotsDiffer => "the server's slots differ from what members need",
            Reason::Leading => "the leader with the lock",
            Reason::PrimaryTakesFreeLock => "the lock is free and this server is a primary",
            Reason::PausedWithoutLeader => "the lock is free, but the cluster is in maintenance",
            Reason::NotAllowedToLead => "following a different leader because I am not allowed to promote",
            Reason::NamedByOperator => "an operator named this member",
            Reason::GaveLockUp => "this member gave the lock up for another that answers",
            Reason::RaceBegins => "the lock is free; this server lets go of the lost leader",
            Reason::AskingForPositions => "the lock is free; members are asked where they stand",
            Reason::OwnPositionUnknown => "this server's own position is not known yet",
            Reason::SyncKeyUnread => "the sync key is read before the promotion",
            Reason::StrictWithoutStandby => "No active replication connections from Patroni members and synchronous_mode_strict is requested. Commits will be delayed.",
            Reason::SynchronousModeOff => "synchronous mode is off",
            Reason::WaitingForRelease => "Waiting for primary to release us from synchronous standby",
            Reason::NotSynchronous => "the sync key does not name this member, so another may have commits that it has not",
            Reason::ServerStarting => "the server is starting",
            Reason::FollowingWithoutLeader => "a secondary; the leader is not known",
            other => other.of_modes(),
        }
    }

    /// The same, for what failsafe mode and standby clusters add.
    #[rustfmt::skip]
    fn of_modes(&self) -> &'static str {
        match self {
            Reason::StoreSilentInFailsafe => "the store does not answer; the members are asked whether this leader may go on",
            Reason::FailsafeKeyDiffers => "the failsafe key does not name every member",
            Reason::KeptByMembers => "continue to run as a leader because failsafe mode is enabled and all members are accessible",
            Reason::NotInFailsafeKey => "the failsafe key does not name this member",
            Reason::ClusterDemoted => "this cluster is to follow another: its primary becomes a standby leader",
            Reason::LeadingSite => "the standby leader with the lock",
            Reason::WaitingForStandbyLeader => "waiting for a standby leader to bootstrap",
            _ => "nothing to do",
        }
    }
}

impl fmt::Display for Standing {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::First => f.write_str("this member goes first"),
            Standing::TooFarBehind { lag } => write!(f, "this member is {lag} bytes behind what the leader last said"),
            Standing::OldTimeline => f.write_str("this member's timeline is older than the cluster's"),
            Standing::PrimaryAlive(name) => write!(f, "{name} is still a primary"),
            Standing::Ahead(name) => write!(f, "Wal position of {name} is ahead of my wal position"),
            Standing::Preferred { name, priority } => write!(f, "{name} has equally tolerable WAL position and priority {priority}, more than this node"),
            Standing::NotEnoughVotes { votes, quorum } => write!(f, "{votes} votes of voters that are not ahead, {quorum} are needed"),
            Standing::NamedFirst(name) => write!(f, "{name} has the same position and priority and the first name"),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::model::StartMode;
        match self {
            Task::Bootstrap => f.write_str("bootstrap of a new cluster"),
            Task::Clone { source: Some(source), .. } => write!(f, "clone of {}", source.name),
            Task::Clone { source: None, .. } => f.write_str("clone without a source"),
            Task::Start(StartMode::Primary) => f.write_str("start as primary"),
            Task::Start(StartMode::Follow(source)) => {
                write!(f, "start as standby of {}", source.name)
            }
            Task::Start(StartMode::Standby) => f.write_str("start as standby of nobody"),
            Task::Stop { mode, .. } => write!(f, "{mode:?} stop"),
            Task::Promote => f.write_str("promotion"),
            Task::Follow(Some(source)) => write!(f, "following {}", source.name),
            Task::Follow(None) => f.write_str("following nobody"),
            Task::StopReceiving => f.write_str("letting go of the lost leader"),
            Task::Restart(_) => f.write_str("restart"),
            Task::CompareHistories(source) => {
                write!(f, "comparison of histories with {}", source.name)
            }
            Task::Rewind(source) => write!(f, "pg_rewind from {}", source.name),
            Task::RecoverInSingleUserMode => f.write_str("crash recovery in single-user mode"),
            Task::CopySlots { from, .. } => write!(f, "copy of logical slots from {}", from.name),
            Task::Wipe => f.write_str("removal of the data directory"),
            Task::SetAsideFailedBootstrap => f.write_str("setting the failed bootstrap's data directory aside"),
        }
    }
}
