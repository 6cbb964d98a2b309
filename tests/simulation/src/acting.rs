//! A daemon's turn: news are folded, decisions are made until one says to wait, and each is begun.

use crate::daemon::{Daemon, News};
use crate::world::{Event, Step, World};
use regent_core::decide::{Action, GuardOrder, Verdict, decide, guard_order};
use regent_core::model::{Errand, RunningTask, StopMode, Task};
use std::time::Duration;

/// So many decisions without a pause contradict each other.
const IN_A_ROW: u32 = 64;

impl World {
    /// The daemon's turn.
    pub fn run_daemon(&mut self, node: usize) {
        let Some(mut daemon) = self.nodes[node].daemon.take() else { return };
        self.look_at_clocks(node, &mut daemon);
        for news in std::mem::take(&mut daemon.inbox) {
            daemon.fold(news, &self.nodes[node].server);
        }
        self.check_word(node, &daemon);
        let goes_on = self.decide(node, &mut daemon);
        if goes_on {
            self.nodes[node].daemon = Some(daemon);
        } else {
            self.nodes[node].guard = None;
            self.nodes[node].pending = None;
        }
    }

    fn look_at_clocks(&self, node: usize, daemon: &mut Daemon) {
        let now = self.clock(node);
        daemon.refresh(now);
        daemon.view.wall = self.nodes[node].clock.wall(now);
    }

    /// Decides and begins until there is nothing to do; `false`: the daemon has ended.
    fn decide(&mut self, node: usize, daemon: &mut Daemon) -> bool {
        for _ in 0..IN_A_ROW {
            self.look_at_clocks(node, daemon);
            let document = daemon.member();
            let known = daemon.written.as_ref().is_some_and(|written| !differ(written, &document));
            daemon.view.store.member_differs = !known;
            let mut verdict = decide(&daemon.view, &mut daemon.memory);
            if let Some(mutant) = self.mutant {
                mutant.spoil(&mut verdict, daemon);
            }
            self.statistics.decided(verdict.rule, &verdict.action);
            self.judge(node, daemon, &verdict);
            self.narrate(node, daemon, &verdict);
            match verdict.action {
                Action::Wait { until } => {
                    self.instruct_guard(node, daemon);
                    daemon.wake += 1;
                    let (instance, wake) = (daemon.instance, daemon.wake);
                    let pause = self.until_shown(node, until).clamp(Duration::from_millis(1), Duration::from_secs(60));
                    self.later(pause, Event::Wake { node, instance, wake });
                    return true;
                }
                Action::Exit { code } => {
                    self.tell_of(node, || format!("rule {}: the daemon ends with code {code}", verdict.rule));
                    return false;
                }
                action => self.perform(node, daemon, action),
            }
            self.instruct_guard(node, daemon);
        }
        self.checks.fail(|| format!("{}: {IN_A_ROW} decisions without a pause", daemon.view.me()));
        true
    }

    /// What is decided goes into the story, unless it was just said, or is said all the time.
    fn narrate(&mut self, node: usize, daemon: &mut Daemon, verdict: &Verdict) {
        if self.story.is_none() || verdict.situation == "heartbeat" {
            return;
        }
        let action = match &verdict.action {
            Action::Wait { .. } => "waits".to_owned(),
            Action::Run(errand) => format!("{:?}", errand.kind()),
            Action::Begin(task) => format!("begins {task}"),
            Action::Preempt(task) => format!("drops everything for {task}"),
            other => format!("{other:?}"),
        };
        let text = format!("rule {}: {action}: {}", verdict.rule, verdict.reason);
        if !daemon.said.contains(&text) {
            if daemon.said.len() >= 4 {
                daemon.said.remove(0);
            }
            daemon.said.push(text.clone());
            self.tell_of(node, || text);
        }
    }

