//! Actions begun: each spawns what takes time and notes in the view that it is going on.

use super::event::Event;
use super::{Agent, RunningTask};
use crate::act::{self, StopControl};
use crate::ports;
use regent_core::decide::{Action, feedback_needed, parting_status, published_status};
use regent_core::model::{Errand, StopMode, StoreCall, Task, TaskOutcome};

impl Agent {
    /// Begins what the verdict says; `number` is its entry in the journal.
    pub(super) fn perform(&mut self, action: Action, number: u64) {
        match action {
            Action::Wait { .. } | Action::Exit { .. } => {}
            Action::Store(call) => self.call_store(call),
            Action::Begin(task) => self.begin(task, number),
            Action::Preempt(task) => {
                self.abandon();
                self.begin(task, number);
            }
            Action::Escalate(mode) => self.escalate(mode),
            Action::CancelTask => self.cancel(),
            Action::Run(errand) => self.run_errand(errand),
        }
    }

    fn call_store(&mut self, call: StoreCall) {
        self.view.store.in_flight = Some(call.kind());
        let store = self.parts.store.clone();
        let budget = self.view.settings.retry_timeout;
        let input = self.store_input(&call);
        let sender = self.sender.clone();
        let sent_at = ports::now();
        if call == StoreCall::Load {
            self.changes.mark_unchanged();
        }
        tokio::spawn(async move {
            let answer = act::store::call(&store, &call, input, budget).await;
            send(&sender, Event::Store { call, sent_at, answer }).await;
        });
    }

    fn store_input(&mut self, call: &StoreCall) -> act::store::Input {
        let mut input = act::store::Input { lease: self.lease.clone(), ..Default::default() };
        match call {
            StoreCall::TouchMember => {
                let document = self.member_document();
                self.written_member = Some(document.clone());
                self.view.store.member_differs = false;
                input.member = Some(document);
            }
            StoreCall::Acquire | StoreCall::Renew => {
                input.status = published_status(&self.view, &self.memory);
                self.written_status = input.status.clone().or(self.written_status.take());
            }
            StoreCall::Release { optime: Some(optime) } => {
                input.status = Some(parting_status(&self.view, self.written_status.as_ref(), *optime));
            }
            StoreCall::RestoreConfig => {
                input.config = self.parts.configuration.dynamic.as_ref().map(|dynamic| dynamic.to_value());
            }
            _ => {}
        }
        input
    }

    fn begin(&mut self, task: Task, journal: u64) {
        self.tasks_begun += 1;
        let number = self.tasks_begun;
        if journal != 0 {
            self.journal_numbers.insert(number, journal);
        }
        self.forget_fulfilled_request(&task);
        let stop = match &task {
            Task::Stop { mode, .. } => Some(StopControl::new(*mode)),
            _ => None,
        };
        let escalated = stop.as_ref().map(StopControl::mode);
        let work = self.deeds().perform(task.clone(), stop.clone(), self.view.server.postmaster);
        let sender = self.sender.clone();
        let handle = tokio::spawn(async move {
            let outcome = work.await;
            send(&sender, Event::TaskEnded { number, outcome }).await;
        });
        self.task = Some(RunningTask { number, abort: handle.abort_handle(), stop });
        self.view.running =
            Some(regent_core::model::RunningTask { task, since: ports::now(), escalated, cancelled: false });
    }

    /// Deeds on the server as the rules want it: with the standbys that its commits wait for as primary.
    fn deeds(&self) -> act::Deeds {
        let deeds = self.parts.deeds.with_standby_names(self.memory.durability.names.clone());
        deeds
            .with_timeline(self.memory.newest_timeline)
            .with_feedback(feedback_needed(&self.view))
            .with_lock(self.view.lease.is_some())
    }

    fn forget_fulfilled_request(&mut self, task: &Task) {
        match task {
            Task::Restart(_) => self.view.requests.restart = None,
            Task::Wipe => self.view.requests.reinitialize = None,
            _ => {}
        }
    }

    /// Drops the long work that is going on. Its children are killed as it is dropped.
    fn abandon(&mut self) {
        let Some(task) = self.task.take() else { return };
        task.abort.abort();
        if let Some(running) = self.view.running.take() {
            tracing::info!("{}: given up", running.task);
            if let Some(entry) = self.journal_numbers.remove(&task.number) {
                self.parts.journal.outcome(entry, "given up");
            }
            self.answer_restart(&TaskOutcome::Cancelled);
        }
        self.parts.watch.look(&mut self.view.server);
    }

    fn escalate(&mut self, mode: StopMode) {
        if let (Some(task), Some(running)) = (&self.task, &mut self.view.running)
            && let Some(stop) = &task.stop
        {
            stop.escalate(mode);
            running.escalated = Some(mode);
        }
    }

    fn cancel(&mut self) {
        let Some(task) = &self.task else { return };
        let (number, handle) = (task.number, task.abort.clone());
        handle.abort();
        if let Some(running) = &mut self.view.running {
            running.cancelled = true;
        }
        let sender = self.sender.clone();
        // Whether a rewind leaves a mixture is known when its program has ended.
        let rewinds = self.view.running.as_ref().is_some_and(|running| matches!(running.task, Task::Rewind(_)));
        tokio::spawn(async move {
            if rewinds {
                while !handle.is_finished() {
                    tokio::task::yield_now().await;
                }
                crate::postgres::settled().await;
            }
            send(&sender, Event::TaskEnded { number, outcome: TaskOutcome::Cancelled }).await;
        });
    }

