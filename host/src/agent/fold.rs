//! Events folded into the view: what happened becomes what is known.

use super::event::Event;
use super::{Agent, document};
use crate::act::{ErrandOutcome, Finding, StoreAnswer};
use crate::observe::server::ServerEvent;
use crate::ports;
use regent_core::model::{Errand, ErrandKind, FinishedTask, LeaseView, Moment, Observed, StoreCall, Task, TaskOutcome};
use std::sync::Arc;
use std::time::Duration;

/// After a call to the store failed: pause before the next, so that an outage is neither hammered nor overslept.
const STORE_PAUSE: Duration = Duration::from_millis(500);

impl Agent {
    pub(super) fn fold(&mut self, event: Event) {
        match event {
            Event::Store { call, sent_at, answer } => self.fold_store(call, sent_at, answer),
            Event::StoreChanged => self.view.store.changed = true,
            Event::Server(event) => self.fold_server(event),
            Event::TaskEnded { number, outcome } => self.fold_task(number, outcome),
            Event::ErrandEnded { errand, begun_at, outcome } => self.fold_errand(errand, begun_at, outcome),
            Event::Watchdog { number, view } => self.fold_watchdog(number, view),
            Event::Request(request) => self.take_request(request),
        }
    }

    fn fold_store(&mut self, call: StoreCall, sent_at: Moment, answer: StoreAnswer) {
        self.view.store.in_flight = None;
        self.measure_store(&call, sent_at, &answer);
        match answer {
            StoreAnswer::Unreachable(why) | StoreAnswer::Unknown(why) => {
                self.view.store.failing_since.get_or_insert_with(|| {
                    tracing::warn!("the store does not answer: {why}");
                    sent_at
                });
                self.view.store.retry_at = Some(ports::now() + STORE_PAUSE.min(self.view.settings.loop_wait));
                if call != StoreCall::Load {
                    self.view.store.changed = true;
                }
                if let (StoreCall::Renew, Some(lease)) = (&call, &mut self.view.lease) {
                    lease.attempted_at = sent_at;
                }
                return;
            }
            StoreAnswer::Loaded(snapshot) => self.take_snapshot(snapshot, sent_at),
            StoreAnswer::Held(lease) => self.take_lease(lease, sent_at, &call),
            StoreAnswer::Done => self.call_done(&call, sent_at),
            StoreAnswer::Refused(why) => self.call_refused(&call, &why),
        }
        if self.view.store.failing_since.take().is_some() {
            tracing::info!("the store answers again");
        }
        self.view.store.retry_at = None;
    }

    fn take_lease(&mut self, lease: crate::dcs::Lease, sent_at: Moment, call: &StoreCall) {
        let deadline = sent_at + self.view.settings.ttl.min(lease.ttl());
        self.view.lease = Some(LeaseView { deadline, renewed_at: sent_at, attempted_at: sent_at });
        self.lease = Some(lease);
        self.view.failsafe.kept_at = None;
        self.view.store.lease_ran_out = false;
        self.view.store.lock_refused = false;
        if *call == StoreCall::Acquire {
            tracing::info!("this member has the lock");
            self.view.store.changed = true;
        }
    }

    fn call_done(&mut self, call: &StoreCall, sent_at: Moment) {
        match call {
            StoreCall::TouchMember => {
                self.view.store.member_written_at = Some(sent_at);
                self.view.store.member_differs = false;
                return;
            }
            StoreCall::Release { .. } => {
                tracing::info!("the lock was given back");
                self.view.lease = None;
                self.lease = None;
            }
            StoreCall::ClaimInitialize => self.view.store.claimed = true,
            StoreCall::SetInitialize { .. } | StoreCall::CancelInitialize => self.view.store.claimed = false,
            StoreCall::WriteHistory { .. } => self.view.store.local_history = None,
            _ => {}
        }
        self.view.store.changed = true;
    }

    fn call_refused(&mut self, call: &StoreCall, why: &str) {
        tracing::info!("the store refused: {why}");
        self.view.store.changed = true;
        match call {
            StoreCall::Acquire | StoreCall::Renew => {
                self.view.lease = None;
                self.lease = None;
                self.view.store.lock_refused = true;
            }
            StoreCall::Release { .. } => {
                self.view.lease = None;
                self.lease = None;
            }
            _ => {}
        }
    }

