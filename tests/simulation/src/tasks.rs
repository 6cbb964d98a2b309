//! Long work in the model: what it does to the server, how long it takes, and when it fails.

use crate::daemon::News;
use crate::server::{Directory, Phase};
use crate::world::{Event, Step, World};
use regent_core::model::{
    ControlState, DataDirectory, LeaderHistory, LocalEnd, Postmaster, RewindMark, Source, StartMode, StopMode, Task,
    TaskOutcome,
};
use std::time::Duration;

/// How long a stopping server waits for standbys.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Long work that is going on.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its number.
    pub number: u64,
    /// What.
    pub task: Task,
    /// `synchronous_standby_names` as primary, where they are not the user's own.
    pub names: Option<String>,
    /// When it is over.
    pub goal: Goal,
    /// A rewind: it has begun to write.
    pub half_way: bool,
}

/// When long work is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// When its time comes.
    Point,
    /// When the server takes connections.
    Up,
    /// When it is gone.
    Down,
    /// When it is primary.
    Primary,
}

impl World {
    /// Begins long work.
    pub fn begin_work(&mut self, node: usize, number: u64, task: Task, names: Option<String>) {
        let crashed = self.nodes[node].server.directory.as_ref().is_some_and(|directory| {
            matches!(directory.state, ControlState::InProduction | ControlState::InCrashRecovery)
        });
        let (goal, from, to) = match &task {
            Task::Bootstrap => (Goal::Up, 600, 1500),
            Task::Clone { .. } => (Goal::Up, 500, 3000),
            Task::Start(_) if crashed => (Goal::Up, 50, 3000),
            Task::Start(_) => (Goal::Up, 20, 100),
            Task::Stop { mode: StopMode::Fast, checkpoint_first: true } => (Goal::Down, 20, 300),
            Task::Stop { .. } | Task::Restart(_) => (Goal::Down, 1, 10),
            Task::Promote => (Goal::Primary, 5, 30),
            Task::Follow(_) | Task::StopReceiving | Task::CopySlots { .. } => (Goal::Point, 10, 60),
            Task::CompareHistories(_) | Task::Wipe => (Goal::Point, 10, 100),
            Task::Rewind(_) => (Goal::Point, 300, 2000),
            Task::RecoverInSingleUserMode | Task::SetAsideFailedBootstrap => (Goal::Point, 100, 600),
        };
        self.nodes[node].pending = Some(Pending { number, task, names, goal, half_way: false });
        self.soon(from, to, Event::Work { node, number });
    }

    /// Long work comes to its point.
    pub fn work(&mut self, node: usize, number: u64) {
        let Some(pending) = self.nodes[node].pending.clone().filter(|pending| pending.number == number) else {
            return;
        };
        let running = self.nodes[node].server.postmaster;
        match pending.task {
            Task::Bootstrap => {
                let id = self.next_id();
                self.nodes[node].server.directory = Some(Directory::initial(id));
                self.spawn(node, pending.names.unwrap_or_default());
            }
            Task::Clone { source, .. } => self.copy_from(node, number, source.as_ref()),
            Task::Start(mode) => self.start(node, number, &mode, pending.names),
            Task::Stop { mode, .. } => self.signal(node, number, mode),
            Task::Restart(_) => self.signal(node, number, StopMode::Fast),
            Task::Promote => match running {
                Some(postmaster) => {
                    if let Some(names) = pending.names {
                        self.nodes[node].server.names = names;
                    }
                    self.soon(20, 200, Event::Server { node, postmaster, step: Step::Promoted });
                }
                None => self.task_ends(node, number, failed("the server is down")),
            },
            Task::Follow(source) => {
                let place = source.and_then(|source| self.place_of(&source));
                self.redirect(node, place);
                self.task_ends(node, number, TaskOutcome::Done);
            }
            // No world has logical slots: nothing is ever brought over.
            Task::CopySlots { .. } | Task::StopReceiving => {
                self.redirect(node, None);
                self.task_ends(node, number, TaskOutcome::Done);
            }
            Task::CompareHistories(source) => {
                let outcome = self.compare(node, &source);
                self.task_ends(node, number, outcome);
            }
            Task::Rewind(source) => match self.rewind(node, &source, pending.half_way) {
                Some(outcome) => self.task_ends(node, number, outcome),
                None => {
                    self.nodes[node].pending = Some(Pending { half_way: true, task: Task::Rewind(source), ..pending });
                    self.soon(100, 3000, Event::Work { node, number });
                }
            },
            Task::RecoverInSingleUserMode => {
                let id = self.next_id();
                let server = &mut self.nodes[node].server;
                if let Some(directory) = server.directory.as_mut().filter(|_| running.is_none()) {
                    directory.log.append(id);
                    directory.note_checkpoint(ControlState::ShutDown);
                }
                self.task_ends(node, number, TaskOutcome::Done);
            }
            Task::Wipe | Task::SetAsideFailedBootstrap => {
                if let Some(postmaster) = running {
                    self.server_step(node, postmaster, Step::Dead);
                }
                self.nodes[node].server.directory = None;
                self.tell_of(node, || "the data directory is gone".to_owned());
                self.task_ends(node, number, TaskOutcome::Done);
            }
        }
    }

