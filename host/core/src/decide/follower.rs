//! Situation 10xx, follower: somebody else has the lock, or nobody can say who; this member's server is a standby.

use super::case::{Case, Decision};
use super::{Action, Divergence, Reason, Reconnecting, Rule};
use crate::model::{Errand, PostmasterStatus, Role, StopMode, Task};
use std::time::Duration;

/// Between two times that a server is told to connect again: the server is asked about its stream once a second.
const RECONNECT_PAUSE: Duration = Duration::from_millis(800);

/// So long after its history was found to be the leader's, that of a standby which still does not stream is compared
/// again.
const COMPARE_AGAIN: Duration = Duration::from_secs(10);

/// How often it is told before it is left to its own attempts.
const RECONNECT_TRIES: u32 = 60;

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 1010,
        situation: "follower",
        sentence: "A running standby that left the leader's history is stopped, so that it can be rewound or made anew.",
        apply: stop_diverged,
    },
    Rule {
        number: 1015,
        situation: "follower",
        sentence: "A running standby that does not stream although the leader is on a newer timeline has its history compared; \
                   except in maintenance, also if that is on an older one.",
        apply: compare,
    },
    Rule {
        number: 1020,
        situation: "follower",
        sentence: "A standby that streams from the wrong server, or nobody knows from where, is told whom to follow.",
        apply: follow,
    },
    Rule {
        number: 1030,
        situation: "follower",
        sentence: "Slots on a standby are those of the members that stream from it or would if it led, and those that \
                   are to last; they follow the leader's.",
        apply: slots,
    },
    Rule {
        number: 1035,
        situation: "follower",
        sentence: "Logical slots that the leader has and a standby lacks are brought over, with a restart; not in \
                   maintenance.",
        apply: copy_slots,
    },
    Rule {
        number: 1040,
        situation: "follower",
        sentence: "A standby that receives nothing although the leader has the lock is told to connect again.",
        apply: reconnect,
    },
    Rule {
        number: 1080,
        situation: "follower",
        sentence: "A server that is still starting is waited for.",
        apply: starting,
    },
    Rule { number: 1090, situation: "follower", sentence: "Otherwise the standby goes on.", apply: go_on },
];

fn follows(case: &Case<'_>) -> bool {
    case.task_is_idle() && !case.holds_lease() && case.view.server.is_standby()
}

/// A history that was left can be joined again. In a standby cluster nothing is made anew for it: all members may have
/// left the remote side's at once.
pub(super) fn can_be_mended(case: &Case<'_>) -> bool {
    let settings = &case.view.settings;
    let rewindable = case.view.server.control.value().is_some_and(|control| control.can_rewind);
    (settings.use_pg_rewind && rewindable)
        || (settings.remove_data_directory_on_diverged_timelines && !case.is_standby_site())
}

fn stop_diverged(case: &mut Case<'_>) -> Decision {
    if !follows(case) || case.memory.divergence != Divergence::Diverged || !can_be_mended(case) {
        return None;
    }
    let leader = case.other_leader()?.to_owned();
    let stop = Task::Stop { mode: StopMode::Fast, checkpoint_first: false };
    case.memory.comes_back = true;
    Some((Action::Begin(stop), Reason::Diverged { leader }))
}

