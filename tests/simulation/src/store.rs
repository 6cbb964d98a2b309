//! A modelled store: one linearizable place with leases, compare-and-set and nothing else.

use crate::plan::Change;
use regent_core::model::{
    ClusterView, FailoverRequest, HistoryView, LeaderView, MemberView, Moment, Settings, StatusView, StoreCall,
    SyncView, SynchronousMode, Version, WallTime,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The part of the dynamic configuration that operators change in these worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// Maintenance.
    pub paused: bool,
    /// Synchronous mode.
    pub mode: SynchronousMode,
    /// And whether commits wait where there is nobody to wait for.
    pub strict: bool,
    /// `synchronous_node_count`.
    pub count: u32,
    /// `ttl`.
    pub ttl: Duration,
    /// `loop_wait`.
    pub loop_wait: Duration,
    /// `retry_timeout`.
    pub retry_timeout: Duration,
    /// `maximum_lag_on_failover`.
    pub lag: u64,
    /// `failsafe_mode`.
    pub failsafe: bool,
    /// There is a `standby_cluster`.
    pub site: bool,
}

impl Dynamic {
    /// What these settings say.
    pub fn of(settings: &Settings) -> Dynamic {
        Dynamic {
            paused: settings.paused,
            mode: settings.synchronous_mode,
            strict: settings.synchronous_mode_strict,
            count: settings.synchronous_node_count,
            ttl: settings.ttl,
            loop_wait: settings.loop_wait,
            retry_timeout: settings.retry_timeout,
            lag: settings.maximum_lag_on_failover,
            failsafe: settings.failsafe_mode,
            site: settings.standby_cluster.is_some(),
        }
    }

    /// A member's settings with it.
    pub fn over(self, settings: &Settings) -> Settings {
        Settings {
            paused: self.paused,
            synchronous_mode: self.mode_in_force(),
            synchronous_mode_strict: self.strict,
            synchronous_node_count: self.count,
            ttl: self.ttl,
            loop_wait: self.loop_wait,
            retry_timeout: self.retry_timeout,
            maximum_lag_on_failover: self.lag,
            failsafe_mode: self.failsafe,
            standby_cluster: self.site.then(crate::site::address),
            ..settings.clone()
        }
    }

    /// A standby cluster has no synchronous mode.
    pub fn mode_in_force(self) -> SynchronousMode {
        if self.site { SynchronousMode::Off } else { self.mode }
    }

    /// The same as members see it.
    pub fn in_force(self) -> Dynamic {
        Dynamic { mode: self.mode_in_force(), ..self }
    }

    /// An operator changes something.
    pub fn change(&mut self, change: Change) {
        let seconds = Duration::from_secs;
        match change {
            Change::Mode(mode, strict) => {
                (self.mode, self.strict) = (mode, strict && mode != SynchronousMode::Off);
            }
            Change::Count(count) => self.count = count,
            Change::Timing(ttl, loop_wait, retry) => {
                (self.ttl, self.loop_wait, self.retry_timeout) = (seconds(ttl), seconds(loop_wait), seconds(retry));
            }
            Change::Lag(lag) => self.lag = lag,
            Change::Failsafe(on) => self.failsafe = on,
            Change::Site(on) => self.site = on,
        }
    }
}

/// The lock.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The member's name.
    pub name: String,
    /// Which holding of the lock this is.
    pub token: u64,
    /// The session that it hangs on.
    pub session: u32,
    /// Its end.
    pub expires: Moment,
}

/// What a call brings beside its own data.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The lock as the caller holds it.
    pub token: Option<u64>,
    /// Its session.
    pub session: u32,
    /// How long that lives.
    pub ttl: Duration,
    /// How long the call may take.
    pub budget: Duration,
    /// A session that is to end, unless the lock was taken with this call.
    pub ends: Option<u32>,
    /// The member key.
    pub member: Option<MemberView>,
    /// What goes with the lock.
    pub status: Option<StatusView>,
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Everything it holds.
    Loaded(Arc<ClusterView>, Dynamic),
    /// The lock is held, by this token.
    Held(u64, Duration),
    /// It was done.
    Done,
    /// It was not, and will not be.
    Refused,
    /// Nobody knows: `true`, or it was surely not done.
    Lost(bool),
}

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    /// The cluster without what expires.
    pub cluster: ClusterView,
    /// The configuration.
    pub dynamic: Dynamic,
    /// The lock.
    pub lock: Option<Lock>,
    members: BTreeMap<String, (MemberView, Moment)>,
    sessions: BTreeMap<u32, Moment>,
    revisions: BTreeMap<String, u64>,
    changes: u64,
}

