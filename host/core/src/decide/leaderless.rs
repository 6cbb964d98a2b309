//! Situation 9xx, leaderless: nobody has the lock, the store answers, and this member's server is up.

use super::case::{Case, Decision};
use super::election::{Entrant, Standing, is_barred, stand};
use super::{Action, Backoff, Race, Reason, Rule};
use crate::model::{
    ClusterView, Errand, ErrandKind, FailoverRequest, FenceMode, MemberStatus, Moment, Monitoring, StoreCall,
    SynchronousMode, Task, Timeline,
};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two rounds of questions in one race; a change of the lock ends the wait at once.
const NEXT_ROUND: Duration = Duration::from_millis(700);

/// Answers of which this member knows that it goes first are good for so long from their question on, if the store is
/// busy with something else: not until a lock that another member took meanwhile could have ended.
const ANSWERS_KEEP: Duration = Duration::from_secs(4);

/// Letting go of a leader takes some 20 ms; so long after a member had not done so, it is asked again.
const SETTLE_PAUSE: Duration = Duration::from_millis(40);

/// A member that does not let go in this time (it hangs, or is busy) is taken at its word.
const SETTLE_PATIENCE: Duration = Duration::from_secs(1);

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 905,
        situation: "leaderless",
        sentence: "A member that let a leader go on without the store does not race for its lock for a ttl.",
        apply: super::failsafe::stand_back,
    },
    Rule {
        number: 910,
        situation: "leaderless",
        sentence: "A primary takes the free lock, unless its timeline is older than the cluster's.",
        apply: primary,
    },
    Rule {
        number: 915,
        situation: "leaderless",
        sentence: "In maintenance no standby takes the lock, unless an operator named it.",
        apply: paused,
    },
    Rule {
        number: 920,
        situation: "leaderless",
        sentence: "A member that must not lead does not race.",
        apply: not_allowed,
    },
    Rule {
        number: 925,
        situation: "leaderless",
        sentence: "In synchronous mode only members that the sync key names race, unless an operator forces a failover.",
        apply: not_synchronous,
    },
    Rule {
        number: 930,
        situation: "leaderless",
        sentence: "The member that an operator named takes the lock, unless its daemon was started less than a ttl ago and \
                   a member that the failsafe key names was not heard to follow, or that key does not name it and it is \
                   no forced failover.",
        apply: named,
    },
    Rule {
        number: 935,
        situation: "leaderless",
        sentence: "While the member that an operator named can take the lock, the others stand back.",
        apply: other_named,
    },
    Rule {
        number: 936,
        situation: "leaderless",
        sentence: "In failsafe mode a member that the failsafe key does not name does not race, for the leader does not \
                   ask it.",
        apply: super::failsafe::not_named,
    },
    Rule {
        number: 938,
        situation: "leaderless",
        sentence: "With primary_race_backoff, a standby that still receives what the lost leader writes does not race \
                   for that long.",
        apply: back_off,
    },
    Rule {
        number: 940,
        situation: "leaderless",
        sentence: "Before positions are compared, the server lets go of the lost leader, so that its own stands still.",
        apply: stop_receiving,
    },
    Rule { number: 950, situation: "leaderless", sentence: "Members are asked where they stand.", apply: ask },
    Rule {
        number: 955,
        situation: "leaderless",
        sentence: "A member that did not let go of the lost leader yet is asked again, for a second at most.",
        apply: settle,
    },
    Rule {
        number: 957,
        situation: "leaderless",
        sentence: "In failsafe mode a member whose daemon was started less than a ttl ago waits for all that the failsafe \
                   key names to answer, for it may have let one of them go on.",
        apply: super::failsafe::may_have_forgotten,
    },
    Rule {
        number: 960,
        situation: "leaderless",
        sentence: "Whoever goes first takes the lock; the others wait for it to be taken, then ask again.",
        apply: compare,
    },
];

pub(super) fn leaderless(case: &Case<'_>) -> bool {
    case.task_is_idle()
        && !super::failsafe::is_bound(case)
        && !case.holds_lease()
        && case.server_is_up()
        && case.fresh_cluster().is_some_and(|cluster| cluster.leader.is_none())
}

fn acquire(case: &Case<'_>, reason: Reason) -> Decision {
    case.call_or_wait(StoreCall::Acquire, reason)
}

