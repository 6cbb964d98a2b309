//! The modelled world: machines, their links, the store, and one queue of everything that is going to happen.

use crate::check::Checks;
use crate::clock::Clock;
use crate::daemon::{Daemon, News};
use crate::mutant::Mutant;
use crate::plan::{Plan, START};
use crate::server::Server;
use crate::statistics::Statistics;
use crate::store::{Dynamic, Input, Store};
use crate::tasks::Pending;
use fastrand::Rng;
use regent_core::model::{Errand, Moment, Postmaster, Settings, StoreCall, Timeline};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

/// How often clients write and logs are shipped.
pub const TICK: Duration = Duration::from_millis(100);

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// Clients write, logs are shipped, leases run out.
    Tick,
    /// A call reaches the store.
    Call { node: usize, instance: u32, call: StoreCall, input: Input, sent_at: Moment },
    /// A call reaches it that was given up, meant for that revision of what it writes.
    Late { node: usize, call: StoreCall, input: Input, seen: u64 },
    /// A daemon hears of something.
    Tell { node: usize, instance: u32, news: News },
    /// A daemon's own timer.
    Wake { node: usize, instance: u32, wake: u64 },
    /// A server goes on by itself.
    Server { node: usize, postmaster: Postmaster, step: Step },
    /// Long work comes to its point.
    Work { node: usize, number: u64 },
    /// Members are asked.
    Ask { node: usize, instance: u32, errand: Errand, begun_at: Moment },
    /// Short work ends.
    ErrandEnds { node: usize, instance: u32, errand: Errand, begun_at: Moment },
    /// The server is asked by its daemon's monitor.
    Monitor { node: usize, instance: u32, postmaster: Postmaster, round: u64 },
    /// The guard looks at its clock.
    Guard { node: usize },
    /// A fault of the plan begins.
    Begin(usize),
    /// It ends.
    End(usize),
    /// A daemon is started.
    StartDaemon(usize),
}

/// What a server does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Recovery is over.
    Up,
    /// The promotion is done.
    Promoted,
    /// The checkpoint of a fast stop is written.
    LastCheckpoint,
    /// Standbys have had their time.
    Gone,
    /// It ends without a word.
    Dead,
}

/// A machine.
#[derive(Debug)]
pub struct Node {
    /// Its server.
    pub server: Server,
    /// Its daemon, while one runs.
    pub daemon: Option<Box<Daemon>>,
    /// How many daemons there were.
    pub instances: u32,
    /// The daemon stands still.
    pub daemon_frozen: bool,
    /// Everything stands still.
    pub frozen: bool,
    /// Its clocks stand still as well, since then.
    pub suspended_at: Option<Moment>,
    /// What would have happened meanwhile.
    pub postponed: Vec<Event>,
    /// Whom the guard kills, and when.
    pub guard: Option<(Postmaster, Moment)>,
    /// `synchronous_standby_names` as the configuration that is being written has it.
    pub applying: String,
    /// Long work of the daemon.
    pub pending: Option<Pending>,
    /// The timelines that a promotion must not begin, for they exist elsewhere.
    pub reserved: Timeline,
    /// Which round of questions of the monitor counts.
    pub round: u64,
    /// A fast stop does not end by itself.
    pub hanging_stop: bool,
    /// A daemon is meant to run.
    pub wanted: bool,
    /// Cut off from the store.
    pub cut: bool,
    /// When it last went on after having stood still.
    pub thawed_at: Moment,
    /// It stood still, its clock too: until then it may trust in a lock that ended meanwhile.
    pub unaware_until: Moment,
    /// Its link carries one record a tick, and often none.
    pub slow: bool,
    /// Its disk is.
    pub slow_disk: bool,
    /// Its clocks.
    pub clock: Clock,
}

#[derive(Debug)]
struct Queued(Moment, u64, Box<Event>);

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// Now.
    pub now: Moment,
    /// What is left to chance.
    pub rng: Rng,
    /// All chance of recoveries: its own, so that what else is drawn stays as it was before they were modelled.
    pub recoveries: Rng,
    /// What happens.
    pub plan: Plan,
    /// The machines.
    pub nodes: Vec<Node>,
    /// The place of the cluster that this one follows, or did.
    pub remote: Option<usize>,
    /// Members' names, by place.
    pub names: Vec<String>,
    /// The store.
    pub store: Store,
    /// It answers nobody.
    pub store_away: bool,
    /// Of a hundred requests or answers so many get lost.
    pub loss: u8,
    /// Who does not reach whom.
    pub parted: BTreeSet<(usize, usize)>,
    /// What must hold.
    pub checks: Checks,
    /// What happened how often.
    pub statistics: Statistics,
    /// What happened, where somebody wants to read it.
    pub story: Option<Vec<String>>,
    /// What is broken on purpose.
    pub mutant: Option<Mutant>,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    ids: u32,
}

