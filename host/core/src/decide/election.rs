//! Who may lead: comparing this member with the others, and finding members that a leader can hand over to.
//!
//! The comparison is a total order (timeline, position, failover_priority, name), so no two members stand back for
//! each other. The name only counts in the first round: whoever it favours may have failed since it answered.

use super::durability;
use crate::model::{
    ClusterView, FailoverRequest, Lsn, MemberStatus, ProbeRound, Settings, SyncView, SynchronousMode, Timeline,
};
use std::cmp::Ordering;

/// The timelines of a standby cluster are the remote side's affair.
fn judges_timelines(settings: &Settings) -> bool {
    settings.check_timeline && settings.standby_cluster.is_none()
}

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
    /// Too few voters are known not to be ahead.
    NotEnoughVotes {
        /// That are known.
        votes: u32,
        /// That are needed.
        quorum: u32,
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
    /// An operator named it: among equals it goes first.
    pub named: bool,
}

impl Entrant<'_> {
    /// A later leader's history counts more than any position on an older timeline: what is written there beyond the
    /// switch was never acknowledged, or is lost already. Where a timeline is not told, positions alone are compared; and
    /// in a standby cluster, where a later one may be of a time before it followed the remote side.
    pub fn order(&self, other: &MemberStatus) -> Ordering {
        let told = self.timeline.zip(other.timeline).filter(|_| self.settings.standby_cluster.is_none());
        let timelines = told.map_or(Ordering::Equal, |(mine, theirs)| mine.cmp(&theirs));
        timelines.then(self.position.cmp(&other.position))
    }

    /// Its timeline is the one that the history key tells of, or a later one. A member that lacks too much to lead and is
    /// on a later one itself was left there when the cluster was demoted to follow another.
    fn is_of(&self, cluster: &ClusterView) -> bool {
        cluster.timeline() > Timeline(0) && self.timeline >= Some(cluster.timeline())
    }
}

/// Compares this member with everybody who answered.
pub(super) fn stand(me: &Entrant<'_>, cluster: &ClusterView, round: &ProbeRound, check_lag: bool) -> Standing {
    // How much too far behind the last leader such a position is.
    let excess = |position: Lsn| {
        let lag = position.behind(cluster.status.optime.filter(|_| check_lag)?);
        (lag > me.settings.maximum_lag_on_failover).then_some(lag)
    };
    if let Some(lag) = excess(me.position) {
        return Standing::TooFarBehind { lag };
    }
    if judges_timelines(me.settings) && me.timeline.is_none_or(|timeline| timeline < cluster.timeline()) {
        return Standing::OldTimeline;
    }
    let sync = durability::active(me.settings, cluster);
    let mut standing = Standing::First;
    // Who gave the lock up for others to have it stands back for them, not they for it.
    let request = cluster.failover.as_ref().filter(|request| request.candidate.is_none());
    let gave_up = request.and_then(|request| request.leader.as_deref());
    for (name, status) in &round.answers {
        let Some(status) = status else { continue };
        match compare(me, name, status) {
            Standing::First => {}
            found @ Standing::PrimaryAlive(_) => return found,
            // Who does not race holds nobody up.
            _ if is_barred(me.settings, cluster, name) => {}
            Standing::Ahead(_) if sync.is_none() && me.is_of(cluster) && excess(status.position).is_some() => {}
            Standing::Preferred { .. } | Standing::NamedFirst(_) if gave_up == Some(name.as_str()) => {}
            // What the former leader has beyond its standbys it never acknowledged, and who is not synchronous never
            // has more that counts.
            _ if sync.is_some_and(|sync| sync.is_led_by(name) || !sync.knows(name)) => {}
            found => standing = found,
        }
    }
    match sync {
        Some(sync) if standing == Standing::First => vote(me, sync, round),
        _ => standing,
    }
}

/// In failsafe mode whom the key does not name does not race: nobody stands back for it.
pub(super) fn is_barred(settings: &Settings, cluster: &ClusterView, name: &str) -> bool {
    let named = cluster.failsafe.as_ref().filter(|members| settings.failsafe_mode && !members.is_empty());
    named.is_some_and(|members| !members.contains_key(name))
}