fn primary(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) || !case.view.server.is_primary() {
        return None;
    }
    let known = case.cluster()?.timeline();
    let mine = case.view.server.monitoring.value().and_then(|monitoring| monitoring.timeline);
    if mine.is_some_and(|mine| mine < known) && known > Timeline(0) && !case.paused() {
        let stop = Task::Stop { mode: crate::model::StopMode::Immediate, checkpoint_first: false };
        return Some((Action::Preempt(stop), Reason::StalePrimary { mine, cluster: known }));
    }
    let sync = super::durability::active(&case.view.settings, case.cluster()?);
    if sync.is_some_and(|sync| !sync.knows(case.me())) && !case.paused() {
        let stop = Task::Stop { mode: crate::model::StopMode::Immediate, checkpoint_first: false };
        return Some((Action::Preempt(stop), Reason::NotSynchronous));
    }
    acquire(case, Reason::PrimaryTakesFreeLock)
}

fn paused(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) || !case.paused() {
        return None;
    }
    let named = case.cluster()?.failover.as_ref().and_then(|request| request.candidate.as_deref());
    if named == Some(case.me()) && !case.view.settings.tags.nofailover() {
        return None;
    }
    case.wait(Reason::PausedWithoutLeader)
}

fn not_allowed(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    if case.view.settings.tags.nofailover() {
        return case.wait(Reason::NotAllowedToLead);
    }
    if case.memory.release_wanted {
        case.memory.release_wanted = false;
    }
    if case.memory.barred_until.is_some_and(|until| case.view.now < until) {
        return case.wait(Reason::PromotionRefused);
    }
    let unguarded = case.view.settings.guard == FenceMode::Required && !case.view.guard.alive;
    if case.view.watchdog_failed() {
        return case.wait(Reason::WatchdogMissing);
    }
    if unguarded { case.wait(Reason::GuardMissing) } else { None }
}

/// Who is not named may lack commits that were acknowledged. In quorum mode others may race, and need more votes; a
/// switchover is for those who are named in either mode (SYNC-01, SYNC-16).
fn not_synchronous(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    let cluster = case.cluster()?;
    let sync = super::durability::active(&case.view.settings, cluster)?;
    let request = cluster.failover.as_ref().filter(|request| !request.is_empty());
    let forced =
        request.is_some_and(|request| request.leader.is_none() && request.candidate.as_deref() == Some(case.me()));
    let open = case.view.settings.synchronous_mode == SynchronousMode::Quorum
        && request.is_none_or(|request| request.leader.is_none());
    if sync.knows(case.me()) || forced || open {
        return None;
    }
    case.wait(Reason::NotSynchronous)
}

fn named(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    let request = case.cluster()?.failover.as_ref()?;
    let named = request.candidate.as_deref() == Some(case.me());
    // Without the store the leader goes on by the word of those whom the failsafe key names alone.
    let barred = request.leader.is_some() && is_barred(&case.view.settings, case.cluster()?, case.me());
    if !named || barred || !may_lead_uncompared(case, request) || super::failsafe::may_owe_a_word(case) {
        return None;
    }
    acquire(case, Reason::NamedByOperator)
}

/// A failover is forced: the operator answers for what is lost. Whom a switchover names has everything, unless the
/// leader was lost before it handed over; then it has to come first among those who answer, like anybody.
fn may_lead_uncompared(case: &Case<'_>, request: &FailoverRequest) -> bool {
    let Some(cluster) = case.cluster().filter(|_| request.leader.is_some()) else {
        return true;
    };
    let settings = &case.view.settings;
    match super::durability::active(settings, cluster) {
        // A key with votes was written in quorum mode, whatever the mode is by now.
        Some(sync) => settings.synchronous_mode == SynchronousMode::On && sync.quorum == 0 && sync.knows(case.me()),
        None => case.paused() || has_published_position(case, cluster),
    }
}

fn has_published_position(case: &Case<'_>, cluster: &ClusterView) -> bool {
    let position = case.view.server.monitoring.value().and_then(Monitoring::position);
    cluster.status.optime.is_none_or(|optime| position.is_some_and(|position| position >= optime))
}