impl World {
    /// The world of a plan, before anything happened.
    pub fn new(plan: Plan, mutant: Option<Mutant>, tell: bool) -> World {
        let dynamic = Dynamic::of(&plan.settings);
        let names = plan.names();
        let clock = |fast: &i64| Clock { fast: *fast, ..Clock::default() };
        let nodes = plan.clocks.iter().map(|fast| Node { clock: clock(fast), ..Node::new() }).collect();
        let mut world = World {
            now: Moment(START),
            rng: Rng::with_seed(plan.seed ^ 0x9e37_79b9_7f4a_7c15),
            recoveries: Rng::with_seed(plan.seed ^ 0xc2b2_ae3d_27d4_eb4f),
            nodes,
            remote: None,
            names,
            store: Store::new(dynamic),
            store_away: false,
            loss: 0,
            parted: BTreeSet::new(),
            checks: Checks::new(dynamic.lag),
            statistics: Statistics::default(),
            story: tell.then(Vec::new),
            mutant,
            queue: BinaryHeap::new(),
            queued: 0,
            ids: 0,
            plan,
        };
        if world.plan.settings.standby_cluster.is_some() {
            world.found_remote();
        }
        for node in 0..world.plan.members {
            let delay = Duration::from_millis(world.rng.u64(0..500));
            world.later(delay, Event::StartDaemon(node));
        }
        for (index, fault) in world.plan.faults.clone().into_iter().enumerate() {
            world.later(Duration::from_millis(fault.at), Event::Begin(index));
            world.later(Duration::from_millis(fault.at + fault.lasts), Event::End(index));
        }
        world.later(TICK, Event::Tick);
        world
    }

    /// Lets everything happen up to that moment, or until something is wrong.
    pub fn run_until(&mut self, end: Moment) {
        while self.checks.violation.is_none() {
            let Some(Reverse(Queued(at, _, _))) = self.queue.peek() else { return };
            if *at > end {
                return;
            }
            if let Some(Reverse(Queued(at, _, event))) = self.queue.pop() {
                self.now = at;
                self.happen(*event);
            }
        }
    }

