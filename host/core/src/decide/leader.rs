//! Situation 8xx, leader: this member has the lock and its server is up.

use super::case::{Case, Decision};
use super::election::switch_targets;
use super::site::is_in_office;
use super::{Action, Handover, Reason, Rule, fast_stop_budget};
use crate::model::{
    Errand, ErrandKind, FailoverRequest, FenceMode, StopMode, StoreCall, Task, TaskOutcome, Timeline, View, WallTime,
};
use std::time::Duration;

/// How long a hand-over waits for a candidate to connect: longer than PostgreSQL sleeps between two attempts.
const STREAM_PATIENCE: Duration = Duration::from_secs(8);

/// So long after a promotion the server may still look like a standby, before it is told again.
const PROMOTION_SHOWS: Duration = Duration::from_secs(1);

pub(super) const RULES_BEFORE: &[Rule] = &[
    Rule {
        number: 810,
        situation: "leader",
        sentence: "In maintenance, a lock whose server is not a primary is given back, but in a standby cluster.",
        apply: release_in_pause,
    },
    Rule {
        number: 815,
        situation: "leader",
        sentence: "A lock that is no longer wanted is given back.",
        apply: release_unwanted,
    },
    Rule {
        number: 817,
        situation: "leader",
        sentence: "A primary with the lock, but without the watchdog that is required, is stopped.",
        apply: super::watchdog::stop_unwatched,
    },
    Rule {
        number: 820,
        situation: "leader",
        sentence: "A standby with the lock, but without the guard that is required, gives the lock back.",
        apply: release_unguarded,
    },
    Rule {
        number: 821,
        situation: "leader",
        sentence: "A standby with the lock, but without the watchdog that is required, gives the lock back.",
        apply: super::watchdog::release_unwatched,
    },
    Rule {
        number: 822,
        situation: "leader",
        sentence: "Before a promotion the watchdog is opened, where it is wanted.",
        apply: super::watchdog::wait_for_opening,
    },
    Rule {
        number: 823,
        situation: "leader",
        sentence: "In synchronous mode the sync key says who leads, and whom commits wait for, before the promotion; where it \
                   changed since the race, the lock is given back for another one. With the mode off there is no key.",
        apply: super::durability::prepare,
    },
    Rule {
        number: 824,
        situation: "leader",
        sentence: "Before a promotion the member key says which timeline it will begin, so that nobody begins another of \
                   that number.",
        apply: announce_timeline,
    },
    Rule { number: 825, situation: "leader", sentence: "A standby with the lock is promoted.", apply: promote },
    Rule {
        number: 830,
        situation: "leader",
        sentence: "A request to hand over that is not for this leader, or can not be carried out, is cleared.",
        apply: clear_request,
    },
    Rule {
        number: 835,
        situation: "leader",
        sentence: "Before the server is stopped for a hand-over, a member that can take over must have answered.",
        apply: ask_for_candidates,
    },
    Rule {
        number: 840,
        situation: "leader",
        sentence: "A hand-over stops the server once a candidate streams from it, so that it gets everything first.",
        apply: stop_for_handover,
    },
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 850,
        situation: "leader",
        sentence: "Lost keys are written again: the identifier, the configuration.",
        apply: restore_keys,
    },
    Rule {
        number: 855,
        situation: "leader",
        sentence: "A new primary's timelines go to the history key, and those of a standby leader where the key tells of \
                   later ones, which were left.",
        apply: write_history,
    },
    Rule {
        number: 857,
        situation: "leader",
        sentence: "In failsafe mode the failsafe key names every member and where it can be asked.",
        apply: super::failsafe::write_key,
    },
    Rule {
        number: 860,
        situation: "leader",
        sentence: "A new primary writes a checkpoint, so that others can be rewound to it.",
        apply: first_checkpoint,
    },
    Rule {
        number: 870,
        situation: "leader",
        sentence: "The leader has a slot for each member, for those away for less than member_slots_ttl, and those that \
                   are to last; others are dropped, but not in maintenance.",
        apply: sync_slots,
    },
    Rule {
        number: 880,
        situation: "leader",
        sentence: "In strict synchronous mode without a standby the leader goes on, and its commits wait.",
        apply: starve,
    },
    Rule { number: 890, situation: "leader", sentence: "Otherwise the leader goes on.", apply: go_on },
];

/// The lock that the members' word keeps needs not be in the store.
pub(super) fn leads(case: &Case<'_>) -> bool {
    let kept = case.view.failsafe.kept_at.is_some() || !case.lock_is_gone();
    case.holds_lease() && kept && case.task_is_idle() && case.server_is_up()
}