fn other_named(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    let request = case.cluster()?.failover.clone().filter(|request| !request.is_empty())?;
    let me = case.me().to_owned();
    if request.candidate.as_deref() == Some(me.as_str()) {
        return None;
    }
    let sync = super::durability::active(&case.view.settings, case.cluster()?).cloned();
    let sync = sync.filter(|_| request.leader.is_some());
    let round = race_round(case);
    let Some(round) = round else {
        return if request.candidate.is_some() || request.leader.as_deref() == Some(me.as_str()) {
            ask(case).or_else(|| case.wait(Reason::AskingForCandidates))
        } else {
            None
        };
    };
    hear(case, round.begun_at);
    let (settings, cluster) = (&case.view.settings, case.cluster()?);
    let barred = |name: &str| request.leader.is_some() && is_barred(settings, cluster, name);
    let able = |name: &str| {
        sync.as_ref().is_none_or(|sync| sync.knows(name))
            && !barred(name)
            && round
                .answers
                .get(name)
                .and_then(Option::as_ref)
                .is_some_and(|status| status.in_recovery && !status.tags.nofailover() && !status.watchdog_failed)
    };
    // Whoever lacks something of what is here would stand back for this member in turn, and nobody would ever lead.
    let monitoring = case.view.server.monitoring.value()?;
    let (timeline, position) = (monitoring.timeline, monitoring.position()?);
    let mine = Entrant { settings: &case.view.settings, position, timeline, rounds: 0, named: false };
    let answer = |name: &str| round.answers.get(name).and_then(Option::as_ref);
    let has_all = |name: &str| answer(name).is_some_and(|status| mine.order(status) != Ordering::Greater);
    if let Some(candidate) = &request.candidate {
        let candidate = candidate.clone();
        let comes_first = able(&candidate) && (request.leader.is_none() || has_all(&candidate));
        if !comes_first {
            return None;
        }
        // In quorum mode the candidate needs votes, and only a position that stands still is one.
        let by_votes = case.view.settings.synchronous_mode == SynchronousMode::Quorum;
        let votes = sync.is_some_and(|sync| by_votes || sync.quorum > 0);
        let let_go = if votes { stop_receiving(case) } else { None };
        return let_go.or_else(|| stand_back(case, Reason::OtherNamed { candidate }));
    }
    let gave_it_up = request.leader.as_deref() == Some(me.as_str());
    let anybody = round.answers.keys().any(|name| able(name) && has_all(name));
    (gave_it_up && anybody).then(|| stand_back(case, Reason::GaveLockUp)).flatten()
}

/// The answers of this race, where they are in. A daemon that stood still may find answers from before another led.
pub(super) fn race_round<'a>(case: &Case<'a>) -> Option<&'a crate::model::ProbeRound> {
    let race = case.memory.race.as_ref()?;
    let oldest = case.view.now - (ANSWERS_KEEP * 2).min(case.view.settings.ttl);
    let counts = |round: &&crate::model::ProbeRound| round.begun_at >= race.begun_at && round.begun_at >= oldest;
    case.view.probes.as_ref().filter(|_| race.rounds > 0).filter(counts)
}

/// Whether answers are in that nobody has looked at yet.
fn is_unheard(case: &Case<'_>) -> bool {
    race_round(case).is_some_and(|round| case.memory.heard_round != Some(round.begun_at))
}

/// The pause between rounds begins with the answers. A silent member delays them for longer than the pause: counted
/// from the question, they would never be looked at, and nobody would lead until that member's key is gone.
fn hear(case: &mut Case<'_>, round: Moment) {
    if case.memory.heard_round.replace(round) != Some(round)
        && let Some(race) = case.memory.race.as_mut()
    {
        race.again_at = race.again_at.max(case.view.now + NEXT_ROUND);
    }
}

/// Takes the lock with these answers, be it a moment later because the store is busy.
fn take(case: &mut Case<'_>, round: Moment, reason: Reason) -> Decision {
    if !case.store_is_idle()
        && let Some(race) = case.memory.race.as_mut()
    {
        race.again_at = race.again_at.max((case.view.now + NEXT_ROUND).min(round + ANSWERS_KEEP));
    }
    acquire(case, reason)
}

/// Waits for somebody else to take the lock; members are asked again when the pause between rounds is over. It is always
/// a decision: a later rule would take the lock.
pub(super) fn stand_back(case: &mut Case<'_>, reason: Reason) -> Decision {
    if let Some(round) = race_round(case).map(|round| round.begun_at) {
        hear(case, round);
    }
    let due = case.memory.race.as_ref().is_some_and(|race| case.view.now >= race.again_at);
    let asks = if due { ask(case) } else { None };
    asks.or_else(|| case.wait(reason))
}

/// A leader whose daemon hangs loses the lock while its server goes on: as long as the log still grows, there is time
/// for it to come back (HA-51). The first loop is always waited for, so that growth can be seen at all.
fn back_off(case: &mut Case<'_>) -> Decision {
    let limit = case.view.settings.primary_race_backoff;
    let named = case.cluster()?.failover.as_ref().is_some_and(|request| request.candidate.is_some());
    if !leaderless(case) || limit.is_zero() || named || case.memory.race.is_some() {
        return None;
    }
    let now = case.view.now;
    let monitoring = case.view.server.monitoring.value()?;
    let (position, streams) = (monitoring.position()?, monitoring.streaming_from.is_some());
    let start = Backoff { since: now, position, moved_at: now };
    let backoff = case.memory.backoff.get_or_insert(start);
    if position > backoff.position {
        *backoff = Backoff { position, moved_at: now, ..*backoff };
    }
    let waited = now.since(backoff.since);
    let grows = streams && now.since(backoff.moved_at) < case.view.settings.loop_wait;
    let waits = waited < limit && (grows || waited < case.view.settings.loop_wait);
    if waits { case.wait(Reason::LostLeaderMayWrite { position }) } else { None }
}

