//! Situation 5xx, directory: what lies in the data directory, whose it is, and how it comes to be.

use super::case::{Case, Decision};
use super::{Action, Bootstrap, Reason, Rule};
use crate::model::{DataDirectory, MemberView, StopMode, StoreCall, Task};

pub(super) const RULES_BEFORE: &[Rule] = &[Rule {
    number: 510,
    situation: "directory",
    sentence: "A data directory that can not be read, or holds something else, is left alone; the lock is given back.",
    apply: unusable,
}];

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 520,
        situation: "directory",
        sentence: "A server whose data directory is gone is stopped at once.",
        apply: stop_orphan,
    },
    Rule {
        number: 525,
        situation: "directory",
        sentence: "A lock without a data directory is given back.",
        apply: release_without_data,
    },
    Rule {
        number: 530,
        situation: "bootstrap",
        sentence: "In a cluster that was never initialized, who may bootstrap claims it.",
        apply: claim,
    },
    Rule {
        number: 532,
        situation: "bootstrap",
        sentence: "Who has the claim makes the first server; that of a standby cluster is a clone of the remote side.",
        apply: build,
    },
    Rule {
        number: 534,
        situation: "bootstrap",
        sentence: "When it is up, the store is told its system identifier, then its configuration, and the lock is taken.",
        apply: publish,
    },
    Rule {
        number: 540,
        situation: "directory",
        sentence: "An empty data directory is cloned from a running member, once the leader's commits do not count on this \
                   one any more; if they go on to, from the leader itself.",
        apply: clone,
    },
    Rule {
        number: 543,
        situation: "directory",
        sentence: "In a cluster without a leader, a method that needs nobody to copy from makes the replica.",
        apply: clone_from_nobody,
    },
    Rule {
        number: 545,
        situation: "directory",
        sentence: "Without anybody to clone from, an empty data directory waits.",
        apply: wait_for_leader,
    },
    Rule {
        number: 550,
        situation: "directory",
        sentence: "A data directory of another cluster ends the daemon; in maintenance it only gives the lock back.",
        apply: foreign_cluster,
    },
    Rule {
        number: 555,
        situation: "directory",
        sentence: "An unlocked cluster without an identifier takes that of a data directory that is not a running replica's.",
        apply: identify,
    },
];

fn unusable(case: &mut Case<'_>) -> Decision {
    let reason = match &case.view.server.data_directory {
        DataDirectory::Inaccessible(why) => Reason::DirectoryInaccessible { why: why.clone() },
        DataDirectory::Foreign => Reason::DirectoryForeign,
        _ => return None,
    };
    // What a method left that keeps its work is no secret to whoever asks for it to be made anew.
    let anew = reason == Reason::DirectoryForeign && case.view.requests.reinitialize.is_some();
    if case.server_runs() || anew {
        return None;
    }
    if case.holds_lease() {
        return case.call_or_wait(StoreCall::Release { optime: None }, reason);
    }
    case.wait(reason)
}

fn is_empty(case: &Case<'_>) -> bool {
    case.view.server.data_directory == DataDirectory::Empty
}

fn stop_orphan(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) || !case.server_runs() || !case.task_is_idle() || case.paused() {
        return None;
    }
    Some((Action::Begin(Task::Stop { mode: StopMode::Immediate, checkpoint_first: false }), Reason::DirectoryGone))
}

fn release_without_data(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) || !case.holds_lease() {
        return None;
    }
    case.call_or_wait(StoreCall::Release { optime: None }, Reason::DirectoryGone)
}

fn claim(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) || case.paused() || case.view.store.claimed || case.memory.bootstrap == Bootstrap::Failed {
        return None;
    }
    let cluster = case.fresh_cluster()?;
    let virgin = cluster.leader.is_none() && cluster.initialize.is_none();
    if !virgin || !case.view.settings.may_bootstrap || case.view.settings.tags.nofailover() {
        return None;
    }
    case.call(StoreCall::ClaimInitialize, Reason::ClusterNotInitialized)
}

