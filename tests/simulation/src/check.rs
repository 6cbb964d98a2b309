//! The invariants, checked at every step (DESIGN §3).

use crate::daemon::Daemon;
use crate::log::Log;
use crate::plan::{Fault, Kind};
use crate::server::{Directory, Phase, Waiting};
use crate::world::{Node, World};
use regent_core::decide::{Action, Divergence, Verdict};
use regent_core::model::{DataDirectory, Moment, StandbyNames, StartMode, SynchronousMode, Task, Timeline};
use std::collections::BTreeMap;
use std::time::Duration;

/// More stops than these, all having been well for a while, follow from each other.
const STOPS: u32 = 50;

/// So long after a machine stood still, what its server acknowledges is counted and not judged.
const THAW: Duration = Duration::from_millis(200);

impl Node {
    /// It stood still a moment ago, or did so lately without noticing.
    pub fn is_out_of_time(&self, now: Moment) -> bool {
        now < self.thawed_at + THAW || now < self.unaware_until
    }
}

/// What was seen so far, and what must not happen after it.
#[derive(Debug)]
pub struct Checks {
    /// The first thing that must not happen.
    pub violation: Option<String>,
    /// When a commit was last acknowledged.
    pub last_acknowledged: Moment,
    /// How many promotions there were.
    pub promotions: u32,
    /// An operator forced a failover: what was lost with it was given up.
    pub forced: bool,
    /// An operator removed the lock, or took the cluster into maintenance: several primaries are his.
    pub meddled: bool,
    /// The cluster was to follow another one, and since then nobody led it there.
    unfollowed: bool,
    /// Whether the mode was changed: then a commit is promised from the moment on that the sync key is its leader's.
    changed: bool,
    /// The most that was allowed.
    lag: u64,
    newest_writer: u32,
    newest_timeline: Timeline,
    stops: u32,
    /// Those that are promised to last.
    commits: Vec<Waiting>,
    /// The last one of all.
    last: Option<Waiting>,
    leases: BTreeMap<usize, Moment>,
}

impl Checks {
    /// Nothing has happened yet.
    pub fn new(lag: u64) -> Checks {
        Checks {
            violation: None,
            last_acknowledged: Moment(0),
            promotions: 0,
            forced: false,
            meddled: false,
            unfollowed: false,
            changed: false,
            lag,
            newest_writer: 0,
            newest_timeline: Timeline(0),
            stops: 0,
            commits: Vec::new(),
            last: None,
            leases: BTreeMap::new(),
        }
    }

    /// Something must not happen and did; the first counts.
    pub fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    /// An operator makes several primaries possible: until the cluster has come to rest again nothing is promised.
    pub fn meddle(&mut self) {
        self.meddled = true;
    }

    /// An operator changed the configuration. With synchronous mode off nothing is promised any more. A race that goes on
    /// may have read either limit of lag.
    pub fn configured(&mut self, lag: u64, mode: SynchronousMode) {
        self.changed = true;
        self.lag = self.lag.max(lag);
        if mode == SynchronousMode::Off {
            self.commits.clear();
        }
    }

    /// The cluster follows another one: what was written here is given up.
    pub fn follow(&mut self) {
        self.unfollowed = true;
        self.commits.clear();
        self.last = None;
        self.newest_timeline = Timeline(0);
    }

    /// It has: what was acknowledged meanwhile may have gone, from now on nothing may.
    fn rest(&mut self, leader_epoch: u32) {
        self.meddled = false;
        self.forced = false;
        self.newest_writer = leader_epoch;
        self.commits.clear();
    }

    /// The number of a promotion.
    pub fn next_epoch(&mut self) -> u32 {
        self.promotions += 1;
        self.promotions
    }

    /// The store gave this node the lock until then; or a standby cluster its leader.
    pub fn lock_held(&mut self, node: usize, expires: Moment, leads_site: bool) {
        self.leases.insert(node, expires);
        self.unfollowed &= !leads_site;
    }

    /// The members let this leader go on until then.
    pub fn kept(&mut self, node: usize, until: Moment) {
        let until_now = self.leases.entry(node).or_default();
        *until_now = until.max(*until_now);
    }

    /// This node had the lock once.
    pub fn has_led(&self, node: usize) -> bool {
        self.leases.contains_key(&node)
    }
}

impl World {
    /// The members' word keeps a leader like the store's.
    pub fn check_word(&mut self, node: usize, daemon: &Daemon) {
        let kept = daemon.view.failsafe.kept_at.is_some();
        if let Some(lease) = daemon.view.lease.filter(|_| kept) {
            let until = self.nodes[node].clock.world(lease.deadline);
            self.checks.kept(node, until);
        }
    }

