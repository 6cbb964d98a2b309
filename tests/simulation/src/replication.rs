//! A tick: clients write wherever a server lets them, logs are shipped, commits are acknowledged, leases run out.

use crate::log::Log;
use crate::server::{Phase, RETRY, Waiting, is_confirmed};
use crate::world::World;
use regent_core::model::{ReplicationRow, StandbyNames, SyncMethod};

/// Records that a stream carries in a tick.
pub const AT_ONCE: usize = 20;

impl World {
    /// Clients write, logs are shipped, leases run out.
    pub fn tick(&mut self) {
        if self.store.expire(self.now) {
            self.tell("store", || "the lock ran out".to_owned());
            self.announce(None);
        }
        for node in 0..self.nodes.len() {
            self.write(node);
        }
        for node in 0..self.nodes.len() {
            self.receive(node);
        }
        for node in 0..self.nodes.len() {
            self.acknowledge(node);
        }
        self.finish_stops();
        self.check_sync_key();
        self.check_rest();
    }

    fn write(&mut self, node: usize) {
        let writes = self.checks.has_led(node) || self.remote == Some(node);
        if self.nodes[node].frozen || self.nodes[node].server.phase != Phase::Primary || !writes {
            return;
        }
        let id = self.next_id();
        // The disk is fast enough for what was written in the last tick, unless it is slow.
        let flushes = self.rng.u8(..100) < if self.nodes[node].slow_disk { 5 } else { 90 };
        let server = &mut self.nodes[node].server;
        if let Some(directory) = &mut server.directory {
            if flushes {
                directory.log.flush();
            }
            let index = directory.log.len();
            directory.log.append(id);
            // What clients of the other cluster wait for is nothing to this one.
            if self.remote != Some(node) {
                server.waiting.push(Waiting { index, id });
            }
        }
    }

    fn receive(&mut self, node: usize) {
        let server = &self.nodes[node].server;
        let recovers = server.phase == Phase::Standby || server.phase == Phase::Starting && self.lacks_log(node);
        let Some(source) = server.source.filter(|_| recovers && !self.nodes[node].frozen) else {
            return;
        };
        let sends = matches!(self.nodes[source].server.phase, Phase::Primary | Phase::Standby | Phase::Stopping);
        let reached = self.reach(node, source);
        if server.stream.is_none() {
            if self.now < server.retry_at.max(server.read_at) {
                return;
            }
            let fits =
                sends && reached && self.nodes[source].server.phase != Phase::Stopping && self.fits(node, source);
            let now = self.now;
            let server = &mut self.nodes[node].server;
            if fits {
                server.stream = Some(source);
            } else {
                server.retry_at = now + RETRY;
                return;
            }
        }
        if !sends {
            let now = self.now;
            let server = &mut self.nodes[node].server;
            server.stream = None;
            server.retry_at = now + RETRY;
        } else if reached && self.rng.u8(..5) != 0 {
            let limit = if self.nodes[node].slow { usize::from(self.rng.bool()) } else { AT_ONCE };
            self.ship(source, node, limit);
        }
    }

    /// It can not come up before a source has sent it what it is not consistent without.
    pub fn lacks_log(&self, node: usize) -> bool {
        let directory = self.nodes[node].server.directory.as_ref();
        directory.is_some_and(|directory| directory.recovery_signal && directory.lacks_log)
    }

    /// A rewind was begun somewhere and has not come to its end.
    pub fn has_half_rewound(&self) -> bool {
        let marked = |directory: &crate::server::Directory| directory.half_rewound.is_some();
        self.nodes.iter().any(|node| node.server.directory.as_ref().is_some_and(marked))
    }

    /// Two servers are on timelines of one number and have different histories: a member that was cut off right after
    /// its promotion, and whose key is gone, was not heard of by the next leader, if that one was down until then.
    pub fn has_twins(&self) -> bool {
        let logs: Vec<_> = self.members().iter().filter_map(|node| node.server.log()).collect();
        let twins = |one: &crate::log::Log, other: &crate::log::Log| {
            one.timeline() == other.timeline() && !one.is_beginning_of(other) && !other.is_beginning_of(one)
        };
        logs.iter().enumerate().any(|(place, one)| logs[..place].iter().any(|other| twins(one, other)))
    }

