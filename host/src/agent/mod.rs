//! The loop: one closed enum of events, observe, decide, record, act.
//!
//! Nothing here waits for the server, the store or other members: everything that takes time is spawned and comes
//! back as an event, so a postmaster that dies, a lock that runs out or a request is answered at once, whatever else
//! is going on.

pub mod configuration;
mod document;
mod event;
mod failsafe;
mod fold;
pub mod handle;
pub mod journal;
mod measure;
mod perform;
mod publish;
mod readers;
mod requests;
mod waiter;
mod watchdog;

pub use event::Event;

use crate::act::{Deeds, StopControl};
use crate::dcs::{self, MemberDocument, Store};
use crate::fence::{Guard, Watchdog};
use crate::observe::server::{ServerEvent, ServerWatch};
use crate::ports;
use crate::telemetry::metrics::Metrics;
use configuration::Configuration;
use handle::{Handle, Published, Request, ScheduledRestart};
use journal::Journal;
use regent_core::decide::{Action, GuardOrder, Memory, Verdict, decide};
use regent_core::model::{Errand, Moment, Postmaster, StatusView, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Decisions in a row without a pause, after which something is wrong with the rules: the loop takes a breath.
const DECISIONS_IN_A_ROW: usize = 64;

/// What was cancelled may take ten seconds to end before it is killed, which nobody else would do.
const CANCEL_LIMIT: Duration = Duration::from_secs(15);

/// What the loop is made of.
pub struct Parts {
    /// The configuration in force.
    pub configuration: Configuration,
    /// The store.
    pub store: Store,
    /// What can be done to the local server.
    pub deeds: Deeds,
    /// What is read of the local server.
    pub watch: ServerWatch,
    /// The lease guard, where it is wanted and could be started.
    pub guard: Option<Guard>,
    /// The Linux watchdog's thread.
    pub watchdog: Watchdog,
    /// The decision journal.
    pub journal: Arc<Journal>,
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Asks other members.
    pub client: reqwest::Client,
    /// Told of each configuration that came into force.
    pub applied: watch::Sender<Arc<crate::config::Effective>>,
}

/// The loop of one member.
pub struct Agent {
    parts: Parts,
    view: View,
    memory: Memory,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    requests: mpsc::Receiver<Request>,
    readers: readers::Readers<dcs::Snapshot>,
    published: watch::Sender<Arc<Published>>,
    generation: u64,
    snapshot: Option<Arc<dcs::Snapshot>>,
    dcs_last_seen: i64,
    lease: Option<dcs::Lease>,
    task: Option<RunningTask>,
    tasks_begun: u64,
    written_member: Option<MemberDocument>,
    written_status: Option<StatusView>,
    /// The section that the store's backend was last handed.
    told_section: serde_json::Value,
    /// What was last complained about in the names of slots.
    slot_complaints: Vec<String>,
    /// The server was last told to report the rows that it needs to its source.
    feedback: Option<bool>,
    pending_restart: BTreeMap<String, (String, String)>,
    scheduled_restart: Option<ScheduledRestart>,
    /// The server that it is for: one that was started since needs no restart.
    scheduled_for: Option<Postmaster>,
    restart_waiter: Option<waiter::Waiter>,
    guard_order: Option<GuardOrder>,
    watchdog: watchdog::Told,
    /// For the figures alone.
    change: measure::Change,
    last_wait: Option<(u16, String)>,
    said_at: Moment,
    journal_numbers: BTreeMap<u64, u64>,
    changes: watch::Receiver<u64>,
    server_events: mpsc::Receiver<ServerEvent>,
}

struct RunningTask {
    number: u64,
    abort: tokio::task::AbortHandle,
    stop: Option<StopControl>,
}

/// Builds the loop and its door.
pub fn build(mut parts: Parts) -> (Agent, Handle) {
    let (server_sender, server_events) = mpsc::channel(64);
    parts.watch.start(server_sender.clone());
    parts.deeds.report_to(server_sender);
    let (sender, events) = mpsc::channel(256);
    let (requests_sender, requests) = mpsc::channel(64);
    let now = ports::now();
    let view = initial_view(&parts, now);
    let published = publish::first(&view, &parts.configuration);
    let (published_sender, published) = watch::channel(Arc::new(published));
    let handle = Handle {
        published,
        requests: requests_sender,
        journal: Arc::clone(&parts.journal),
        metrics: Arc::clone(&parts.metrics),
        client: parts.client.clone(),
    };
    let changes = parts.store.changes();
    let told_section = parts.configuration.effective.dcs.section.clone();
    let agent = Agent {
        parts,
        view,
        memory: Memory::default(),
        events,
        sender,
        requests,
        readers: readers::Readers::default(),
        published: published_sender,
        generation: 1,
        snapshot: None,
        dcs_last_seen: 0,
        lease: None,
        task: None,
        tasks_begun: 0,
        written_member: None,
        written_status: None,
        told_section,
        slot_complaints: Vec::new(),
        feedback: None,
        pending_restart: BTreeMap::new(),
        scheduled_restart: None,
        scheduled_for: None,
        restart_waiter: None,
        guard_order: None,
        watchdog: watchdog::Told::default(),
        change: measure::Change::default(),
        last_wait: None,
        said_at: now,
        journal_numbers: BTreeMap::new(),
        changes,
        server_events,
    };
    (agent, handle)
}

fn initial_view(parts: &Parts, now: Moment) -> View {
    let has_configuration = parts.configuration.dynamic.is_some();
    View {
        now,
        wall: ports::wall_now(),
        started_at: now,
        settings: Arc::new(parts.configuration.effective.settings.clone()),
        store: regent_core::model::StoreView { has_configuration, ..Default::default() },
        lease: None,
        failsafe: Default::default(),
        server: parts.watch.initial(),
        running: None,
        finished: None,
        errands: BTreeSet::new(),
        errand_failures: BTreeMap::new(),
        slots_synced: None,
        probes: None,
        guard: regent_core::model::GuardView { alive: parts.guard.is_some() },
        watchdog: watchdog::unchecked(&parts.configuration.effective.settings),
        requests: Default::default(),
    }
}

impl Agent {
    /// Runs until the daemon is to end; gives its exit code.
    pub async fn run(mut self) -> u8 {
        loop {
            let begun_at = ports::since_boot();
            let step = self.decide_until_wait();
            self.tell_guard();
            self.tell_watchdog();
            self.publish();
            self.parts.metrics.rounds.observe("decide", ports::since_boot().saturating_sub(begun_at));
            match step {
                Step::Exit(code) => {
                    self.leave().await;
                    return code;
                }
                Step::Wait(until) => self.wait(until).await,
            }
        }
    }

    /// Waits for the next event, but no longer than until that moment; then takes in all that has come.
    async fn wait(&mut self, until: Moment) {
        let until = self.scheduled_restart.as_ref().map_or(until, |restart| until.min(self.moment_of(restart.at)));
        let until = self.restart_patience().map_or(until, |patience| until.min(patience));
        let patience = until.since(ports::now()).min(Duration::from_secs(60));
        let first = tokio::select! {
            event = self.events.recv() => event,
            event = self.server_events.recv() => event.map(Event::Server),
            request = self.requests.recv() => request.map(Event::Request),
            changed = self.changes.changed() => changed.is_ok().then_some(Event::StoreChanged),
            () = pause(patience) => None,
        };
        self.refresh_clock();
        if let Some(event) = first {
            self.fold(event);
        }
        while let Ok(event) = self.server_events.try_recv() {
            self.fold(Event::Server(event));
        }
        while let Ok(event) = self.events.try_recv() {
            self.fold(event);
        }
    }

    fn refresh_clock(&mut self) {
        self.view.now = ports::now();
        self.view.wall = ports::wall_now();
        if let Some(lease) = &self.view.lease
            && self.view.now >= lease.deadline
        {
            tracing::warn!(
                "the lock ran out: it was last renewed {} ms ago",
                self.view.now.since(lease.renewed_at).as_millis()
            );
            self.view.lease = None;
            self.lease = None;
            self.view.failsafe.kept_at = None;
            self.view.store.lease_ran_out = true;
        }
        if let Some(guard) = &self.parts.guard {
            self.view.guard.alive = guard.is_alive();
        }
        self.check_scheduled_restart();
        self.check_restart_patience();
    }

    fn decide_until_wait(&mut self) -> Step {
        for _ in 0..DECISIONS_IN_A_ROW {
            self.refresh_clock();
            self.compose_member_document();
            let verdict = decide(&self.view, &mut self.memory);
            let number = self.record(&verdict);
            match verdict.action {
                Action::Wait { until } => return Step::Wait(until),
                Action::Exit { code } => {
                    if code != 0 {
                        tracing::error!("rule {}: the daemon ends: {}", verdict.rule, verdict.reason);
                    }
                    return Step::Exit(code);
                }
                action => self.perform(action, number),
            }
            self.tell_guard();
            self.tell_watchdog();
        }
        tracing::error!("{DECISIONS_IN_A_ROW} decisions in a row without a pause: the rules contradict each other");
        Step::Wait(self.view.now + Duration::from_secs(1))
    }

    fn record(&mut self, verdict: &Verdict) -> u64 {
        let reason = verdict.reason.to_string();
        let action = perform::describe(&verdict.action);
        let waits = matches!(verdict.action, Action::Wait { .. });
        if is_routine(verdict) {
            tracing::debug!("rule {}: {action}: {reason}", verdict.rule);
            return 0;
        }
        if waits {
            let wait = (verdict.rule, reason.clone());
            if self.last_wait.as_ref() == Some(&wait) {
                self.say_once_a_loop(&wait);
                return 0;
            }
            self.said_at = self.view.now;
            self.last_wait = Some(wait);
            tracing::info!("rule {}: {reason}", verdict.rule);
        } else {
            tracing::info!("rule {}: {action}: {reason}", verdict.rule);
        }
        let facts = publish::facts(&self.view, &self.memory);
        self.parts.journal.record(verdict.rule, verdict.situation, reason, action, facts)
    }

    /// Once a loop the log says that nothing changed (OPS-01), unless that is not wanted (LOG-09).
    fn say_once_a_loop(&mut self, (rule, reason): &(u16, String)) {
        let wanted = !self.parts.configuration.effective.log.deduplicate_heartbeat_logs;
        if wanted && self.view.now.since(self.said_at) >= self.view.settings.loop_wait {
            self.said_at = self.view.now;
            tracing::info!("no action. rule {rule}: {reason}");
        }
    }

    /// Tells the guard whom to kill when, if that changed.
    fn tell_guard(&mut self) {
        let Some(guard) = &self.parts.guard else {
            return;
        };
        let order = regent_core::decide::guard_order(&self.view, &self.memory);
        if order == GuardOrder::Keep || self.guard_order == Some(order) {
            return;
        }
        let told = match order {
            GuardOrder::Kill(postmaster, at) => guard.arm(postmaster, at),
            GuardOrder::StandDown | GuardOrder::Keep => guard.disarm(),
        };
        match told {
            Ok(()) => self.guard_order = Some(order),
            Err(error) => tracing::warn!("the lease guard could not be told {order:?}: {error}"),
        }
    }

    async fn leave(&mut self) {
        self.leave_watchdog().await;
        if let Some(task) = self.task.take() {
            task.abort.abort();
            // It ends at its next turn.
            while !task.abort.is_finished() {
                tokio::task::yield_now().await;
            }
        }
        if tokio::time::timeout(CANCEL_LIMIT, crate::postgres::settled()).await.is_err() {
            tracing::warn!("a program that was cancelled has not ended, or what it began is not removed yet");
        }
        let server_left_running = self.view.server.postmaster.is_some();
        if let Some(guard) = self.parts.guard.take()
            && !server_left_running
        {
            guard.quit();
        }
        self.parts.store.close(Duration::from_secs(2)).await;
    }
}

/// What comes round again and again is no news: the journal and the log are for changes.
fn is_routine(verdict: &Verdict) -> bool {
    match &verdict.action {
        Action::Run(Errand::SyncSlots { create, unwanted, .. }) => create.is_empty() && unwanted.is_empty(),
        Action::Run(Errand::AskFailsafe { .. }) => true,
        Action::Store(_) => verdict.situation == "heartbeat",
        _ => false,
    }
}

enum Step {
    Wait(Moment),
    Exit(u8),
}

/// The loop's own timer.
#[allow(clippy::disallowed_methods, reason = "this is the timer beside which every event is waited for")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await; // pace: the moment that the last decision named
}
