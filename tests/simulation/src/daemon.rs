//! One member's daemon: what it knows and remembers, and how news become knowledge. It mirrors the product's loop, of
//! which the decisions themselves are the real ones.

use crate::server::Server;
use crate::store::{Answer, Dynamic};
use regent_core::decide::{GuardOrder, Memory, give_word, prolonged, published_status};
use regent_core::model::{
    ControlData, Errand, ErrandKind, FailsafeRound, FinishedTask, GuardView, HistoryRow, LeaseView, MemberStatus,
    MemberView, Moment, Monitoring, Observed, PgState, Postmaster, PostmasterStatus, ProbeRound, ReinitializeRequest,
    RequestsView, RestartRequest, Role, ServerView, Settings, StatusView, StoreCall, StoreView, Tags, Task,
    TaskOutcome, View, WallTime,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// After a call to the store failed: pause before the next.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Something that a daemon hears of.
#[derive(Clone, Debug)]
pub enum News {
    /// The store answered.
    Answered(StoreCall, Moment, Answer),
    /// Something changed in the store.
    StoreChanged,
    /// A server was started here.
    Found(Postmaster),
    /// Its files say something else.
    Status(Postmaster, PostmasterStatus, bool),
    /// It ended.
    Ended(Postmaster),
    /// It answered the monitoring query, which was sent then.
    Monitored(Postmaster, Option<Monitoring>, Moment),
    /// The control file was read then.
    Control(Option<ControlData>, Moment),
    /// Long work ended.
    TaskEnded(u64, TaskOutcome),
    /// Short work that began then ended, with what was found out.
    ErrandEnded(Errand, Moment, Result<Finding, ()>),
    /// An operator wants something of this node.
    Asked(Request),
    /// A leader asks whether it may go on without the store for that long, and does not wait for the answer any more.
    MayGoOn(String, Duration),
}

/// What short work found out.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Nothing but that it worked.
    Nothing,
    /// Members' answers.
    Probes(ProbeRound),
    /// Members' words.
    Failsafe(FailsafeRound),
    /// The control file.
    Control(Option<ControlData>, Moment),
    /// The local history.
    History(Vec<HistoryRow>),
}

/// What operators ask of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// End.
    Shutdown,
    /// Restart the server.
    Restart,
    /// Make this member anew.
    Reinitialize,
}

/// A daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Which start of a daemon on this node it is.
    pub instance: u32,
    /// What it knows.
    pub view: View,
    /// What it remembers.
    pub memory: Memory,
    /// The lock as it holds it.
    pub token: Option<u64>,
    /// What the lock and the member key hang on in the store.
    pub session: u32,
    /// How long that lives.
    pub session_ttl: Duration,
    /// The next one, where a call under way may end this one.
    pub next_session: Option<u32>,
    /// A request about the lock went unanswered, and may be carried out yet.
    pub unsure: bool,
    /// The number of the long work that is going on.
    pub task: Option<u64>,
    /// How many there were.
    pub tasks: u64,
    /// What the member key says.
    pub written: Option<MemberView>,
    /// What the guard was told.
    pub told: Option<GuardOrder>,
    /// Only the last wake-up counts.
    pub wake: u64,
    /// Something changed in the store since the last reading was begun.
    pub heard: bool,
    /// The last lines of the story that are its.
    pub said: Vec<String>,
    /// What came while it was frozen, or just now.
    pub inbox: Vec<News>,
}

