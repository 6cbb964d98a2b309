//! What the members decided around a promotion, from the decisions that they still remember.

use crate::ctl::context::Context;
use crate::ctl::why;
use crate::dcs::Snapshot;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::Value;

/// A leader that is lost is missed for as long as its lock lasts: what led to a promotion began before that.
const BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// The promotion is told a moment after it was done; who follows does so soon.
const AFTER: SignedDuration = SignedDuration::from_secs(3);

/// More decisions around one promotion tell less, not more.
const LINES_MAX: usize = 40;

/// More than any member remembers.
const ALL: usize = 100_000;

/// A decision of a member.
pub(super) struct Decision {
    at: Timestamp,
    line: String,
}

/// All decisions that members remember, in their order.
pub(super) async fn remembered(context: &Context, snapshot: &Snapshot) -> Vec<Decision> {
    let mut all = Vec::new();
    for member in &snapshot.view.members {
        let Some(url) = &member.api_url else { continue };
        let Ok(said) = context.call(Method::GET, url, &format!("journal?last={ALL}"), None).await else { continue };
        let entries = serde_json::from_str::<Vec<Value>>(&said.body).unwrap_or_default();
        all.extend(entries.iter().filter_map(|entry| decision(&member.name, entry)));
    }
    all.sort_by_key(|decision| decision.at);
    all
}

fn decision(member: &str, entry: &Value) -> Option<Decision> {
    // Who waits did nothing.
    entry.get("action").and_then(Value::as_str).filter(|action| *action != "wait")?;
    let at = entry.get("at")?.as_str()?.parse().ok()?;
    let line = why::describe(entry);
    // The member stands behind the time, so that the lines of several can be read as one story.
    let (time, rest) = line.trim_start().split_at_checked(19)?;
    Some(Decision { at, line: format!("{time} {member}{rest}") })
}

/// The promotion in words.
pub(super) fn title(row: &[Value]) -> String {
    let text = |index: usize| match row.get(index) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    };
    let leader = Some(text(4)).filter(|leader| !leader.is_empty()).unwrap_or_else(|| "a leader of then".to_owned());
    let next = row.first().and_then(Value::as_u64).map_or(0, |left| left + 1);
    format!("To timeline {next}, led by {leader}, {}:", text(3))
}

/// What was decided around each promotion: between the one before it and the one after it, as far as that is near.
/// What came just after one promotion and led to the next is told with both.
pub(super) fn explained(rows: &[Vec<Value>], remembered: &[Decision]) -> Vec<Vec<String>> {
    let times: Vec<Option<Timestamp>> = rows.iter().map(|row| row.get(3)?.as_str()?.parse().ok()).collect();
    let told = |(place, at): (usize, &Option<Timestamp>)| {
        let Some(at) = *at else { return vec!["when it was is not known".to_owned()] };
        let before = place.checked_sub(1).and_then(|place| times[place]);
        let after = times.get(place + 1).copied().flatten();
        let begin = before.map_or(at - BEFORE, |before| before.max(at - BEFORE));
        let end = after.map_or(at + AFTER, |after| after.min(at + AFTER));
        lines(begin, end, remembered)
    };
    times.iter().enumerate().map(told).collect()
}

/// The decisions later than `begin` and not later than `end`.
fn lines(begin: Timestamp, end: Timestamp, remembered: &[Decision]) -> Vec<String> {
    let near = |decision: &&Decision| decision.at > begin && decision.at <= end;
    let found: Vec<_> = remembered.iter().filter(near).map(|decision| decision.line.clone()).collect();
    match found.len() {
        0 => vec!["no member remembers what was decided then".to_owned()],
        // The last ones led to it.
        count => found[count.saturating_sub(LINES_MAX)..].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_decisions_around_a_promotion_are_told() {
        let entry = |at: &str, reason: &str| {
            let entry = json!({
                "at": at, "rule": 40, "situation": "race", "action": "promote", "reason": reason, "outcome": "",
            });
            decision("b", &entry).unwrap()
        };
        let remembered = [
            entry("2026-11-21T10:00:00.000Z", "long before"),
            entry("2026-11-21T10:01:30.000Z", "the lock ran out"),
            entry("2026-11-21T10:01:31.250Z", "it has the most"),
            entry("2026-11-21T10:05:00.000Z", "long after"),
        ];
        let row = [json!(1), json!(83886528), json!("x"), json!("2026-11-21T11:01:32.5+01:00"), json!("b")];
        assert_eq!(title(&row), "To timeline 2, led by b, 2026-11-21T11:01:32.5+01:00:");
        let near = [
            "2026-11-21 10:01:30 b rule   40 race         promote: the lock ran out",
            "2026-11-21 10:01:31 b rule   40 race         promote: it has the most",
        ];
        let earlier = [json!(1), json!(1), json!("x"), json!("2026-11-21T10:01:20+00:00")];
        assert_eq!(explained(&[earlier.to_vec(), row.to_vec()], &remembered)[1], near);
        let nothing = "no member remembers what was decided then";
        assert_eq!(explained(&[row.to_vec()], &[]), [[nothing]]);
        let earlier = [json!(1), json!(1), json!("x"), json!("2026-11-21T10:01:31+00:00")];
        assert_eq!(
            explained(&[earlier.to_vec(), row.to_vec()], &remembered),
            [&near[..], &near[1..]],
            "close together"
        );
        assert_eq!(explained(&[vec![json!(1)]], &remembered), [["when it was is not known"]]);
        assert!(decision("b", &json!({"at": "2026-11-21T10:01:30Z", "action": "wait"})).is_none());
        assert_eq!(title(&[json!(1)]), "To timeline 2, led by a leader of then, :");
    }
}