impl Store {
    /// An empty store but for the configuration.
    pub fn new(dynamic: Dynamic) -> Store {
        let cluster = ClusterView { config: Some(Version("0".to_owned())), ..ClusterView::default() };
        Store {
            cluster,
            dynamic,
            lock: None,
            members: BTreeMap::new(),
            sessions: BTreeMap::new(),
            revisions: BTreeMap::new(),
            changes: 1,
        }
    }

    /// Takes away what has expired; says whether that was the lock.
    pub fn expire(&mut self, now: Moment) -> bool {
        self.members.retain(|_, (_, expires)| *expires > now);
        let over = self.lock.as_ref().is_some_and(|lock| lock.expires <= now);
        if over {
            self.lock = None;
            self.changes += 1;
        }
        over
    }

    /// Carries a call out; says also whether others should hear of a change.
    pub fn apply(&mut self, now: Moment, caller: &str, call: &StoreCall, input: Input) -> (Answer, bool) {
        self.expire(now);
        let ends = input.ends;
        if matches!(call, StoreCall::Acquire | StoreCall::Renew | StoreCall::TouchMember) {
            self.sessions.insert(input.session, now + input.ttl);
        }
        let (answer, news) = self.carry_out(now, caller, call, input);
        let ended = ends.filter(|_| !matches!(answer, Answer::Held(..))).is_some_and(|session| self.end(session));
        (answer, news || ended)
    }

    /// Ends a session, and the lock with it; says whether it had the lock.
    fn end(&mut self, session: u32) -> bool {
        self.sessions.remove(&session);
        let locked = self.lock.as_ref().is_some_and(|lock| lock.session == session);
        if locked {
            self.lock = None;
            self.changes += 1;
        }
        locked
    }

    /// Which revision of what it writes a call is meant for.
    pub fn revision_of(&self, caller: &str, call: &StoreCall) -> u64 {
        match call {
            StoreCall::Acquire => self.lock.as_ref().filter(|lock| lock.name == caller).map_or(0, |lock| lock.token),
            _ => self.revisions.get(&key_of(caller, call)).copied().unwrap_or(0),
        }
    }

    /// A call that arrives after it was given up finds what it was meant for.
    pub fn fits_late(&mut self, now: Moment, caller: &str, call: &StoreCall, input: &Input, seen: u64) -> bool {
        self.expire(now);
        let alive = self.sessions.get(&input.session).is_some_and(|end| *end > now);
        let ours = self.lock.as_ref().is_some_and(|lock| Some(lock.token) == input.token);
        match call {
            StoreCall::Acquire => {
                let foreign = self.lock.as_ref().is_some_and(|lock| lock.name != caller);
                alive && !foreign && self.revision_of(caller, call) == seen
            }
            // A renewal prolongs the session that it was sent for. The lock hangs on another by now where the ttl changed.
            StoreCall::Renew => {
                let same = self.lock.as_ref().is_some_and(|lock| lock.session == input.session);
                alive && ours && (same || self.revision_of(caller, call) == seen)
            }
            StoreCall::Release { .. } => alive && ours,
            StoreCall::TouchMember => alive && self.revision_of(caller, call) == seen,
            // These compare by themselves.
            StoreCall::WriteSync { .. } | StoreCall::DeleteSync { .. } | StoreCall::ClearFailover { .. } => true,
            StoreCall::Load => false,
            _ => self.revision_of(caller, call) == seen,
        }
    }

    fn carry_out(&mut self, now: Moment, caller: &str, call: &StoreCall, input: Input) -> (Answer, bool) {
        let revision = self.revisions.entry(key_of(caller, call)).or_default();
        *revision += u64::from(*call != StoreCall::Load);
        match call {
            StoreCall::Load => (Answer::Loaded(Arc::new(self.view()), self.dynamic), false),
            StoreCall::Acquire => self.acquire(now, caller, input),
            StoreCall::Renew => self.renew(now, &input),
            StoreCall::Release { optime } => self.release(&input, *optime),
            StoreCall::TouchMember => self.touch(now, caller, input),
            StoreCall::ClaimInitialize => {
                let free = self.cluster.initialize.is_none();
                self.write(free, |cluster, _| cluster.initialize = Some(String::new()))
            }
            StoreCall::SetInitialize { system_id } => {
                self.write(true, |cluster, _| cluster.initialize = Some(system_id.clone()))
            }
            StoreCall::CancelInitialize => self.write(true, |cluster, _| cluster.initialize = None),
            StoreCall::RestoreConfig => self.write(true, |cluster, version| cluster.config = Some(version)),
            StoreCall::ClearFailover { version } => {
                let same = self.cluster.failover.as_ref().is_some_and(|request| request.version == *version);
                self.write(same, |cluster, _| cluster.failover = None)
            }
            StoreCall::WriteSync { sync, over } => {
                let same = self.cluster.sync.version == *over;
                self.write(same, |cluster, version| {
                    cluster.sync = SyncView {
                        leader: Some(sync.leader.clone()),
                        standbys: sync.standbys.clone(),
                        quorum: sync.quorum,
                        version: Some(version),
                    };
                })
            }
            StoreCall::DeleteSync { version } => {
                let same = self.cluster.sync.version.as_ref() == Some(version);
                self.write(same, |cluster, _| cluster.sync = SyncView::default())
            }
            StoreCall::WriteFailsafe { members } => {
                self.write(true, |cluster, _| cluster.failsafe = Some(members.clone()))
            }
            StoreCall::WriteHistory { rows } => self.write(true, |cluster, _| {
                cluster.history = HistoryView { known: true, rows: rows.clone() };
            }),
        }
    }