    fn redirect(&mut self, node: usize, source: Option<usize>) {
        let now = self.now;
        let server = &mut self.nodes[node].server;
        server.source = source;
        server.stream = None;
        server.retry_at = now;
    }

    fn spawn(&mut self, node: usize, names: String) {
        let now = self.now;
        if matches!(self.nodes[node].server.data_directory(), DataDirectory::HalfRewound(_)) {
            let name = self.names[node].clone();
            self.checks.fail(|| format!("8: {name} starts a server on a half rewound data directory"));
        }
        let server = &mut self.nodes[node].server;
        server.names = names;
        let crashed = server.directory.as_ref().is_some_and(|directory| {
            matches!(directory.state, ControlState::InProduction | ControlState::InCrashRecovery)
        });
        let postmaster = server.spawn(now);
        self.inform(node, 0, 2, News::Found(postmaster));
        let (from, to) = if crashed { (100, 2500) } else { (50, 300) };
        self.soon(from, to, Event::Server { node, postmaster, step: Step::Up });
    }

    fn start(&mut self, node: usize, number: u64, mode: &StartMode, names: Option<String>) {
        if self.nodes[node].server.postmaster.is_some() || self.nodes[node].server.directory.is_none() {
            return self.task_ends(node, number, failed("it can not be started"));
        }
        self.check_whole(node);
        let source = match mode {
            StartMode::Follow(source) => self.place_of(source),
            StartMode::Primary | StartMode::Standby => None,
        };
        let primary = *mode == StartMode::Primary;
        self.nodes[node].server.source = source;
        if let Some(directory) = &mut self.nodes[node].server.directory {
            directory.recovery_signal = !primary;
        }
        self.spawn(node, if primary { names.unwrap_or_default() } else { String::new() });
    }

    fn signal(&mut self, node: usize, number: u64, mode: StopMode) {
        let Some(postmaster) = self.nodes[node].server.postmaster else {
            return self.task_ends(node, number, TaskOutcome::Done);
        };
        if mode != StopMode::Fast {
            return self.end_at_once(node);
        }
        if self.nodes[node].server.phase == Phase::Starting {
            return self.end_at_once(node);
        }
        self.nodes[node].server.phase = Phase::Stopping;
        self.status_changed(node);
        if !self.nodes[node].hanging_stop {
            self.soon(20, 200, Event::Server { node, postmaster, step: Step::LastCheckpoint });
        }
    }

    /// Whoever it is that clones or compares: the source answers.
    fn source_of(&self, node: usize, source: &Source) -> Option<usize> {
        let place = self.place_of(source)?;
        let up = matches!(self.nodes[place].server.phase, Phase::Primary | Phase::Standby);
        (up && self.reach(node, place)).then_some(place)
    }

    fn copy_from(&mut self, node: usize, number: u64, source: Option<&Source>) {
        let place = source.and_then(|source| self.source_of(node, source));
        let copy = place.and_then(|place| self.nodes[place].server.directory.as_ref().map(Directory::copy_of));
        let Some(copy) = copy else {
            return self.task_ends(node, number, failed("the source does not answer"));
        };
        let server = &mut self.nodes[node].server;
        server.directory = Some(copy);
        server.source = place;
        self.spawn(node, String::new());
    }