    /// Nobody gets the lock while another takes writes and trusts in its own, be that only by the members' word.
    pub fn check_taken(&mut self, node: usize) {
        if self.checks.meddled || self.store.dynamic.paused {
            return;
        }
        let trusts = |other: &usize| {
            let place = &self.nodes[*other];
            let lease = place.daemon.as_ref().and_then(|daemon| daemon.view.lease);
            *other != node
                && place.server.phase == Phase::Primary
                && !place.is_out_of_time(self.now)
                && lease.is_some_and(|lease| self.clock(*other) < lease.deadline)
        };
        if let Some(other) = (0..self.nodes.len()).find(trusts) {
            let text = format!("3: {} got the lock, and {} trusts in its own", self.names[node], self.names[other]);
            self.checks.fail(|| text);
        }
    }

    /// A client was told that its commit is safe: invariants 1 and 3.
    pub fn acknowledged(&mut self, node: usize, commit: Waiting) {
        let now = self.now;
        let epoch = self.nodes[node].server.epoch;
        let name = &self.names[node];
        let synchronous = self.store.dynamic.mode_in_force() != SynchronousMode::Off;
        let claimed = self.store.cluster.sync.leader.as_ref() == Some(name);
        let checks = &mut self.checks;
        checks.last_acknowledged = now;
        checks.last = Some(commit);
        if synchronous && (claimed || !checks.changed) {
            checks.commits.push(commit);
        }
        let meddled = checks.meddled || self.store.dynamic.paused;
        let waits = synchronous && !self.nodes[node].server.names.is_empty();
        let judged = waits && !checks.changed && now >= self.nodes[node].thawed_at + THAW;
        if self.nodes[node].is_out_of_time(now) {
            // A machine that stood still does not know how long: its server may answer before its daemon looks up. What
            // waits for standbys is not answered: they have left.
            self.statistics.after_thaw += u64::from(epoch < checks.newest_writer);
            if epoch < checks.newest_writer && judged && !meddled {
                checks.fail(|| format!("1: {name} acknowledged a write after a later leader had"));
            }
            return;
        }
        if epoch < checks.newest_writer && !meddled {
            checks.fail(|| format!("1: {name} acknowledged a write after a later leader had"));
        }
        checks.newest_writer = checks.newest_writer.max(epoch);
        let other = self.store.lock.as_ref().filter(|lock| lock.name != *name).map(|lock| lock.name.clone());
        if let Some(other) = other.filter(|_| !meddled) {
            checks.fail(|| format!("3: {name} acknowledged a write while {other} had the lock"));
        }
        // The guard stands down only where nobody else could lead.
        let over = self.checks.leases.get(&node).is_some_and(|expires| *expires < now);
        if over && !meddled && self.nodes[node].guard.is_some() {
            self.checks.fail(|| format!("3: {} acknowledged a write after its lock had ended", self.names[node]));
        }
    }

    /// The last acknowledged commit, if there is one, is in some data directory that is on the newest timeline of all, of a
    /// member that may lead: no tag forbids it, nor the limit for lag behind what the last leader said.
    pub fn somebody_has_the_last_commit(&self) -> bool {
        let holds = |log: &Log| self.checks.last.is_none_or(|last| log.holds(last.index, last.id));
        let able = self.nodes.iter().zip(&self.plan.tags).filter(|(_, tags)| !tags.nofailover());
        let logs = able.filter_map(|(node, _)| node.server.log());
        let newest = self.checks.newest_timeline;
        let said = self.store.cluster.status.optime.unwrap_or_default().0;
        let near = |log: &&Log| said.saturating_sub(log.end().0) <= self.store.dynamic.lag;
        logs.filter(|log| log.timeline() >= newest).filter(near).any(holds)
    }

    /// Some member that may lead has data that a server comes up on.
    pub fn somebody_is_whole(&self) -> bool {
        self.whole_logs().next().is_some()
    }

    /// And lacks no more than is allowed of what the last leader said.
    pub fn somebody_is_near(&self) -> bool {
        let said = self.store.cluster.status.optime.unwrap_or_default().0;
        self.whole_logs().any(|(_, log)| said.saturating_sub(log.end().0) <= self.store.dynamic.lag)
    }

    /// And may race, for the failsafe key names it or there is none.
    pub fn somebody_is_named(&self) -> bool {
        let key = self.store.cluster.failsafe.as_ref().filter(|key| self.store.dynamic.failsafe && !key.is_empty());
        self.whole_logs().any(|(place, _)| key.is_none_or(|key| key.contains_key(&self.names[place])))
    }