    /// An operator asks for a hand-over.
    pub fn ask(&mut self, leader: Option<String>, candidate: Option<String>, scheduled_at: Option<WallTime>) {
        self.changes += 1;
        let version = Version(self.changes.to_string());
        self.cluster.failover = Some(FailoverRequest { leader, candidate, scheduled_at, version });
    }

    /// An operator changes the configuration.
    pub fn configure(&mut self, change: impl FnOnce(&mut Dynamic)) {
        self.changes += 1;
        change(&mut self.dynamic);
        self.cluster.config = Some(Version(self.changes.to_string()));
    }

    fn view(&self) -> ClusterView {
        let lock = self.lock.as_ref();
        ClusterView {
            leader: lock.map(|lock| LeaderView {
                name: lock.name.clone(),
                version: Version(lock.token.to_string()),
                session: lock.token.to_string(),
            }),
            members: self.members.values().map(|(member, _)| member.clone()).collect(),
            ..self.cluster.clone()
        }
    }

    fn write(&mut self, allowed: bool, change: impl FnOnce(&mut ClusterView, Version)) -> (Answer, bool) {
        if !allowed {
            return (Answer::Refused, false);
        }
        self.changes += 1;
        change(&mut self.cluster, Version(self.changes.to_string()));
        (Answer::Done, true)
    }

    fn acquire(&mut self, now: Moment, caller: &str, input: Input) -> (Answer, bool) {
        if self.lock.as_ref().is_some_and(|lock| lock.name != caller) {
            return (Answer::Refused, false);
        }
        self.changes += 1;
        let token = self.changes;
        let (session, expires) = (input.session, now + input.ttl);
        self.lock = Some(Lock { name: caller.to_owned(), token, session, expires });
        self.take_status(input.status);
        (Answer::Held(token, input.ttl), true)
    }

    fn renew(&mut self, now: Moment, input: &Input) -> (Answer, bool) {
        let (Some(lock), Some(token)) = (&mut self.lock, input.token) else {
            return (Answer::Refused, false);
        };
        if lock.token != token {
            return (Answer::Refused, false);
        }
        lock.expires = now + input.ttl;
        lock.session = input.session;
        self.take_status(input.status.clone());
        (Answer::Held(token, input.ttl), false)
    }

    fn release(&mut self, input: &Input, optime: Option<regent_core::model::Lsn>) -> (Answer, bool) {
        if self.lock.is_none() || self.lock.as_ref().map(|lock| lock.token) != input.token {
            return (Answer::Refused, false);
        }
        self.lock = None;
        if optime.is_some() {
            self.cluster.status.optime = optime;
        }
        self.changes += 1;
        (Answer::Done, true)
    }

    fn touch(&mut self, now: Moment, caller: &str, input: Input) -> (Answer, bool) {
        let Some(member) = input.member else { return (Answer::Refused, false) };
        let before = self.members.insert(caller.to_owned(), (member.clone(), now + input.ttl));
        let news = before.is_none_or(|(before, _)| {
            (before.state, before.role, before.timeline) != (member.state, member.role, member.timeline)
        });
        (Answer::Done, news)
    }

    fn take_status(&mut self, status: Option<StatusView>) {
        if let Some(status) = status {
            self.cluster.status = status;
        }
    }
}

/// The name of what a call writes.
fn key_of(caller: &str, call: &StoreCall) -> String {
    let name = match call {
        StoreCall::TouchMember => return format!("member {caller}"),
        StoreCall::ClaimInitialize | StoreCall::SetInitialize { .. } | StoreCall::CancelInitialize => "initialize",
        StoreCall::RestoreConfig => "config",
        StoreCall::WriteFailsafe { .. } => "failsafe",
        StoreCall::WriteHistory { .. } => "history",
        _ => "",
    };
    name.to_owned()
}
