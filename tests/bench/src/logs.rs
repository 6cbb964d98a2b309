//! What the daemons said while something was measured, to read where the time went.

use regent_harness::Cluster;
use std::time::SystemTime;

/// Milliseconds.
const DAY: i64 = 86_400_000;
/// Enough to follow a gap, not to repeat whole logs.
const LINES: usize = 80;
const COLUMNS: usize = 160;

/// The ends of the logs when something began.
pub struct Logs {
    /// Milliseconds of the day, UTC, as the daemons write.
    begun: i64,
    ends: Vec<usize>,
}

impl Logs {
    /// Begins to listen: now is zero.
    pub fn begin(cluster: &Cluster) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            begun: i64::try_from(now.as_millis()).unwrap_or_default() % DAY,
            ends: cluster.nodes.iter().map(|node| node.log().len()).collect(),
        }
    }

    /// The lines of the first `span` milliseconds, in the order of time.
    pub fn told(&self, cluster: &Cluster, span: i64) -> Vec<String> {
        let mut lines = Vec::new();
        for (node, end) in cluster.nodes.iter().zip(&self.ends) {
            let log = node.log();
            let said = log.get(*end..).unwrap_or_default().lines().filter_map(parse);
            lines.extend(said.map(|(time, text)| {
                let since = (time - self.begun + DAY / 2).rem_euclid(DAY) - DAY / 2;
                let text: String = text.chars().take(COLUMNS).collect();
                (since, node.name.clone(), text)
            }));
        }
        lines.retain(|(since, ..)| (-5..=span).contains(since));
        lines.sort();
        lines.truncate(LINES);
        lines.into_iter().map(|(since, node, text)| format!("{since:>7} ms  {node}  {text}")).collect()
    }
}

/// The milliseconds of the day, and the text after the time: `YYYY-MM-DD HH:MM:SS,mmm LEVEL: text`.
fn parse(line: &str) -> Option<(i64, &str)> {
    let (_date, rest) = line.split_once(' ')?;
    let (time, text) = rest.split_once(' ')?;
    let (clock, millis) = time.split_once(',')?;
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    Some((seconds * 1000 + millis.parse::<i64>().ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time() {
        fn check(line: &str, expected: Option<(i64, &str)>) {
            assert_eq!(parse(line), expected, "{line}");
        }
        check("2026-01-02 00:01:02,003 INFO: a", Some((62_003, "INFO: a")));
        check("  a line that goes on", None);
        check("", None);
    }
}
