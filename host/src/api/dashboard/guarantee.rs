//! What would be lost if the leader died now and never came back, in words: from what the store and the members say.

use regent_core::model::{ClusterView, Settings, SynchronousMode};
use std::collections::BTreeMap;

/// How good the promise is, and the promise.
#[derive(Debug, PartialEq)]
pub(super) struct Guarantee {
    /// How good it is.
    pub level: Level,
    /// In one or two sentences.
    pub text: String,
}

/// How good a promise is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing that was acknowledged would be lost.
    Safe,
    /// Something might be.
    AtRisk,
    /// Nobody would take over, or nobody leads.
    Down,
}

impl Level {
    /// Its name on the wire.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Level::Safe => "safe",
            Level::AtRisk => "at-risk",
            Level::Down => "down",
        }
    }
}

/// How far each member's log is, as members say themselves.
pub(super) type Positions = BTreeMap<String, u64>;

/// The promise in force.
pub(super) fn guarantee(settings: &Settings, view: &ClusterView, positions: &Positions) -> Guarantee {
    let Some(leader) = view.leader_name() else {
        return say(Level::Down, "Nobody leads: writes are refused until a member has taken the lock.".to_owned());
    };
    if settings.standby_cluster.is_some() {
        let text = "This site follows another and takes no writes of its own: what it has not received is there.";
        return say(Level::Safe, text.to_owned());
    }
    let candidates: Vec<&str> = view
        .members
        .iter()
        .filter(|member| member.name != leader && !member.tags.nofailover())
        .map(|member| member.name.as_str())
        .collect();
    if settings.paused {
        let text =
            "Automatic failover is paused: if the leader died now, nobody would take over until an operator says so.";
        return say(Level::Down, text.to_owned());
    }
    let waits = settings.synchronous_mode != SynchronousMode::Off && !view.sync.standbys.is_empty();
    if candidates.is_empty() {
        let text =
            format!("No other member may take over: if {leader} died now, writes would be refused until it is back.");
        return say(Level::Down, text);
    }
    if waits {
        return synchronous(settings, view, leader);
    }
    if settings.synchronous_mode != SynchronousMode::Off && settings.synchronous_mode_strict {
        let text = "No standby is synchronous, and none may be missing: writes wait until one has caught up. \
                    Nothing that was acknowledged would be lost.";
        return say(Level::Safe, text.to_owned());
    }
    asynchronous(settings, leader, &candidates, positions)
}

fn synchronous(settings: &Settings, view: &ClusterView, leader: &str) -> Guarantee {
    let names = view.sync.standbys.join(", ");
    let promise = "Nothing that was acknowledged would be lost";
    let exception = "(except for transactions that asked not to wait, by synchronous_commit)";
    let text = match (settings.synchronous_mode, view.sync.standbys.len()) {
        (SynchronousMode::Quorum, count) => format!(
            "{promise}: each commit waits for enough of {count} standbys ({names}) that whoever may take over from \
             {leader} has it {exception}."
        ),
        (_, 1) => format!(
            "{promise}: each commit waits for {names}, the only one that may take over from {leader} {exception}."
        ),
        _ => {
            format!("{promise}: each commit waits for {names}, and only they may take over from {leader} {exception}.")
        }
    };
    say(Level::Safe, text)
}

