//! The cluster of a drill, and the course of one shot on it: clients begin, something happens, the cluster becomes
//! whole, the checker speaks.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use regent_harness::{Node, sql, wait};

use super::Drill;
use super::lock::{Lock, Look};
use super::shot::Shot;
use crate::bed::{Bed, SCOPE};
use crate::check::{self, Promise, Verdict};
use crate::clients::{Clients, TABLE};
use crate::history::History;
use crate::options::Mode;
use crate::round;
use crate::story::Story;
use crate::whole;

/// How long a whole cluster may take to be found whole, and another leader to take writes: leases, and a busy machine.
const WHOLE: Duration = Duration::from_secs(400);
/// How long the clients may take to be writing.
const WRITING: Duration = Duration::from_secs(120);
/// How often is looked whether something has happened.
const PACE: Duration = Duration::from_millis(200);
/// How many acknowledged writes a shot begins with.
const WARM: u64 = 30;
/// How old lost writes of an asynchronous cluster may be. Some drills cut a leader off for long, so this says little:
/// how many there were is in the table.
const LOSS_WINDOW: Duration = Duration::from_secs(600);
/// How long a statement of a drill may take.
pub const STATEMENT: Duration = Duration::from_secs(180);

/// A cluster, and what it has behind it.
pub struct Field {
    /// What is done to it.
    pub drill: Drill,
    /// How long its lock lives.
    pub ttl: Duration,
    /// The cluster.
    pub bed: Bed,
    /// What happened to it, in this shot.
    pub story: Arc<Story>,
    /// What clients were told in this shot.
    pub history: Arc<History>,
    lock: Lock,
    next: u64,
}

/// One shot under way.
pub struct Course {
    /// Its number, from one.
    pub number: usize,
    /// The leader's place when it began.
    pub place: usize,
    /// The leader's name then.
    pub leader: String,
    /// When its fault was undone, on the history's clock.
    pub healed: Option<Duration>,
    /// The least that was left of a lock that had to be kept, in seconds.
    pub lowest: Option<i64>,
    /// What else was seen.
    pub notes: Vec<String>,
    /// Broken promises.
    pub violations: Vec<String>,
    timeline: u64,
    begun: Instant,
    clients: Option<Clients>,
    journals: Vec<String>,
}