    /// And is on the timeline that the history key tells of. Nobody need be where a cluster was told to follow another, its
    /// members went over, and all that before anybody led them there, who would have taken the key back.
    pub fn somebody_is_of_the_timeline(&self) -> bool {
        let told = self.store.cluster.timeline();
        !self.checks.unfollowed || self.whole_logs().any(|(_, log)| log.timeline() >= told)
    }

    fn whole_logs(&self) -> impl Iterator<Item = (usize, &Log)> {
        let able = self.members().iter().enumerate().filter(|(place, _)| !self.plan.tags[*place].nofailover());
        let directories = able.filter_map(|(place, node)| Some((place, node.server.directory.as_ref()?)));
        let whole = |directory: &Directory| directory.half_rewound.is_none() && !directory.lacks_log;
        directories.filter(move |(_, directory)| whole(directory)).map(|(place, directory)| (place, &directory.log))
    }

    /// A server became primary by itself: invariant 2, and the third's first half.
    pub fn promoted(&mut self, node: usize) {
        self.statistics.promotions += 1;
        let name = self.names[node].clone();
        let holds = self.store.lock.as_ref().is_some_and(|lock| lock.name == name);
        let unaware = self.nodes[node].is_out_of_time(self.now);
        if !holds && !self.checks.meddled && !unaware {
            self.checks.fail(|| format!("3: {name} became primary without the lock"));
        }
        if !holds && unaware {
            // It acknowledges nothing that somebody waits for: whoever leads now has its standbys.
            return self.statistics.count("machines", "suspended, promoted without the lock");
        }
        self.check_lag(node);
        let timeline = self.nodes[node].server.log().map(Log::timeline).unwrap_or_default();
        self.checks.newest_timeline = self.checks.newest_timeline.max(timeline);
        let durable = !self.checks.forced && !self.checks.meddled;
        let Some(log) = self.nodes[node].server.log().filter(|_| durable) else { return };
        let lost = self.checks.commits.iter().find(|commit| !log.holds(commit.index, commit.id)).copied();
        if let Some(lost) = lost {
            self.checks.fail(|| format!("2: {name} was promoted without the acknowledged commit {}", lost.index));
        }
    }

    /// Who is promoted without being named lacks no more than the setting allows of what the last leader published. In a
    /// standby cluster a member that a hand-over brought to lead may be promoted long after that.
    fn check_lag(&mut self, node: usize) {
        let hands_over = |fault: &Fault| matches!(fault.kind, Kind::Switchover(..) | Kind::Failover(_));
        let before = self.plan.settings.standby_cluster.is_some() && self.plan.faults.iter().any(hands_over);
        let asked = before || self.store.cluster.failover.is_some() || self.checks.forced || self.checks.meddled;
        let end = self.nodes[node].server.log().map(Log::end).unwrap_or_default();
        let lag = self.store.cluster.status.optime.unwrap_or_default().0.saturating_sub(end.0);
        if !asked && lag > self.checks.lag {
            let name = self.names[node].clone();
            self.checks.fail(|| format!("2: {name} was promoted {lag} bytes behind the last leader"));
        }
    }

    /// After an operator meddled: once everybody streams from the one primary, which has the lock, all is promised again.
    pub fn check_rest(&mut self) {
        let waits = !self.checks.meddled && !self.checks.forced;
        if waits || self.store.dynamic.paused || self.store.cluster.failover.is_some() {
            return;
        }
        let Some(leader) = self.store.lock.as_ref().and_then(|lock| self.place(&lock.name)) else { return };
        let settled = self.members().iter().enumerate().all(|(place, node)| match node.server.phase {
            Phase::Primary => place == leader,
            Phase::Standby => node.server.stream == Some(leader),
            _ => false,
        });
        // A daemon that hangs since the maintenance would neither stop its server nor let the guard do it; one that ended
        // in it and was started since may take a while to learn whether it still has the lock.
        let aware = self.members().iter().enumerate().all(|(place, node)| {
            let daemon = node.daemon.as_ref().filter(|_| !node.daemon_frozen && !node.frozen);
            daemon.is_some_and(|it| !it.view.settings.paused && (place != leader || it.view.lease.is_some()))
        });
        if settled && aware && self.nodes[leader].server.phase == Phase::Primary {
            let epoch = self.nodes[leader].server.epoch;
            self.checks.rest(epoch);
        }
    }