    fn take_snapshot(&mut self, snapshot: Arc<crate::dcs::Snapshot>, begun_at: Moment) {
        if let Some(document) = &snapshot.config {
            let changed = self.parts.configuration.take_dynamic(document, &snapshot.config_long);
            self.view.store.has_configuration = true;
            if changed {
                self.configuration_changed();
            }
        }
        let newer_change = self.changes.has_changed().unwrap_or(false);
        self.view.store.changed = newer_change;
        self.view.store.lock_refused = false;
        self.view.store.snapshot = Some((Arc::new(snapshot.view.clone()), begun_at));
        self.look_at_slot_settings();
        self.parts.store.watch_from(&snapshot);
        self.snapshot = Some(snapshot);
        self.dcs_last_seen = ports::wall_now().0 / 1_000_000;
    }

    pub(super) fn configuration_changed(&mut self) {
        let effective = Arc::clone(&self.parts.configuration.effective);
        self.view.settings = Arc::new(effective.settings.clone());
        self.parts.store.set_ttl(effective.settings.ttl);
        // The loop's pace is part of it (ZK-04).
        if effective.dcs.section != self.told_section {
            self.tell_backend(&effective.dcs.section);
        }
        self.view.requests.apply_configuration |= self.parts.deeds.reconfigure(&effective);
        self.parts.watch.reconfigure(self.parts.deeds.server());
        self.save_dynamic_configuration();
        self.parts.applied.send_replace(effective);
    }

    /// Says what is wrong with the names of slots, once, and lets a running standby report the rows that its logical
    /// slots need as soon as that is wanted.
    fn look_at_slot_settings(&mut self) {
        let complaints = regent_core::decide::slot_complaints(&self.view.settings, self.view.cluster());
        if complaints != self.slot_complaints {
            for complaint in &complaints {
                tracing::warn!("slots: {complaint}");
            }
            self.slot_complaints = complaints;
        }
        let feedback = regent_core::decide::feedback_needed(&self.view);
        let before = self.feedback.replace(feedback);
        self.view.requests.apply_configuration |= before.unwrap_or(false) != feedback;
    }

    pub(super) fn save_dynamic_configuration(&self) {
        let initialized = self.view.server.data_directory == regent_core::model::DataDirectory::Initialized;
        if let Some(dynamic) = self.parts.configuration.dynamic.as_ref().filter(|_| initialized)
            && let Err(error) = dynamic.save(&self.parts.configuration.effective.server.data_dir)
        {
            tracing::warn!("the copy of the dynamic configuration could not be saved: {error}");
        }
    }

    fn fold_server(&mut self, event: ServerEvent) {
        let server = &mut self.view.server;
        match event {
            ServerEvent::Found(postmaster) => {
                let is_another = server.postmaster != Some(postmaster);
                server.postmaster = Some(postmaster);
                server.status = None;
                self.parts.watch.look(server);
                if is_another {
                    self.restart_has_started();
                }
            }
            ServerEvent::Status(postmaster, status) if server.postmaster == Some(postmaster) => {
                server.status = Some(status);
            }
            ServerEvent::Ended(postmaster, at) if server.postmaster == Some(postmaster) => {
                server.postmaster = None;
                server.status = None;
                server.ended_at = Some(at);
                server.monitoring = Observed::Unseen("the server ended".to_owned());
                if self.view.running.is_none() {
                    tracing::warn!("the postmaster {} ended", postmaster.pid);
                }
            }
            ServerEvent::Monitored(postmaster, answer) if server.postmaster == Some(postmaster) => {
                server.monitoring = answer;
            }
            ServerEvent::Control(control) => server.take_control(control),
            ServerEvent::Directory { directory, recovery_signal } => {
                server.data_directory = directory;
                server.recovery_signal = recovery_signal;
            }
            _ => {}
        }
    }

