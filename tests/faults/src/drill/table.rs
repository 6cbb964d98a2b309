//! All shots of each drill together, as a Markdown table.

use std::collections::BTreeMap;

use super::shot::Shot;

/// A row for each drill, in the order of these names; others follow.
pub fn render(shots: &[Shot], order: &[&str]) -> String {
    let mut by_drill: BTreeMap<(usize, &str), Vec<&Shot>> = BTreeMap::new();
    for shot in shots {
        let place = order.iter().position(|name| *name == shot.drill).unwrap_or(order.len());
        by_drill.entry((place, shot.drill.as_str())).or_default().push(shot);
    }
    let head = [
        "drill",
        "shots",
        "acknowledged",
        "without an answer",
        "after the new leader's first",
        "late, and kept",
        "lost",
        "without a write (median, longest)",
        "lock never below",
        "broken promises",
    ];
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
    for ((_, drill), shots) in by_drill {
        text += &format!("| {drill} | {} |\n", cells(&shots).join(" | "));
    }
    text
}

fn cells(shots: &[&Shot]) -> Vec<String> {
    let sum = |count: fn(&Shot) -> u64| shots.iter().map(|shot| count(shot)).sum::<u64>();
    let mut pauses: Vec<f64> = shots.iter().map(|shot| shot.pause).collect();
    pauses.sort_by(f64::total_cmp);
    let median = pauses.get(pauses.len() / 2).copied().unwrap_or_default();
    let longest = pauses.last().copied().unwrap_or_default();
    let lowest = shots.iter().filter_map(|shot| shot.lowest).min();
    let after = match (sum(|shot| shot.after), shots.iter().filter(|shot| shot.after > 0).count()) {
        (0, _) => "0".to_owned(),
        (after, in_shots) => format!("{after} in {in_shots} shots"),
    };
    let lost = match (sum(|shot| shot.lost), shots.iter().filter(|shot| shot.lost > 0).count()) {
        (0, _) => "0".to_owned(),
        (lost, in_shots) => format!("{lost} in {in_shots} shots"),
    };
    vec![
        shots.len().to_string(),
        sum(|shot| shot.acknowledged).to_string(),
        sum(|shot| shot.unknown).to_string(),
        after,
        sum(|shot| shot.late).to_string(),
        lost,
        format!("{median:.1} s, {longest:.1} s"),
        lowest.map_or(String::new(), |left| format!("{left} s")),
        shots.iter().map(|shot| shot.violations.len()).sum::<usize>().to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shots_add_up() {
        let shot = |drill: &str, lost: u64, pause: f64| Shot {
            drill: drill.to_owned(),
            acknowledged: 10,
            lost,
            pause,
            lowest: Some(6),
            ..Shot::default()
        };
        let text = render(&[shot("b", 0, 1.0), shot("a", 2, 3.0), shot("a", 0, 9.0)], &["b", "a"]);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows[0], "| b | 1 | 10 | 0 | 0 | 0 | 0 | 1.0 s, 1.0 s | 6 s | 0 |");
        assert_eq!(rows[1], "| a | 2 | 20 | 0 | 0 | 0 | 2 in 1 shots | 9.0 s, 9.0 s | 6 s | 0 |");
    }
}