impl Daemon {
    /// A daemon that was just started beside this server.
    pub fn start(instance: u32, session: u32, now: Moment, settings: Settings, server: &Server) -> Daemon {
        let control = match server.control() {
            Some(value) => Observed::Seen { value, at: now },
            None => Observed::Unseen("not read yet".to_owned()),
        };
        let server = ServerView {
            data_directory: server.data_directory(),
            postmaster: server.postmaster,
            status: server.status(),
            monitoring: Observed::Unseen("not asked yet".to_owned()),
            control,
            ended_at: None,
            recovery_signal: server.has_recovery_signal(),
            version: 150_000,
        };
        let session_ttl = settings.ttl;
        let view = View {
            now,
            wall: WallTime(0),
            started_at: now,
            settings: Arc::new(settings),
            store: StoreView { has_configuration: true, ..StoreView::default() },
            lease: None,
            failsafe: Default::default(),
            server,
            running: None,
            finished: None,
            errands: BTreeSet::new(),
            errand_failures: BTreeMap::new(),
            slots_synced: None,
            probes: None,
            guard: GuardView { alive: true },
            watchdog: regent_core::model::WatchdogView::default(),
            requests: RequestsView::default(),
        };
        Daemon {
            instance,
            view,
            memory: Memory::default(),
            token: None,
            session,
            session_ttl,
            next_session: None,
            unsure: false,
            task: None,
            tasks: 0,
            written: None,
            told: None,
            wake: 0,
            heard: false,
            said: Vec::new(),
            inbox: Vec::new(),
        }
    }

    /// The clock goes on; a lock that ended unrenewed is gone.
    pub fn refresh(&mut self, now: Moment) {
        self.view.now = now;
        if self.view.lease.is_some_and(|lease| now >= lease.deadline) {
            self.view.lease = None;
            self.token = None;
            self.view.failsafe.kept_at = None;
            self.view.store.lease_ran_out = true;
        }
    }

    /// Takes in what happened; `server` is what can be seen without asking anybody.
    pub fn fold(&mut self, news: News, server: &Server) {
        match news {
            News::Answered(call, sent_at, answer) => self.fold_answer(&call, sent_at, answer),
            News::StoreChanged => {
                self.view.store.changed = true;
                self.heard = true;
            }
            News::TaskEnded(number, outcome) => self.fold_task(number, outcome, server),
            News::ErrandEnded(errand, begun_at, result) => self.fold_errand(&errand, begun_at, result),
            News::Asked(Request::Shutdown) => self.view.requests.shutdown = true,
            News::Asked(Request::Restart) => {
                self.view.requests.restart = Some(RestartRequest { timeout: None });
            }
            News::Asked(Request::Reinitialize) => self.ask_reinitialize(),
            News::MayGoOn(leader, ttl) => {
                self.give_word(&leader, ttl);
            }
            News::Control(control, at) => self.view.server.take_control(observed(control, at)),
            other => self.fold_server(other, server),
        }
    }

    /// This member's word that a leader may go on.
    pub fn give_word(&mut self, leader: &str, ttl: Duration) -> bool {
        if !self.view.settings.failsafe_mode {
            return false;
        }
        let promise = give_word(&self.view, leader, Some(ttl));
        let given = promise.is_some();
        self.view.failsafe.promise = promise.or_else(|| self.view.failsafe.promise.take());
        given
    }

    /// The API refuses to make a leader anew.
    fn ask_reinitialize(&mut self) {
        let leader = self.view.cluster().and_then(|cluster| cluster.leader_name());
        if leader.is_some_and(|leader| leader != self.view.me()) && self.view.running.is_none() {
            self.view.requests.reinitialize = Some(ReinitializeRequest { from_leader: false, force: false });
        }
    }

    fn fold_server(&mut self, news: News, server: &Server) {
        let view = &mut self.view.server;
        match news {
            News::Found(postmaster) => {
                view.postmaster = Some(postmaster);
                view.status = None;
                self.look(server);
            }
            News::Status(postmaster, status, signal) if view.postmaster == Some(postmaster) => {
                view.status = Some(status);
                view.recovery_signal = signal;
            }
            News::Ended(postmaster) if view.postmaster == Some(postmaster) => {
                view.postmaster = None;
                view.status = None;
                view.ended_at = Some(self.view.now);
                view.monitoring = Observed::Unseen("the server ended".to_owned());
                view.data_directory = server.data_directory();
                view.recovery_signal = server.has_recovery_signal();
            }
            News::Monitored(postmaster, answer, at) if view.postmaster == Some(postmaster) => {
                view.monitoring = observed(answer, at);
            }
            _ => {}
        }
    }