    fn compare(&self, node: usize, source: &Source) -> TaskOutcome {
        let server = &self.nodes[node].server;
        let Some(place) = self.source_of(node, source) else { return failed("the leader does not answer") };
        let (Some(log), Some(directory)) = (self.nodes[place].server.log(), &server.directory) else {
            return failed("nothing to compare");
        };
        let recovering = server.phase == Phase::Standby
            || matches!(directory.state, ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery);
        let local = if recovering {
            LocalEnd { timeline: directory.log.timeline(), lsn: directory.log.end(), in_recovery: true }
        } else {
            LocalEnd { timeline: directory.checkpoint_timeline, lsn: directory.checkpoint, in_recovery: false }
        };
        let leader = LeaderHistory { timeline: log.timeline(), switches: log.switches() };
        TaskOutcome::Histories(local, leader)
    }

    /// How a rewind goes on: `None`, it has just begun to write.
    fn rewind(&mut self, node: usize, source: &Source, half_way: bool) -> Option<TaskOutcome> {
        // A source that is lost says nothing about the local data.
        let Some(place) = self.source_of(node, source) else { return Some(TaskOutcome::Cancelled) };
        let (primary, directory) = {
            let server = &self.nodes[place].server;
            (server.phase == Phase::Primary, server.directory.clone())
        };
        let Some(from) = directory.filter(|from| primary && from.checkpoint_timeline == from.log.timeline()) else {
            return Some(failed("the source has not written a checkpoint"));
        };
        let mark = RewindMark { source: source.name.clone(), timeline: from.log.timeline(), same_boot: true };
        // The log that it begins with may be among what the first attempt removed.
        let spoilt = !half_way && self.rng.u8(..3) == 0;
        let server = &mut self.nodes[node].server;
        let Some(directory) = server.directory.as_mut().filter(|_| server.postmaster.is_none()) else {
            return Some(failed("the server runs"));
        };
        if directory.half_rewound.as_ref().is_some_and(|before| *before != mark || spoilt) {
            return Some(failed("the data directory is half rewound"));
        }
        if !half_way {
            directory.half_rewound = Some(mark);
            return None;
        }
        directory.log.become_like(&from.log);
        (directory.checkpoint, directory.checkpoint_timeline) = (from.checkpoint, from.checkpoint_timeline);
        directory.recovery_signal = true;
        directory.state = ControlState::InArchiveRecovery;
        directory.half_rewound = None;
        // What the source wrote last is not copied with the rest.
        directory.lacks_log = self.recoveries.u8(..3) == 0;
        Some(TaskOutcome::Done)
    }

    /// Tells the daemon that its long work is over.
    pub fn task_ends(&mut self, node: usize, number: u64, outcome: TaskOutcome) {
        self.nodes[node].pending = None;
        self.inform(node, 0, 2, News::TaskEnded(number, outcome));
    }

    /// The server did something: perhaps long work has reached its goal.
    fn check_goal(&mut self, node: usize) {
        let phase = self.nodes[node].server.phase;
        let Some(pending) = self.nodes[node].pending.clone() else { return };
        let number = pending.number;
        match (pending.goal, phase) {
            (Goal::Up, Phase::Primary | Phase::Standby) | (Goal::Primary, Phase::Primary) => {
                self.task_ends(node, number, TaskOutcome::Done);
            }
            (Goal::Up | Goal::Primary, Phase::Down) => self.task_ends(node, number, failed("the server ended")),
            (Goal::Down, Phase::Down) => match pending.task {
                Task::Restart(mode) => {
                    let next = Pending { task: Task::Start(mode), goal: Goal::Up, ..pending };
                    self.nodes[node].pending = Some(next);
                    self.soon(1, 5, Event::Work { node, number });
                }
                _ => self.task_ends(node, number, TaskOutcome::Done),
            },
            _ => {}
        }
    }