fn release_in_pause(case: &mut Case<'_>) -> Decision {
    if !leads(case) || !case.paused() || is_in_office(case) {
        return None;
    }
    if is_named(case) {
        return None;
    }
    case.call_or_wait(StoreCall::Release { optime: None }, Reason::PausedAndNotPrimary)
}

/// An operator asked for this member to lead.
fn is_named(case: &Case<'_>) -> bool {
    let request = case.cluster().and_then(|cluster| cluster.failover.as_ref());
    request.is_some_and(|request| request.candidate.as_deref() == Some(case.me()))
}

fn release_unwanted(case: &mut Case<'_>) -> Decision {
    if !leads(case) || !case.memory.release_wanted {
        return None;
    }
    if is_in_office(case) {
        case.memory.release_wanted = false;
        return None;
    }
    let refused = case.memory.barred_until.is_some_and(|until| case.view.now < until);
    let reason = if refused { Reason::PromotionRefused } else { Reason::StartFailed };
    case.call_or_wait(StoreCall::Release { optime: None }, reason)
}

fn release_unguarded(case: &mut Case<'_>) -> Decision {
    let unguarded = case.view.settings.guard == FenceMode::Required && !case.view.guard.alive;
    if !leads(case) || case.paused() || is_in_office(case) || !unguarded {
        return None;
    }
    case.call_or_wait(StoreCall::Release { optime: None }, Reason::GuardMissing)
}

/// A member that is cut off right after its promotion is not heard of any more; what its key said before is.
fn announce_timeline(case: &mut Case<'_>) -> Decision {
    if !may_be_promoted(case) || was_just_promoted(case.view) {
        return None;
    }
    let own = case.view.own_timeline().unwrap_or_default();
    let next = Timeline(case.memory.newest_timeline.max(own).0.saturating_add(1));
    let said = case.memory.next_timeline.filter(|(timeline, _)| *timeline == next);
    let written = case.view.store.member_written_at;
    if said.is_some_and(|(_, since)| written.is_some_and(|at| at >= since)) {
        return None;
    }
    let reason = Reason::TimelineToAnnounce { next };
    let decision = case.call(StoreCall::TouchMember, reason.clone());
    if decision.is_some() {
        case.memory.next_timeline = Some((next, case.view.now));
    }
    decision.or_else(|| case.wait(reason))
}

fn may_be_promoted(case: &Case<'_>) -> bool {
    let asked_for = !case.paused() || is_named(case);
    leads(case) && !is_in_office(case) && asked_for && !case.view.requests.shutdown
}

fn promote(case: &mut Case<'_>) -> Decision {
    if !may_be_promoted(case) {
        return None;
    }
    if was_just_promoted(case.view) {
        return case.wait(Reason::PromotionEnds);
    }
    if case.memory.release_sent.is_some() {
        return case.call_or_wait(StoreCall::Acquire, Reason::LockMayGo);
    }
    // A lock that could not be renewed lately is no ground for a promotion: it may end before the server is up.
    let lease = case.view.lease?;
    let confirmed = case.view.store.failing_since.is_none()
        && case.view.failsafe.kept_at.is_none()
        && case.view.now < lease.deadline - fast_stop_budget(case.view.settings.ttl);
    if !confirmed {
        return None;
    }
    let decision = case.begin(Task::Promote, Reason::LockAcquired);
    if decision.is_some() {
        case.memory.followed = None;
    }
    decision
}

/// Whether the server is none that follows though it looks like one: the pid file says so a little later than the
/// control file, at which the promotion ended.
pub(super) fn was_just_promoted(view: &View) -> bool {
    view.finished.as_ref().is_some_and(|finished| {
        finished.task == Task::Promote
            && finished.outcome == TaskOutcome::Done
            && view.now.since(finished.at) < PROMOTION_SHOWS
    })
}

fn open_request<'a>(case: &'a Case<'_>) -> Option<&'a FailoverRequest> {
    case.cluster()?.failover.as_ref().filter(|request| !request.is_empty())
}

/// A request that this leader should carry out now.
pub(super) fn due_request(case: &Case<'_>) -> Option<FailoverRequest> {
    let request = open_request(case)?;
    let for_me = request.leader.as_deref().is_none_or(|leader| leader == case.me());
    let elsewhere = request.candidate.as_deref() != Some(case.me());
    let due = request.scheduled_at.is_none_or(|at| is_due(case, request, at));
    let named = !case.paused() || (request.candidate.is_some() && request.scheduled_at.is_none());
    (for_me && elsewhere && due && named && !case.memory.request_refused).then(|| request.clone())
}

