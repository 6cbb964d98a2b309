//! The three times and their relation (CFG-41): what a lock's life, a heartbeat and a retry may be.

use super::reading::{at, truth_at};
use super::units::seconds;
use serde_json::Value;
use std::time::Duration;

/// The three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    pub ttl: Duration,
    pub loop_wait: Duration,
    pub retry_timeout: Duration,
}

/// The least `ttl` and `retry_timeout` that the peer takes, in seconds. It raises shorter ones by itself and without
/// a word to us: members would no longer agree when a lock ends.
const PEER_LEAST: (u64, u64) = (20, 3);

/// The least ones with `allow_short_ttl`, for clusters in which every member is a Regent: the shortest lock for which
/// the relation can hold.
const SHORT_LEAST: (u64, u64) = (3, 1);

/// Reads the times from the dynamic document and brings them into relation. The document itself is left as it is.
pub(super) fn timing(dynamic: &Value, warnings: &mut Vec<String>) -> Timing {
    let short = truth_at(dynamic, "allow_short_ttl").unwrap_or(false);
    let (ttl_least, retry_least) = if short { SHORT_LEAST } else { PEER_LEAST };
    let mut read = |name: &str, default: u64, least: u64| {
        let said = at(dynamic, name).and_then(seconds);
        let said = said.map_or(default, |span| span.as_secs());
        if said < least {
            warnings.push(format!("{name}={said} can't be smaller than {least}, adjusting..."));
        }
        said.max(least)
    };
    let ttl = read("ttl", 30, ttl_least);
    let loop_wait = read("loop_wait", 10, 1);
    let retry_timeout = read("retry_timeout", 10, retry_least);
    let (fitting_wait, fitting_retry) = fit(ttl, loop_wait, retry_timeout);
    if (fitting_wait, fitting_retry) != (loop_wait, retry_timeout) {
        warnings.push(format!(
            "Violated the rule \"loop_wait + 2*retry_timeout <= ttl\" with ttl={ttl}, loop_wait={loop_wait}, \
             retry_timeout={retry_timeout}: loop_wait={fitting_wait} and retry_timeout={fitting_retry} are used"
        ));
    }
    Timing {
        ttl: Duration::from_secs(ttl),
        loop_wait: Duration::from_secs(fitting_wait),
        retry_timeout: Duration::from_secs(fitting_retry),
    }
}

/// The `loop_wait` and `retry_timeout` that fit: the heartbeat gives way first, retries where that is not enough.
fn fit(ttl: u64, loop_wait: u64, retry_timeout: u64) -> (u64, u64) {
    let retries = retry_timeout.saturating_mul(2);
    if retries.saturating_add(1) > ttl {
        (1, (ttl - 1) / 2)
    } else if loop_wait.saturating_add(retries) > ttl {
        (ttl - retries, retry_timeout)
    } else {
        (loop_wait, retry_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(dynamic: Value, expected: (u64, u64, u64), warnings_expected: usize) {
        let mut warnings = Vec::new();
        let found = timing(&dynamic, &mut warnings);
        let found = (found.ttl.as_secs(), found.loop_wait.as_secs(), found.retry_timeout.as_secs());
        assert_eq!(found, expected, "{dynamic}");
        assert_eq!(warnings.len(), warnings_expected, "{dynamic}: {warnings:?}");
    }

    #[test]
    fn the_times_are_kept_in_relation() {
        // CFG-41
        check(json!({}), (30, 10, 10), 0);
        check(json!({"ttl": 5}), (20, 1, 9), 2);
        check(json!({"ttl": 20, "loop_wait": 15, "retry_timeout": 10}), (20, 1, 9), 1);
        check(json!({"ttl": "20", "loop_wait": 15, "retry_timeout": "5s"}), (20, 10, 5), 1);
        check(json!({"ttl": 30, "loop_wait": 0, "retry_timeout": 1}), (30, 1, 3), 2);
        check(json!({"ttl": "soon", "loop_wait": {"a": 1}}), (30, 10, 10), 0);
    }

    #[test]
    fn short_times_have_to_be_asked_for() {
        let short = |allow: bool| json!({"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "allow_short_ttl": allow});
        check(short(true), (5, 1, 2), 0);
        check(short(false), (20, 1, 3), 2);
        check(json!({"ttl": 1, "loop_wait": 1, "retry_timeout": 1, "allow_short_ttl": "on"}), (3, 1, 1), 1);
    }

    proptest! {
        #[test]
        fn the_relation_always_holds(ttl: i64, loop_wait: i64, retry_timeout in 0_i64..100, allow: bool) {
            let dynamic = json!({"ttl": ttl % 100, "loop_wait": loop_wait, "retry_timeout": retry_timeout, "allow_short_ttl": allow});
            let found = timing(&dynamic, &mut Vec::new());
            prop_assert!(found.loop_wait + 2 * found.retry_timeout <= found.ttl);
            prop_assert!(found.loop_wait.as_secs() >= 1 && found.retry_timeout.as_secs() >= 1);
        }
    }
}