    /// A server goes on by itself.
    pub fn server_step(&mut self, node: usize, postmaster: Postmaster, step: Step) {
        if self.nodes[node].server.postmaster != Some(postmaster) {
            return;
        }
        let phase = self.nodes[node].server.phase;
        let id = self.next_id();
        match step {
            Step::Up if phase == Phase::Starting && self.lacks_log(node) => {
                return self.later(Duration::from_millis(500), Event::Server { node, postmaster, step: Step::Up });
            }
            Step::Up if phase == Phase::Starting => {
                let is_new = self.nodes[node].server.directory.as_ref().is_some_and(|directory| directory.is_new);
                let longest = if is_new || self.recoveries.u8(..4) == 0 { 100 } else { 30_000 };
                let reading = self.recoveries.u64(..longest);
                let read_at = self.now + Duration::from_millis(reading);
                self.nodes[node].server.come_up(id, read_at);
            }
            Step::Promoted if phase == Phase::Standby => {
                let epoch = self.checks.next_epoch();
                let taken = self.nodes[node].reserved;
                self.nodes[node].server.promote(id, epoch, taken);
                self.promoted(node);
            }
            Step::LastCheckpoint if phase == Phase::Stopping => {
                let primary = !self.nodes[node].server.has_recovery_signal();
                if let Some(directory) = self.nodes[node].server.directory.as_mut().filter(|_| primary) {
                    directory.log.append(id);
                    directory.note_checkpoint(ControlState::ShutDown);
                }
                self.later(LAST_WORDS, Event::Server { node, postmaster, step: Step::Gone });
            }
            Step::Gone if phase == Phase::Stopping => self.end_server(node, true),
            Step::Dead => self.end_server(node, false),
            _ => return,
        }
        self.tell_of(node, || format!("the server: {step:?}"));
        self.status_changed(node);
        self.check_goal(node);
    }

    /// A stopping server whose standbys have everything is gone.
    pub fn finish_stops(&mut self) {
        for node in 0..self.nodes.len() {
            let server = &self.nodes[node].server;
            let written = server
                .directory
                .as_ref()
                .is_some_and(|directory| directory.recovery_signal || directory.state == ControlState::ShutDown);
            if server.phase != Phase::Stopping || !written || self.nodes[node].hanging_stop || self.nodes[node].frozen {
                continue;
            }
            let end = server.log().map(crate::log::Log::len);
            let behind = (0..self.nodes.len()).any(|other| {
                let standby = &self.nodes[other].server;
                standby.stream == Some(node) && standby.log().map(crate::log::Log::len) < end
            });
            if let Some(postmaster) = server.postmaster.filter(|_| !behind) {
                self.server_step(node, postmaster, Step::Gone);
            }
        }
    }

    fn end_server(&mut self, node: usize, clean: bool) {
        let server = &mut self.nodes[node].server;
        if clean && server.has_recovery_signal() {
            server.end(Some(0));
        } else {
            // What was not even handed to the operating system ends with the process.
            if let Some(directory) = &mut server.directory {
                let unflushed = directory.log.unflushed();
                let lost = directory.log.lose(self.rng.usize(0..=unflushed));
                self.statistics.add_count("records lost", "with the process", lost);
            }
            server.end(None);
        }
        self.drop_streams(node);
        if let Some(postmaster) = self.nodes[node].daemon.as_ref().and_then(|daemon| daemon.view.server.postmaster) {
            self.inform(node, 1, 4, News::Ended(postmaster));
        }
        let control = self.nodes[node].server.control();
        let at = self.clock(node) + Duration::from_millis(5);
        self.inform(node, 5, 15, News::Control(control, at));
    }

    /// Whoever streams from this node does so no more.
    pub fn drop_streams(&mut self, node: usize) {
        for other in &mut self.nodes {
            if other.server.stream == Some(node) {
                other.server.stream = None;
                other.server.retry_at = self.now + crate::server::RETRY;
            }
        }
    }

    /// The daemon of this node, and its monitor, see what its server does.
    pub fn status_changed(&mut self, node: usize) {
        let server = &self.nodes[node].server;
        if let (Some(postmaster), Some(status)) = (server.postmaster, server.status()) {
            let signal = server.has_recovery_signal();
            let control = server.control();
            self.inform(node, 1, 4, News::Status(postmaster, status, signal));
            let at = self.clock(node);
            self.inform(node, 5, 12, News::Control(control, at));
            self.watch_server(node);
        }
    }
}

fn failed(why: &str) -> TaskOutcome {
    TaskOutcome::Failed(why.to_owned())
}