fn stop_receiving(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    let now = case.view.now;
    let race =
        case.memory.race.get_or_insert(Race { begun_at: now, receiving_stopped_at: None, again_at: now, rounds: 0 });
    let streaming = case.view.server.monitoring.value().is_some_and(|monitoring| monitoring.streaming_from.is_some());
    let told = race.receiving_stopped_at.is_some();
    if told || case.memory.followed == Some(None) && !streaming {
        return None;
    }
    Some((Action::Begin(Task::StopReceiving), Reason::RaceBegins))
}

fn ask(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) || is_unheard(case) {
        return None;
    }
    let now = case.view.now;
    let race =
        case.memory.race.get_or_insert(Race { begun_at: now, receiving_stopped_at: None, again_at: now, rounds: 0 });
    if case.view.errands.contains(&ErrandKind::Probe) {
        return case.wait(Reason::AskingForPositions);
    }
    if now < race.again_at {
        return None;
    }
    race.again_at = now + NEXT_ROUND;
    race.rounds += 1;
    race.begun_at = now;
    let cluster = case.view.cluster()?;
    // Who is not synchronous does not count, and its silence must not hold the race up.
    let settings = &case.view.settings;
    let plain = settings.synchronous_mode == SynchronousMode::On;
    let sync = super::durability::active(settings, cluster).filter(|_| plain);
    let candidate = cluster.failover.as_ref().and_then(|request| request.candidate.as_deref());
    let counts = |name: &str| sync.is_none_or(|sync| sync.knows(name)) || candidate == Some(name);
    // In failsafe mode a leader may go on whose own key in the store is long gone.
    let known = cluster.failsafe.as_ref().filter(|_| settings.failsafe_mode || super::failsafe::is_young(case.view));
    let reachable = cluster.members.iter().filter(|member| member.api_url.is_some()).map(|member| &member.name);
    let members: BTreeSet<_> = reachable
        .chain(known.into_iter().flat_map(|known| known.keys()))
        .filter(|name| **name != settings.name && counts(name))
        .cloned()
        .collect();
    let members = members.into_iter().collect();
    let former_leader = case.memory.former_leader.clone();
    Some((Action::Run(Errand::Probe { members, former_leader }), Reason::AskingForPositions))
}

/// What such a member answers may be a second old: it would be passed over though it has more of the log.
fn settle(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    let eligible = |status: &MemberStatus| {
        status.in_recovery && status.unsettled && !status.tags.nofailover() && !status.watchdog_failed
    };
    let answers = &race_round(case)?.answers;
    let name = answers.iter().find(|(_, status)| status.as_ref().is_some_and(eligible))?.0.clone();
    let now = case.view.now;
    let since = *case.memory.unsettled_since.get_or_insert(now);
    if now.since(since) >= SETTLE_PATIENCE {
        return None;
    }
    let race = case.memory.race.as_mut()?;
    race.again_at = now + SETTLE_PAUSE;
    // This round does not count: only one that is begun later does.
    race.begun_at = race.again_at;
    race.rounds = race.rounds.saturating_sub(1);
    case.wait(Reason::PositionUnsettled { name })
}

fn compare(case: &mut Case<'_>) -> Decision {
    if !leaderless(case) {
        return None;
    }
    let round = race_round(case)?;
    hear(case, round.begun_at);
    let rounds = case.memory.race.as_ref().map_or(0, |race| race.rounds);
    let settled = settled_after(case);
    let monitoring = match &case.view.server.monitoring {
        crate::model::Observed::Seen { value, at } if *at >= settled => value,
        _ => return case.wait(Reason::OwnPositionUnknown),
    };
    let Some(position) = monitoring.position() else {
        return case.wait(Reason::OwnPositionUnknown);
    };
    let cluster = case.view.cluster()?;
    let switching = cluster.failover.as_ref().is_some_and(|request| !request.is_empty());
    let candidate = cluster.failover.as_ref().and_then(|request| request.candidate.as_deref());
    let named = candidate == Some(case.me());
    let entrant = Entrant { settings: &case.view.settings, position, timeline: monitoring.timeline, rounds, named };
    match stand(&entrant, cluster, round, !switching) {
        Standing::First => take(case, round.begun_at, Reason::FirstInRace { position }),
        standing => stand_back(case, Reason::StandingBack { standing, position }),
    }
}

/// A position read before this moment may still have grown.
fn settled_after(case: &Case<'_>) -> Moment {
    case.memory.race.as_ref().and_then(|race| race.receiving_stopped_at).unwrap_or(Moment(0))
}