    fn run_errand(&mut self, errand: Errand) {
        self.view.errands.insert(errand.kind());
        let work = self.errand(errand.clone());
        let sender = self.sender.clone();
        let begun_at = ports::now();
        tokio::spawn(async move {
            let outcome = work.await;
            send(&sender, Event::ErrandEnded { errand, begun_at, outcome }).await;
        });
    }

    fn errand(&self, errand: Errand) -> act::ErrandWork {
        match errand {
            Errand::Probe { members, former_leader } => self.probe_work(members, former_leader),
            Errand::AskFailsafe { members } => self.failsafe_work(members),
            other => self.deeds().errand(other, self.memory.role),
        }
    }

    fn probe_work(&self, members: Vec<String>, former_leader: Option<String>) -> act::ErrandWork {
        let targets = self.probe_targets(&members);
        let client = self.parts.client.clone();
        Box::pin(async move {
            let begun_at = ports::now();
            let round = crate::observe::probe::ask(&client, begun_at, targets, former_leader.as_deref()).await;
            Ok(act::Finding::Probes(round))
        })
    }

    pub(super) fn probe_targets(&self, members: &[String]) -> Vec<crate::observe::probe::Target> {
        let Some(cluster) = self.view.cluster() else {
            return Vec::new();
        };
        members
            .iter()
            .filter_map(|name| {
                let published = cluster.member(name).and_then(|member| member.api_url.clone());
                let url = published.or_else(|| cluster.failsafe.as_ref()?.get(name).cloned())?;
                Some(crate::observe::probe::Target { name: name.clone(), url })
            })
            .collect()
    }
}

/// Sends an event to the loop; the loop having ended, nobody is left to hear it.
pub(super) async fn send(sender: &tokio::sync::mpsc::Sender<Event>, event: Event) {
    if sender.send(event).await.is_err() {
        tracing::debug!("an event came after the loop had ended");
    }
}

/// An action in words, for the log and the journal.
pub(super) fn describe(action: &Action) -> String {
    match action {
        Action::Wait { .. } => "wait".to_owned(),
        Action::Store(call) => match call {
            StoreCall::Load => "read the store".to_owned(),
            StoreCall::Acquire => "take the lock".to_owned(),
            StoreCall::Renew => "renew the lock".to_owned(),
            StoreCall::Release { .. } => "give the lock back".to_owned(),
            StoreCall::TouchMember => "write the member key".to_owned(),
            StoreCall::ClaimInitialize => "claim the bootstrap".to_owned(),
            StoreCall::SetInitialize { .. } => "write the system identifier".to_owned(),
            StoreCall::CancelInitialize => "give the bootstrap's claim back".to_owned(),
            StoreCall::RestoreConfig => "write the configuration key".to_owned(),
            StoreCall::ClearFailover { .. } => "clear the failover key".to_owned(),
            StoreCall::WriteSync { sync, .. } => format!("let the sync key name [{}]", sync.standbys.join(", ")),
            StoreCall::DeleteSync { .. } => "remove the sync key".to_owned(),
            StoreCall::WriteFailsafe { .. } => "write the failsafe key".to_owned(),
            StoreCall::WriteHistory { .. } => "write the history key".to_owned(),
        },
        Action::Begin(task) => format!("begin {task}"),
        Action::Preempt(task) => format!("drop everything for {task}"),
        Action::Escalate(mode) => format!("make the stop {}", format!("{mode:?}").to_lowercase()),
        Action::CancelTask => "cancel what is going on".to_owned(),
        Action::Run(errand) => describe_errand(errand),
        Action::Exit { code } => format!("end with code {code}"),
    }
}

fn describe_errand(errand: &Errand) -> String {
    match errand {
        Errand::Probe { members, .. } => format!("ask {}", members.join(", ")),
        Errand::AskFailsafe { members } => {
            let names: Vec<_> = members.keys().map(String::as_str).collect();
            format!("ask [{}] whether this leader may go on", names.join(", "))
        }
        Errand::SyncSlots { create, unwanted, advance, .. } => {
            let create: Vec<&str> = create.iter().map(|slot| slot.name.as_str()).collect();
            let (create, unwanted) = (create.join(", "), unwanted.join(", "));
            format!("drop slots [{unwanted}], make [{create}], move {} forward", advance.len())
        }
        Errand::CheckpointAfterPromote => "write a checkpoint".to_owned(),
        Errand::ApplyConfiguration { .. } => "write and reload the server's configuration".to_owned(),
        Errand::SetStandbyNames { names: Some(names) } => format!("let commits wait for {names:?}"),
        Errand::SetStandbyNames { names: None } => "let commits wait for whom the user's parameters say".to_owned(),
        Errand::Callback(event, role) => format!("tell the script {} {role}", event.as_str()),
        Errand::ReadHistory => "read the history of timelines".to_owned(),
        Errand::ReadControl => "read the control file".to_owned(),
        Errand::WakeReceiver => "let the server connect to its source".to_owned(),
    }
}
