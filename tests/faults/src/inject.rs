//! Does the faults of a plan to a cluster, and undoes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use regent_harness::http;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::bed::Bed;
use crate::plan::{Fault, Planned, Target};
use crate::story::Story;

/// How long a switchover may take: as long as its leader may be frozen, and some more.
const SWITCHOVER: Duration = Duration::from_secs(60);

/// How many there were, by kind.
pub type Counts = BTreeMap<Fault, usize>;

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// The faults that befell the cluster.
    pub faults: Counts,
    /// The switchovers that came to their end.
    pub switchovers: usize,
    /// Daemons that ended though nobody had killed them.
    pub ended: Vec<String>,
}

/// A fault that lasts.
struct Active {
    number: usize,
    fault: Fault,
    place: Option<usize>,
}

struct Injector<'a> {
    bed: &'a Bed,
    story: &'a Arc<Story>,
    active: Vec<Active>,
    leader: usize,
    switchovers: JoinSet<bool>,
    done: Done,
}

enum Step {
    Begin,
    End,
}

/// Plays a plan to its end, at which nothing hurts the cluster any more.
///
/// # Errors
/// When a fault cannot be undone: the machine, not the cluster, is at fault.
pub async fn play(bed: &Bed, story: &Arc<Story>, plan: &[Planned]) -> Result<Done> {
    let mut injector =
        Injector { bed, story, active: Vec::new(), leader: 0, switchovers: JoinSet::new(), done: Done::default() };
    let mut steps = Vec::new();
    for (number, planned) in plan.iter().enumerate() {
        steps.push((planned.at, number, planned, Step::Begin));
        steps.push((planned.at + planned.length, number, planned, Step::End));
    }
    steps.sort_by_key(|(at, number, ..)| (*at, *number));
    let started = Instant::now();
    for (at, number, planned, step) in steps {
        // pace: the plan
        sleep_until(started + at).await;
        match step {
            Step::Begin => injector.begin(number, planned).await,
            Step::End => injector.end(number).await?,
        }
    }
    injector.finish().await
}

