//! Faults and operators' wishes, brought about and ended.

use crate::daemon::{News, Request};
use crate::plan::{Change, Kind};
use crate::store::Dynamic;
use crate::world::{Event, Step, World};
use regent_core::model::WallTime;
use std::time::Duration;

/// A machine or a daemon that ended is started again after this time.
const REBOOT: Duration = Duration::from_millis(500);

impl World {
    /// A fault begins.
    pub fn begin_fault(&mut self, index: usize) {
        let kind = self.plan.faults[index].kind.clone();
        self.tell("fault", || format!("{kind:?}"));
        self.statistics.fault(&kind);
        match kind {
            Kind::KillPostmaster(node) => self.kill_server(node),
            Kind::KillDaemon(node) => self.kill_daemon(node),
            Kind::FreezeDaemon(node) => self.nodes[node].daemon_frozen = true,
            Kind::KillNode(node) => self.kill_node(node),
            Kind::FreezeNode(node) => self.nodes[node].frozen = true,
            Kind::LoseDisk(node) => {
                self.kill_node(node);
                self.nodes[node].server.directory = None;
            }
            Kind::StoreAway => self.store_away = true,
            Kind::CutFromStore(node) => self.nodes[node].cut = true,
            Kind::Part(one, other) => {
                self.parted.insert((one.min(other), one.max(other)));
            }
            Kind::Isolate(node) => {
                self.nodes[node].cut = true;
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    self.parted.insert((node.min(other), node.max(other)));
                }
            }
            Kind::Lossy => self.loss = 40,
            Kind::SlowLink(node) => self.nodes[node].slow = true,
            Kind::HangingStop(node) => self.nodes[node].hanging_stop = true,
            Kind::SlowDisk(node) => self.nodes[node].slow_disk = true,
            Kind::Suspend(node) => {
                let place = &mut self.nodes[node];
                place.suspended_at = place.suspended_at.or((!place.frozen).then_some(self.now));
                place.frozen = true;
            }
            Kind::RemoteAway => self.remote_is_away(true),
            Kind::RemoteFailsOver => self.remote_fails_over(),
            Kind::SetClock(node, by) => self.nodes[node].clock.set_forward += by,
            wish => self.wish(wish),
        }
    }

    /// An operator wants something.
    fn wish(&mut self, kind: Kind) {
        match kind {
            Kind::RemoveLock => {
                let removed = self.store.lock.take();
                if removed.is_some() {
                    self.checks.meddle();
                    self.announce(None);
                }
            }
            Kind::Configure(change) => {
                self.store.configure(|dynamic| dynamic.change(change));
                let Dynamic { lag, mode, .. } = self.store.dynamic.in_force();
                self.checks.configured(lag, mode);
                if change == Change::Site(true) {
                    self.checks.follow();
                }
                self.announce(None);
            }
            Kind::Switchover(candidate, later) => {
                let at = WallTime(i64::try_from(self.now.0 + later).unwrap_or(0) * 1000);
                let scheduled_at = (later > 0).then_some(at);
                let leader = self.store.lock.as_ref().map(|lock| lock.name.clone());
                let candidate =
                    candidate.map(|node| self.names[node].clone()).filter(|name| leader.as_ref() != Some(name));
                if leader.is_some() && !self.store_away && (candidate.is_some() || !self.store.dynamic.paused) {
                    self.store.ask(leader, candidate, scheduled_at);
                    self.announce(None);
                }
            }
            Kind::Failover(node) => {
                let leader = self.store.lock.as_ref().map(|lock| lock.name.clone());
                let candidate = self.names[node].clone();
                if leader.as_ref() != Some(&candidate) && !self.store_away {
                    self.checks.forced = true;
                    self.store.ask(None, Some(candidate), None);
                    self.announce(None);
                }
            }
            Kind::Pause => {
                self.store.configure(|dynamic| dynamic.paused = true);
                self.checks.meddle();
                self.announce(None);
            }
            Kind::Restart(node) => self.inform(node, 1, 5, News::Asked(Request::Restart)),
            Kind::Reinitialize(node) => self.inform(node, 1, 5, News::Asked(Request::Reinitialize)),
            Kind::StopDaemon(node) => {
                self.nodes[node].wanted = false;
                self.inform(node, 1, 5, News::Asked(Request::Shutdown));
            }
            _ => {}
        }
    }

    /// It is over.
    pub fn end_fault(&mut self, index: usize) {
        let kind = self.plan.faults[index].kind.clone();
        match kind {
            Kind::KillDaemon(node) | Kind::KillNode(node) | Kind::LoseDisk(node) => {
                self.nodes[node].wanted = true;
                self.later(REBOOT, Event::StartDaemon(node));
            }
            Kind::StopDaemon(node) => {
                // A daemon that was told to end and has not is killed, as a service manager would.
                self.kill_daemon(node);
                self.nodes[node].wanted = true;
                self.later(REBOOT, Event::StartDaemon(node));
            }
            Kind::FreezeDaemon(node) => {
                self.nodes[node].daemon_frozen = false;
                self.thaw(node);
            }
            Kind::FreezeNode(node) if self.nodes[node].suspended_at.is_none() => {
                self.nodes[node].frozen = false;
                self.nodes[node].thawed_at = self.now;
                self.guard(node);
                self.thaw(node);
            }
            Kind::FreezeNode(_) => {}
            Kind::Suspend(node) => self.resume(node),
            Kind::StoreAway => {
                self.store_away = false;
                self.announce(None);
            }
            Kind::RemoteAway => self.remote_is_away(false),
            Kind::CutFromStore(node) => {
                self.nodes[node].cut = false;
                self.inform(node, 2, 30, News::StoreChanged);
            }
            Kind::Part(one, other) => {
                self.parted.remove(&(one.min(other), one.max(other)));
            }
            Kind::Isolate(node) => {
                self.nodes[node].cut = false;
                self.parted.retain(|(one, other)| *one != node && *other != node);
                self.inform(node, 2, 30, News::StoreChanged);
            }
            Kind::Lossy => self.loss = 0,
            Kind::SlowLink(node) => self.nodes[node].slow = false,
            Kind::SlowDisk(node) => self.nodes[node].slow_disk = false,
            Kind::HangingStop(node) => {
                self.nodes[node].hanging_stop = false;
                let server = &self.nodes[node].server;
                if let Some(postmaster) = server.postmaster.filter(|_| server.phase == crate::server::Phase::Stopping) {
                    self.soon(1, 20, Event::Server { node, postmaster, step: Step::LastCheckpoint });
                }
            }
            Kind::Pause => {
                self.store.configure(|dynamic| dynamic.paused = false);
                self.announce(None);
            }
            Kind::KillPostmaster(_)
            | Kind::RemoveLock
            | Kind::RemoteFailsOver
            | Kind::Switchover(..)
            | Kind::SetClock(..)
            | Kind::Configure(_)
            | Kind::Failover(_)
            | Kind::Restart(_)
            | Kind::Reinitialize(_) => return,
        }
        self.tell("fault", || format!("over: {kind:?}"));
    }

    fn kill_server(&mut self, node: usize) {
        if let Some(postmaster) = self.nodes[node].server.postmaster
            && !self.nodes[node].frozen
        {
            self.server_step(node, postmaster, Step::Dead);
        }
    }

    fn kill_daemon(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        place.wanted = false;
        place.daemon = None;
        place.pending = None;
        place.daemon_frozen = false;
        place.postponed.retain(|event| matches!(event, Event::Server { .. } | Event::Guard { .. }));
    }

    fn kill_node(&mut self, node: usize) {
        self.kill_daemon(node);
        let place = &mut self.nodes[node];
        place.guard = None;
        place.postponed.clear();
        place.frozen = false;
        if let Some(mark) = place.server.directory.as_mut().and_then(|directory| directory.half_rewound.as_mut()) {
            mark.same_boot = false;
        }
        place.suspended_at = None;
        self.kill_server(node);
        if let Some(directory) = &mut self.nodes[node].server.directory {
            let lost = directory.log.lose(usize::MAX);
            self.statistics.add_count("records lost", "with the machine", lost);
        }
    }

    /// A suspended machine goes on.
    fn resume(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        if let Some(at) = place.suspended_at.take() {
            place.frozen = false;
            place.clock.missed += u64::try_from(self.now.since(at).as_millis()).unwrap_or(0);
            place.thawed_at = self.now;
            // Its lock was good for no longer than a ttl when it stopped, on a clock that may be slow besides.
            let changed = self.plan.faults.iter().filter_map(|fault| match fault.kind {
                Kind::Configure(Change::Timing(ttl, ..)) => Some(Duration::from_secs(ttl)),
                _ => None,
            });
            let ttl = changed.max().unwrap_or_default().max(self.plan.settings.ttl);
            place.unaware_until = self.now + ttl + ttl / 100;
            self.thaw(node);
            // The guard's alarm was set by the same clock.
            if let Some((_, at)) = self.nodes[node].guard {
                self.later(self.until_shown(node, at), Event::Guard { node });
            }
        }
    }

    /// What was postponed happens now, the guard first.
    fn thaw(&mut self, node: usize) {
        for event in std::mem::take(&mut self.nodes[node].postponed) {
            self.happen(event);
        }
        if !self.nodes[node].frozen && !self.nodes[node].daemon_frozen && self.nodes[node].daemon.is_some() {
            self.run_daemon(node);
        }
    }
}
