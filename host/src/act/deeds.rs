//! Long work on the local server, performed: one function a task.

use super::site::recovery_overrides;
use super::{ErrandWork, TaskWork, errands};
use crate::config::Effective;
use crate::methods::{MethodError, Progress};
use crate::observe::server::ServerEvent;
use crate::postgres::{
    self, Callbacks, Connection, FollowTarget, Followed, PendingRestart, PgError, Purpose, Recovery, Server, Wanted,
};
use regent_core::model::{
    ControlData, ControlState, Errand, LeaderHistory, LocalEnd, Postmaster, Role, SlotSpec, Source, StartMode,
    StopMode, Task, TaskOutcome, Timeline,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A stop's limit: the rules escalate or fence long before; this only bounds a postmaster that nothing ends.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(3600);

/// The checkpoint before a stop makes the stop short; past this it is not worth waiting for.
const CHECKPOINT_LIMIT: Duration = Duration::from_secs(60);

/// A promotion that replays what was received may take long; the lock decides, not this.
const PROMOTION_LIMIT: Duration = Duration::from_secs(3600);

/// Letting go of a lost leader: a reload and the end of one process.
const LET_GO_LIMIT: Duration = Duration::from_secs(2);

/// pg_rewind, recovery and the operator's scripts take as long as they take; this only bounds what never ends.
const WORK_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A question to another server.
const QUESTION_LIMIT: Duration = Duration::from_secs(3);

/// How hard a stop under way tries; it can be made harder.
#[derive(Clone, Debug)]
pub struct StopControl {
    mode: watch::Sender<StopMode>,
}

impl StopControl {
    /// A stop that begins in this mode.
    pub fn new(mode: StopMode) -> StopControl {
        StopControl { mode: watch::Sender::new(mode) }
    }

    /// How hard it tries now.
    pub fn mode(&self) -> StopMode {
        *self.mode.borrow()
    }

    /// Makes it try harder.
    pub fn escalate(&self, mode: StopMode) {
        self.mode.send_replace(mode);
    }
}

/// What can be done to the local server.
#[derive(Clone, Debug)]
pub struct Deeds {
    server: Server,
    pub(super) effective: Arc<Effective>,
    pending: Arc<Mutex<BTreeMap<String, (String, String)>>>,
    pub(super) callbacks: Arc<Callbacks>,
    pub(super) progress: Arc<Mutex<Option<Progress>>>,
    events: Option<mpsc::Sender<ServerEvent>>,
    names: Option<String>,
    taken: Timeline,
    feedback: bool,
    leads: bool,
}

impl Deeds {
    /// Deeds on this server.
    pub fn new(server: Server, effective: Arc<Effective>) -> Deeds {
        let callbacks = Arc::new(Callbacks::new());
        Deeds {
            server,
            effective,
            pending: Arc::default(),
            callbacks,
            progress: Arc::default(),
            events: None,
            names: None,
            taken: Timeline(0),
            feedback: false,
            leads: false,
        }
    }

    /// Tells of servers that are started through this sender.
    pub fn report_to(&mut self, events: mpsc::Sender<ServerEvent>) {
        self.events = Some(events);
    }

    /// The same deeds on a server whose commits wait for these standbys while it is primary; `None`: for whom the
    /// user's parameters say.
    pub fn with_standby_names(&self, names: Option<String>) -> Deeds {
        Deeds { names, ..self.clone() }
    }

    /// The same deeds where the cluster is known to have come to this timeline.
    pub fn with_timeline(&self, taken: Timeline) -> Deeds {
        Deeds { taken, ..self.clone() }
    }

    /// The same deeds of a member that has the lock, or has not.
    pub fn with_lock(&self, leads: bool) -> Deeds {
        Deeds { leads, ..self.clone() }
    }

    /// The same deeds on a server that as standby reports the rows that it needs to its source, whatever the user's
    /// parameters say: its logical slots, or those of standbys behind it, would lose them otherwise (SLOT-10).
    pub fn with_feedback(self, feedback: bool) -> Deeds {
        Deeds { feedback, ..self }
    }

    /// How far the method is that makes the data directory, or was when it last said so.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `synchronous_standby_names` as primary.
    pub(super) fn names(&self) -> Option<&str> {
        self.names.as_deref()
    }

    pub(super) fn wanted_primary(&self) -> Wanted {
        Wanted { synchronous_standby_names: self.names.clone(), ..Wanted::primary() }
    }

    /// A standby waits for nobody, whatever it has to do once it is primary.
    pub(super) fn wanted_replica(&self, target: FollowTarget) -> Wanted {
        let synchronous_standby_names = self.names.as_ref().map(|_| String::new());
        let forced = self.feedback.then(|| ("hot_standby_feedback".to_owned(), "on".to_owned())).into_iter().collect();
        let wanted = Wanted { synchronous_standby_names, forced, ..Wanted::replica(FollowTarget::None) };
        let site = self.effective.settings.standby_cluster.as_ref();
        let role = if site.is_some() && self.leads { Role::StandbyLeader } else { Role::Replica };
        let overrides = site.map(|site| recovery_overrides(site, role)).unwrap_or_default();
        Wanted { role, recovery: Recovery::Standby { follow: target, overrides }, ..wanted }
    }

    /// The local server as it is configured.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Takes a new configuration; says whether the server's part of it changed.
    pub fn reconfigure(&mut self, effective: &Arc<Effective>) -> bool {
        let changed = effective.server != self.effective.server
            || effective.settings.standby_cluster != self.effective.settings.standby_cluster;
        self.server.settings = Arc::new(effective.server.clone());
        self.effective = Arc::clone(effective);
        changed
    }

    /// Parameters that wait for a restart: name, old value, new value.
    pub fn pending_restart(&self) -> BTreeMap<String, (String, String)> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_pending(&self, pending: Vec<PendingRestart>) {
        let pending = pending.into_iter().map(|one| (one.name, (one.old, one.new))).collect();
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = pending;
    }

    /// Long work as a future. Dropping it gives the work up; its children are killed.
    pub fn perform(&self, task: Task, stop: Option<StopControl>, postmaster: Option<Postmaster>) -> TaskWork {
        let deeds = self.clone();
        Box::pin(async move {
            match deeds.do_task(task, stop, postmaster).await {
                Ok(outcome) => outcome,
                Err(error) => TaskOutcome::Failed(describe(&error)),
            }
        })
    }

    async fn do_task(
        self,
        task: Task,
        stop: Option<StopControl>,
        postmaster: Option<Postmaster>,
    ) -> Result<TaskOutcome, MethodError> {
        match task {
            Task::Bootstrap => self.bootstrap().await?,
            Task::Clone { source, only_basebackup } => self.clone_from(source, only_basebackup).await?,
            Task::Start(mode) => self.start(&mode).await?,
            Task::Stop { mode, checkpoint_first } => {
                let control = stop.unwrap_or_else(|| StopControl::new(mode));
                self.stop(control, checkpoint_first, postmaster).await?;
            }
            Task::Promote => {
                if let Err(error) = self.pre_promote().await {
                    return Ok(TaskOutcome::Refused(describe(&error)));
                }
                self.promote(postmaster).await?;
            }
            Task::Follow(source) => self.follow(source, postmaster).await?,
            Task::StopReceiving => self.stop_receiving().await?,
            Task::Restart(mode) => {
                self.stop(StopControl::new(StopMode::Fast), true, postmaster).await?;
                self.start(&mode).await?;
            }
            Task::CompareHistories(source) => return Ok(self.compare(&source).await?),
            Task::Rewind(source) => return self.rewind(&source).await,
            Task::RecoverInSingleUserMode => self.recover().await?,
            Task::CopySlots { slots, from, follow } => self.copy_slots(&slots, &from, follow, postmaster).await?,
            Task::Wipe => self.wipe(postmaster).await?,
            Task::SetAsideFailedBootstrap => {
                if let Some(postmaster) = postmaster {
                    postgres::stop(postmaster, postgres::StopMode::Immediate, STOP_LIMIT).await?;
                }
                self.server.rename_failed_data_directory().await?;
            }
        }
        Ok(TaskOutcome::Done)
    }

    /// Crash recovery in single-user mode; where a restored backup waits for its own recovery, that comes first
    /// (HA-61).
    async fn recover(&self) -> Result<(), PgError> {
        if recovers_from_backup(&self.server) {
            tracing::info!("a backup_label is there: the next start recovers from it");
            return Ok(());
        }
        self.server.single_user_recovery(WORK_LIMIT).await
    }

    async fn start(&self, mode: &StartMode) -> Result<(), PgError> {
        let (wanted, role) = match mode {
            StartMode::Primary => (self.wanted_primary(), Role::Primary),
            StartMode::Follow(source) => (self.wanted_replica(FollowTarget::Source(source.clone())), Role::Replica),
            StartMode::Standby => (self.wanted_replica(FollowTarget::None), Role::Replica),
        };
        self.launch_and_wait(&wanted, role).await.map(drop)
    }

    /// Starts the server and waits until it takes connections. It may recover for as long as it lives: how long is too
    /// long is for the rules to say.
    pub(super) async fn launch_and_wait(&self, wanted: &Wanted, role: Role) -> Result<Postmaster, PgError> {
        let (postmaster, written) = self.server.launch(wanted).await?;
        self.set_pending(written.held_back);
        if let Some(events) = &self.events
            && events.send(ServerEvent::Found(postmaster)).await.is_err()
        {
            tracing::debug!("a server was started after the loop had ended");
        }
        self.server.wait_until_up(postmaster, STOP_LIMIT).await?;
        self.server.save_configuration().await?;
        tracing::info!("the server is up as {role}");
        Ok(postmaster)
    }

    async fn stop(
        &self,
        control: StopControl,
        checkpoint_first: bool,
        postmaster: Option<Postmaster>,
    ) -> Result<(), PgError> {
        let Some(postmaster) = postmaster else {
            return Ok(());
        };
        let mut mode = control.mode.subscribe();
        // A primary that stops without a checkpoint does so because its lock ends: then nothing else comes first.
        let planned = checkpoint_first || postgres::has_recovery_signal(&self.server.settings.data_dir);
        if planned && control.mode() == StopMode::Fast {
            tokio::select! {
                () = self.before_stop() => {}
                _ = mode.changed() => {}
            }
        }
        if checkpoint_first {
            tokio::select! {
                written = self.server.checkpoint(CHECKPOINT_LIMIT) => {
                    if let Err(error) = written {
                        tracing::warn!("the checkpoint before the stop was not written: {}", describe(&error));
                    }
                }
                _ = mode.changed() => {}
            }
        }
        loop {
            let now = *mode.borrow_and_update();
            tokio::select! {
                ended = postgres::stop(postmaster, as_signal(now), STOP_LIMIT) => return ended.map(drop),
                changed = mode.changed() => if changed.is_err() {
                    return postgres::stop(postmaster, as_signal(now), STOP_LIMIT).await.map(drop);
                },
            }
        }
    }

    /// The operator's word on a promotion: anything but success forbids it (HA-52).
    async fn pre_promote(&self) -> Result<(), PgError> {
        match &self.server.settings.pre_promote {
            Some(command) => script("pre_promote", command)?.succeed(WORK_LIMIT).await.map(drop),
            None => Ok(()),
        }
    }

    /// What the operator wants done before a planned stop; how it ends is of no account (CFG-40).
    async fn before_stop(&self) {
        let Some(command) = &self.server.settings.before_stop else { return };
        let ended = async { script("before_stop", command)?.succeed(WORK_LIMIT).await };
        if let Err(error) = ended.await {
            tracing::warn!("the server is stopped all the same: {}", describe(&error));
        }
    }

    async fn promote(&self, postmaster: Option<Postmaster>) -> Result<(), PgError> {
        let postmaster = postmaster.ok_or(PgError::NotRunning)?;
        self.server.refuse_half_rewound()?;
        self.server.reserve_timelines(self.taken).await?;
        if let Some(names) = &self.names {
            // Before the first write, commits wait for whom the sync key names (SYNC-06).
            let wanted = Wanted::replica(FollowTarget::None);
            let wanted = Wanted { synchronous_standby_names: Some(names.clone()), ..wanted };
            self.server.configure(&wanted).await?;
            self.server.reload(&mut self.connection()).await?;
        }
        self.server.promote(postmaster, PROMOTION_LIMIT).await
    }

    /// A connection for one piece of work.
    pub(super) fn connection(&self) -> Connection {
        Connection::new(&self.server, Purpose::Work)
    }

    async fn follow(&self, source: Option<Source>, postmaster: Option<Postmaster>) -> Result<(), PgError> {
        let target = source.clone().map_or(FollowTarget::None, FollowTarget::Source);
        let wanted = self.wanted_replica(target);
        match self.server.follow(&mut self.connection(), &wanted).await? {
            Followed::Unchanged | Followed::Reloaded => Ok(()),
            Followed::RestartNeeded(settings) => {
                tracing::info!("the server restarts, for {} can not be changed otherwise", settings.join(", "));
                self.stop(StopControl::new(StopMode::Fast), false, postmaster).await?;
                self.start(&source.map_or(StartMode::Standby, StartMode::Follow)).await
            }
        }
    }

    /// A rewind that fails says something about the local data only if its source was there all the time (REW-04).
    async fn rewind(&self, source: &Source) -> Result<TaskOutcome, MethodError> {
        // A member says when its first checkpoint as primary is written; a remote side is made to write one (REW-08).
        if source.is_remote()
            && let Err(error) = self.server.checkpoint_at(source, CHECKPOINT_LIMIT).await
        {
            tracing::warn!("the rewind is tried again later: {}", describe(&error));
            return Ok(TaskOutcome::Cancelled);
        }
        let ask = || async { self.server.replicate_from(source, QUESTION_LIMIT).await?.identify(QUESTION_LIMIT).await };
        let timeline = match ask().await {
            Ok(identity) => identity.timeline,
            Err(lost) => {
                tracing::warn!("the rewind is tried again later, {} is not there: {}", source.name, describe(&lost));
                return Ok(TaskOutcome::Cancelled);
            }
        };
        let Err(error) = self.server.pg_rewind(source, timeline, WORK_LIMIT).await else {
            return Ok(TaskOutcome::Done);
        };
        match ask().await {
            Ok(_) => Err(error.into()),
            Err(lost) => {
                tracing::warn!("the rewind is tried again later, {} is lost: {}", source.name, describe(&lost));
                tracing::warn!("the rewind ended with: {}", describe(&error));
                Ok(TaskOutcome::Cancelled)
            }
        }
    }

    async fn stop_receiving(&self) -> Result<(), PgError> {
        if !self.server.stop_receiving(&mut self.connection(), LET_GO_LIMIT).await? {
            tracing::info!("this version can not let go of a lost leader without a restart: its position may move");
        }
        Ok(())
    }

    /// Fetches the leader's logical slots and restarts the standby with them: a server reads its slots when it starts.
    async fn copy_slots(
        &self,
        slots: &[SlotSpec],
        from: &Source,
        follow: Source,
        postmaster: Option<Postmaster>,
    ) -> Result<(), PgError> {
        let copies = self.server.fetch_slots(slots, from).await?;
        if copies.is_empty() {
            tracing::info!("{} has none of these logical slots", from.name);
            return Ok(());
        }
        self.stop(StopControl::new(StopMode::Fast), false, postmaster).await?;
        let stored = self.server.store_slots(copies).await;
        self.start(&StartMode::Follow(follow)).await?;
        stored
    }

    async fn compare(&self, source: &Source) -> Result<TaskOutcome, PgError> {
        let local = self.local_end().await?;
        let mut leader = self.server.replicate_from(source, QUESTION_LIMIT).await?;
        let timeline = leader.identify(QUESTION_LIMIT).await?.timeline;
        let switches = leader.history(timeline, QUESTION_LIMIT).await?;
        tracing::info!(
            "the local log ends on timeline {} at {}; {} is on timeline {timeline}",
            local.timeline,
            local.lsn,
            source.name
        );
        let switches = switches.into_iter().map(|row| (row.timeline, row.switchpoint)).collect();
        Ok(TaskOutcome::Histories(local, LeaderHistory { timeline, switches }))
    }

    async fn local_end(&self) -> Result<LocalEnd, PgError> {
        if postgres::find_running(&self.server.settings.data_dir).is_some() {
            let mut replication = self.server.replicate_locally(QUESTION_LIMIT).await?;
            let mut connection = self.connection();
            let mut before = replication.identify(QUESTION_LIMIT).await?.timeline;
            // A standby may go over to the next timeline between two questions, and a position on the new one would
            // look like a history that left the old one's.
            let (timeline, monitoring) = loop {
                let monitoring = postgres::monitor(&mut connection, self.server.binaries.version(), true).await?;
                let after = replication.identify(QUESTION_LIMIT).await?.timeline;
                if before == after {
                    break (after, monitoring);
                }
                before = after;
            };
            let lsn = monitoring.replayed_lsn.or(monitoring.current_lsn).unwrap_or_default();
            return Ok(LocalEnd { timeline, lsn, in_recovery: !monitoring.is_primary });
        }
        Ok(stopped_end(&postgres::control_data(&self.server.binaries, &self.server.settings.data_dir).await?))
    }

    async fn wipe(&self, postmaster: Option<Postmaster>) -> Result<(), PgError> {
        if let Some(postmaster) = postmaster {
            postgres::stop(postmaster, postgres::StopMode::Immediate, STOP_LIMIT).await?;
        }
        self.server.remove_data_directory().await
    }

    /// Short work as a future; `role` is the member's.
    pub fn errand(&self, errand: Errand, role: Role) -> ErrandWork {
        let deeds = self.clone();
        Box::pin(async move { errands::perform(&deeds, errand, role).await.map_err(|error| describe(&error)) })
    }
}

/// A restored backup waits for its first start. Until 14 a single-user server recovered from it as well.
fn recovers_from_backup(server: &Server) -> bool {
    server.binaries.version() >= 150_000 && server.settings.data_dir.join("backup_label").exists()
}

/// Where the log of a stopped server ends: a standby's at the end of its replay, a primary's at its last checkpoint.
fn stopped_end(control: &ControlData) -> LocalEnd {
    let standby = matches!(control.state, ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery);
    if standby && control.minimum_recovery_end.0 > 0 {
        let timeline = control.minimum_recovery_timeline;
        return LocalEnd { timeline, lsn: control.minimum_recovery_end, in_recovery: true };
    }
    LocalEnd { timeline: control.checkpoint_timeline, lsn: control.checkpoint, in_recovery: false }
}

/// An operator's command, its words split as a shell would.
fn script(setting: &str, command: &str) -> Result<postgres::Program, PgError> {
    let words = postgres::split(command).map_err(|error| PgError::Unreadable(format!("{setting}: {error}")))?;
    Ok(postgres::Program::from_words(words))
}

fn as_signal(mode: StopMode) -> postgres::StopMode {
    match mode {
        StopMode::Fast => postgres::StopMode::Fast,
        StopMode::Immediate => postgres::StopMode::Immediate,
        StopMode::Kill => postgres::StopMode::Kill,
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HA-61
    #[test]
    fn a_restored_backup_is_not_recovered_in_single_user_mode() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::for_tests(|settings| settings.data_dir = folder.path().to_owned());
        assert!(server.binaries.version() >= 150_000 && !recovers_from_backup(&server));
        std::fs::write(folder.path().join("backup_label"), "START WAL LOCATION: 0/2000028\n").unwrap();
        assert!(recovers_from_backup(&server));
    }
}
