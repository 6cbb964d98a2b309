//! What was measured so far. Each result is also a line of JSON the moment it is known.

use crate::aims::aim;
use crate::metric::{ALL, Metric};
use crate::system::{System, Timing, results_folder};
use crate::trial::Phases;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// The samples of one metric at one timing, by system.
type Samples = BTreeMap<System, Vec<f64>>;

/// All results of a run.
pub struct Results {
    path: PathBuf,
    file: File,
    samples: BTreeMap<(usize, Timing), Samples>,
    phases: BTreeMap<(String, Timing, System), Vec<Phases>>,
    failures: Vec<String>,
}

impl Results {
    /// Begins `bench/SECONDS.jsonl` in the target folder.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create() -> Result<Self> {
        let path = results_folder()?.join(format!("{}.jsonl", seconds()));
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, file, samples: BTreeMap::new(), phases: BTreeMap::new(), failures: Vec::new() })
    }

    /// Adds a sample, in the metric's unit.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, system: System, timing: Timing, metric: &'static Metric, value: f64) -> Result<()> {
        let place = ALL.iter().position(|known| known.id == metric.id).unwrap_or_default();
        let samples = self.samples.entry((place, timing)).or_default().entry(system).or_default();
        samples.push(value);
        let round = samples.len();
        eprintln!("{:<8} {:<9} {:<56} {value:.1} {}", system.name(), timing.name(), metric.label, metric.unit.sign());
        self.write(&json!({
            "system": system.name(), "timing": timing.name(), "metric": metric.id, "round": round,
            "value": value, "unit": metric.unit.sign(),
        }))
    }

    /// Adds the phases of a gap, with what the daemons said.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_phases(
        &mut self,
        system: System,
        timing: Timing,
        scenario: &str,
        phases: Phases,
        log: &[String],
    ) -> Result<()> {
        let marks: serde_json::Map<String, Value> =
            phases.iter().map(|(name, at)| (name.replace(' ', "_"), json!(at))).collect();
        self.write(&json!({
            "system": system.name(), "timing": timing.name(), "scenario": scenario, "phases_ms": marks, "log": log,
        }))?;
        self.phases.entry((scenario.to_owned(), timing, system)).or_default().push(phases);
        Ok(())
    }

    /// Keeps something to look up, which is not in the table.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&mut self, system: System, timing: Timing, scenario: &str, note: &Value) -> Result<()> {
        self.write(&json!({
            "system": system.name(), "timing": timing.name(), "scenario": scenario, "note": note,
        }))
    }

    /// A scenario that did not come to its end.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_failure(&mut self, system: System, timing: Timing, scenario: &str, error: &anyhow::Error) -> Result<()> {
        let text = format!("{} {} {scenario}: {error:#}", system.name(), timing.name());
        eprintln!("{text}");
        self.write(&json!({
            "system": system.name(), "timing": timing.name(), "scenario": scenario, "failure": format!("{error:#}"),
        }))?;
        self.failures.push(text);
        Ok(())
    }

    /// What did not come to its end.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The rows of the table, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&'static Metric, Timing, &Samples)> {
        self.samples.iter().filter_map(|((place, timing), samples)| Some((*ALL.get(*place)?, *timing, samples)))
    }

    /// The phases of every gap: scenario, timing, system, rounds.
    pub fn phases(&self) -> impl Iterator<Item = (&str, Timing, System, &[Phases])> {
        self.phases
            .iter()
            .map(|((scenario, timing, system), rounds)| (scenario.as_str(), *timing, *system, rounds.as_slice()))
    }

    /// Writes the summary of each metric, and the table beside the lines.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep_table(&mut self, text: &str) -> Result<()> {
        let mut lines = Vec::new();
        for (metric, timing, samples) in self.rows() {
            let medians: BTreeMap<&str, f64> =
                samples.iter().map(|(system, values)| (system.name(), median(values))).collect();
            let of = |system| samples.get(&system).map(Vec::as_slice);
            let wanted = aim(metric, timing);
            let met = wanted.zip(of(System::Regent)).and_then(|(aim, ours)| aim.is_met(ours, of(System::Patroni)));
            lines.push(json!({
                "summary": metric.id, "timing": timing.name(), "unit": metric.unit.sign(), "median": medians,
                "aim": wanted.map(crate::aims::Aim::text), "met": met,
            }));
        }
        lines.iter().try_for_each(|line| self.write(line))?;
        fs::write(self.path.with_extension("txt"), text)?;
        eprintln!("kept in {}", self.path.display());
        Ok(())
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        writeln!(self.file, "{line}").context("cannot write the results")
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The middle of several values; zero if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or_default();
    if sorted.len() % 2 == 1 || middle == 0 {
        return upper;
    }
    f64::midpoint(sorted.get(middle - 1).copied().unwrap_or_default(), upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let check = |values: &[f64], expected: f64| assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
        check(&[], 0.0);
        check(&[5.0], 5.0);
        check(&[9.0, 1.0], 5.0);
        check(&[9.0, 1.0, 3.0], 3.0);
        check(&[1.0, 2.0, 3.0, 9.0], 2.5);
    }
}