impl Injector<'_> {
    async fn begin(&mut self, number: usize, planned: &Planned) {
        let Some(place) = self.choose(planned).await else {
            self.story.tell(format!("{}: nobody is left for it", planned.fault.name()));
            return;
        };
        match self.hurt(planned.fault, place) {
            Ok(()) => {
                let whom = if planned.fault.is_of_the_store() { String::new() } else { self.name(place) };
                let leads = if place == Some(self.leader) { ", the leader" } else { "" };
                let length = if lasts(planned.fault) { format!(" for {:?}", planned.length) } else { String::new() };
                self.story.tell(format!("{} {whom}{leads}{length}", planned.fault.name()));
                *self.done.faults.entry(planned.fault).or_default() += 1;
                if lasts(planned.fault) {
                    self.active.push(Active { number, fault: planned.fault, place });
                }
            }
            Err(error) => self.story.tell(format!("{}: not done: {error:#}", planned.fault.name())),
        }
    }

    /// Whom it befalls: the one it is meant for, or the next one who is not hurt already. For the store: `Some(None)`.
    async fn choose(&mut self, planned: &Planned) -> Option<Option<usize>> {
        if planned.fault.is_of_the_store() {
            return self.active.iter().all(|active| !active.fault.is_of_the_store()).then_some(None);
        }
        let state = self.bed.cluster.state().await;
        if let Some(place) = state.primaries().first().and_then(|name| self.bed.place(name)) {
            self.leader = place;
        }
        let first = match planned.target {
            Target::Leader => self.leader,
            Target::Standby(distance) => self.leader + distance,
        };
        let nodes = self.bed.cluster.nodes.len();
        let mut places = (0..nodes).map(|step| (first + step) % nodes);
        places.find(|place| !self.is_hurt(*place)).map(Some)
    }

    fn is_hurt(&self, place: usize) -> bool {
        self.active.iter().any(|active| active.place == Some(place))
    }

    fn name(&self, place: Option<usize>) -> String {
        let node = place.and_then(|place| self.bed.cluster.nodes.get(place));
        node.map(|node| node.name.clone()).unwrap_or_default()
    }

    fn hurt(&mut self, fault: Fault, place: Option<usize>) -> Result<()> {
        let place = place.unwrap_or_default();
        if fault == Fault::Switchover {
            self.switch_over(self.bed.node(place)?.layout.rest_port, &self.name(Some(self.leader)));
        }
        hurt(self.bed, fault, place)
    }

    /// Any member takes the request.
    fn switch_over(&mut self, port: u16, leader: &str) {
        let (story, body) = (Arc::clone(self.story), json!({ "leader": leader }));
        self.switchovers.spawn(async move {
            let answer = http::request(port, "POST", "/switchover", Some(&body), SWITCHOVER).await;
            match &answer {
                Ok(answer) => story.tell(format!("switchover: {} {}", answer.status, answer.body)),
                Err(error) => story.tell(format!("switchover: {error:#}")),
            }
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }

    async fn end(&mut self, number: usize) -> Result<()> {
        let Some(at) = self.active.iter().position(|active| active.number == number) else { return Ok(()) };
        let active = self.active.remove(at);
        self.story.tell(format!("{} {} ends", active.fault.name(), self.name(active.place)));
        heal(self.bed, active.fault, active.place.unwrap_or_default()).await
    }

    async fn finish(mut self) -> Result<Done> {
        while let Some(answer) = self.switchovers.join_next().await {
            self.done.switchovers += usize::from(answer.unwrap_or(false));
        }
        for node in self.bed.cluster.nodes.iter().filter(|node| !node.is_running()) {
            self.done.ended.push(format!("the daemon of {} ended by itself", node.name));
        }
        Ok(self.done)
    }
}

/// Does a fault to the node at this place, or to the store. A switchover is a request, and not done here.
///
/// # Errors
/// When there is nothing left to hurt.
pub fn hurt(bed: &Bed, fault: Fault, place: usize) -> Result<()> {
    let node = bed.node(place)?;
    match fault {
        Fault::KillStore => bed.etcd()?.down(),
        Fault::FreezeStore => bed.etcd()?.freeze(),
        Fault::KillServer => node.kill_postmaster(),
        Fault::KillDaemon => node.kill_daemon(),
        Fault::KillNode => node.kill_node(),
        Fault::FreezeDaemon => node.freeze(),
        Fault::FreezeNode => node.freeze_node(),
        Fault::CutFromStore | Fault::CutFromAll => {
            let links = bed.links.get(place);
            links.into_iter().for_each(|links| links.store.cut());
            if fault == Fault::CutFromAll {
                links.into_iter().for_each(|links| [&links.server, &links.api].into_iter().for_each(|l| l.cut()));
            }
            Ok(())
        }
        Fault::Switchover => Ok(()),
    }
}

/// Undoes it, where there is something to undo.
///
/// # Errors
/// When the machine stands in the way.
pub async fn heal(bed: &Bed, fault: Fault, place: usize) -> Result<()> {
    let node = bed.node(place)?;
    match fault {
        Fault::KillStore => bed.etcd()?.up().await,
        Fault::FreezeStore => bed.etcd()?.thaw(),
        Fault::KillDaemon | Fault::KillNode => node.start(),
        // A daemon that ended by itself while it was frozen is found at the end.
        Fault::FreezeDaemon => node.thaw().or_else(|error| if node.is_running() { Err(error) } else { Ok(()) }),
        Fault::FreezeNode => node.thaw_node(),
        Fault::CutFromStore | Fault::CutFromAll => {
            let links = bed.links.get(place).into_iter();
            links.for_each(|links| [&links.store, &links.server, &links.api].into_iter().for_each(|l| l.mend()));
            Ok(())
        }
        Fault::KillServer | Fault::Switchover => Ok(()),
    }
}

/// Whether there is something to undo.
fn lasts(fault: Fault) -> bool {
    !matches!(fault, Fault::KillServer | Fault::Switchover)
}
