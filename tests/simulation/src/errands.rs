//! Short work in the model: members and servers are asked, and what is found out takes its time.

use crate::daemon::{Finding, News};
use crate::mutant::Mutant;
use crate::server::Phase;
use crate::world::{Event, World};
use regent_core::model::{ControlState, Errand, FailsafeRound, HistoryRow, Moment, Postmaster, ProbeRound};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a member that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// And the lost leader.
const PATIENCE_FOR_FORMER_LEADER: Duration = Duration::from_millis(300);

impl World {
    /// The monitor begins to ask.
    pub fn watch_server(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        if let (Some(postmaster), Some(daemon)) = (place.server.postmaster, &place.daemon) {
            place.round += 1;
            let (instance, round) = (daemon.instance, place.round);
            self.soon(1, 5, Event::Monitor { node, instance, postmaster, round });
        }
    }

    /// The monitor asks once a second, and whenever something was said to have changed.
    pub fn monitor(&mut self, node: usize, instance: u32, postmaster: Postmaster, round: u64) {
        let place = &self.nodes[node];
        let same = place.daemon.as_ref().is_some_and(|daemon| daemon.instance == instance);
        if !same || place.server.postmaster != Some(postmaster) || place.round != round {
            return;
        }
        let mut answer = self.nodes[node].server.monitoring(&self.names, self.standbys_of(node), self.now);
        if let (Some(answer), Some(Mutant::UnreadLogCounts)) = (&mut answer, self.mutant) {
            answer.log_was_read = true;
        }
        if answer.is_some() {
            let at = self.clock(node);
            self.inform(node, 1, 5, News::Monitored(postmaster, answer, at));
            self.later(Duration::from_secs(1), Event::Monitor { node, instance, postmaster, round });
        }
    }

    /// Members answer; the silent ones are waited for.
    pub fn ask(&mut self, node: usize, instance: u32, errand: Errand, begun_at: Moment) {
        let (members, former_leader) = match &errand {
            Errand::Probe { members, former_leader } => (members, former_leader),
            Errand::AskFailsafe { members } => {
                let members = members.clone();
                return self.ask_failsafe(node, instance, members, errand, begun_at);
            }
            _ => return,
        };
        let mut answers = BTreeMap::new();
        let mut patience = Duration::from_millis(self.rng.u64(2..15));
        for name in members {
            let Some(other) = self.place(name) else { continue };
            let place = &self.nodes[other];
            let silent = !self.reach(node, other) || place.daemon_frozen;
            let answer = place.daemon.as_ref().filter(|_| !silent).and_then(|daemon| daemon.answer());
            if silent {
                let former = former_leader.as_deref() == Some(name);
                patience = patience.max(if former { PATIENCE_FOR_FORMER_LEADER } else { PATIENCE });
            }
            answers.insert(name.clone(), answer);
        }
        let news = News::ErrandEnded(errand, begun_at, Ok(Finding::Probes(ProbeRound { begun_at, answers })));
        self.later(patience, Event::Tell { node, instance, news });
    }

    /// Members are asked whether the leader may go on, each twice if it is silent. One that hangs gives its word when it
    /// goes on, and nobody hears of it.
    fn ask_failsafe(
        &mut self,
        node: usize,
        instance: u32,
        members: BTreeMap<String, String>,
        errand: Errand,
        begun_at: Moment,
    ) {
        let Some(ttl) = self.nodes[node].daemon.as_ref().map(|daemon| daemon.view.settings.ttl) else { return };
        let leader = self.names[node].clone();
        let mut missing = Vec::new();
        let mut patience = Duration::from_millis(self.rng.u64(2..15));
        for name in members.keys() {
            let Some(other) = self.place(name) else { continue };
            let yes = match self.nodes[other].daemon_frozen && self.reach(node, other) {
                true => {
                    let news = News::MayGoOn(leader.clone(), ttl);
                    self.inform(other, 0, 1, news);
                    false
                }
                false => self.reach(node, other) && self.give_word(other, &leader, ttl),
            };
            let silent = !self.reach(node, other) || self.nodes[other].daemon_frozen;
            if silent {
                patience = patience.max(PATIENCE * 2);
            }
            if !yes && self.mutant != Some(Mutant::GoesOnUnasked) {
                missing.push(name.clone());
            }
        }
        self.statistics.count("failsafe round", if missing.is_empty() { "all said yes" } else { "not all said yes" });
        let round = FailsafeRound { begun_at, asked: members, missing };
        let news = News::ErrandEnded(errand, begun_at, Ok(Finding::Failsafe(round)));
        self.later(patience, Event::Tell { node, instance, news });
    }

    fn give_word(&mut self, node: usize, leader: &str, ttl: Duration) -> bool {
        let now = self.clock(node);
        let Some(daemon) = &mut self.nodes[node].daemon else { return false };
        daemon.refresh(now);
        let given = daemon.give_word(leader, ttl);
        if given {
            self.tell_of(node, || format!("{leader} may go on without the store"));
        }
        given
    }

    /// Short work ends.
    pub fn errand_ends(&mut self, node: usize, instance: u32, errand: Errand, begun_at: Moment) {
        if self.nodes[node].daemon.as_ref().is_none_or(|daemon| daemon.instance != instance) {
            return;
        }
        let id = self.next_id();
        let (now, shown) = (self.now, self.clock(node));
        let applying = self.nodes[node].applying.clone();
        let server = &mut self.nodes[node].server;
        let up = matches!(server.phase, Phase::Primary | Phase::Standby);
        let result = match &errand {
            Errand::SetStandbyNames { names } if up => {
                server.names = names.clone().unwrap_or_default();
                let told = server.names.clone();
                self.tell_of(node, || format!("commits wait for {told:?}"));
                Ok(Finding::Nothing)
            }
            Errand::ApplyConfiguration { .. } if server.phase == Phase::Primary => {
                server.names = applying;
                Ok(Finding::Nothing)
            }
            Errand::CheckpointAfterPromote if server.phase == Phase::Primary => {
                if let Some(directory) = &mut server.directory {
                    directory.log.append(id);
                    directory.note_checkpoint(ControlState::InProduction);
                }
                Ok(Finding::Nothing)
            }
            Errand::SetStandbyNames { .. } | Errand::CheckpointAfterPromote => Err(()),
            Errand::ReadControl => Ok(Finding::Control(server.control(), shown)),
            Errand::ReadHistory => Ok(Finding::History(history(server.log()))),
            Errand::WakeReceiver => {
                server.retry_at = now;
                Ok(Finding::Nothing)
            }
            _ => Ok(Finding::Nothing),
        };
        if matches!(errand, Errand::SetStandbyNames { .. } | Errand::SyncSlots { .. }) {
            self.watch_server(node);
        }
        self.inform(node, 0, 1, News::ErrandEnded(errand, begun_at, result));
    }
}

fn history(log: Option<&crate::log::Log>) -> Vec<HistoryRow> {
    let switches = log.map(crate::log::Log::switches).unwrap_or_default();
    let row = |(timeline, switch_lsn)| HistoryRow {
        timeline,
        switch_lsn,
        reason: "no recovery target specified".to_owned(),
        timestamp: None,
        new_leader: None,
    };
    switches.into_iter().map(row).collect()
}
