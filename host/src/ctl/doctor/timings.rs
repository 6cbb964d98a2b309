//! Times: how fast the store is against what the members are told to expect of it, and whether clocks agree.

use super::{Finding, Weight};
use regent_core::model::WallTime;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Clocks that differ by more make logs hard to compare, and what is scheduled happen at another time than was meant.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(2);

/// What a member's clock showed, and between which moments of ours.
#[derive(Clone, Copy)]
pub(super) struct ClockReading {
    pub asked: WallTime,
    pub shown: WallTime,
    pub heard: WallTime,
}

/// The slowest of some readings of the store, against `retry_timeout`: after that long a leader gives up its lock.
pub(super) fn of_store(readings: &[Duration], config: Option<&Value>) -> Finding {
    let slowest = readings.iter().max().copied().unwrap_or_default();
    let seconds = config.and_then(|config| config.get("retry_timeout")).and_then(Value::as_u64).unwrap_or(10);
    let patience = Duration::from_secs(seconds);
    let text = format!("the store answers within {} ms", slowest.as_millis().max(1));
    if slowest >= patience {
        return Finding(Weight::Bad, format!("{text}: retry_timeout is {seconds} s, so no leader can keep its lock"));
    }
    // A renewal and what follows it are several calls.
    if slowest * 5 >= patience {
        return Finding(Weight::Odd, format!("{text}, which is much of retry_timeout, {seconds} s"));
    }
    Finding(Weight::Good, text)
}

/// Members whose clocks go wrong, by ours.
pub(super) fn of_clocks(clocks: &BTreeMap<String, ClockReading>) -> Vec<Finding> {
    let wrong = |(name, clock): (&String, &ClockReading)| {
        // A header has whole seconds: its moment is anywhere in the one that it names.
        let second = Duration::from_secs(1);
        let behind = clock.asked.since(clock.shown).saturating_sub(second);
        let ahead = clock.shown.since(clock.heard);
        let (off, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
        (off > CLOCK_DIFFERENCE_MAX)
            .then(|| Finding(Weight::Odd, format!("{name}: its clock is {} s {word} this machine's", off.as_secs())))
    };
    let found: Vec<_> = clocks.iter().filter_map(wrong).collect();
    match clocks.len() {
        0 => Vec::new(),
        _ if found.is_empty() => {
            vec![Finding(Weight::Good, "the members' clocks agree with this machine's".to_owned())]
        }
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slow_store_is_told() {
        let check = |millis: &[u64], config: Option<Value>, weight: Weight, text: &str| {
            let readings: Vec<_> = millis.iter().map(|millis| Duration::from_millis(*millis)).collect();
            assert_eq!(of_store(&readings, config.as_ref()), Finding(weight, text.to_owned()));
        };
        check(&[0, 0], None, Weight::Good, "the store answers within 1 ms");
        check(&[3, 12, 5], Some(json!({"retry_timeout": 3})), Weight::Good, "the store answers within 12 ms");
        let text = "the store answers within 2000 ms, which is much of retry_timeout, 10 s";
        check(&[3, 2000], Some(json!({})), Weight::Odd, text);
        let text = "the store answers within 3000 ms: retry_timeout is 3 s, so no leader can keep its lock";
        check(&[3000], Some(json!({"retry_timeout": 3})), Weight::Bad, text);
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let check = |shown: i64, expected: &str| {
            let at = |seconds: i64| WallTime(seconds * 1_000_000);
            let clock = ClockReading { asked: at(1000), shown: at(shown), heard: at(1001) };
            let found = of_clocks(&BTreeMap::from([("a".to_owned(), clock)]));
            assert_eq!(found.iter().map(|found| &*found.1).collect::<Vec<_>>(), [expected], "{shown}");
        };
        let fine = "the members' clocks agree with this machine's";
        check(1000, fine);
        check(997, fine);
        check(1003, fine);
        check(1005, "a: its clock is 4 s ahead of this machine's");
        check(990, "a: its clock is 9 s behind this machine's");
        assert!(of_clocks(&BTreeMap::new()).is_empty());
    }
}