fn build(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) || !case.view.store.claimed || case.memory.bootstrap != Bootstrap::Idle {
        return None;
    }
    let task = match case.is_standby_site() {
        true => Task::Clone { source: case.remote(), only_basebackup: false },
        false => Task::Bootstrap,
    };
    let decision = case.begin(task, Reason::BootstrapClaimed);
    if decision.is_some() {
        case.memory.bootstrap = Bootstrap::Building;
    }
    decision
}

fn publish(case: &mut Case<'_>) -> Decision {
    let publishing = matches!(case.memory.bootstrap, Bootstrap::Built | Bootstrap::Identified | Bootstrap::Configured);
    let decision = publish_next(case);
    let unfinished = publishing && case.memory.bootstrap != Bootstrap::Idle;
    decision.or_else(|| unfinished.then(|| case.wait(Reason::BootstrapPublishing)).flatten())
}

fn publish_next(case: &mut Case<'_>) -> Decision {
    let waiting = Reason::BootstrapPublishing;
    match case.memory.bootstrap {
        Bootstrap::Built => {
            let system_id = case.view.server.control.value()?.system_id.clone();
            let cluster = case.fresh_cluster()?;
            if cluster.initialize.as_deref() != Some(system_id.as_str()) {
                return case.call(StoreCall::SetInitialize { system_id }, waiting);
            }
            case.memory.bootstrap = Bootstrap::Identified;
            publish_next(case)
        }
        Bootstrap::Identified => {
            if case.fresh_cluster()?.config.is_none() && case.view.store.has_configuration {
                return case.call(StoreCall::RestoreConfig, waiting);
            }
            case.memory.bootstrap = Bootstrap::Configured;
            publish_next(case)
        }
        Bootstrap::Configured if !case.holds_lease() => {
            let leader = case.fresh_cluster()?.leader_name();
            let free = leader.is_none() || leader == Some(case.me());
            if let Some(first) = super::durability::before_first_lock(case) {
                return Some(first);
            }
            if free { case.call(StoreCall::Acquire, waiting) } else { None }
        }
        Bootstrap::Configured => {
            case.memory.bootstrap = Bootstrap::Idle;
            None
        }
        _ => None,
    }
}

/// Comes before what is said of a data directory that is none: a failed bootstrap leaves such ones (BOOT-18).
pub(super) fn give_back(case: &mut Case<'_>) -> Decision {
    let leaving = case.view.requests.shutdown;
    if leaving && case.view.store.failing_since.is_some() {
        return None;
    }
    if case.memory.bootstrap == Bootstrap::Failed && case.task_is_idle() {
        if case.view.store.claimed {
            return case
                .call(StoreCall::CancelInitialize, Reason::BootstrapFailed)
                .or_else(|| case.wait(Reason::BootstrapFailed));
        }
        case.memory.bootstrap = Bootstrap::GivenBack;
        return Some((Action::Begin(Task::SetAsideFailedBootstrap), Reason::BootstrapFailed));
    }
    let finished = matches!(&case.view.finished, Some(finished) if finished.task == Task::SetAsideFailedBootstrap);
    let code = if leaving { 0 } else { 1 };
    (finished && case.task_is_idle()).then_some((Action::Exit { code }, Reason::BootstrapFailed))
}

fn clone(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) {
        case.memory.counted_on_since = None;
        return None;
    }
    if case.paused() {
        return None;
    }
    // What is not known at this moment does not begin the wait anew.
    case.fresh_cluster()?;
    let counting = counting_leader(case);
    let since = counting.is_some().then(|| case.memory.counted_on_since.unwrap_or(case.view.now));
    case.memory.counted_on_since = since;
    if since.is_some_and(|since| case.view.now < since + case.view.settings.loop_wait * 2) {
        return case.wait(Reason::CountedOn { leader: counting? });
    }
    let cluster = case.fresh_cluster()?;
    let leader = cluster.leader_member().filter(|leader| leader.is_running() && leader.name != case.me())?;
    let only_basebackup = case.memory.clone_from_leader || counting.is_some();
    let member = if only_basebackup { leader } else { clone_source(case, leader) };
    let source = case.source_of(member).map(|source| crate::model::Source { slot: None, ..source })?;
    let reason = Reason::CloningFrom { member: member.name.clone() };
    case.begin(Task::Clone { source: Some(source), only_basebackup }, reason)
}