/// A scheduled hand-over is carried out at its time or shortly after; one whose time passed unseen is stale, unless it
/// was begun in time (HA-33).
fn is_due(case: &Case<'_>, request: &FailoverRequest, at: WallTime) -> bool {
    let begun = case.memory.handover.as_ref().is_some_and(|handover| handover.request.as_ref() == Some(request));
    case.view.wall >= at && (begun || case.view.wall.since(at) <= case.view.settings.loop_wait * 3 / 2)
}

/// Nothing is done at its time while the cluster is in maintenance, and nothing is forgotten either.
fn waits_for_its_time(case: &Case<'_>, request: &FailoverRequest) -> bool {
    let ours = request.leader.as_deref() == Some(case.me());
    ours && request.scheduled_at.is_some_and(|at| case.view.wall < at || case.paused())
}

fn clear_request(case: &mut Case<'_>) -> Decision {
    if !is_in_office(case) {
        return None;
    }
    let request = case.fresh_cluster()?.failover.clone().filter(|request| !request.is_empty())?;
    if due_request(case).is_some() || waits_for_its_time(case, &request) {
        return None;
    }
    let reason = if case.memory.request_refused { Reason::NobodyToHandOverTo } else { Reason::RequestNotForUs };
    case.call(StoreCall::ClearFailover { version: request.version }, reason)
}

fn ask_for_candidates(case: &mut Case<'_>) -> Decision {
    if !is_in_office(case) {
        return None;
    }
    let request = due_request(case)?;
    let begun_at = match &case.memory.handover {
        Some(handover) if handover.request.as_ref() == Some(&request) => handover.begun_at,
        _ => {
            case.memory.handover = Some(Handover::begin(case.view.now, Some(request.clone())));
            case.view.now
        }
    };
    if case.view.probes.as_ref().is_some_and(|round| round.begun_at >= begun_at) {
        return None;
    }
    if case.view.errands.contains(&ErrandKind::Probe) {
        return case.wait(Reason::AskingForCandidates);
    }
    let members = match &request.candidate {
        Some(candidate) => vec![candidate.clone()],
        None => case.other_candidates(),
    };
    case.run(Errand::Probe { members, former_leader: None }, Reason::AskingForCandidates)
}

fn stop_for_handover(case: &mut Case<'_>) -> Decision {
    if !is_in_office(case) {
        return None;
    }
    let request = due_request(case)?;
    let begun_at = case.memory.handover.as_ref()?.begun_at;
    let round = case.view.probes.as_ref().filter(|round| round.begun_at >= begun_at)?;
    let cluster = case.cluster()?;
    let targets = switch_targets(cluster, &case.view.settings, round, Some(&request), None, true);
    let (targets, unconnected) = targets.into_iter().partition::<Vec<_>, _>(|name| is_connected(case, name));
    let may_wait = case.view.now < begun_at + STREAM_PATIENCE;
    let targets = match (targets.is_empty(), unconnected.is_empty()) {
        (false, _) => targets,
        (true, false) if may_wait => return case.wait(Reason::WaitingForStream { targets: unconnected }),
        // A failover names its candidate because it shall lead whatever it lacks; a switchover loses nothing.
        (true, false) if request.leader.is_none() => unconnected,
        _ => {
            case.memory.request_refused = true;
            case.memory.handover = None;
            return clear_request(case);
        }
    };
    if let Some(handover) = &mut case.memory.handover {
        handover.stopping = true;
    }
    case.memory.comes_back = true;
    let reason = Reason::HandingOver { to: request.candidate, targets };
    let checkpoint_first = case.view.server.is_primary();
    Some((Action::Begin(Task::Stop { mode: StopMode::Fast, checkpoint_first }), reason))
}

/// The server sends its log to this member at present, so that a fast stop ends only after the member has all of it. Of
/// one that streams from another member nothing is known here.
fn is_connected(case: &Case<'_>, name: &str) -> bool {
    let member = case.cluster().and_then(|cluster| cluster.member(name));
    let source = member.and_then(|member| member.tags.replicatefrom()).filter(|source| *source != name);
    let cascades = source.is_some_and(|source| source != case.me());
    let rows = case.view.server.monitoring.value().map_or(&[][..], |monitoring| &monitoring.replication);
    cascades || rows.iter().any(|row| row.application_name == name && row.state == "streaming")
}