    fn instruct_guard(&mut self, node: usize, daemon: &mut Daemon) {
        let order = guard_order(&daemon.view, &daemon.memory);
        if order == GuardOrder::Keep || daemon.told == Some(order) {
            return;
        }
        daemon.told = Some(order);
        self.nodes[node].guard = match order {
            GuardOrder::Kill(postmaster, at) => Some((postmaster, at)),
            GuardOrder::StandDown | GuardOrder::Keep => None,
        };
        if let Some((_, at)) = self.nodes[node].guard {
            self.later(self.until_shown(node, at), Event::Guard { node });
        }
    }

    fn perform(&mut self, node: usize, daemon: &mut Daemon, action: Action) {
        match action {
            Action::Wait { .. } | Action::Exit { .. } => {}
            Action::Store(call) => self.send_call(node, daemon, call),
            Action::Begin(task) => self.begin(node, daemon, task),
            Action::Preempt(task) => {
                self.nodes[node].pending = None;
                daemon.task = None;
                daemon.view.running = None;
                daemon.look(&self.nodes[node].server);
                self.begin(node, daemon, task);
            }
            Action::Escalate(mode) => {
                if let Some(running) = &mut daemon.view.running {
                    running.escalated = Some(mode);
                }
                self.end_at_once(node);
            }
            Action::CancelTask => {
                self.nodes[node].pending = None;
                if let Some(running) = &mut daemon.view.running {
                    running.cancelled = true;
                }
                if let Some(number) = daemon.task {
                    let (instance, news) =
                        (daemon.instance, News::TaskEnded(number, regent_core::model::TaskOutcome::Cancelled));
                    self.soon(1, 5, Event::Tell { node, instance, news });
                }
            }
            Action::Run(errand) => self.run(node, daemon, errand),
        }
    }

    /// An immediate stop, or a kill: the process is gone in an instant.
    pub fn end_at_once(&mut self, node: usize) {
        if let Some(postmaster) = self.nodes[node].server.postmaster {
            self.soon(5, 40, Event::Server { node, postmaster, step: Step::Dead });
        }
    }

    fn begin(&mut self, node: usize, daemon: &mut Daemon, task: Task) {
        daemon.tasks += 1;
        let number = daemon.tasks;
        match &task {
            Task::Restart(_) => daemon.view.requests.restart = None,
            Task::Wipe => daemon.view.requests.reinitialize = None,
            _ => {}
        }
        let escalated: Option<StopMode> = match &task {
            Task::Stop { mode, .. } => Some(*mode),
            _ => None,
        };
        daemon.task = Some(number);
        daemon.view.running =
            Some(RunningTask { task: task.clone(), since: self.clock(node), escalated, cancelled: false });
        let names = daemon.memory.durability.names.clone();
        if task == Task::Promote {
            self.nodes[node].reserved = daemon.memory.newest_timeline;
        }
        self.begin_work(node, number, task, names);
    }

    fn run(&mut self, node: usize, daemon: &mut Daemon, errand: Errand) {
        daemon.view.errands.insert(errand.kind());
        if matches!(errand, Errand::ApplyConfiguration { .. }) {
            self.nodes[node].applying = daemon.memory.durability.names.clone().unwrap_or_default();
        }
        let (instance, begun_at) = (daemon.instance, self.clock(node));
        match &errand {
            Errand::Probe { .. } | Errand::AskFailsafe { .. } => {
                self.soon(2, 10, Event::Ask { node, instance, errand, begun_at });
            }
            Errand::CheckpointAfterPromote => {
                self.soon(50, 800, Event::ErrandEnds { node, instance, errand, begun_at });
            }
            _ => self.soon(5, 60, Event::ErrandEnds { node, instance, errand, begun_at }),
        }
    }
}

/// What others should learn soon differs; positions are told once a loop.
fn differ(written: &regent_core::model::MemberView, new: &regent_core::model::MemberView) -> bool {
    let facts = |member: &regent_core::model::MemberView| {
        (member.state, member.role, member.timeline, member.pause, member.checkpoint_after_promote)
    };
    facts(written) != facts(new) || written.tags != new.tags
}
