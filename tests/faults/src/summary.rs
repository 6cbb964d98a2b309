//! What a run came to, for people and for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::inject::Counts;
use crate::options::Mode;
use crate::plan::Fault;
use crate::round::Report;

/// All rounds of a mode.
#[derive(Debug)]
pub struct Total {
    /// The mode.
    pub mode: Mode,
    /// How many rounds there were.
    pub rounds: usize,
    /// Their sum; of durations the longest.
    pub sum: Report,
    /// Every broken promise.
    pub violations: Vec<String>,
}

impl Total {
    /// Nothing yet.
    pub fn new(mode: Mode) -> Self {
        Self { mode, rounds: 0, sum: Report::default(), violations: Vec::new() }
    }

    /// Adds a round.
    pub fn add(&mut self, report: Report) {
        let sum = &mut self.sum;
        self.rounds += 1;
        for (fault, count) in report.faults {
            *sum.faults.entry(fault).or_default() += count;
        }
        sum.switchovers += report.switchovers;
        sum.failovers += report.failovers;
        sum.acknowledged += report.acknowledged;
        sum.refused += report.refused;
        sum.unknown += report.unknown;
        sum.lost += report.lost;
        sum.doubly_accepted += report.doubly_accepted;
        sum.loss_window = sum.loss_window.max(report.loss_window);
        sum.pause = sum.pause.max(report.pause);
        self.violations.extend(report.violations);
    }

    fn cells(&self) -> Vec<(&'static str, String)> {
        let sum = &self.sum;
        let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
        vec![
            ("", self.mode.name().to_owned()),
            ("rounds", self.rounds.to_string()),
            ("faults", sum.faults.values().sum::<usize>().to_string()),
            ("failovers", sum.failovers.to_string()),
            ("switchovers", sum.switchovers.to_string()),
            ("writes acknowledged", sum.acknowledged.to_string()),
            ("refused", sum.refused.to_string()),
            ("without an answer", sum.unknown.to_string()),
            ("lost", sum.lost.to_string()),
            ("oldest lost", if sum.lost == 0 { String::new() } else { seconds(sum.loss_window) }),
            ("doubly accepted", sum.doubly_accepted.to_string()),
            ("longest time without a write", seconds(sum.pause)),
            ("broken promises", self.violations.len().to_string()),
        ]
    }
}

/// Two Markdown tables, a column for each mode: what came of it, and what was done.
pub fn render(totals: &[Total]) -> String {
    let columns: Vec<_> = totals.iter().map(Total::cells).collect();
    let labels = columns.first().map_or(Vec::new(), |cells| cells.iter().map(|(label, _)| *label).collect());
    let outcome = labels.iter().enumerate().map(|(place, label)| {
        let values = columns.iter().filter_map(|cells| Some(cells.get(place)?.1.clone()));
        [(*label).to_owned()].into_iter().chain(values).collect()
    });
    let head = ["fault".to_owned()].into_iter().chain(totals.iter().map(|total| total.mode.name().to_owned()));
    let done = Fault::ALL.into_iter().map(|fault| {
        let count = |total: &Total| total.sum.faults.get(&fault).copied().unwrap_or_default().to_string();
        [fault.name().to_owned()].into_iter().chain(totals.iter().map(count)).collect()
    });
    format!(
        "\n{}\n{}",
        grid(&outcome.collect::<Vec<_>>()),
        grid(&[head.collect()].into_iter().chain(done).collect::<Vec<_>>())
    )
}

fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        text += &line(row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect());
        if index == 0 {
            text += &line(widths.iter().map(|width| "-".repeat(*width)).collect());
        }
    }
    text
}

/// The same as one line of JSON.
pub fn json(seed: u64, totals: &[Total]) -> Value {
    let modes: Map<String, Value> = totals.iter().map(|total| (total.mode.name().to_owned(), json_of(total))).collect();
    json!({ "seed": seed, "modes": modes })
}

fn json_of(total: &Total) -> Value {
    let sum = &total.sum;
    json!({
        "rounds": total.rounds,
        "faults": by_name(&sum.faults),
        "failovers": sum.failovers,
        "switchovers": sum.switchovers,
        "acknowledged": sum.acknowledged,
        "refused": sum.refused,
        "unknown": sum.unknown,
        "lost": sum.lost,
        "oldest_lost_seconds": sum.loss_window.as_secs_f64(),
        "doubly_accepted": sum.doubly_accepted,
        "longest_pause_seconds": sum.pause.as_secs_f64(),
        "violations": total.violations,
    })
}

fn by_name(counts: &Counts) -> Value {
    counts.iter().map(|(fault, count)| (fault.name().replace(' ', "_"), json!(count))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_add_up_and_are_shown() {
        let report = |lost: usize, pause: u64| Report {
            faults: Counts::from([(Fault::KillNode, 1)]),
            acknowledged: 10,
            lost,
            pause: Duration::from_secs(pause),
            ..Report::default()
        };
        let mut total = Total::new(Mode::Async);
        total.add(report(0, 9));
        total.add(report(2, 3));
        let value = json(7, &[total]);
        let found = &value["modes"]["async"];
        assert_eq!((&found["acknowledged"], &found["lost"]), (&json!(20), &json!(2)));
        assert_eq!((&found["faults"], &found["rounds"]), (&json!({"kill_node": 2}), &json!(2)));
        let mut total = Total::new(Mode::Sync);
        total.add(report(0, 9));
        let text = render(&[total]);
        assert!(text.contains("| longest time without a write | 9.0 s |"), "{text}");
        assert!(text.contains("| kill node      | 1    |"), "{text}");
    }
}
