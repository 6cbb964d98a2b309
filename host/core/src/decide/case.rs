//! What a rule sees: the view, the memory, and the questions that many rules ask of both.

use super::durability::Step;
use super::{Action, Memory, Reason};
use crate::model::{ClusterView, Errand, ErrandKind, Lsn, MemberView, PgState, Source, StoreCall, Task, View};
use std::cell::OnceCell;
use std::time::Duration;

pub(super) struct Case<'a> {
    pub view: &'a View,
    pub memory: &'a mut Memory,
    /// What to do next about durability, once one of its rules has asked.
    durability: OnceCell<Option<Step>>,
}

pub(super) type Decision = Option<(Action, Reason)>;

impl<'a> Case<'a> {
    pub fn new(view: &'a View, memory: &'a mut Memory) -> Case<'a> {
        Case { view, memory, durability: OnceCell::new() }
    }
}

impl Case<'_> {
    /// The next step of durability; its rules ask one after the other, and nothing changes in between.
    pub fn durability_step(&self) -> Option<&Step> {
        self.durability.get_or_init(|| super::durability::next_step(self)).as_ref()
    }

    pub fn me(&self) -> &str {
        &self.view.settings.name
    }

    /// The last reading of the store, whatever its age.
    pub fn cluster(&self) -> Option<&ClusterView> {
        self.view.cluster()
    }

    /// A reading that nothing is known to have changed since, while the store answers.
    pub fn fresh_cluster(&self) -> Option<&ClusterView> {
        let (cluster, at) = self.view.store.snapshot.as_ref()?;
        let young = self.view.now.since(*at) <= self.view.settings.loop_wait + Duration::from_secs(1);
        (young && !self.view.store.changed && self.view.store.failing_since.is_none()).then_some(cluster.as_ref())
    }

    pub fn paused(&self) -> bool {
        self.view.settings.paused
    }

    /// This member has the lock, and nothing that was read since it last was confirmed says that another has it. A machine
    /// that stood still, its clock too, finds its lock valid long after others took it.
    pub fn holds_lease(&self) -> bool {
        let Some(lease) = self.view.lease.filter(|lease| self.view.now < lease.deadline) else { return false };
        let snapshot = self.view.store.snapshot.as_ref().filter(|(_, at)| *at > lease.renewed_at);
        let leader = snapshot.and_then(|(cluster, _)| cluster.leader_name());
        leader.is_none_or(|leader| leader == self.me())
    }

    /// The store was read since the lock last was confirmed, and it is not there: it ended, whatever our clock says, and
    /// others may have led since. The next renewal will say so.
    pub fn lock_is_gone(&self) -> bool {
        let Some(lease) = self.view.lease else { return true };
        let snapshot = self.view.store.snapshot.as_ref().filter(|(_, at)| *at > lease.renewed_at);
        snapshot.is_some_and(|(cluster, _)| cluster.leader.is_none())
    }

    pub fn server_runs(&self) -> bool {
        self.view.server.postmaster.is_some()
    }

    /// The server runs and takes connections of one kind or the other.
    pub fn server_is_up(&self) -> bool {
        self.view.server.is_primary() || self.view.server.is_standby()
    }

    pub fn task_is_idle(&self) -> bool {
        self.view.running.is_none()
    }

    /// Long work may be begun: none is going on, and the pause after a failure is over.
    pub fn may_begin(&self) -> bool {
        self.task_is_idle() && self.view.now >= self.memory.task_not_before
    }

    pub fn store_is_idle(&self) -> bool {
        self.view.store.in_flight.is_none() && self.view.store.retry_at.is_none_or(|at| self.view.now >= at)
    }

    /// An errand of this kind may be run: none is going on and the last did not just fail.
    pub fn may_run(&self, kind: ErrandKind) -> bool {
        !self.view.errands.contains(&kind)
            && self
                .view
                .errand_failures
                .get(&kind)
                .is_none_or(|failed| self.view.now.since(*failed) >= self.view.settings.loop_wait)
    }

    /// The leader by the last reading, where it is somebody else.
    pub fn other_leader(&self) -> Option<&str> {
        self.cluster()?.leader_name().filter(|name| *name != self.me())
    }

    /// This cluster follows another one.
    pub fn is_standby_site(&self) -> bool {
        self.view.settings.standby_cluster.is_some()
    }

    /// That other cluster, where it can be streamed from.
    pub fn remote(&self) -> Option<Source> {
        let settings = &self.view.settings;
        Source::remote(settings.standby_cluster.as_ref()?, settings.use_slots)
    }

    /// Where this server should stream from: `replicatefrom` if that member runs, else the leader, never itself. In a
    /// standby cluster the leader, and everybody while there is none, streams from the remote side.
    pub fn source(&self) -> Option<Source> {
        let cluster = self.cluster()?;
        if self.is_standby_site() && (self.holds_lease() || (cluster.leader.is_none() && !self.paused())) {
            return self.remote().filter(|_| !self.view.settings.tags.nostream());
        }
        let wanted = self.view.settings.tags.replicatefrom().and_then(|name| cluster.member(name));
        let member = wanted
            .filter(|member| member.name != self.me() && member.is_running() && member.conn_url.is_some())
            .or_else(|| cluster.leader_member())
            .filter(|member| member.name != self.me())?;
        if self.view.settings.tags.nostream() {
            return None;
        }
        self.source_of(member)
    }

    /// The leader as a source, whatever the tags say.
    pub fn leader_source(&self) -> Option<Source> {
        let member = self.cluster()?.leader_member().filter(|member| member.name != self.me())?;
        self.source_of(member)
    }

    pub fn source_of(&self, member: &MemberView) -> Option<Source> {
        let (host, port) = host_and_port(member.conn_url.as_deref()?)?;
        let slot = self.view.settings.use_slots.then(|| super::slot_name(self.me()));
        Some(Source { name: member.name.clone(), host, port, slot })
    }

    /// How far the stopped server's log reaches, as the leader leaves it in `status`.
    pub fn stopped_position(&self) -> Option<Lsn> {
        self.view.server.control_after_end().map(|control| control.checkpoint)
    }

    pub fn begin(&self, task: Task, reason: Reason) -> Decision {
        self.may_begin().then_some((Action::Begin(task), reason))
    }

    pub fn call(&self, call: StoreCall, reason: Reason) -> Decision {
        self.store_is_idle().then_some((Action::Store(call), reason))
    }

    /// The same where nothing else may be decided before it: while the store is busy, that is waited for.
    pub fn call_or_wait(&self, call: StoreCall, reason: Reason) -> Decision {
        self.call(call, reason.clone()).or_else(|| self.wait(reason))
    }

    pub fn run(&self, errand: Errand, reason: Reason) -> Decision {
        self.may_run(errand.kind()).then_some((Action::Run(errand), reason))
    }

    pub fn wait(&self, reason: Reason) -> Decision {
        Some((Action::Wait { until: super::timing::next_wakeup(self.view, self.memory) }, reason))
    }

    /// Members other than this one that are running and may become primary, by what they published.
    pub fn other_candidates(&self) -> Vec<String> {
        let Some(cluster) = self.cluster() else {
            return Vec::new();
        };
        cluster
            .members
            .iter()
            .filter(|member| member.name != self.me() && member.api_url.is_some() && !member.tags.nofailover())
            .filter(|member| {
                !matches!(
                    member.state,
                    Some(
                        PgState::CreatingReplica
                            | PgState::InitializingNewCluster
                            | PgState::RunningCustomBootstrap
                            | PgState::Stopped
                    )
                )
            })
            .map(|member| member.name.clone())
            .collect()
    }
}

/// `postgres://host:port/database` taken apart; IPv6 hosts lose their brackets.
pub(super) fn host_and_port(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return Some((host.to_owned(), tail.strip_prefix(':').unwrap_or("5432").to_owned()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.to_owned())),
        None => Some((authority.to_owned(), "5432".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn connection_urls_are_taken_apart() {
        let check = |url: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(host, port)| (host.to_owned(), port.to_owned()));
            assert_eq!(host_and_port(url), expected, "{url}");
        };
        check("postgres://127.0.0.1:5432/postgres", Some(("127.0.0.1", "5432")));
        check("postgres://[::1]:5433/postgres", Some(("::1", "5433")));
        check("postgres://user@db/x", Some(("db", "5432")));
        check("mysql://db", None);
    }
}
