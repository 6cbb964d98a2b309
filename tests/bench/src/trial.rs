//! One round of a scenario: a whole cluster that is written to everywhere, something done to it in the middle of its
//! loop, and what became of the writes.

use crate::bed::{Bed, HEALTHY};
use crate::logs::Logs;
use crate::moments::Moment;
use crate::results::Results;
use anyhow::Result;
use regent_harness::{Ack, Gap, Node, Prober, ProberOptions, Report, wait};
use std::time::{Duration, Instant};

/// Between two writes: gaps are known to this much.
const PACE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_millis(500);
/// How long writes must flow again before a round is over.
const FLOWING: Duration = Duration::from_millis(300);

/// The moments that cut a gap into phases, in milliseconds after what was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phases([Option<f64>; 5]);

impl Phases {
    /// Their names, in the order in which they usually come.
    pub const NAMES: [&str; 5] = ["last write", "server gone", "key gone", "key taken", "first write"];

    /// Each with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> {
        Self::NAMES.into_iter().zip(self.0)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| *known == name)?.1
    }
}

/// A round under way.
pub struct Trial<'a> {
    pub bed: &'a Bed,
    /// The leader before anything is done.
    pub leader: &'a Node,
    pub prober: Prober,
    /// When it is done: on the prober's clock, and on ours.
    pub mark: Duration,
    pub done: Instant,
    logs: Logs,
}

/// A round that is over.
pub struct Outcome {
    pub report: Report,
    pub gap: Gap,
    /// When it was done, on the prober's clock.
    pub mark: Duration,
    pub phases: Phases,
    logs: Logs,
}

impl<'a> Trial<'a> {
    /// Everybody streams, writes flow, the lease is half a loop old: whatever is done next is measured.
    ///
    /// # Errors
    /// When the cluster does not become whole.
    pub async fn begin(bed: &'a Bed) -> Result<Self> {
        let leader = bed.leader().await?;
        let prober = Prober::start_with(&bed.cluster, ProberOptions { pace: PACE, patience: PATIENCE }).await?;
        let (logs, mark, done) = (Logs::begin(&bed.cluster), prober.now(), Instant::now());
        let mut trial = Self { bed, leader, prober, mark, done, logs };
        trial.written(|ack| ack.node == leader.name).await?;
        bed.middle_of_loop().await?;
        if let Some(server) = leader.postmaster_pid() {
            bed.moments.follow(server);
        }
        trial.logs = Logs::begin(&bed.cluster);
        (trial.mark, trial.done) = (trial.prober.now(), Instant::now());
        Ok(trial)
    }

    /// Waits until a write that fits was sent after the mark and acknowledged.
    ///
    /// What fits must be a sign that the gap is over. The backends of a killed postmaster still acknowledge what they
    /// are busy with: a write after the kill is no such sign.
    ///
    /// # Errors
    /// When there is none.
    pub async fn written(&self, fits: impl Fn(&Ack) -> bool) -> Result<()> {
        wait::until("writes to flow again", HEALTHY, async || match self.prober.last_ack() {
            Some(ack) if ack.sent > self.mark && fits(&ack) => Ok(()),
            last => Err(format!("the last one is {last:?}")),
        })
        .await
    }

    /// Watches the writes flow for a while, and sums up.
    pub async fn end(self) -> Outcome {
        // pace: a gap that opens again at once belongs to the same gap
        tokio::time::sleep(FLOWING).await;
        let report = self.prober.stop().await;
        let gap = report.longest_gap_after(self.mark);
        let since = |moment: Duration| (moment.as_secs_f64() - self.mark.as_secs_f64()) * 1e3;
        let moment = |fits: &dyn Fn(&Moment) -> bool| {
            let at = self.bed.moments.first(self.done, fits)?;
            Some(at.duration_since(self.done).as_secs_f64() * 1e3)
        };
        let phases = Phases([
            Some(since(gap.from)),
            moment(&|moment| matches!(moment, Moment::ServerGone(_))),
            moment(&|moment| *moment == Moment::KeyGone),
            moment(&|moment| matches!(moment, Moment::KeyTaken(_))),
            Some(since(gap.to)),
        ]);
        Outcome { report, gap, mark: self.mark, phases, logs: self.logs }
    }
}

impl Outcome {
    /// Keeps the phases, with what the daemons said.
    ///
    /// # Errors
    /// When the results cannot be written.
    pub fn keep(&self, bed: &Bed, scenario: &str, results: &mut Results) -> Result<()> {
        let end = self.phases.get("first write").unwrap_or_default();
        #[allow(clippy::cast_possible_truncation, reason = "a gap lasts less than some hundred million years")]
        let span = end as i64 + 300;
        let log = self.logs.told(&bed.cluster, span);
        results.add_phases(bed.system, bed.timing, scenario, self.phases.clone(), &log)
    }

    /// How long the old leader's server acknowledged writes after the first one of a newer timeline.
    pub fn overlap(&self) -> Duration {
        let late = self.report.late_acks();
        let Some(last) = late.last() else { return Duration::ZERO };
        let newer = self.report.acks.iter().find(|ack| ack.timeline > last.timeline);
        newer.map_or(Duration::ZERO, |newer| last.acknowledged.saturating_sub(newer.acknowledged))
    }

    /// The writes that the leader of the whole cluster does not have, though they were acknowledged.
    ///
    /// # Errors
    /// When the cluster does not become whole.
    pub async fn lost(&self, bed: &Bed) -> Result<f64> {
        bed.leader().await?;
        Ok(self.report.lost(&bed.cluster).await?.len() as f64)
    }
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
