//! The checker: what clients were told on one side, what the tables hold on the other, and the promises between them.
//! It is a function of values.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::history::{Attempt, Outcome};

/// What a node's table holds once the cluster is whole and nobody writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The node.
    pub node: String,
    /// Its rows' numbers, in any order.
    pub ids: Vec<u64>,
}

/// What a mode promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// No acknowledged write is ever lost.
    Keep,
    /// Acknowledged writes may be lost, but none that is older than this when its timeline takes its last one.
    KeepOlderThan(Duration),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged writes that the cluster does not have.
    pub lost: Vec<Attempt>,
    /// How long before the last acknowledgement of its timeline the oldest of them was acknowledged.
    pub loss_window: Duration,
    /// Writes acknowledged on a timeline after a newer one had acknowledged its first, and not part of what survived;
    /// or even sent after that.
    pub doubly_accepted: Vec<Attempt>,
    /// Every broken promise, as a sentence.
    pub violations: Vec<String>,
}

/// What a violation says that is about [`Verdict::doubly_accepted`].
pub const DOUBLY_ACCEPTED: &str = "acknowledged writes were doubly accepted";

/// Checks a history against the tables, the leader's first. Settled are the writes that were found lost before.
pub fn check(attempts: &[Attempt], settled: &HashSet<u64>, tables: &[Table], promise: Promise) -> Verdict {
    let present = present(tables);
    let timelines = Timelines::of(attempts);
    let mut verdict = Verdict::default();
    for attempt in attempts.iter().filter(|attempt| !settled.contains(&attempt.id)) {
        let Some(timeline) = attempt.timeline() else { continue };
        let is_lost = !present.contains_key(&attempt.id);
        if timelines.is_late(attempt, timeline, is_lost) {
            verdict.doubly_accepted.push(*attempt);
        }
        if is_lost {
            verdict.lost.push(*attempt);
            verdict.loss_window = verdict.loss_window.max(timelines.before_end(attempt, timeline));
        }
    }
    verdict.violations.extend(losses(&verdict, &timelines, promise));
    verdict.violations.extend(some(&verdict.doubly_accepted, DOUBLY_ACCEPTED));
    verdict.violations.extend(wrong_rows(attempts, &present));
    verdict.violations.extend(different_tables(tables));
    verdict.violations.extend(timelines.shared());
    verdict
}

/// How often the leader's table has each number.
fn present(tables: &[Table]) -> HashMap<u64, usize> {
    let mut present = HashMap::new();
    for id in tables.first().map(|table| table.ids.as_slice()).unwrap_or_default() {
        *present.entry(*id).or_insert(0) += 1;
    }
    present
}

fn losses(verdict: &Verdict, timelines: &Timelines, promise: Promise) -> Vec<String> {
    let mut found = Vec::new();
    match promise {
        Promise::Keep => found.extend(some(&verdict.lost, "acknowledged writes are lost")),
        Promise::KeepOlderThan(window) if verdict.loss_window > window => {
            found.push(format!("writes are lost that were {:?} old when their leader was", verdict.loss_window));
        }
        Promise::KeepOlderThan(_) => {}
    }
    // Without a failover nothing may be lost in any mode.
    let newest = timelines.newest();
    let of_the_newest: Vec<Attempt> =
        verdict.lost.iter().filter(|attempt| attempt.timeline() == newest).copied().collect();
    found.extend(some(&of_the_newest, "writes are lost though their timeline is the one that survived"));
    found
}

/// Rows that nobody wrote, that were refused, or that are there twice.
fn wrong_rows(attempts: &[Attempt], present: &HashMap<u64, usize>) -> Vec<String> {
    let refused = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Refused);
    let refused: Vec<Attempt> = refused.filter(|attempt| present.contains_key(&attempt.id)).copied().collect();
    let known: HashSet<u64> = attempts.iter().map(|attempt| attempt.id).collect();
    let twice = present.values().filter(|count| **count > 1).count();
    let strange = present.keys().filter(|id| !known.contains(id)).count();
    let mut found: Vec<String> = some(&refused, "writes are there though they were refused").into_iter().collect();
    if twice > 0 {
        found.push(format!("{twice} rows are there more than once"));
    }
    if strange > 0 {
        found.push(format!("{strange} rows were written by nobody"));
    }
    found
}

fn different_tables(tables: &[Table]) -> Vec<String> {
    let Some((leader, others)) = tables.split_first() else { return vec!["no table was read".to_owned()] };
    let expected: BTreeSet<u64> = leader.ids.iter().copied().collect();
    let mut found = Vec::new();
    for table in others {
        let ids: BTreeSet<u64> = table.ids.iter().copied().collect();
        let (missing, more) = (expected.difference(&ids).count(), ids.difference(&expected).count());
        if missing + more > 0 || table.ids.len() != leader.ids.len() {
            found.push(format!(
                "the table of {} differs from that of {}: {missing} rows are missing, {more} are there in addition",
                table.node, leader.node
            ));
        }
    }
    found
}

fn some(attempts: &[Attempt], what: &str) -> Option<String> {
    let (first, last) = (attempts.first()?, attempts.last()?);
    Some(format!("{} {what}: {} to {}", attempts.len(), first.json(), last.json()))
}

/// When each timeline was written to, as far as clients know.
struct Timelines(BTreeMap<u64, Span>);

struct Span {
    first: Duration,
    last: Duration,
    nodes: BTreeSet<usize>,
}

impl Timelines {
    fn of(attempts: &[Attempt]) -> Self {
        let mut spans: BTreeMap<u64, Span> = BTreeMap::new();
        for attempt in attempts {
            let Some(timeline) = attempt.timeline() else { continue };
            let at = attempt.answered;
            let span = spans.entry(timeline).or_insert(Span { first: at, last: at, nodes: BTreeSet::new() });
            span.first = span.first.min(at);
            span.last = span.last.max(at);
            span.nodes.insert(attempt.node);
        }
        Self(spans)
    }

    fn newest(&self) -> Option<u64> {
        self.0.keys().next_back().copied()
    }

    /// Whether a newer timeline had been acknowledged before this write was. An answer may lie at its client's door for
    /// a while, so one that was sent before, and survived, is no sign of a second leader.
    fn is_late(&self, attempt: &Attempt, timeline: u64, is_lost: bool) -> bool {
        let newer = self.0.range(timeline + 1..).map(|(_, span)| span.first).min();
        newer.is_some_and(|first| attempt.sent > first || (is_lost && attempt.answered > first))
    }

    /// How long before the last acknowledgement of its timeline a write was acknowledged.
    fn before_end(&self, attempt: &Attempt, timeline: u64) -> Duration {
        let last = self.0.get(&timeline).map(|span| span.last);
        last.unwrap_or_default().saturating_sub(attempt.answered)
    }

    /// Timelines that two servers wrote to: their histories differ under one number.
    fn shared(&self) -> Vec<String> {
        let shared = self.0.iter().filter(|(_, span)| span.nodes.len() > 1);
        shared.map(|(timeline, span)| format!("timeline {timeline} has {} writers", span.nodes.len())).collect()
    }
}

#[cfg(test)]
mod tests;