fn asynchronous(settings: &Settings, leader: &str, candidates: &[&str], positions: &Positions) -> Guarantee {
    let wanted = settings.synchronous_mode != SynchronousMode::Off;
    let why = if wanted { "No standby is synchronous at the moment, so commits" } else { "Commits" };
    let best = candidates.iter().filter_map(|name| Some((positions.get(*name)?, *name))).max();
    let behind = positions.get(leader).zip(best).map(|(leader, (best, name))| (leader.saturating_sub(*best), name));
    let text = match behind {
        Some((0, name)) => format!(
            "{why} wait for nobody. {name} has everything at this moment; the last moments' commits might be lost."
        ),
        Some((bytes, name)) if bytes > settings.maximum_lag_on_failover => format!(
            "{why} wait for nobody, and even {name}, the nearest, is {bytes} bytes behind: too far to take over by \
             itself (maximum_lag_on_failover is {}).",
            settings.maximum_lag_on_failover
        ),
        Some((bytes, name)) => format!(
            "{why} wait for nobody: if {leader} died now, what is in the last {bytes} bytes of its log, which {name} \
             has not received, would be lost."
        ),
        None => format!(
            "{why} wait for nobody: if {leader} died now, what no standby has received would be lost, up to {} bytes \
             of the log (maximum_lag_on_failover).",
            settings.maximum_lag_on_failover
        ),
    };
    let stuck = behind.is_some_and(|(bytes, _)| bytes > settings.maximum_lag_on_failover);
    say(if stuck { Level::Down } else { Level::AtRisk }, text)
}

fn say(level: Level, text: String) -> Guarantee {
    Guarantee { level, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::support;
    use regent_core::model::{Scalar, Tags};

    fn positions(places: &[(&str, u64)]) -> Positions {
        places.iter().map(|(name, position)| ((*name).to_owned(), *position)).collect()
    }

    struct Case {
        settings: Settings,
        view: ClusterView,
        positions: Positions,
    }

    fn case() -> Case {
        let places = positions(&[("postgresql0", 5000), ("postgresql1", 4000)]);
        Case { settings: support::settings(), view: support::snapshot().view, positions: places }
    }

    fn check(change: impl Fn(&mut Case), level: Level, part: &str) {
        let mut case = case();
        change(&mut case);
        let said = guarantee(&case.settings, &case.view, &case.positions);
        assert_eq!(said.level, level, "{}", said.text);
        assert!(said.text.contains(part), "{}", said.text);
    }

    #[test]
    fn what_would_be_lost_is_said_in_words() {
        check(|_| {}, Level::AtRisk, "the last 1000 bytes of its log, which postgresql1");
        check(|case| case.positions = positions(&[]), Level::AtRisk, "up to 1048576 bytes");
        let even = [("postgresql0", 5000), ("postgresql1", 5001)];
        check(|case| case.positions = positions(&even), Level::AtRisk, "postgresql1 has everything at this moment");
        let far = [("postgresql0", 5_000_000), ("postgresql1", 4)];
        check(|case| case.positions = positions(&far), Level::Down, "too far to take over by itself");
        check(|case| case.view.leader = None, Level::Down, "Nobody leads");
        check(|case| case.settings.paused = true, Level::Down, "paused");
        check(|case| case.settings.standby_cluster = Some(Default::default()), Level::Safe, "follows another");
        let nofailover = Tags { raw: vec![("nofailover".to_owned(), Scalar::Bool(true))] };
        check(|case| case.view.members[1].tags = nofailover.clone(), Level::Down, "No other member may take over");
    }

    #[test]
    fn who_confirms_commits_is_named() {
        let waits = |case: &mut Case, mode, names: &[&str]| {
            case.settings.synchronous_mode = mode;
            case.view.sync.leader = Some("postgresql0".to_owned());
            case.view.sync.standbys = names.iter().map(|name| (*name).to_owned()).collect();
        };
        check(
            |case| waits(case, SynchronousMode::On, &["postgresql1"]),
            Level::Safe,
            "waits for postgresql1, the only",
        );
        check(|case| waits(case, SynchronousMode::On, &["a", "b"]), Level::Safe, "waits for a, b, and only they");
        check(|case| waits(case, SynchronousMode::Quorum, &["a", "b"]), Level::Safe, "enough of 2 standbys (a, b)");
        check(|case| waits(case, SynchronousMode::On, &[]), Level::AtRisk, "No standby is synchronous at the moment");
        let strict = |case: &mut Case| {
            waits(case, SynchronousMode::On, &[]);
            case.settings.synchronous_mode_strict = true;
        };
        check(strict, Level::Safe, "writes wait until one has caught up");
    }
}
