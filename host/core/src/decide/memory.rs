//! What was decided before and cannot be seen in the world: carried from one decision to the next.

use super::{Divergence, Durability, SlotsMemory};
use crate::model::{
    Callback, DataDirectory, ErrandKind, FailoverRequest, FinishedTask, Lsn, MemberView, Moment, Observed, Role,
    Source, StartMode, StoreCallKind, Task, TaskOutcome, Timeline, View,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The memory of one member's decisions.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The member's role, as published.
    pub role: Role,
    /// The role that operators' scripts last heard of.
    pub announced: Option<Role>,
    /// What they have yet to hear of, in order.
    pub callbacks: VecDeque<(Callback, Role)>,
    /// How far a bootstrap has come.
    pub bootstrap: Bootstrap,
    /// What is known of the local log's relation to the leader's.
    pub divergence: Divergence,
    /// Whose history that is about.
    pub compared: Option<Compared>,
    /// What the server was last told to stream from; `None`: not known.
    pub followed: Option<Option<Source>>,
    /// The leader race that this member takes part in.
    pub race: Option<Race>,
    /// Since when in this race a member that was asked had not let go of the lost leader.
    pub unsettled_since: Option<Moment>,
    /// The lock is being handed over.
    pub handover: Option<Handover>,
    /// The server was stopped for a hand-over or a rewind, of which its start as a standby is a part: also in
    /// maintenance.
    pub comes_back: bool,
    /// After long work failed: the next begins no sooner.
    pub task_not_before: Moment,
    /// Crash recovery was tried since the server last ran.
    pub crash_recovery_tried: bool,
    /// The primary ended by itself and is being started again in place.
    pub restarting_in_place: bool,
    /// How long the start under way may take, where a restart said so.
    pub start_timeout: Option<Duration>,
    /// This primary did not write its first checkpoint yet.
    pub checkpoint_pending: bool,
    /// The history key is known to hold what the server's files tell, up to this timeline.
    pub history_written: Option<Timeline>,
    /// The history of timelines was last asked of the local server for this timeline.
    pub history_read: Option<Timeline>,
    /// The next clone comes from the leader by pg_basebackup.
    pub clone_from_leader: bool,
    /// Since when an empty data directory is not filled because the sync key names this member.
    pub counted_on_since: Option<Moment>,
    /// The lock is to be given back: the server could not be brought up again as primary.
    pub release_wanted: bool,
    /// When giving the lock back was last under way: unless that was answered, or the lock was taken anew since, the store
    /// may do it yet.
    pub release_sent: Option<Moment>,
    /// The lock is given back because the operator's script refused the promotion; until then there is no race.
    pub barred_until: Option<Moment>,
    /// The race that waits because the lost leader may still write.
    pub backoff: Option<Backoff>,
    /// The server was down since scripts last heard of it.
    pub down: bool,
    /// The lock's holder before it was lost.
    pub former_leader: Option<String>,
    /// When the answers were asked for that were last looked at in a race.
    pub heard_round: Option<Moment>,
    /// The newest timeline that anybody was heard to have come to: a promotion has to begin a later one.
    pub newest_timeline: Timeline,
    /// Whether a checkpoint is due was looked at once in a primary that this daemon found.
    pub checkpoint_looked: bool,
    /// The timeline that this member's promotion will begin, and since when its member key is to say so.
    pub next_timeline: Option<(Timeline, Moment)>,
    /// A failover request that was looked at and could not be carried out: its key is to be cleared.
    pub request_refused: bool,
    /// When another member that could be promoted was last in the store.
    pub heir_seen: Option<Moment>,
    /// When members were last in the store, as far as failsafe mode remembers them.
    pub members_seen: BTreeMap<String, Moment>,
    /// The last failsafe key that was sent to the store and not read back; empty where there is none.
    pub failsafe_written: BTreeMap<String, String>,
    /// When members were last asked whether this leader may go on without the store.
    pub failsafe_asked_at: Option<Moment>,
    /// The word given to a leader at that moment needs not be kept: it stepped down since.
    pub word_returned: Option<Moment>,
    /// Slots of members that are away, and of logical slots that were brought over.
    pub slots: SlotsMemory,
    /// Synchronous mode.
    pub durability: Durability,
    /// The server came up at least once under this daemon, or was found up.
    pub seen_up: bool,
    /// Since when, how often and when last the server was told to connect to the leader again.
    pub reconnecting: Option<Reconnecting>,
    /// The last finished task that was taken in.
    pub absorbed: u64,
}