    /// Takes in at once what can be seen without waiting.
    pub fn look(&mut self, server: &Server) {
        let view = &mut self.view.server;
        view.data_directory = server.data_directory();
        view.recovery_signal = server.has_recovery_signal();
        if view.postmaster.is_some() && server.postmaster.is_none() {
            view.ended_at = Some(self.view.now);
        }
        if view.postmaster != server.postmaster {
            view.monitoring = Observed::Unseen("not asked yet".to_owned());
        }
        view.postmaster = server.postmaster;
        view.status = server.status();
    }

    fn fold_answer(&mut self, call: &StoreCall, sent_at: Moment, answer: Answer) {
        let store = &mut self.view.store;
        store.in_flight = None;
        self.unsure |= matches!(answer, Answer::Lost(_))
            && matches!(call, StoreCall::Acquire | StoreCall::Renew | StoreCall::Release { .. });
        let next = self.next_session.take().filter(|_| matches!(answer, Answer::Done | Answer::Refused));
        if let Some(next) = next {
            self.session = next;
            self.unsure = false;
        }
        match answer {
            Answer::Lost(_) => {
                store.failing_since.get_or_insert(sent_at);
                store.retry_at = Some(self.view.now + STORE_PAUSE.min(self.view.settings.loop_wait));
                store.changed |= *call != StoreCall::Load;
                if let (StoreCall::Renew, Some(lease)) = (call, &mut self.view.lease) {
                    lease.attempted_at = sent_at;
                }
                return;
            }
            Answer::Loaded(cluster, dynamic) => {
                store.changed = self.heard;
                store.lock_refused = false;
                store.snapshot = Some((cluster, sent_at));
                self.configure(dynamic);
            }
            Answer::Held(token, ttl) => {
                let deadline = sent_at + self.view.settings.ttl.min(ttl);
                self.view.lease = Some(LeaseView { deadline, renewed_at: sent_at, attempted_at: sent_at });
                self.token = Some(token);
                self.view.failsafe.kept_at = None;
                store.lease_ran_out = false;
                store.lock_refused = false;
                store.changed |= *call == StoreCall::Acquire;
            }
            Answer::Done => self.call_done(call, sent_at),
            Answer::Refused => self.call_refused(call),
        }
        self.view.store.failing_since = None;
        self.view.store.retry_at = None;
    }

    fn call_done(&mut self, call: &StoreCall, sent_at: Moment) {
        let store = &mut self.view.store;
        match call {
            StoreCall::TouchMember => {
                store.member_written_at = Some(sent_at);
                return;
            }
            StoreCall::Release { .. } => {
                self.view.lease = None;
                self.token = None;
            }
            StoreCall::ClaimInitialize => store.claimed = true,
            StoreCall::SetInitialize { .. } | StoreCall::CancelInitialize => store.claimed = false,
            StoreCall::WriteHistory { .. } => store.local_history = None,
            _ => {}
        }
        store.changed = true;
    }

    fn call_refused(&mut self, call: &StoreCall) {
        self.view.store.changed = true;
        if matches!(call, StoreCall::Acquire | StoreCall::Renew | StoreCall::Release { .. }) {
            self.view.lease = None;
            self.token = None;
            self.view.store.lock_refused |= !matches!(call, StoreCall::Release { .. });
        }
    }

    /// Where whom commits wait for is decided otherwise, the server's configuration is written anew as well.
    fn configure(&mut self, dynamic: Dynamic) {
        let (before, now) = (Dynamic::of(&self.view.settings), dynamic.in_force());
        if before == now {
            return;
        }
        self.view.settings = Arc::new(dynamic.over(&self.view.settings));
        self.view.requests.apply_configuration |= (before.mode, before.site) != (now.mode, now.site);
    }

    fn fold_task(&mut self, number: u64, outcome: TaskOutcome, server: &Server) {
        if self.task != Some(number) {
            return;
        }
        self.task = None;
        self.look(server);
        if let Some(running) = self.view.running.take() {
            self.view.finished = Some(FinishedTask { number, task: running.task, outcome, at: self.view.now });
        }
    }

