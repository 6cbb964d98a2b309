//! One round: clients write, faults come and go, the cluster becomes whole, the checker speaks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use regent_harness::ClusterState;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::bed::Bed;
use crate::check::{self, Promise};
use crate::clients::{Clients, Load};
use crate::history::{Attempt, History, Outcome};
use crate::inject::{self, Counts, Done};
use crate::options::Mode;
use crate::plan::Planned;
use crate::story::Story;
use crate::whole;

/// How old a lost write of an asynchronous cluster may have been when its leader was lost: a leader that is cut off
/// takes writes that nobody else has until its lock ends, which is 8 s here; the rest is for a busy machine.
const LOSS_WINDOW: Duration = Duration::from_secs(20);
/// Between two looks at who leads.
const WATCH_PACE: Duration = Duration::from_millis(250);

/// A cluster with its past.
pub struct Ground {
    /// The cluster.
    pub bed: Bed,
    /// What was tried on it.
    pub history: Arc<History>,
    /// What happened to it.
    pub story: Arc<Story>,
    /// The writes that earlier rounds found lost.
    settled: HashSet<u64>,
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Report {
    /// The faults that befell the cluster.
    pub faults: Counts,
    /// Changes of the leader that an operator asked for.
    pub switchovers: usize,
    /// Those that nobody asked for.
    pub failovers: usize,
    /// Writes by what their clients were told.
    pub acknowledged: usize,
    /// See [`Outcome::Refused`].
    pub refused: usize,
    /// See [`Outcome::Unknown`].
    pub unknown: usize,
    /// Acknowledged writes that are gone.
    pub lost: usize,
    /// How old the oldest of them was when its leader was lost.
    pub loss_window: Duration,
    /// Writes that a second leader took.
    pub doubly_accepted: usize,
    /// The longest time without an acknowledgement.
    pub pause: Duration,
    /// Every broken promise.
    pub violations: Vec<String>,
}

impl Ground {
    /// A cluster that nothing has happened to yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn new(mode: Mode) -> Result<Self> {
        let bed = Bed::start(mode.dynamic()).await?;
        Ok(Self { bed, history: Arc::default(), story: Arc::default(), settled: HashSet::new() })
    }

    /// Plays a round. Broken promises are part of the report.
    ///
    /// # Errors
    /// When the machine, and not the cluster, stands in the way.
    pub async fn play(&mut self, mode: Mode, plan: &[Planned]) -> Result<Report> {
        let begun = self.history.now();
        let before = whole::past_timelines(&self.bed).await?;
        let watcher = watch(&self.bed, &self.story);
        let clients = Clients::start(&self.bed.servers(), &self.history, Load::default());
        let done = inject::play(&self.bed, &self.story, plan).await;
        let whole = whole::wait(&self.bed, &self.history).await;
        clients.stop().await;
        watcher.abort();
        let mut report = count(&self.history.attempts(), begun);
        let Done { faults, switchovers, ended } = done?;
        (report.faults, report.switchovers, report.violations) = (faults, switchovers, ended);
        match whole {
            Ok(()) => {
                let changes = whole::past_timelines(&self.bed).await?.saturating_sub(before);
                report.failovers = changes.saturating_sub(switchovers);
                self.compare(mode, &mut report).await;
            }
            Err(error) => report.violations.push(format!("the cluster is not whole again: {error:#}")),
        }
        self.tell(&report);
        Ok(report)
    }

    async fn compare(&mut self, mode: Mode, report: &mut Report) {
        let tables = match whole::tables(&self.bed).await {
            Ok(tables) => tables,
            Err(error) => return report.violations.push(format!("the nodes do not get equal: {error:#}")),
        };
        let promise = if mode.may_lose() { Promise::KeepOlderThan(LOSS_WINDOW) } else { Promise::Keep };
        let verdict = check::check(&self.history.attempts(), &self.settled, &tables, promise);
        self.settled.extend(verdict.lost.iter().map(|attempt| attempt.id));
        report.lost = verdict.lost.len();
        report.loss_window = verdict.loss_window;
        report.doubly_accepted = verdict.doubly_accepted.len();
        report.violations.extend(verdict.violations);
    }

    fn tell(&self, report: &Report) {
        for violation in &report.violations {
            self.story.tell(format!("VIOLATION: {violation}"));
        }
        self.story.tell(format!(
            "{} acknowledged, {} refused, {} unknown, {} lost (at most {:?} old), {} doubly accepted, \
             {} failovers, {} switchovers, at most {:?} without a write",
            report.acknowledged,
            report.refused,
            report.unknown,
            report.lost,
            report.loss_window,
            report.doubly_accepted,
            report.failovers,
            report.switchovers,
            report.pause,
        ));
    }
}

/// Counts the attempts of a round.
fn count(attempts: &[Attempt], begun: Duration) -> Report {
    let mut report = Report::default();
    let mut last = None;
    for attempt in attempts.iter().filter(|attempt| attempt.sent >= begun) {
        match attempt.outcome {
            Outcome::Refused => report.refused += 1,
            Outcome::Unknown => report.unknown += 1,
            Outcome::Acknowledged(_) => {
                report.acknowledged += 1;
                let before = last.replace(attempt.answered).unwrap_or(attempt.answered);
                report.pause = report.pause.max(attempt.answered.saturating_sub(before));
            }
        }
    }
    report
}

/// Tells whenever another set of nodes says that it is the primary.
pub fn watch(bed: &Bed, story: &Arc<Story>) -> AbortHandle {
    let (apis, story) = (bed.apis(), Arc::clone(story));
    let task = tokio::spawn(async move {
        let mut last = None;
        loop {
            let state = ClusterState::read(apis.clone()).await;
            let timelines: Vec<String> = state
                .primaries()
                .iter()
                .map(|name| {
                    let timeline = state.status(name, "timeline").and_then(serde_json::Value::as_u64);
                    format!(
                        "{name} leads on timeline {}",
                        timeline.map_or("?".to_owned(), |timeline| timeline.to_string())
                    )
                })
                .collect();
            let now = if timelines.is_empty() { "nobody leads".to_owned() } else { timelines.join(", ") };
            if last.as_ref() != Some(&now) {
                story.tell(format!("  {now}"));
                last = Some(now);
            }
            // pace: the story needs no more
            sleep(WATCH_PACE).await;
        }
    });
    task.abort_handle()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_counted_from_its_beginning() {
        let attempt = |id: u64, outcome: Outcome| Attempt {
            id,
            client: 0,
            node: 0,
            sent: Duration::from_secs(id),
            answered: Duration::from_secs(id),
            outcome,
        };
        let attempts = [
            attempt(1, Outcome::Acknowledged(1)),
            attempt(5, Outcome::Acknowledged(1)),
            attempt(6, Outcome::Unknown),
            attempt(7, Outcome::Refused),
            attempt(9, Outcome::Acknowledged(2)),
        ];
        let report = count(&attempts, Duration::from_secs(2));
        assert_eq!((report.acknowledged, report.refused, report.unknown), (2, 1, 1));
        assert_eq!(report.pause, Duration::from_secs(4));
    }
}