    /// A decision: invariants 3, 4, 5 and 10, and others in part.
    pub fn judge(&mut self, node: usize, daemon: &Daemon, verdict: &Verdict) {
        let task = match &verdict.action {
            Action::Begin(task) | Action::Preempt(task) => task,
            Action::CancelTask if !daemon.view.requests.shutdown => return self.judge_cancel(node, verdict.rule),
            _ => return,
        };
        let (view, rule) = (&daemon.view, verdict.rule);
        let name = &self.names[node];
        let settings = &view.settings;
        // A primary that crashed while the members' word kept it is started in place.
        let kept = *task == Task::Start(StartMode::Primary)
            && self.checks.leases.get(&node).is_some_and(|end| *end > self.now);
        let holds = kept || self.store.lock.as_ref().is_some_and(|lock| lock.name == *name);
        match task {
            Task::Promote | Task::Start(StartMode::Primary)
                if !holds && !self.checks.meddled && !self.nodes[node].is_out_of_time(self.now) =>
            {
                self.checks.fail(|| format!("3: rule {rule}: {name} begins {task} without the lock"));
            }
            Task::Promote | Task::Start(StartMode::Primary) if settings.standby_cluster.is_some() => {
                self.checks.fail(|| format!("10: rule {rule}: {name} begins {task} in a standby cluster"));
            }
            Task::Promote if self.plan.tags[node].nofailover() => {
                self.checks.fail(|| format!("8: rule {rule}: {name} is promoted and must not lead"));
            }
            Task::Stop { .. } if self.now > self.plan.healed() => {
                self.checks.stops += 1;
                if self.checks.stops > STOPS {
                    self.checks.fail(|| format!("6: rule {rule}: servers are stopped again and again"));
                }
            }
            Task::Wipe => {
                let diverged = settings.remove_data_directory_on_diverged_timelines;
                let allowed = match daemon.memory.divergence {
                    _ if view.requests.reinitialize.is_some() => true,
                    Divergence::Diverged => diverged,
                    Divergence::RewindFailed => diverged || settings.remove_data_directory_on_rewind_failure,
                    _ => false,
                };
                if !allowed {
                    self.checks.fail(|| format!("5: rule {rule}: {name} wipes its data directory"));
                }
            }
            _ => {}
        }
        let named = view.cluster().and_then(|cluster| cluster.failover.as_ref()).is_some();
        let asked = named || view.requests.restart.is_some() || view.requests.reinitialize.is_some();
        let passive = matches!(task, Task::Follow(_) | Task::CompareHistories(_) | Task::StopReceiving);
        if settings.paused && !passive && !asked && !daemon.memory.comes_back {
            self.checks.fail(|| format!("4: rule {rule}: {name} begins {task} in maintenance"));
        }
    }

    /// Half of a rewind leaves nothing that a server could run on, and the other cluster does not lose any lock. A daemon
    /// that was told to end does it again when it comes back.
    fn judge_cancel(&mut self, node: usize, rule: u16) {
        let writes = self.nodes[node].pending.as_ref().filter(|pending| pending.half_way);
        if writes.is_some_and(|pending| matches!(&pending.task, Task::Rewind(source) if source.is_remote())) {
            let name = self.names[node].clone();
            self.checks.fail(|| format!("9: rule {rule}: {name} gives up half way what was being rewound"));
        }
    }

    /// Invariant 9: what pg_rewind left half way is a mixture of two histories.
    pub fn check_whole(&mut self, node: usize) {
        if matches!(self.nodes[node].server.data_directory(), DataDirectory::HalfRewound(_)) {
            let name = self.names[node].clone();
            self.checks.fail(|| format!("9: {name} starts a server on a data directory that is half rewound"));
        }
    }

    /// Invariant 7: whom the sync key names is waited for.
    pub fn check_sync_key(&mut self) {
        let Some(lock) = &self.store.lock else { return };
        let sync = &self.store.cluster.sync;
        let Some(node) = self.place(&lock.name).filter(|_| sync.leader.as_deref() == Some(lock.name.as_str())) else {
            return;
        };
        let server = &self.nodes[node].server;
        if server.phase != Phase::Primary
            || self.store.dynamic.mode_in_force() == SynchronousMode::Off
            || self.checks.meddled
        {
            return;
        }
        let names = server.standby_names();
        if !finds_every_commit(&sync.standbys, sync.quorum, &names) {
            let text = format!(
                "7: the sync key names {:?} ({}), {} waits for {:?}",
                sync.standbys, sync.quorum, lock.name, server.names
            );
            self.checks.fail(|| text);
        }
    }
}

/// Whoever wins an election by this key has every commit that these names confirm: of the key's standbys no more can lack
/// one than there are votes.
fn finds_every_commit(standbys: &[String], quorum: u32, names: &StandbyNames) -> bool {
    let unknown = standbys.iter().filter(|name| !names.contains(name)).count();
    let unneeded = names.names.len().saturating_sub(usize::try_from(names.count).unwrap_or(usize::MAX));
    let lacking = unknown + unneeded.min(standbys.len() - unknown);
    standbys.is_empty() || lacking <= usize::try_from(quorum).unwrap_or(usize::MAX)
}