/// Of any so many voters one has every acknowledged commit: whoever has as much as that many others has them all
/// (SYNC-13). So has whoever has as much as the leader that wrote the key, where that one is a standby by now: after a
/// hand-over it may be the only other member that answers.
fn vote(me: &Entrant<'_>, sync: &SyncView, round: &ProbeRound) -> Standing {
    let name = &me.settings.name;
    if sync.is_led_by(name) {
        return Standing::First;
    }
    // Who has not let go of the lost leader may have more than it says: that is no vote.
    let not_ahead = |status: &MemberStatus| {
        let told = status.in_recovery && status.position.0 > 0 && !status.unsettled;
        told && me.order(status) != Ordering::Less
    };
    let answers = round.answers.iter().filter(|(voter, _)| !voter.eq_ignore_ascii_case(name));
    let behind: Vec<&String> =
        answers.filter(|(_, status)| status.as_ref().is_some_and(not_ahead)).map(|(voter, _)| voter).collect();
    if behind.iter().any(|voter| sync.is_led_by(voter)) {
        return Standing::First;
    }
    let behind = u32::try_from(behind.iter().filter(|voter| sync.lists(voter)).count()).unwrap_or(u32::MAX);
    let votes = if sync.lists(name) { behind } else { behind.saturating_sub(1) };
    let enough = votes >= sync.quorum && (sync.lists(name) || behind > 0);
    if enough { Standing::First } else { Standing::NotEnoughVotes { votes, quorum: sync.quorum } }
}

fn compare(me: &Entrant<'_>, name: &str, other: &MemberStatus) -> Standing {
    if !other.in_recovery {
        return Standing::PrimaryAlive(name.to_owned());
    }
    if other.tags.nofailover() || other.watchdog_failed {
        return Standing::First;
    }
    match me.order(other) {
        Ordering::Less => return Standing::Ahead(name.to_owned()),
        Ordering::Greater => return Standing::First,
        Ordering::Equal if me.named => return Standing::First,
        Ordering::Equal => {}
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
/// `request`: what asked for it; where it names a candidate, nobody but that one. In synchronous mode it has to be in
/// the sync key, unless it is a failover, for which an operator answers (SYNC-09). `record`: they must have the whole record that begins there, and so be able to
/// win against the member that wrote it; without it, the lag against the published
/// position counts, if `check_lag`.
pub fn switch_targets(
    cluster: &ClusterView,
    settings: &Settings,
    round: &ProbeRound,
    request: Option<&FailoverRequest>,
    record: Option<Lsn>,
    check_lag: bool,
) -> Vec<String> {
    let optime = cluster.status.optime.unwrap_or_default();
    let only = request.and_then(|request| request.candidate.as_deref());
    let forced = request.is_some_and(|request| request.leader.is_none());
    let sync = durability::active(settings, cluster).filter(|_| !forced);
    let mut targets: Vec<_> = round
        .answers
        .iter()
        .filter_map(|(name, status)| status.as_ref().map(|status| (name, status)))
        .filter(|(name, _)| **name != settings.name && only.is_none_or(|only| only == name.as_str()))
        .filter(|(name, _)| sync.is_none_or(|sync| sync.lists(name)))
        .filter(|(_, status)| status.in_recovery && !status.tags.nofailover() && !status.watchdog_failed)
        .filter(|(_, status)| match record {
            Some(record) => status.position > record,
            None => !check_lag || status.position.behind(optime) <= settings.maximum_lag_on_failover,
        })
        .filter(|(_, status)| {
            !judges_timelines(settings) || status.timeline.is_some_and(|timeline| timeline >= cluster.timeline())
        })
        .collect();
    if let Some(sync) = sync.filter(|_| only.is_none() && settings.synchronous_mode == SynchronousMode::Quorum)
        && targets.len() <= usize::try_from(sync.quorum).unwrap_or(usize::MAX)
    {
        return Vec::new();
    }
    targets.sort_by_key(|(name, status)| {
        (std::cmp::Reverse((status.position, status.tags.failover_priority())), (*name).clone())
    });
    targets.into_iter().map(|(name, _)| name.clone()).collect()
}