    fn fold_errand(&mut self, errand: &Errand, begun_at: Moment, result: Result<Finding, ()>) {
        let kind = errand.kind();
        self.view.errands.remove(&kind);
        let Ok(finding) = result else {
            self.view.errand_failures.insert(kind, self.view.now);
            self.memory.checkpoint_pending |= kind == ErrandKind::CheckpointAfterPromote;
            return;
        };
        self.view.errand_failures.remove(&kind);
        match (errand, finding) {
            (_, Finding::Probes(round)) => self.view.probes = Some(round),
            (_, Finding::Failsafe(round)) => {
                if let Some(lease) = prolonged(&self.view, &round) {
                    self.view.lease = Some(lease);
                    self.view.failsafe.kept_at = Some(round.begun_at);
                }
            }
            (_, Finding::Control(control, at)) => self.view.server.take_control(observed(control, at)),
            (_, Finding::History(rows)) => self.view.store.local_history = Some(rows),
            (Errand::SyncSlots { wanted, .. }, _) => self.view.slots_synced = Some((wanted.clone(), begun_at)),
            (Errand::ApplyConfiguration { .. }, _) => self.view.requests.apply_configuration = false,
            _ => {}
        }
    }

    /// What the member key should say.
    pub fn member(&self) -> MemberView {
        let monitoring = self.view.server.monitoring.value().filter(|_| self.view.server.postmaster.is_some());
        let name = self.view.me().to_owned();
        let pending = self.memory.role == Role::Primary && self.memory.checkpoint_pending
            || self.view.errands.contains(&ErrandKind::CheckpointAfterPromote);
        MemberView {
            conn_url: Some(format!("postgres://{name}:5432/postgres")),
            api_url: Some(format!("http://{name}:8008/patroni")),
            state: Some(self.state()),
            role: Some(self.memory.role),
            xlog_location: monitoring.and_then(Monitoring::position),
            timeline: self.memory.next_timeline.map(|(timeline, _)| timeline).or_else(|| self.view.own_timeline()),
            tags: self.tags(),
            pause: self.view.settings.paused,
            checkpoint_after_promote: pending.then_some(false),
            name,
            ..MemberView::default()
        }
    }

    /// With what this member does not want to be at the moment.
    fn tags(&self) -> Tags {
        match self.memory.durability.leaving_since {
            Some(_) => self.view.settings.tags.released_from_sync(),
            None => self.view.settings.tags.clone(),
        }
    }

    fn state(&self) -> PgState {
        match (self.view.running.as_ref().map(|running| &running.task), self.view.server.status) {
            (Some(Task::Clone { .. }), _) => PgState::CreatingReplica,
            (Some(Task::Bootstrap), _) => PgState::InitializingNewCluster,
            (Some(Task::Stop { .. } | Task::Wipe), Some(_)) => PgState::Stopping,
            (_, Some(PostmasterStatus::Ready | PostmasterStatus::Standby)) => PgState::Running,
            (_, Some(_)) => PgState::Starting,
            (_, None) => PgState::Stopped,
        }
    }

    /// What goes with the lock.
    pub fn status(&self) -> Option<StatusView> {
        published_status(&self.view, &self.memory)
    }

    /// What it answers to other members; nothing without a position.
    pub fn answer(&self) -> Option<MemberStatus> {
        let monitoring = self.view.server.monitoring.value().filter(|_| self.view.server.postmaster.is_some())?;
        let in_recovery = !monitoring.is_primary;
        Some(MemberStatus {
            in_recovery,
            position: monitoring.position()?,
            timeline: monitoring.timeline,
            tags: self.tags(),
            watchdog_failed: false,
            unsettled: in_recovery && !self.memory.position_is_final(&self.view),
        })
    }
}

fn observed<T>(value: Option<T>, at: Moment) -> Observed<T> {
    match value {
        Some(value) => Observed::Seen { value, at },
        None => Observed::Unseen("no answer".to_owned()),
    }
}