fn restore_keys(case: &mut Case<'_>) -> Decision {
    if !is_in_office(case) {
        return None;
    }
    let cluster = case.fresh_cluster()?;
    let system_id = &case.view.server.control.value()?.system_id;
    if cluster.initialize.as_ref().is_none_or(|text| text.len() < 10) {
        return case.call(StoreCall::SetInitialize { system_id: system_id.clone() }, Reason::KeyLost);
    }
    if cluster.config.is_none() && case.view.store.has_configuration {
        return case.call(StoreCall::RestoreConfig, Reason::KeyLost);
    }
    None
}

fn write_history(case: &mut Case<'_>) -> Decision {
    let site = super::site::leads_site(case);
    let primary = leads(case) && case.view.server.is_primary();
    if !site && !primary {
        return None;
    }
    let monitoring = case.view.server.monitoring.value().filter(|it| it.is_primary != site)?;
    let timeline = monitoring.timeline?;
    if case.memory.history_written == Some(timeline) {
        return None;
    }
    let cluster = case.fresh_cluster()?;
    let known = cluster.timeline();
    // A standby cluster tells nothing, but what was told of a history that it left would keep everybody from leading
    // once it is promoted.
    let up_to_date = if site { known <= timeline } else { cluster.history.known && known == timeline };
    if up_to_date || timeline.0 == 1 && cluster.history.rows.is_empty() {
        case.memory.history_written = Some(timeline);
        return None;
    }
    if timeline.0 == 1 {
        return case.call(StoreCall::WriteHistory { rows: Vec::new() }, Reason::TimelinesToTell);
    }
    // A number that somebody else had taken, or was about to, was passed over: the last row need not be the one before.
    let kind = ErrandKind::ReadHistory;
    let read = case.memory.history_read == Some(timeline)
        && !case.view.errands.contains(&kind)
        && !case.view.errand_failures.contains_key(&kind);
    let local = case.view.store.local_history.as_ref();
    if read && local.is_some_and(Vec::is_empty) {
        case.memory.history_written = Some(timeline);
        return None;
    }
    let fits = |before: Timeline| before.0 + 1 == timeline.0 || read && before < timeline;
    match local.filter(|rows| rows.last().is_some_and(|row| fits(row.timeline))) {
        Some(rows) => {
            let mut rows = rows.clone();
            for row in &mut rows {
                let before = cluster.history.rows.iter().find(|old| {
                    old.timeline == row.timeline && old.switch_lsn == row.switch_lsn && old.timestamp.is_some()
                });
                if let Some(before) = before {
                    *row = before.clone();
                }
            }
            if let Some(kept) = case.view.settings.max_timelines_history {
                rows.drain(..rows.len().saturating_sub(kept));
            }
            if cluster.history.known && cluster.history.rows == rows {
                case.memory.history_written = Some(timeline);
                return None;
            }
            case.call(StoreCall::WriteHistory { rows }, Reason::TimelinesToTell)
        }
        None => {
            let decision = case.run(Errand::ReadHistory, Reason::TimelinesToTell);
            if decision.is_some() {
                case.memory.history_read = Some(timeline);
            }
            decision
        }
    }
}

fn first_checkpoint(case: &mut Case<'_>) -> Decision {
    if !leads(case) || !case.view.server.is_primary() || !case.memory.checkpoint_pending {
        return None;
    }
    case.run(Errand::CheckpointAfterPromote, Reason::FirstCheckpointDue)
}

fn sync_slots(case: &mut Case<'_>) -> Decision {
    if !is_in_office(case) {
        return None;
    }
    slots(case)
}

/// Brings the server's slots in order, where they are not.
pub(super) fn slots(case: &mut Case<'_>) -> Decision {
    let errand = super::slots::plan(case)?;
    case.run(errand, Reason::SlotsDiffer)
}

fn starve(case: &mut Case<'_>) -> Decision {
    if !leads(case) || !case.view.server.is_primary() || !super::durability::is_starved(case) {
        return None;
    }
    case.wait(Reason::StrictWithoutStandby)
}

fn go_on(case: &mut Case<'_>) -> Decision {
    if !leads(case) {
        return None;
    }
    if case.is_standby_site() {
        return case.wait(Reason::LeadingSite);
    }
    let kept = case.view.failsafe.kept_at.is_some();
    case.wait(if kept { Reason::KeptByMembers } else { Reason::Leading })
}
