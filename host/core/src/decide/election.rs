//! Who may lead: comparing this member with the others, and finding members that a leader can hand over to.
//!
//! The comparison is a total order (position, then failover_priority, then name), so no two members stand back for
//! each other. The name only counts in the first round: whoever it favours may have failed since it answered.

use crate::model::{ClusterView, Lsn, MemberStatus, ProbeRound, Settings, Timeline};

/// How this member stands in a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody who answered goes first.
    First,
    /// It is too far behind the last position that the leader published.
    TooFarBehind {
        /// Bytes.
        lag: u64,
    },
    /// Its timeline is older than the cluster's.
    OldTimeline,
    /// A member still takes writes.
    PrimaryAlive(String),
    /// Another member has more of the log.
    Ahead(String),
    /// Another member has as much and a higher priority.
    Preferred {
        /// Who.
        name: String,
        /// Its priority.
        priority: i64,
    },
    /// Another member has as much and the same priority, and a name that sorts first.
    NamedFirst(String),
}

/// What this member brings to a race.
pub(super) struct Entrant<'a> {
    pub settings: &'a Settings,
    pub position: Lsn,
    pub timeline: Option<Timeline>,
    pub rounds: u32,
}

/// Compares this member with everybody who answered.
pub(super) fn stand(me: &Entrant<'_>, cluster: &ClusterView, round: &ProbeRound, check_lag: bool) -> Standing {
    if check_lag && let Some(optime) = cluster.status.optime {
        let lag = me.position.behind(optime);
        if lag > me.settings.maximum_lag_on_failover {
            return Standing::TooFarBehind { lag };
        }
    }
    if me.settings.check_timeline && me.timeline.is_none_or(|timeline| timeline < cluster.timeline()) {
        return Standing::OldTimeline;
    }
    let mut standing = Standing::First;
    for (name, status) in &round.answers {
        let Some(status) = status else { continue };
        match compare(me, name, status) {
            Standing::First => {}
            found @ Standing::PrimaryAlive(_) => return found,
            found => standing = found,
        }
    }
    standing
}

fn compare(me: &Entrant<'_>, name: &str, other: &MemberStatus) -> Standing {
    if !other.in_recovery {
        return Standing::PrimaryAlive(name.to_owned());
    }
    if other.tags.nofailover() || other.watchdog_failed {
        return Standing::First;
    }
    if other.position > me.position {
        return Standing::Ahead(name.to_owned());
    }
    if other.position < me.position {
        return Standing::First;
    }
    let (mine, theirs) = (me.settings.tags.failover_priority(), other.tags.failover_priority());
    if theirs > mine {
        return Standing::Preferred { name: name.to_owned(), priority: theirs };
    }
    if theirs == mine && me.rounds <= 1 && name < me.settings.name.as_str() {
        return Standing::NamedFirst(name.to_owned());
    }
    Standing::First
}

/// Members that a leader can hand over to, best first: they answered, may lead, and are near enough.
///
/// `only`: nobody but this one. `at_least`: they must have this position; without it, the lag against the published
/// position counts, if `check_lag`.
pub fn switch_targets(
    cluster: &ClusterView,
    settings: &Settings,
    round: &ProbeRound,
    only: Option<&str>,
    at_least: Option<Lsn>,
    check_lag: bool,
) -> Vec<String> {
    let optime = cluster.status.optime.unwrap_or_default();
    let mut targets: Vec<_> = round
        .answers
        .iter()
        .filter_map(|(name, status)| status.as_ref().map(|status| (name, status)))
        .filter(|(name, _)| **name != settings.name && only.is_none_or(|only| only == name.as_str()))
        .filter(|(_, status)| status.in_recovery && !status.tags.nofailover() && !status.watchdog_failed)
        .filter(|(_, status)| match at_least {
            Some(position) => status.position >= position,
            None => !check_lag || status.position.behind(optime) <= settings.maximum_lag_on_failover,
        })
        .filter(|(_, status)| {
            !settings.check_timeline || status.timeline.is_some_and(|timeline| timeline >= cluster.timeline())
        })
        .collect();
    targets.sort_by_key(|(name, status)| {
        (std::cmp::Reverse((status.position, status.tags.failover_priority())), (*name).clone())
    });
    targets.into_iter().map(|(name, _)| name.clone()).collect()
}