/// A standby lost its stream and is being helped to find it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnecting {
    /// When its server was last told to try.
    pub tried_at: Moment,
    /// How often it was.
    pub tries: u32,
}

/// A leader whose history the local log was compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its name.
    pub leader: String,
    /// Its timeline then.
    pub timeline: Option<Timeline>,
    /// When the comparison was begun.
    pub at: Moment,
}

/// How far a bootstrap has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootstrap {
    /// There is none.
    #[default]
    Idle,
    /// The claim was sent.
    Claiming,
    /// The server is being made.
    Building,
    /// It is up; the store does not know its system identifier yet.
    Built,
    /// The store knows that; the configuration is next.
    Identified,
    /// The configuration is there; the lock is next.
    Configured,
    /// It failed; the claim is to be given back.
    Failed,
    /// The claim was given back; the data directory is set aside.
    GivenBack,
}

/// A race that is put off while the lost leader may still write (HA-51).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Since when the lock is free.
    pub since: Moment,
    /// How far this standby was when it last was found further.
    pub position: Lsn,
    /// When that was.
    pub moved_at: Moment,
}

/// A leader race.
#[derive(Clone, Debug, PartialEq)]
pub struct Race {
    /// When it was begun.
    pub begun_at: Moment,
    /// The server was told to stop receiving.
    pub receiving_stopped_at: Option<Moment>,
    /// Members are asked again no sooner.
    pub again_at: Moment,
    /// How many rounds of questions there were.
    pub rounds: u32,
}

/// The lock is being handed over to another member.
#[derive(Clone, Debug, PartialEq)]
pub struct Handover {
    /// What asked for it; `None`: a crash that is not repaired in place.
    pub request: Option<FailoverRequest>,
    /// When it began.
    pub begun_at: Moment,
    /// The server was told to stop.
    pub stopping: bool,
    /// Members are asked again no sooner.
    pub probe_again_at: Moment,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            role: Role::Uninitialized,
            announced: None,
            callbacks: VecDeque::new(),
            bootstrap: Bootstrap::Idle,
            divergence: Divergence::Unknown,
            compared: None,
            followed: None,
            race: None,
            unsettled_since: None,
            handover: None,
            comes_back: false,
            task_not_before: Moment(0),
            crash_recovery_tried: false,
            restarting_in_place: false,
            start_timeout: None,
            checkpoint_pending: false,
            history_written: None,
            history_read: None,
            clone_from_leader: false,
            counted_on_since: None,
            release_wanted: false,
            release_sent: None,
            barred_until: None,
            backoff: None,
            down: false,
            former_leader: None,
            heard_round: None,
            newest_timeline: Timeline(0),
            checkpoint_looked: false,
            next_timeline: None,
            request_refused: false,
            heir_seen: None,
            members_seen: BTreeMap::new(),
            failsafe_written: BTreeMap::new(),
            failsafe_asked_at: None,
            word_returned: None,
            slots: SlotsMemory::default(),
            durability: Durability::default(),
            seen_up: false,
            reconnecting: None,
            absorbed: 0,
        }
    }
}

impl Memory {
    /// Takes in what happened since the last decision.
    pub fn absorb(&mut self, view: &View) {
        if let Some(finished) = &view.finished
            && finished.number > self.absorbed
        {
            self.absorbed = finished.number;
            self.absorb_finished(view, finished);
        }
        self.absorb_server(view);
        self.absorb_release(view);
        self.absorb_cluster(view);
        super::failsafe::absorb(self, view);
        if self.race.is_none() {
            self.unsettled_since = None;
        }
        self.durability.absorb(view, self.role);
        self.slots.absorb(view);
        if self.bootstrap == Bootstrap::Idle {
            self.announce(view);
        }
    }

    /// In a race: this standby let go of the lost leader, its position was read after that, and its own log holds no more
    /// than that position says.
    pub fn position_is_final(&self, view: &View) -> bool {
        let (Some(race), Observed::Seen { value, at }) = (&self.race, &view.server.monitoring) else {
            return false;
        };
        let stands_still = match race.receiving_stopped_at {
            Some(stopped) => *at >= stopped,
            None => self.followed == Some(None) && value.streaming_from.is_none(),
        };
        stands_still && value.log_was_read
    }

