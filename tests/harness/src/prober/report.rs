//! What the writes say afterwards: gaps, late acknowledgements, losses.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Ack, TABLE};
use crate::cluster::Cluster;
use crate::sql;

/// How long to look for the leader that must have all writes, and to read them.
const VERIFY_DEADLINE: Duration = Duration::from_secs(60);

/// A time without acknowledgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The last acknowledgement before it.
    pub from: Duration,
    /// The first one after it, or the prober's end.
    pub to: Duration,
}

impl Gap {
    /// How long it was.
    pub fn length(self) -> Duration {
        self.to - self.from
    }
}

/// What became of all writes.
#[derive(Clone, Debug)]
pub struct Report {
    /// The acknowledged ones, in the order of their acknowledgements.
    pub acks: Vec<Ack>,
    /// Those without an answer: they may have happened.
    pub unknown: Vec<u64>,
    /// How many a server refused.
    pub refused: u64,
    /// When the prober ended.
    pub ended: Duration,
}

impl Report {
    pub(super) fn new(mut acks: Vec<Ack>, unknown: Vec<u64>, refused: u64, ended: Duration) -> Self {
        acks.sort_by_key(|ack| (ack.acknowledged, ack.sequence));
        Self { acks, unknown, refused, ended }
    }

    /// Every gap: before each acknowledgement, and before the end.
    fn gaps(&self) -> impl Iterator<Item = Gap> {
        let ends = self.acks.iter().map(|ack| ack.acknowledged).chain([self.ended]);
        let starts = [Duration::ZERO].into_iter().chain(self.acks.iter().map(|ack| ack.acknowledged));
        starts.zip(ends).map(|(from, to)| Gap { from, to })
    }

    /// The longest time without an acknowledgement.
    pub fn longest_gap(&self) -> Gap {
        self.gaps().max_by_key(|gap| gap.length()).unwrap_or_default()
    }

    /// The longest gap that had not ended at that moment, or began later.
    pub fn longest_gap_after(&self, moment: Duration) -> Gap {
        self.gaps().filter(|gap| gap.to >= moment).max_by_key(|gap| gap.length()).unwrap_or_default()
    }

    /// The first acknowledgement of a node after a moment.
    pub fn first_ack_of(&self, node: &str, after: Duration) -> Option<&Ack> {
        self.acks.iter().find(|ack| ack.node == node && ack.acknowledged >= after)
    }

    /// The last acknowledgement of a node.
    pub fn last_ack_of(&self, node: &str) -> Option<&Ack> {
        self.acks.iter().rev().find(|ack| ack.node == node)
    }

    /// Writes that a server of an older timeline acknowledged after a newer timeline had acknowledged
    /// its first: two servers took writes, and these are on the losing side.
    pub fn late_acks(&self) -> Vec<&Ack> {
        let mut newest = 0;
        let mut late = Vec::new();
        for ack in &self.acks {
            if ack.timeline < newest {
                late.push(ack);
            }
            newest = newest.max(ack.timeline);
        }
        late
    }

    /// How many writes each node acknowledged.
    pub fn acks_by_node(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for ack in &self.acks {
            *counts.entry(ack.node.as_str()).or_insert(0) += 1;
        }
        counts
    }

    /// The acknowledged writes that the present leader does not have.
    ///
    /// # Errors
    /// When there is no leader to ask.
    pub async fn lost(&self, cluster: &Cluster) -> Result<Vec<Ack>> {
        let (_, client) = cluster.primary_connection(VERIFY_DEADLINE).await?;
        let statement = format!("SELECT sequence FROM {TABLE}");
        let rows = sql::query(&client, &statement, VERIFY_DEADLINE).await?;
        let present: HashSet<u64> = rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect();
        Ok(self.acks.iter().filter(|ack| !present.contains(&ack.sequence)).cloned().collect())
    }

    /// Checks that the present leader has every acknowledged write.
    ///
    /// # Errors
    /// When writes are lost, with the first and the last of them.
    pub async fn verify(&self, cluster: &Cluster) -> Result<()> {
        let lost = self.lost(cluster).await?;
        let (Some(first), Some(last)) = (lost.first(), lost.last()) else {
            return Ok(());
        };
        bail!("{} of {} acknowledged writes are lost: {first:?} to {last:?}", lost.len(), self.acks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn report(acks: &[(u64, &str, u64)], ended: u64) -> Report {
        let acks = acks.iter().enumerate().map(|(index, (at, node, timeline))| Ack {
            sequence: index as u64 + 1,
            node: (*node).to_owned(),
            timeline: *timeline,
            sent: milliseconds(at.saturating_sub(1)),
            acknowledged: milliseconds(*at),
        });
        Report::new(acks.collect(), Vec::new(), 0, milliseconds(ended))
    }

    #[test]
    fn gaps_are_measured_over_all_servers() {
        let report = report(&[(10, "a", 1), (20, "a", 1), (400, "b", 2), (410, "b", 2)], 450);
        assert_eq!(report.longest_gap(), Gap { from: milliseconds(20), to: milliseconds(400) });
        assert_eq!(report.longest_gap_after(milliseconds(100)).length(), milliseconds(380));
        assert_eq!(report.longest_gap_after(milliseconds(405)).length(), milliseconds(40));
    }

    #[test]
    fn silence_at_the_ends_counts() {
        assert_eq!(report(&[], 70).longest_gap().length(), milliseconds(70));
        assert_eq!(report(&[(10, "a", 1)], 90).longest_gap().length(), milliseconds(80));
        assert_eq!(report(&[(80, "a", 1)], 90).longest_gap().length(), milliseconds(80));
    }

    #[test]
    fn an_old_server_is_caught() {
        let clean = report(&[(10, "a", 1), (30, "b", 2), (20, "a", 1)], 40);
        assert!(clean.late_acks().is_empty());
        let report = report(&[(10, "a", 1), (20, "b", 2), (30, "a", 1), (40, "b", 2)], 40);
        let late = report.late_acks();
        assert_eq!(late.len(), 1);
        assert_eq!((late[0].node.as_str(), late[0].acknowledged), ("a", milliseconds(30)));
        assert_eq!(report.acks_by_node(), BTreeMap::from([("a", 2), ("b", 2)]));
        assert_eq!(report.last_ack_of("a").map(|ack| ack.acknowledged), Some(milliseconds(30)));
        let first = report.first_ack_of("b", milliseconds(25)).map(|ack| ack.acknowledged);
        assert_eq!(first, Some(milliseconds(40)));
    }
}
