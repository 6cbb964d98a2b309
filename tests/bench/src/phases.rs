//! Phases of a gap, read from the daemons' logs: when which rule fired, relative to the first of them.

use regent_harness::Node;

/// A moment in a log: milliseconds of the day, who, what.
struct Moment {
    at: u64,
    node: String,
    text: String,
}

/// Where each node's log stood before something was done.
pub struct Marks(Vec<(String, usize)>);

/// Notes where the logs stand.
pub fn mark(nodes: &[Node]) -> Marks {
    Marks(nodes.iter().map(|node| (node.name.clone(), node.log().len())).collect())
}

/// Lines since then that tell of a phase, in the order of time.
pub fn since(marks: &Marks, nodes: &[Node]) -> String {
    let telling = [
        "rule 840",
        "rule 720",
        "rule 725",
        "rule 730",
        "rule 930",
        "rule 960",
        "stop: done",
        "given back",
        "this member has the lock",
        "promotion: done",
        "start as primary: done",
        "ended",
    ];
    let mut moments = Vec::new();
    for node in nodes {
        let start = marks.0.iter().find(|(name, _)| *name == node.name).map_or(0, |(_, start)| *start);
        let log = node.log();
        let lines = log.get(start..).unwrap_or_default().lines();
        let lines = lines.filter(|line| telling.iter().any(|part| line.contains(part)));
        moments.extend(lines.filter_map(|line| parse(&node.name, line)));
    }
    moments.sort_by_key(|moment| moment.at);
    let first = moments.first().map_or(0, |moment| moment.at);
    let line = |moment: &Moment| format!("+{:>4} ms  {}  {}", moment.at - first, moment.node, moment.text);
    moments.iter().take(12).map(line).collect::<Vec<_>>().join("\n")
}

/// `YYYY-MM-DD HH:MM:SS,mmm LEVEL: text`.
fn parse(node: &str, line: &str) -> Option<Moment> {
    let (clock, rest) = line.get(11..)?.split_once(' ')?;
    let (time, millis) = clock.split_once(',')?;
    let mut seconds = 0;
    for part in time.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    let text = rest.split_once(": ")?.1.chars().take(90).collect();
    Some(Moment { at: seconds * 1000 + millis.parse::<u64>().ok()?, node: node.to_owned(), text })
}