    /// Notes whose history the local log is compared with from now on.
    pub(super) fn note_comparison(&mut self, view: &View, leader: &str) {
        let timeline = view.cluster().and_then(|cluster| cluster.member(leader)?.timeline);
        self.compared = Some(Compared { leader: leader.to_owned(), timeline, at: view.now });
    }

    /// How long the start under way may take before others may take over: that of a primary, or of a standby with the lock,
    /// which comes up within a moment as a rule.
    pub fn start_limit(&self, view: &View) -> Option<Duration> {
        let limit = self.start_timeout.unwrap_or(view.settings.primary_start_timeout);
        match self.role {
            Role::Primary => Some(limit),
            _ => view.lease.map(|_| limit.max(view.settings.loop_wait)),
        }
    }

    /// Long work that failed is not repeated at full speed: a whole loop, but a comparison of histories, which waits for a
    /// new leader to come up, is cheap and repeated soon.
    fn rest_after_failure(&mut self, view: &View, finished: &FinishedTask) {
        if !matches!(finished.outcome, TaskOutcome::Failed(_) | TaskOutcome::Cancelled) {
            return;
        }
        let pause = match finished.task {
            Task::CompareHistories(_) => Duration::from_millis(500).min(view.settings.loop_wait),
            Task::Stop { .. } | Task::StopReceiving => Duration::ZERO,
            _ => view.settings.loop_wait,
        };
        self.task_not_before = finished.at + pause;
    }

    fn absorb_finished(&mut self, view: &View, finished: &FinishedTask) {
        self.rest_after_failure(view, finished);
        match (&finished.task, &finished.outcome) {
            (Task::Bootstrap, TaskOutcome::Done) => self.bootstrap = Bootstrap::Built,
            (Task::Bootstrap, _) => self.bootstrap = Bootstrap::Failed,
            (Task::SetAsideFailedBootstrap, _) => self.bootstrap = Bootstrap::Idle,
            (Task::Start(mode), outcome) => self.absorb_start(view, mode, outcome),
            (Task::Restart(mode), outcome) => {
                self.absorb_start(view, mode, outcome);
                if *outcome == TaskOutcome::Done && self.announced == Some(self.role) {
                    self.callbacks.push_back((Callback::OnRestart, self.role));
                }
            }
            (Task::Stop { .. }, TaskOutcome::Done) => self.absorb_stop(view),
            (Task::Promote, TaskOutcome::Done) => {
                self.checkpoint_pending = true;
                self.race = None;
            }
            (Task::Promote, TaskOutcome::Refused(_)) => {
                self.release_wanted = true;
                self.barred_until = Some(finished.at + view.settings.ttl);
            }
            (Task::Follow(source), TaskOutcome::Done) => {
                self.followed = Some(source.clone());
                self.reconnecting = None;
            }
            (Task::StopReceiving, _) => {
                self.followed = Some(None);
                if let Some(race) = &mut self.race {
                    race.receiving_stopped_at = Some(finished.at);
                }
            }
            (Task::CompareHistories(_), TaskOutcome::Histories(local, leader)) => {
                self.newest_timeline = self.newest_timeline.max(leader.timeline);
                self.divergence = super::judge(local, leader);
            }
            // The remote side may be away for long, or for good: its standby cluster does not wait for it.
            (Task::CompareHistories(source), _) if source.is_remote() => self.divergence = Divergence::None,
            (Task::Rewind(_), TaskOutcome::Done) => {
                self.divergence = Divergence::None;
                self.slots.forget_copies();
            }
            (Task::Rewind(_), TaskOutcome::Failed(_)) => self.divergence = Divergence::RewindFailed,
            (Task::CopySlots { slots, follow, .. }, TaskOutcome::Done) => {
                self.slots.note_copies(view, slots);
                self.followed = Some(Some(follow.clone()));
            }
            (Task::RecoverInSingleUserMode, _) => self.crash_recovery_tried = true,
            (Task::Wipe, TaskOutcome::Done) => {
                if self.announced.is_some() && !self.down {
                    self.callbacks.push_back((Callback::OnStop, Role::Uninitialized));
                }
                self.forget_server();
            }
            (Task::Clone { .. }, outcome) => self.absorb_clone(outcome),
            _ => {}
        }
    }