/// The leader whose commits waited for this member's data, which are gone. As long as the sync key names it, it could win
/// an election with a copy of somebody who has less. A strict leader that has nobody else keeps it in the key: then a
/// copy of the leader itself is what serves.
fn counting_leader(case: &Case<'_>) -> Option<String> {
    let cluster = case.fresh_cluster()?;
    let leader = cluster.leader_name()?;
    let sync = super::durability::active(&case.view.settings, cluster)?;
    (sync.is_led_by(leader) && sync.lists(case.me())).then(|| leader.to_owned())
}

/// BOOT-07: from an archive, say. Whose cluster is not made yet waits for that.
fn clone_from_nobody(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) || case.paused() || !case.view.settings.clones_without_source {
        return None;
    }
    let cluster = case.fresh_cluster()?;
    let made = match cluster.initialize.as_deref() {
        Some(identifier) => !identifier.is_empty(),
        None => !case.view.settings.may_bootstrap,
    };
    if cluster.leader.is_some() || !made || case.memory.bootstrap != Bootstrap::Idle {
        return None;
    }
    case.begin(Task::Clone { source: None, only_basebackup: false }, Reason::CloningFromNobody)
}

/// One of the running replicas that offer themselves, else the leader. Which one depends on our name alone, so that
/// several new members spread over the offers.
fn clone_source<'a>(case: &'a Case<'_>, leader: &'a MemberView) -> &'a MemberView {
    let Some(cluster) = case.view.cluster() else {
        return leader;
    };
    let offers: Vec<_> = cluster
        .members
        .iter()
        .filter(|member| member.tags.clonefrom() && member.is_running() && member.conn_url.is_some())
        .filter(|member| member.name != leader.name && member.name != case.view.settings.name)
        .collect();
    let spread: usize = case.view.settings.name.bytes().map(usize::from).sum();
    match offers.len() {
        0 => leader,
        count => offers[spread % count],
    }
}

fn wait_for_leader(case: &mut Case<'_>) -> Decision {
    if !is_empty(case) || case.server_runs() || case.memory.bootstrap != Bootstrap::Idle {
        return None;
    }
    let site = case.is_standby_site();
    case.wait(if site { Reason::WaitingForStandbyLeader } else { Reason::WaitingForLeaderToBootstrap })
}

fn valid_identifier(text: &str) -> bool {
    text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn foreign_cluster(case: &mut Case<'_>) -> Decision {
    if !case.task_is_idle() {
        return None;
    }
    let ours = &case.view.server.control.value()?.system_id;
    let theirs = case.cluster()?.initialize.as_ref().filter(|text| valid_identifier(text))?;
    if ours == theirs || !valid_identifier(ours) || case.memory.bootstrap != Bootstrap::Idle {
        return None;
    }
    let reason = Reason::SystemIdMismatch { ours: ours.clone(), theirs: theirs.clone() };
    if case.paused() {
        // An operator may be replacing the data directory: nobody is sent away, but such a server leads nobody.
        return if case.holds_lease() { case.call_or_wait(StoreCall::Release { optime: None }, reason) } else { None };
    }
    Some((Action::Exit { code: 1 }, reason))
}

fn identify(case: &mut Case<'_>) -> Decision {
    let system_id = case.view.server.control.value()?.system_id.clone();
    let cluster = case.fresh_cluster()?;
    let identified = cluster.initialize.as_deref().is_some_and(|text| text.is_empty() || valid_identifier(text));
    let unlocked = cluster.leader.is_none();
    if identified || !unlocked || case.paused() || case.memory.bootstrap != Bootstrap::Idle {
        return None;
    }
    if case.server_runs() && !case.view.server.may_take_writes() {
        return Some((Action::Exit { code: 1 }, Reason::ReplicaOfUnknownCluster));
    }
    case.call(StoreCall::SetInitialize { system_id }, Reason::ClusterNotIdentified)
}
