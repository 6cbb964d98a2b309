//! What is counted and measured, kept until somebody asks for `/metrics`. What the figures are about is known to those
//! who count.
//!
//! Every series is there from the start, with nothing counted: an alert that names it finds it on a member that never
//! failed over, too.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds in seconds for what should take milliseconds: a round of decisions, a call to the store.
const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds in seconds for what clients wait for, or an operator.
const LONG: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// The operations on the store, as the label `operation` names them.
pub const STORE_OPERATIONS: [&str; 6] = ["load", "acquire", "renew", "release", "touch_member", "write"];

/// The parts of a hand-over or a failover, as the label `phase` names them.
///
/// `stop` and `release` are the former leader's, `election` (the lock is seen free until it is taken), `promotion` (it
/// is taken until writes are) and `total` (both) the new one's.
pub const PHASES: [&str; 5] = ["stop", "release", "election", "promotion", "total"];

/// What is done to the server, as the label `task` names it.
pub const TASKS: [&str; 8] = ["bootstrap", "clone", "start", "stop", "promote", "restart", "rewind", "other"];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    /// How long a round of decisions took, with what it published.
    pub rounds: Family,
    /// How long the store took to answer, by operation.
    pub store: Family,
    /// How often it did not, by operation.
    pub store_unreachable: Counters,
    /// How often its answer left open whether it did, by operation.
    pub store_unknown: Counters,
    /// How long work on the server took, by task.
    pub tasks: Family,
    /// The phases of failovers.
    pub failovers: Family,
    /// The phases of switchovers.
    pub switchovers: Family,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            rounds: Family::new("round", &["decide"], SHORT),
            store: Family::new("operation", &STORE_OPERATIONS, SHORT),
            store_unreachable: Counters::new(&STORE_OPERATIONS),
            store_unknown: Counters::new(&STORE_OPERATIONS),
            tasks: Family::new("task", &TASKS, LONG),
            failovers: Family::new("phase", &PHASES, LONG),
            switchovers: Family::new("phase", &PHASES, LONG),
        }
    }
}

/// Histograms that differ in the value of one label.
#[derive(Debug)]
pub struct Family {
    label: &'static str,
    values: &'static [&'static str],
    bounds: &'static [f64],
    series: Mutex<Vec<Series>>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    /// How many were at most as long as each bound, and longer than the one before.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Family {
    fn new(label: &'static str, values: &'static [&'static str], bounds: &'static [f64]) -> Family {
        let empty = Series { counts: vec![0; bounds.len()], ..Series::default() };
        Family { label, values, bounds, series: Mutex::new(vec![empty; values.len()]) }
    }

    /// Counts one that took so long; of a label that is not known, nothing.
    pub fn observe(&self, value: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut series = lock(&self.series);
        let place = self.values.iter().position(|known| *known == value);
        let Some(one) = place.and_then(|place| series.get_mut(place)) else { return };
        one.count += 1;
        one.sum += seconds;
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound);
        if let Some(count) = bucket.and_then(|bucket| one.counts.get_mut(bucket)) {
            *count += 1;
        }
    }

    /// The samples as the text format of Prometheus has them; `labels` are those that every sample has.
    pub fn render(&self, text: &mut String, name: &str, labels: &str) {
        for (value, one) in self.values.iter().zip(lock(&self.series).iter()) {
            let labels = format!("{labels},{}=\"{value}\"", self.label);
            let mut below = 0;
            // Writing into a string can not fail.
            for (bound, count) in self.bounds.iter().zip(&one.counts) {
                below += count;
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let (count, sum) = (one.count, one.sum);
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
        }
    }
}

/// Counters that differ in the value of one label.
#[derive(Debug)]
pub struct Counters {
    values: &'static [&'static str],
    counts: Mutex<Vec<u64>>,
}

impl Counters {
    fn new(values: &'static [&'static str]) -> Counters {
        Counters { values, counts: Mutex::new(vec![0; values.len()]) }
    }

    /// One more; of a label that is not known, nothing.
    pub fn count(&self, value: &str) {
        let mut counts = lock(&self.counts);
        let place = self.values.iter().position(|known| *known == value);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }

    /// What was counted, by label.
    pub fn each(&self) -> Vec<(&'static str, u64)> {
        self.values.iter().copied().zip(lock(&self.counts).iter().copied()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let family = Family::new("phase", &["stop", "total"], &[0.1, 1.0]);
        for seconds in [0.05, 0.1, 0.5, 7.0] {
            family.observe("total", Duration::from_secs_f64(seconds));
        }
        family.observe("nonsense", Duration::from_secs(1));
        let mut text = String::new();
        family.render(&mut text, "m", "a=\"b\"");
        let expected = "m_bucket{a=\"b\",phase=\"stop\",le=\"0.1\"} 0\nm_bucket{a=\"b\",phase=\"stop\",le=\"1\"} 0\n\
                        m_bucket{a=\"b\",phase=\"stop\",le=\"+Inf\"} 0\nm_sum{a=\"b\",phase=\"stop\"} 0\n\
                        m_count{a=\"b\",phase=\"stop\"} 0\nm_bucket{a=\"b\",phase=\"total\",le=\"0.1\"} 2\n\
                        m_bucket{a=\"b\",phase=\"total\",le=\"1\"} 3\nm_bucket{a=\"b\",phase=\"total\",le=\"+Inf\"} 4\n\
                        m_sum{a=\"b\",phase=\"total\"} 7.65\nm_count{a=\"b\",phase=\"total\"} 4\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn counters_start_at_nothing() {
        let counters = Counters::new(&["load", "renew"]);
        counters.count("renew");
        counters.count("nonsense");
        assert_eq!(counters.each(), [("load", 0), ("renew", 1)]);
    }
}