    fn absorb_clone(&mut self, outcome: &TaskOutcome) {
        let first = self.bootstrap == Bootstrap::Building;
        if *outcome == TaskOutcome::Done {
            self.forget_server();
            self.divergence = Divergence::None;
            self.role = Role::Replica;
            self.clone_from_leader = false;
        }
        if first {
            let done = *outcome == TaskOutcome::Done;
            self.bootstrap = if done { Bootstrap::Built } else { Bootstrap::Failed };
        }
    }

    fn absorb_start(&mut self, view: &View, mode: &StartMode, outcome: &TaskOutcome) {
        self.start_timeout = None;
        self.comes_back = false;
        // A standby leader that can not be started holds others up.
        let leads_site = view.settings.standby_cluster.is_some() && view.lease.is_some();
        self.release_wanted |= leads_site && *outcome != TaskOutcome::Done;
        match outcome {
            TaskOutcome::Done => {
                self.restarting_in_place = false;
                self.crash_recovery_tried = false;
                self.followed = match mode {
                    StartMode::Primary => None,
                    StartMode::Follow(source) => Some(Some(source.clone())),
                    StartMode::Standby => Some(None),
                };
            }
            _ if self.role == Role::Primary && *mode == StartMode::Primary => {
                self.restarting_in_place = false;
                self.release_wanted = true;
                self.role = Role::Demoted;
                self.divergence = Divergence::MustCheck;
                if self.announced == Some(Role::Primary) {
                    self.callbacks.push_back((Callback::OnRoleChange, Role::Demoted));
                    self.announced = Some(Role::Demoted);
                }
            }
            _ => self.divergence = Divergence::MustCheck,
        }
    }

    fn absorb_stop(&mut self, view: &View) {
        if view.server.postmaster.is_some() {
            return;
        }
        self.divergence = Divergence::MustCheck;
        if self.announced.is_some() {
            let gone = view.server.data_directory == DataDirectory::Empty;
            let handed_over = view.lease.is_none() && self.handover.as_ref().is_some_and(|handover| handover.stopping);
            let role = match self.role {
                _ if gone => Role::Uninitialized,
                _ if handed_over => Role::Demoted,
                role => role,
            };
            self.callbacks.push_back((Callback::OnStop, role));
        }
        if matches!(self.role, Role::Primary | Role::Promoted | Role::StandbyLeader) {
            self.role = Role::Demoted;
        }
    }

    fn forget_server(&mut self) {
        self.slots.forget_copies();
        self.divergence = Divergence::Unknown;
        self.followed = None;
        self.crash_recovery_tried = false;
        self.checkpoint_pending = false;
        self.history_written = None;
        self.history_read = None;
    }

    fn absorb_server(&mut self, view: &View) {
        if view.server.is_primary() || view.lease.is_none() {
            self.next_timeline = None;
        }
        let running = matches!(&view.running, Some(running) if running.task == Task::Promote);
        let promoting = running || super::leader::was_just_promoted(view);
        if view.server.is_primary() {
            if self.role != Role::Primary {
                self.history_written = None;
                self.history_read = None;
            }
            self.role = Role::Primary;
            self.race = None;
            self.seen_up = true;
            self.divergence = Divergence::Unknown;
            self.look_for_checkpoint(view);
        } else if view.server.is_standby() {
            self.role = match (promoting, leads_site(view, self.role)) {
                (true, _) => Role::Promoted,
                (false, true) => Role::StandbyLeader,
                (false, false) => Role::Replica,
            };
            self.checkpoint_pending &= promoting;
            self.seen_up = true;
        } else if view.server.postmaster.is_none() && view.running.is_none() {
            self.absorb_stopped_server(view);
        }
        if view.server.monitoring.value().is_some_and(|monitoring| monitoring.streaming_from.is_some()) {
            self.reconnecting = None;
        }
        if view.errands.contains(&ErrandKind::CheckpointAfterPromote) {
            self.checkpoint_pending = false;
        }
    }