impl Field {
    /// A cluster that nothing has happened to yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(drill: Drill, ttl: u64) -> Result<Self> {
        let bed = Bed::start(drill.dynamic(ttl)).await?;
        let lock = Lock::watch(bed.etcd()?.port(), SCOPE);
        Ok(Self {
            drill,
            ttl: Duration::from_secs(ttl),
            bed,
            story: Arc::new(Story::silent()),
            history: Arc::default(),
            lock,
            next: 1,
        })
    }

    /// A node by its place.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, place: usize) -> Result<&Node> {
        self.bed.node(place)
    }

    /// Begins a shot on a whole cluster: the table is empty, the clients write.
    ///
    /// # Errors
    /// When they do not.
    pub async fn begin(&mut self, number: usize) -> Result<Course> {
        let begun = Instant::now();
        whole::wait_roughly(&self.bed).await?;
        let place = self.bed.cluster.wait_healthy(WHOLE).await?.layout.index;
        self.wait_synchronous().await?;
        self.run_sql(place, &format!("TRUNCATE {TABLE}")).await?;
        self.story = Arc::new(Story::silent());
        self.history = Arc::new(History::starting_at(self.next));
        let mut journals = Vec::new();
        for node in &self.bed.cluster.nodes {
            journals.push(journal(node).await.last().map(|(at, _)| at.clone()).unwrap_or_default());
        }
        let clients = Clients::start(&self.bed.servers(), &self.history, self.drill.load());
        self.wait_acknowledged(WARM, 0).await?;
        self.wait_synchronous().await?;
        let timeline = self.history.acknowledged().1;
        // On a busy machine the lead may just have changed: who acknowledges is the one.
        let last = self.history.attempts().into_iter().rfind(|attempt| attempt.timeline() == Some(timeline));
        let place = last.map_or(place, |attempt| attempt.node);
        let leader = self.node(place)?.name.clone();
        self.story.tell(format!("{} {number}: {leader} leads on timeline {timeline}", self.drill.name()));
        Ok(Course {
            number,
            place,
            leader,
            healed: None,
            lowest: None,
            notes: Vec::new(),
            violations: Vec::new(),
            timeline,
            begun,
            clients: Some(clients),
            journals,
        })
    }

    /// Waits until the store names the standbys that commits wait for: until it does, none of them may lead, and rightly
    /// so.
    async fn wait_synchronous(&self) -> Result<()> {
        let wanted = match self.drill.mode() {
            Mode::Async => 0,
            Mode::Sync | Mode::Strict => 1,
            Mode::Quorum => self.bed.cluster.nodes.len() - 1,
        };
        let is_named =
            |member: &&serde_json::Value| matches!(member["role"].as_str(), Some("sync_standby" | "quorum_standby"));
        wait::until_paced("synchronous standbys", WHOLE, PACE, async || {
            let state = self.bed.cluster.state().await;
            let named = state.members().iter().filter(is_named).count();
            if named >= wanted { Ok(()) } else { Err(format!("{named} are named{state}")) }
        })
        .await
    }

    /// Waits for so many acknowledged writes and one on a newer timeline than this; gives the newest.
    async fn wait_acknowledged(&self, count: u64, beyond: u64) -> Result<u64> {
        let deadline = if beyond == 0 { WRITING } else { WHOLE };
        wait::until_paced("acknowledged writes", deadline, PACE, async || {
            let (found, newest) = self.history.acknowledged();
            if found >= count && newest > beyond {
                Ok(newest)
            } else {
                Err(format!("{found} writes, the newest timeline is {newest}"))
            }
        })
        .await
    }

    /// Waits until a leader on a newer timeline acknowledges a write, and takes that timeline for the present one.
    ///
    /// # Errors
    /// When none does.
    pub async fn wait_next_leader(&self, course: &mut Course) -> Result<()> {
        course.timeline = self.wait_acknowledged(1, course.timeline).await.context("nobody leads instead")?;
        self.story.tell(format!("timeline {} acknowledges writes", course.timeline));
        Ok(())
    }

    /// What the store said about the lock since then.
    pub fn looks_since(&self, moment: Instant) -> Vec<Look> {
        self.lock.since(moment)
    }

    /// Runs statements on a node's server.
    ///
    /// # Errors
    /// When it refuses, or does not end in three minutes.
    pub async fn run_sql(&self, place: usize, statements: &str) -> Result<()> {
        let connection = sql::connect(self.node(place)?.layout.pg_port, STATEMENT).await?;
        sql::query(&connection, statements, STATEMENT).await.map(drop)
    }

    /// The rules that a member decided by since the shot began, as far as its daemon remembers them.
    ///
    /// # Errors
    /// When there is no such member.
    pub async fn rules(&self, course: &Course, place: usize) -> Result<BTreeSet<u64>> {
        let since = course.journals.get(place).cloned().unwrap_or_default();
        let entries = journal(self.node(place)?).await;
        Ok(entries.into_iter().filter(|(at, _)| *at > since).map(|(_, rule)| rule).collect())
    }

    /// Waits until the cluster is whole, ends the clients, and checks what they were told.
    ///
    /// # Errors
    /// When the machine stands in the way.
    pub async fn conclude(&mut self, mut course: Course) -> Result<Shot> {
        let watcher = round::watch(&self.bed, &self.story);
        let whole = whole::wait(&self.bed, &self.history).await;
        if let Some(clients) = course.clients.take() {
            clients.stop().await;
        }
        watcher.abort();
        let mut shot = Shot {
            drill: self.drill.name().to_owned(),
            number: u64::try_from(course.number)?,
            ended: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            ..Shot::default()
        };
        match whole {
            Ok(()) => self.compare(&course, &mut shot).await,
            Err(error) => {
                shot.count(&self.history.attempts(), &Verdict::default(), course.healed);
                course.violations.push(format!("the cluster is not whole again: {error:#}"));
            }
        }
        for node in self.bed.cluster.nodes.iter().filter(|node| !node.is_running()) {
            course.violations.push(format!("the daemon of {} ended by itself", node.name));
        }
        let now = self.bed.cluster.leader().await.map(|node| node.name.clone()).unwrap_or_default();
        shot.leaders = format!("{} to {now}", course.leader);
        shot.lowest = course.lowest;
        shot.seconds = course.begun.elapsed().as_secs_f64();
        shot.notes = course.notes;
        shot.violations.append(&mut course.violations);
        self.next = self.history.number() + 1;
        self.story.tell(shot.line());
        Ok(shot)
    }

    async fn compare(&self, course: &Course, shot: &mut Shot) {
        let mut tables = match whole::tables(&self.bed).await {
            Ok(tables) => tables,
            Err(error) => return shot.violations.push(format!("the nodes do not get equal: {error:#}")),
        };
        // A session that nobody listens to any more may still do what it was asked in an earlier shot.
        tables.iter_mut().for_each(|table| table.ids.retain(|id| *id >= self.next));
        let mode = self.drill.mode();
        let promise = if mode.may_lose() { Promise::KeepOlderThan(LOSS_WINDOW) } else { Promise::Keep };
        let attempts = self.history.attempts();
        let verdict = check::check(&attempts, &HashSet::new(), &tables, promise);
        shot.count(&attempts, &verdict, course.healed);
        // What was on its way when every process of the node stopped is acknowledged when they go on, before anything
        // can be looked at. It is counted; what was sent later must have been refused.
        let excused = self.drill == Drill::NodeThawed && shot.after_new == 0;
        let broken = verdict.violations.into_iter().filter(|what| !(excused && what.contains(check::DOUBLY_ACCEPTED)));
        shot.violations.extend(broken);
    }
}

/// Times and rules of a member's journal, oldest first; empty when its daemon does not answer.
async fn journal(node: &Node) -> Vec<(String, u64)> {
    let entries = match node.rest("GET", "/journal?last=500", None).await.and_then(|answer| answer.json()) {
        Ok(entries) => entries,
        Err(_) => return Vec::new(),
    };
    let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
    let entry = |entry: &serde_json::Value| Some((entry["at"].as_str()?.to_owned(), entry["rule"].as_u64()?));
    entries.iter().filter_map(entry).collect()
}

/// Waits until a process of the node runs whose command says this.
///
/// # Errors
/// When none is there in time.
pub async fn wait_process(node: &Node, command: &str) -> Result<()> {
    let what = format!("{command} on {}", node.name);
    wait::until_paced(&what, WHOLE, PACE, async || {
        if is_running(node, command) { Ok(()) } else { Err(format!("its log ends with\n{}", node.log_tail(5))) }
    })
    .await
}

/// Whether a process of the node runs whose command says this.
pub fn is_running(node: &Node, command: &str) -> bool {
    node.processes().iter().any(|(_, found)| found.contains(command))
}

/// Freezes the processes of the node whose command says this, or lets them go on.
///
/// # Errors
/// When there is none.
pub fn signal(node: &Node, command: &str, signal: nix::sys::signal::Signal) -> Result<()> {
    match node.signal_those(command, signal)? {
        0 => bail!("{} has no {command}", node.name),
        _ => Ok(()),
    }
}