fn compare(case: &mut Case<'_>) -> Decision {
    if !follows(case) || case.memory.divergence == Divergence::Diverged || !can_be_mended(case) {
        return None;
    }
    let leader = case.fresh_cluster()?.leader_member().filter(|leader| leader.name != case.me())?;
    let monitoring = case.view.server.monitoring.value()?;
    if monitoring.streaming_from.is_some() || leader.role != Some(Role::Primary) {
        return None;
    }
    let control = case.view.server.control.value()?;
    let newer = leader.timeline.is_some_and(|timeline| timeline > control.checkpoint_timeline);
    // A primary of before may have taken the lock in maintenance (PAUSE-03), which goes on to lead if an operator lets it.
    let older = !case.paused() && leader.timeline.is_some_and(|timeline| monitoring.timeline > Some(timeline));
    if !newer && !older && case.memory.divergence != Divergence::MustCheck {
        return None;
    }
    let reason = Reason::HistoriesToCompare { leader: leader.name.clone() };
    // What was found holds for that leader on that timeline; and of a standby that stays without a stream, not for ever.
    let now = case.view.now;
    let checked = case.memory.divergence == Divergence::None
        && case.memory.compared.as_ref().is_some_and(|compared| {
            compared.leader == leader.name
                && compared.timeline == leader.timeline
                && now.since(compared.at) < COMPARE_AGAIN
        });
    if checked {
        return None;
    }
    let source = case.leader_source()?;
    let name = source.name.clone();
    let decision = case.begin(Task::CompareHistories(source), reason);
    if decision.is_some() {
        case.memory.note_comparison(case.view, &name);
    }
    decision
}

fn follow(case: &mut Case<'_>) -> Decision {
    if !follows(case) {
        return None;
    }
    case.fresh_cluster()?.leader.as_ref()?;
    let source = case.source();
    if source.is_none() && !case.view.settings.tags.nostream() {
        return None;
    }
    if case.memory.followed.as_ref() == Some(&source) {
        return None;
    }
    let name = source.as_ref().map(|source| source.name.clone());
    case.begin(Task::Follow(source), Reason::FollowingChanged { source: name })
}

fn slots(case: &mut Case<'_>) -> Decision {
    if !follows(case) || case.other_leader().is_none() {
        return None;
    }
    super::leader::slots(case)
}

fn copy_slots(case: &mut Case<'_>) -> Decision {
    if !follows(case) || case.memory.divergence == Divergence::Diverged {
        return None;
    }
    super::slots::copy(case)
}

/// PostgreSQL sleeps for five seconds after an attempt that failed, say because the leader was restarting; whatever is
/// written in that time exists on the leader alone.
pub(super) fn reconnect(case: &mut Case<'_>) -> Decision {
    let Some(Some(source)) = case.memory.followed.clone() else {
        return None;
    };
    let monitoring = case.view.server.monitoring.value()?;
    let leader = match case.other_leader() {
        Some(leader) if follows(case) => leader.to_owned(),
        _ if super::site::leads_site(case) => source.name.clone(),
        _ => return None,
    };
    if source.name != leader || monitoring.is_primary || monitoring.streaming_from.is_some() {
        return None;
    }
    // The first attempt is the server's own; at the end it is left alone with a source that can not be reached.
    let last = case.memory.reconnecting.unwrap_or(Reconnecting { tried_at: case.view.now, tries: 0 });
    if case.memory.reconnecting.is_none() {
        case.memory.reconnecting = Some(last);
    }
    if last.tries >= RECONNECT_TRIES || case.view.now.since(last.tried_at) < RECONNECT_PAUSE {
        return None;
    }
    let decision = case.run(Errand::WakeReceiver, Reason::StreamLost { leader });
    if decision.is_some() {
        case.memory.reconnecting = Some(Reconnecting { tried_at: case.view.now, tries: last.tries + 1 });
    }
    decision
}

fn starting(case: &mut Case<'_>) -> Decision {
    let starting = case.server_runs() && case.view.server.status != Some(PostmasterStatus::Standby);
    if !starting || case.server_is_up() {
        return None;
    }
    case.wait(Reason::ServerStarting)
}

fn go_on(case: &mut Case<'_>) -> Decision {
    if !follows(case) {
        return None;
    }
    match case.other_leader() {
        Some(leader) if case.view.store.failing_since.is_none() => {
            let leader = leader.to_owned();
            case.wait(Reason::Following { leader })
        }
        _ => case.wait(Reason::FollowingWithoutLeader),
    }
}