    /// Lets something happen after a while.
    pub fn later(&mut self, delay: Duration, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse(Queued(self.now + delay, self.queued, Box::new(event))));
    }

    /// The same after a time between two numbers of milliseconds.
    pub fn soon(&mut self, from: u64, to: u64, event: Event) {
        let delay = Duration::from_millis(self.rng.u64(from..=to));
        self.later(delay, event);
    }

    /// A record that was never written before.
    pub fn next_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    /// These two reach each other, and both are awake.
    pub fn reach(&self, one: usize, other: usize) -> bool {
        !self.parted.contains(&(one.min(other), one.max(other))) && !self.nodes[one].frozen && !self.nodes[other].frozen
    }

    /// What this machine's boot-time clock shows.
    pub fn clock(&self, node: usize) -> Moment {
        self.nodes[node].clock.shows(self.now)
    }

    /// How long it is until it shows that.
    pub fn until_shown(&self, node: usize, shown: Moment) -> Duration {
        self.nodes[node].clock.world(shown).since(self.now)
    }

    /// The place of a member.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The settings of a member.
    pub fn settings_of(&self, node: usize) -> Settings {
        let own = Settings {
            name: self.names[node].clone(),
            tags: self.plan.tags[node].clone(),
            ..self.plan.settings.clone()
        };
        self.store.dynamic.over(&own)
    }

    /// One line of the story.
    pub fn tell(&mut self, who: &str, what: impl FnOnce() -> String) {
        let now = self.now.0;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3} {who:>6}: {}", (now - START) as f64 / 1000.0, what()));
        }
    }

    /// The same of a node.
    pub fn tell_of(&mut self, node: usize, what: impl FnOnce() -> String) {
        let name = self.names[node].clone();
        self.tell(&name, what);
    }

    /// Tells a daemon after a while, if it still runs then.
    pub fn inform(&mut self, node: usize, from: u64, to: u64, news: News) {
        if let Some(daemon) = &self.nodes[node].daemon {
            let instance = daemon.instance;
            self.soon(from, to, Event::Tell { node, instance, news });
        }
    }

    /// The guard, the daemon and the server of this node stand still: what would happen is postponed.
    fn stands_still(&self, event: &Event) -> Option<usize> {
        let node = match event {
            Event::Server { node, .. }
            | Event::Work { node, .. }
            | Event::ErrandEnds { node, .. }
            | Event::Monitor { node, .. }
            | Event::Guard { node } => *node,
            _ => return None,
        };
        let works = matches!(event, Event::Work { .. } | Event::ErrandEnds { .. } | Event::Monitor { .. });
        let still = self.nodes[node].frozen || (works && self.nodes[node].daemon_frozen);
        still.then_some(node)
    }

    /// Something happens.
    pub fn happen(&mut self, event: Event) {
        if let Some(node) = self.stands_still(&event) {
            self.nodes[node].postponed.push(event);
            return;
        }
        match event {
            Event::Tick => {
                self.tick();
                self.later(TICK, Event::Tick);
            }
            Event::Call { node, instance, call, input, sent_at } => self.call(node, instance, call, input, sent_at),
            Event::Late { node, call, input, seen } => self.late(node, call, input, seen),
            Event::Tell { node, instance, news } => self.hear(node, instance, news),
            Event::Wake { node, instance, wake } => self.wake(node, instance, wake),
            Event::Server { node, postmaster, step } => self.server_step(node, postmaster, step),
            Event::Work { node, number } => self.work(node, number),
            Event::Ask { node, instance, errand, begun_at } => self.ask(node, instance, errand, begun_at),
            Event::ErrandEnds { node, instance, errand, begun_at } => {
                self.errand_ends(node, instance, errand, begun_at);
            }
            Event::Monitor { node, instance, postmaster, round } => self.monitor(node, instance, postmaster, round),
            Event::Guard { node } => self.guard(node),
            Event::Begin(index) => self.begin_fault(index),
            Event::End(index) => self.end_fault(index),
            Event::StartDaemon(node) => self.start_daemon(node),
        }
    }

    fn hear(&mut self, node: usize, instance: u32, news: News) {
        let place = &mut self.nodes[node];
        let still = place.frozen || place.daemon_frozen;
        let Some(daemon) = place.daemon.as_mut().filter(|daemon| daemon.instance == instance) else { return };
        daemon.inbox.push(news);
        if !still {
            self.run_daemon(node);
        }
    }

    fn wake(&mut self, node: usize, instance: u32, wake: u64) {
        let place = &self.nodes[node];
        let current = place.daemon.as_ref().is_some_and(|daemon| daemon.instance == instance && daemon.wake == wake);
        if current && !place.frozen && !place.daemon_frozen {
            self.run_daemon(node);
        }
    }

    fn start_daemon(&mut self, node: usize) {
        let settings = self.settings_of(node);
        let session = self.next_id();
        let now = self.clock(node);
        let place = &mut self.nodes[node];
        if place.daemon.is_some() || !place.wanted {
            return;
        }
        place.instances += 1;
        place.daemon_frozen = false;
        place.daemon = Some(Box::new(Daemon::start(place.instances, session, now, settings, &place.server)));
        self.tell_of(node, || "the daemon starts".to_owned());
        self.watch_server(node);
        self.run_daemon(node);
    }

    /// The guard kills a server whose lock was not renewed in time.
    pub fn guard(&mut self, node: usize) {
        let now = self.clock(node);
        let place = &self.nodes[node];
        let Some((postmaster, at)) = place.guard else { return };
        if now >= at && place.server.postmaster == Some(postmaster) && self.mutant != Some(Mutant::NoGuard) {
            self.tell_of(node, || "the guard kills the server".to_owned());
            self.statistics.guard_kills += 1;
            self.server_step(node, postmaster, Step::Dead);
        }
    }
}

impl Node {
    /// A machine with an empty disk.
    pub fn new() -> Node {
        Node {
            server: Server::new(),
            daemon: None,
            instances: 0,
            daemon_frozen: false,
            frozen: false,
            suspended_at: None,
            postponed: Vec::new(),
            guard: None,
            applying: String::new(),
            pending: None,
            reserved: Timeline(0),
            round: 0,
            hanging_stop: false,
            wanted: true,
            cut: false,
            thawed_at: Moment(0),
            unaware_until: Moment(0),
            slow: false,
            slow_disk: false,
            clock: Clock::default(),
        }
    }
}