    fn fold_task(&mut self, number: u64, outcome: TaskOutcome) {
        let Some(handle) = self.task.take_if(|task| task.number == number) else {
            return;
        };
        let Some(running) = self.view.running.take() else {
            return;
        };
        let words = match &outcome {
            TaskOutcome::Failed(why) => format!("failed: {why}"),
            TaskOutcome::Refused(why) => format!("refused: {why}"),
            TaskOutcome::Cancelled => "cancelled".to_owned(),
            _ => format!("done after {} ms", self.view.now.since(running.since).as_millis()),
        };
        tracing::info!("{}: {words}", running.task);
        if let Some(entry) = self.journal_numbers.remove(&handle.number) {
            self.parts.journal.outcome(entry, &words);
        }
        self.measure_task(&running.task, running.since, &outcome);
        self.task_ended(&running.task, &outcome);
        self.parts.watch.look(&mut self.view.server);
        self.view.finished = Some(FinishedTask { number, task: running.task, outcome, at: self.view.now });
    }

    fn task_ended(&mut self, task: &Task, outcome: &TaskOutcome) {
        match task {
            Task::Restart(_) => self.answer_restart(outcome),
            Task::Start(_) if *outcome == TaskOutcome::Done => self.pending_restart.clear(),
            Task::Bootstrap | Task::Clone { .. } if *outcome == TaskOutcome::Done => {
                self.save_dynamic_configuration();
            }
            _ => {}
        }
        if matches!(task, Task::Start(_) | Task::Restart(_) | Task::Bootstrap) {
            self.pending_restart = self.parts.deeds.pending_restart();
        }
    }

    fn fold_errand(&mut self, errand: Errand, begun_at: Moment, outcome: ErrandOutcome) {
        let kind = errand.kind();
        self.view.errands.remove(&kind);
        match outcome {
            Ok(finding) => {
                self.view.errand_failures.remove(&kind);
                self.take_finding(errand, begun_at, finding);
            }
            Err(why) => {
                tracing::warn!("{kind:?} failed: {why}");
                self.view.errand_failures.insert(kind, self.view.now);
                if kind == ErrandKind::CheckpointAfterPromote {
                    self.memory.checkpoint_pending = true;
                }
            }
        }
    }

    fn take_finding(&mut self, errand: Errand, begun_at: Moment, finding: Finding) {
        match (errand, finding) {
            (_, Finding::Probes(round)) => self.view.probes = Some(round),
            (_, Finding::Failsafe(round)) => self.take_failsafe_round(&round),
            (_, Finding::Control(control)) => self.view.server.take_control(control),
            (_, Finding::History(rows)) => self.view.store.local_history = Some(rows),
            (Errand::SyncSlots { wanted, .. }, finding) => {
                if let Finding::BrokenSlots(names) = finding {
                    self.memory.slots.note_broken(names);
                }
                self.view.slots_synced = Some((wanted, begun_at));
                self.parts.watch.monitor_now();
            }
            (Errand::SetStandbyNames { .. }, finding) => {
                self.parts.watch.monitor_now();
                if matches!(finding, Finding::Reloaded) {
                    self.memory.callbacks.push_back((regent_core::model::Callback::OnReload, self.memory.role));
                }
            }
            (Errand::ApplyConfiguration { .. }, _) => {
                self.view.requests.apply_configuration = false;
                self.pending_restart = self.parts.deeds.pending_restart();
                self.memory.callbacks.push_back((regent_core::model::Callback::OnReload, self.memory.role));
            }
            _ => {}
        }
    }

    /// Composes what the member key should say, and notes whether it differs from what it says.
    pub(super) fn compose_member_document(&mut self) {
        let new = self.member_document();
        self.view.store.member_differs =
            self.written_member.as_ref().is_none_or(|written| document::differ(written, &new));
    }

    pub(super) fn member_document(&self) -> crate::dcs::MemberDocument {
        let scheduled = self.scheduled_restart.as_ref().map(|restart| restart.body.clone().into());
        let configuration = &self.parts.configuration;
        let document = document::member(&self.view, &self.memory, configuration, &self.pending_restart, scheduled);
        crate::dcs::MemberDocument { progress: self.progress().map(|progress| progress.to_value()), ..document }
    }
}