    /// Tells how far every server is, and whom it follows.
    pub fn tell_how_it_stands(&mut self) {
        for node in 0..self.nodes.len() {
            let server = &self.nodes[node].server;
            let source = server.source.map(|source| (self.names[source].clone(), self.fits(node, source)));
            let end = server.log().map(|log| (log.timeline(), log.end()));
            let (phase, streams) = (server.phase, server.stream.is_some());
            self.tell_of(node, || {
                format!("in the end: {phase:?}, {end:?}, source and fit {source:?}, streams {streams}")
            });
        }
    }

    /// The source's history begins with what the standby has.
    fn fits(&self, node: usize, source: usize) -> bool {
        match (self.nodes[node].server.log(), self.nodes[source].server.log()) {
            (Some(own), Some(other)) => own.len() <= other.len() && own.is_beginning_of(other),
            _ => false,
        }
    }

    fn ship(&mut self, source: usize, node: usize, limit: usize) {
        let Some(from) = self.nodes[source].server.directory.take() else { return };
        if let Some(directory) = &mut self.nodes[node].server.directory {
            directory.log.receive(&from.log, limit);
            directory.lacks_log = false;
            directory.checkpoint = from.checkpoint;
            directory.checkpoint_timeline = directory.log.timeline();
        }
        self.nodes[source].server.directory = Some(from);
    }

    fn acknowledge(&mut self, node: usize) {
        let place = &self.nodes[node];
        if place.frozen || place.server.phase != Phase::Primary || place.server.waiting.is_empty() {
            return;
        }
        let connected: Vec<usize> = (0..self.nodes.len())
            .filter(|other| self.nodes[*other].server.stream == Some(node) && self.reach(*other, node))
            .collect();
        let flushed = place.server.log().map_or(0, Log::flushed);
        let names = place.server.standby_names();
        let confirmed = |waiting: &Waiting| {
            if waiting.index >= flushed {
                return false;
            }
            let having: Vec<&str> = connected
                .iter()
                .filter(|other| {
                    self.nodes[**other].server.log().is_some_and(|log| log.holds(waiting.index, waiting.id))
                })
                .map(|other| self.names[*other].as_str())
                .collect();
            is_confirmed(&names, &having)
        };
        let (acknowledged, waiting): (Vec<Waiting>, Vec<Waiting>) =
            place.server.waiting.iter().copied().partition(confirmed);
        self.nodes[node].server.waiting = waiting;
        for commit in acknowledged {
            self.statistics.acknowledged += 1;
            self.acknowledged(node, commit);
        }
    }

    /// How the walsenders of this node look.
    pub fn standbys_of(&self, node: usize) -> Vec<ReplicationRow> {
        let connected = (0..self.nodes.len()).filter(|other| self.nodes[*other].server.stream == Some(node));
        let names = self.nodes[node].server.standby_names();
        connected
            .map(|other| {
                let position = self.nodes[other].server.log().map(Log::end);
                ReplicationRow {
                    usename: "replicator".to_owned(),
                    application_name: self.names[other].clone(),
                    client_addr: None,
                    state: "streaming".to_owned(),
                    sync_state: sync_state(&names, &self.names[other]).to_owned(),
                    sync_priority: i32::from(names.contains(&self.names[other])),
                    sent_lsn: position,
                    write_lsn: position,
                    flush_lsn: position,
                    replay_lsn: position,
                }
            })
            .collect()
    }
}

/// `pg_stat_replication.sync_state`; nobody is merely potential here, for all that are named are waited for.
fn sync_state(names: &StandbyNames, name: &str) -> &'static str {
    match names.method {
        _ if !names.contains(name) => "async",
        SyncMethod::First => "sync",
        SyncMethod::Any => "quorum",
    }
}
