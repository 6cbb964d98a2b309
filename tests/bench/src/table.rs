//! The results for people: a table of medians with the least and the most, ratios, aims; then the phases of the gaps.

use crate::aims::aim;
use crate::metric::{Metric, Unit};
use crate::results::{Results, median};
use crate::system::{System, Timing};
use crate::trial::Phases;
use std::fmt::Write as _;

/// Renders everything, as Markdown.
pub fn render(results: &Results) -> String {
    let mut text = String::from("\n");
    let heads = ["metric", "ttl/loop/retry", "Regent", "Patroni", "ratio", "aim", "met"];
    let mut rows = vec![heads.map(str::to_owned)];
    for (metric, timing, samples) in results.rows() {
        let of = |system| samples.get(&system).map(Vec::as_slice);
        rows.push(row(metric, timing, of(System::Regent), of(System::Patroni)));
    }
    write_rows(&mut text, &rows);
    write_phases(&mut text, results);
    for failure in results.failures() {
        let _ = writeln!(text, "\nNot measured: {failure}");
    }
    text
}

fn row(metric: &Metric, timing: Timing, ours: Option<&[f64]>, theirs: Option<&[f64]>) -> [String; 7] {
    let (us, them) = (ours.map(median), theirs.map(median));
    let wanted = aim(metric, timing);
    let ratio = match us.zip(them) {
        Some((us, them)) if them > 0.0 => format!("{:.2}", us / them),
        _ => String::new(),
    };
    let met = wanted.zip(ours).and_then(|(aim, ours)| aim.is_met(ours, theirs));
    [
        metric.label.to_owned(),
        timing.name(),
        ours.map(|values| spread(values, metric.unit)).unwrap_or_default(),
        theirs.map(|values| spread(values, metric.unit)).unwrap_or_default(),
        ratio,
        wanted.map(crate::aims::Aim::text).unwrap_or_default(),
        met.map_or("", |met| if met { "met" } else { "MISSED" }).to_owned(),
    ]
}

/// `median (least-most) unit`.
fn spread(values: &[f64], unit: Unit) -> String {
    let decimals = unit.decimals();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut text = format!("{:.decimals$}", median(values));
    if values.len() > 1 {
        let _ = write!(text, " ({least:.decimals$}-{most:.decimals$})");
    }
    let sign = unit.sign();
    if sign.is_empty() { text } else { format!("{text} {sign}") }
}

fn write_rows(text: &mut String, rows: &[[String; 7]]) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..7).map(|column| width(column).unwrap_or_default()).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rules.join(" | "));
        }
    }
}

/// The medians of each phase's moment, in milliseconds after what was done to the cluster.
fn write_phases(text: &mut String, results: &Results) {
    let mut first = true;
    for (scenario, timing, system, rounds) in results.phases() {
        if first {
            text.push_str("\nPhases of the gaps, in ms after what was done (medians):\n\n");
            first = false;
        }
        let moments: Vec<String> = Phases::NAMES
            .iter()
            .filter_map(|name| {
                let times: Vec<f64> = rounds.iter().filter_map(|phases| phases.get(name)).collect();
                (!times.is_empty()).then(|| format!("{name} {:+.0}", median(&times)))
            })
            .collect();
        let _ = writeln!(text, "- {scenario} {} {}: {}", timing.name(), system.name(), moments.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{DEATH_GAP, SWITCHOVER_GAP};

    #[test]
    fn a_row_says_whether_its_aim_is_met() {
        let long = Timing { ttl: 30, loop_wait: 10, retry_timeout: 10 };
        let found = row(SWITCHOVER_GAP, long, Some(&[300.0, 310.0, 320.0]), Some(&[1400.0]));
        let expected = ["switchover: no write", "30/10/10", "310 (300-320) ms", "1400 ms", "0.22", "1/4", "met"];
        assert_eq!(found, expected);
        let short = Timing { ttl: 5, loop_wait: 1, retry_timeout: 2 };
        let found = row(DEATH_GAP, short, Some(&[7000.0]), None);
        assert_eq!(found, ["node killed: no write", "5/1/2", "7000 ms", "", "", "at most 6000", "MISSED"]);
    }
}
