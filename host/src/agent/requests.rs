//! What operators ask: checked, noted in the view as a wish for the rules, and answered.

use super::event::Event;
use super::handle::{Probe, Reply, Request, RestartConditions, ScheduledRestart, Written};
use super::waiter::Waiter;
use super::{Agent, document, perform};
use crate::{dcs, ports};
use regent_core::model::{
    DataDirectory, Moment, PgState, PostmasterStatus, ReinitializeRequest, RestartRequest, RunningTask, Task, WallTime,
};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Agent {
    pub(super) fn take_request(&mut self, request: Request) {
        match request {
            Request::Restart(conditions, reply) => self.ask_restart(&conditions, reply),
            Request::ScheduleRestart(restart, reply) => self.schedule_restart(restart, reply),
            Request::CancelRestart(reply) => {
                let text = match self.scheduled_restart.take() {
                    Some(_) => answer(200, "scheduled restart deleted"),
                    None => answer(404, "no restarts are scheduled"),
                };
                tell(reply, text);
            }
            Request::Reinitialize { force, from_leader, reply } => {
                let said = self.ask_reinitialize(force, from_leader);
                tell(reply, said);
            }
            Request::Reload(reply) => {
                self.reload();
                reply.into_iter().for_each(|reply| tell(reply, ()));
            }
            Request::WriteFailover { leader, candidate, scheduled_at, reply } => {
                let (store, budget) = (self.parts.store.clone(), self.view.settings.retry_timeout);
                self.write(reply, async move {
                    let (leader, candidate) = (leader.as_deref(), candidate.as_deref());
                    store.write_failover(leader, candidate, scheduled_at.as_deref(), budget).await
                });
            }
            Request::ClearFailover { version, reply } => {
                let (store, budget) = (self.parts.store.clone(), self.view.settings.retry_timeout);
                self.write(reply, async move { store.clear_failover(Some(version), budget).await });
            }
            Request::WriteConfig { config, expect, reply } => {
                let (store, budget) = (self.parts.store.clone(), self.view.settings.retry_timeout);
                self.write(reply, async move { store.write_config(&config, expect, budget).await });
            }
            Request::Refresh(reply) => self.refresh(reply),
            Request::ProbeMembers(members, reply) => self.probe_for(members, reply),
            Request::Failsafe { leader, ttl, reply } => tell(reply, self.answer_failsafe(&leader, ttl)),
            Request::Shutdown => {
                tracing::info!("the daemon was told to end");
                self.view.requests.shutdown = true;
            }
        }
    }

    fn restart_refusal(&self, conditions: &RestartConditions) -> Option<Reply> {
        let unmet = conditions.role.is_some_and(|role| role != self.memory.role)
            || conditions.version_below.is_some_and(|version| self.view.server.version >= version)
            || (conditions.only_pending && self.pending_restart.is_empty());
        if unmet {
            return Some(answer(503, "restart conditions are not satisfied"));
        }
        if let Some(running) = self.view.running.as_ref().filter(|_| !self.starts_for_long()) {
            return Some(answer(503, &format!("{} already in progress", running.task)));
        }
        if let DataDirectory::HalfRewound(mark) = &self.view.server.data_directory {
            let text = format!(
                "pg_rewind from {} was cut off half way: no server can be started on this data directory before the \
                 rewind came to its end or the member was reinitialized",
                mark.source
            );
            return Some(answer(503, &text));
        }
        let starting = matches!(self.view.server.status, Some(PostmasterStatus::Starting));
        (starting || document::state(&self.view, &self.memory) == PgState::Starting)
            .then(|| answer(503, "postgres is still starting"))
    }

    /// The server has been starting for longer than `pg_ctl_timeout` (CFG-28): it goes on, but nothing waits for it.
    fn starts_for_long(&self) -> bool {
        let limit = self.parts.configuration.effective.server.start_timeout;
        let starting = self.view.server.status == Some(PostmasterStatus::Starting);
        let begun = |running: &RunningTask| matches!(running.task, Task::Start(_) | Task::Restart(_));
        let running = self.view.running.as_ref().filter(|running| starting && begun(running));
        running.is_some_and(|running| self.view.now >= running.since + limit)
    }

    fn ask_restart(&mut self, conditions: &RestartConditions, reply: oneshot::Sender<Reply>) {
        if let Some(refusal) = self.restart_refusal(conditions) {
            tell(reply, refusal);
            return;
        }
        self.view.requests.restart = Some(RestartRequest { timeout: conditions.timeout });
        let settings =
            [self.view.settings.primary_start_timeout, self.parts.configuration.effective.server.start_timeout];
        let patience = conditions.timeout.into_iter().chain(settings).find(|limit| !limit.is_zero());
        self.restart_waiter = Some(Waiter::new(reply, patience.unwrap_or_default()));
    }

    fn schedule_restart(&mut self, restart: ScheduledRestart, reply: oneshot::Sender<Reply>) {
        if self.scheduled_restart.is_some() {
            tell(reply, answer(409, "Another restart is already scheduled"));
            return;
        }
        self.scheduled_restart = Some(restart);
        self.scheduled_for = self.view.server.postmaster;
        tell(reply, answer(202, "Restart scheduled"));
    }

    /// The moment on the boot-time clock at which the wall clock will show `at`.
    pub(super) fn moment_of(&self, at: WallTime) -> Moment {
        let ahead = u64::try_from(at.0 - ports::wall_now().0).unwrap_or(0);
        ports::now() + std::time::Duration::from_micros(ahead)
    }

    pub(super) fn check_scheduled_restart(&mut self) {
        let due = self.scheduled_restart.take_if(|restart| restart.at <= self.view.wall);
        let Some(restart) = due else { return };
        let late = self.view.wall.since(restart.at);
        if self.view.settings.paused {
            tracing::info!("the scheduled restart is dropped: the cluster is in maintenance");
        } else if late > self.view.settings.loop_wait * 3 / 2 {
            tracing::info!("the scheduled restart is dropped: its time passed {} s ago", late.as_secs());
        } else if self.scheduled_for != self.view.server.postmaster {
            tracing::info!("the scheduled restart is dropped: the server was restarted since");
        } else if let Some(refusal) = self.restart_refusal(&restart.conditions) {
            tracing::info!("the scheduled restart is dropped: {}", refusal.text);
        } else {
            self.view.requests.restart = Some(RestartRequest { timeout: restart.conditions.timeout });
        }
    }

    fn ask_reinitialize(&mut self, force: bool, from_leader: bool) -> Reply {
        let leader = self.view.cluster().and_then(|cluster| cluster.leader_name());
        let Some(leader) = leader else {
            return answer(503, "Cluster has no leader, can not reinitialize");
        };
        if leader == self.view.settings.name {
            return answer(503, "I am the leader, can not reinitialize");
        }
        // A server that may never come up is not in the way of the operator.
        let force = force || self.starts_for_long();
        if let Some(running) = self.view.running.as_ref().filter(|_| !force) {
            return answer(503, &format!("{} already in progress", running.task));
        }
        self.view.requests.reinitialize = Some(ReinitializeRequest { from_leader, force });
        answer(200, "reinitialize started")
    }

    fn reload(&mut self) {
        let store = self.parts.configuration.effective.dcs.name.clone();
        let changed = self.parts.configuration.reload_local();
        let dcs = self.parts.configuration.effective.dcs.clone();
        if dcs.name == store {
            // Also where the section did not change: the certificates that it names may have.
            self.tell_backend(&dcs.section);
        } else {
            self.told_section = dcs.section;
        }
        if changed {
            self.configuration_changed();
        } else {
            tracing::info!("no local configuration item changed");
        }
        self.view.requests.apply_configuration = true;
    }

    pub(super) fn tell_backend(&mut self, section: &serde_json::Value) {
        self.parts.store.reload(section);
        self.told_section = section.clone();
    }

    /// Writes to the store beside the loop, answers, and lets the loop read what came of it.
    fn write(&self, reply: oneshot::Sender<Written>, write: impl Future<Output = dcs::Answer<()>> + Send + 'static) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let written = match write.await {
                dcs::Answer::Done(()) => Written::Done,
                dcs::Answer::Refused(_) => Written::Conflict,
                dcs::Answer::Unreachable(why) | dcs::Answer::Unknown(why) => Written::Failed(why),
            };
            tell(reply, written);
            perform::send(&sender, Event::StoreChanged).await;
        });
    }

    fn refresh(&self, reply: oneshot::Sender<Result<Arc<dcs::Snapshot>, String>>) {
        let budget = self.view.settings.retry_timeout;
        let store = self.parts.store.clone();
        self.readers.ask(reply, move || {
            let store = store.clone();
            async move { store.load(budget).await }
        });
    }

    fn probe_for(&self, members: Vec<String>, reply: oneshot::Sender<std::collections::BTreeMap<String, Probe>>) {
        let targets = self.probe_targets(&members);
        let client = self.parts.client.clone();
        tokio::spawn(async move {
            let round = crate::observe::probe::ask(&client, ports::now(), targets, None).await;
            let answers = round.answers.into_iter().map(|(name, status)| {
                let probe = status.map_or_else(|| Probe::Silent("not reachable".to_owned()), Probe::Answered);
                (name, probe)
            });
            tell(reply, answers.collect());
        });
    }
}

fn answer(status: u16, text: &str) -> Reply {
    Reply { status, text: text.to_owned() }
}

/// Answers; whoever asked may have gone.
fn tell<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