    /// The daemon before this one may have ended between the promotion and its checkpoint.
    fn look_for_checkpoint(&mut self, view: &View) {
        let timeline = view.server.monitoring.value().and_then(|monitoring| monitoring.timeline);
        let (Some(timeline), Some(control)) = (timeline, view.server.control.value()) else { return };
        if !self.checkpoint_looked {
            self.checkpoint_looked = true;
            self.checkpoint_pending |= control.checkpoint_timeline < timeline;
        }
    }

    fn absorb_release(&mut self, view: &View) {
        let sent = self.release_sent;
        self.release_sent = match view.lease {
            _ if view.store.in_flight == Some(StoreCallKind::Release) => Some(view.now),
            Some(lease) => sent.filter(|sent| lease.renewed_at <= *sent),
            None => None,
        };
    }

    fn absorb_stopped_server(&mut self, view: &View) {
        match view.server.data_directory {
            DataDirectory::Empty => {
                if self.role != Role::Uninitialized {
                    self.forget_server();
                }
                self.role = Role::Uninitialized;
            }
            DataDirectory::Initialized | DataDirectory::HalfRewound(_) if self.role == Role::Uninitialized => {
                self.role = if view.server.recovery_signal { Role::Replica } else { Role::Demoted };
                self.divergence = Divergence::MustCheck;
            }
            // A primary that crashed with the lock is started in place.
            DataDirectory::Initialized
                if self.divergence == Divergence::Unknown && (self.role != Role::Primary || view.lease.is_none()) =>
            {
                self.divergence = Divergence::MustCheck;
            }
            _ => {}
        }
        self.followed = None;
        self.down = true;
    }

    fn absorb_cluster(&mut self, view: &View) {
        if let Some(round) = &view.probes {
            let answered = round.answers.values().flatten().filter_map(|status| status.timeline);
            self.newest_timeline = answered.fold(self.newest_timeline, Timeline::max);
        }
        if let Some(cluster) = view.cluster() {
            let announced = self.next_timeline.map(|(timeline, _)| timeline);
            let own = |member: &MemberView| member.name == view.me() && member.timeline == announced;
            let published = cluster.members.iter().filter(|it| !own(it)).filter_map(|member| member.timeline);
            self.newest_timeline = published.fold(self.newest_timeline.max(cluster.timeline()), Timeline::max);
            let mut others = cluster.members.iter().filter(|member| member.name != view.me());
            if others.any(|member| !member.tags.nofailover()) {
                self.heir_seen = Some(view.now);
            }
            match cluster.leader_name() {
                Some(name) => {
                    self.former_leader = Some(name.to_owned());
                    self.backoff = None;
                    if name != view.me() && view.store.in_flight != Some(StoreCallKind::Acquire) {
                        self.race = None;
                    }
                }
                None => {
                    if self.handover.as_ref().is_some_and(|handover| handover.stopping) && view.lease.is_none() {
                        self.handover = None;
                    }
                }
            }
            if cluster.failover.as_ref().is_none_or(FailoverRequest::is_empty) {
                self.request_refused = false;
                if self.handover.as_ref().is_some_and(|handover| handover.request.is_some() && !handover.stopping) {
                    self.handover = None;
                }
            }
        }
        if view.lease.is_none() && view.server.postmaster.is_none() && view.running.is_none() {
            self.handover = None;
        }
    }

    /// Queues what operators' scripts should hear once the server is up in a role that they did not hear of.
    fn announce(&mut self, view: &View) {
        let up = view.server.is_primary() || view.server.is_standby();
        let settled = matches!(self.role, Role::Primary | Role::Replica | Role::StandbyLeader);
        if !up || !settled || view.running.is_some() {
            return;
        }
        match self.announced {
            Some(role) if role == self.role && !self.down => {}
            Some(role) if role != self.role => self.callbacks.push_back((Callback::OnRoleChange, self.role)),
            None if self.role == Role::StandbyLeader => {
                self.callbacks.push_back((Callback::OnStart, Role::Replica));
                self.callbacks.push_back((Callback::OnRoleChange, self.role));
            }
            _ => self.callbacks.push_back((Callback::OnStart, self.role)),
        }
        self.announced = Some(self.role);
        self.down = false;
    }
}

/// This member has the lock of a standby cluster, or of one that was until now and is about to be promoted.
fn leads_site(view: &View, role: Role) -> bool {
    let site = view.settings.standby_cluster.is_some() || role == Role::StandbyLeader;
    site && view.lease.is_some_and(|lease| view.now < lease.deadline)
}
