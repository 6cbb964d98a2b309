//! A modelled store: one linearizable place with leases, compare-and-set and nothing else.

use regent_core::model::{
    ClusterView, FailoverRequest, HistoryView, LeaderView, MemberView, Moment, StatusView, StoreCall, SyncView,
    SynchronousMode, Version,
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
}

/// The lock.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The member's name.
    pub name: String,
    /// Which holding of the lock this is.
    pub token: u64,
    /// Its end.
    pub expires: Moment,
}

/// What a call brings beside its own data.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The lock as the caller holds it.
    pub token: Option<u64>,
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
    Held(u64),
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
    ttl: Duration,
    changes: u64,
}

impl Store {
    /// An empty store but for the configuration.
    pub fn new(ttl: Duration, dynamic: Dynamic) -> Store {
        let cluster = ClusterView { config: Some(Version("0".to_owned())), ..ClusterView::default() };
        Store { cluster, dynamic, lock: None, members: BTreeMap::new(), ttl, changes: 1 }
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
        match call {
            StoreCall::Load => (Answer::Loaded(Arc::new(self.view()), self.dynamic), false),
            StoreCall::Acquire => self.acquire(now, caller, input.status),
            StoreCall::Renew => self.renew(now, &input),
            StoreCall::Release { optime } => self.release(&input, *optime),
            StoreCall::TouchMember => self.touch(now, caller, input.member),
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
    pub fn ask(&mut self, leader: Option<String>, candidate: Option<String>) {
        self.changes += 1;
        let version = Version(self.changes.to_string());
        self.cluster.failover = Some(FailoverRequest { leader, candidate, scheduled_at: None, version });
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

    fn acquire(&mut self, now: Moment, caller: &str, status: Option<StatusView>) -> (Answer, bool) {
        if self.lock.as_ref().is_some_and(|lock| lock.name != caller) {
            return (Answer::Refused, false);
        }
        self.changes += 1;
        let token = self.changes;
        self.lock = Some(Lock { name: caller.to_owned(), token, expires: now + self.ttl });
        self.take_status(status);
        (Answer::Held(token), true)
    }

    fn renew(&mut self, now: Moment, input: &Input) -> (Answer, bool) {
        let (Some(lock), Some(token)) = (&mut self.lock, input.token) else {
            return (Answer::Refused, false);
        };
        if lock.token != token {
            return (Answer::Refused, false);
        }
        lock.expires = now + self.ttl;
        self.take_status(input.status.clone());
        (Answer::Held(token), false)
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

    fn touch(&mut self, now: Moment, caller: &str, member: Option<MemberView>) -> (Answer, bool) {
        let Some(member) = member else { return (Answer::Refused, false) };
        let before = self.members.insert(caller.to_owned(), (member.clone(), now + self.ttl));
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
