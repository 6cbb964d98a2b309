//! Situation 84x, durability: whom commits wait for, and who may therefore take over without loss (synchronous mode).
//!
//! One order keeps acknowledged commits safe at every step: PostgreSQL waits for a standby before the sync key names
//! it, and the key forgets a standby before PostgreSQL stops waiting for it. Only the lock's holder writes the key,
//! and only over the version that it has read. What to do next is computed anew after each step.

mod memory;
mod priority;
mod promotion;
mod quorum;
mod standbys;
#[cfg(test)]
mod tests;

pub use memory::{Durability, KeyWrites, Mark};
pub(super) use promotion::{ask_for_release, prepare};

use super::case::{Case, Decision};
use super::leader::leads;
use super::{Reason, Rule};
use crate::model::{
    ClusterView, Errand, ErrandKind, Observed, Settings, StandbyNames, StoreCall, StoreCallKind, SyncState, SyncView,
    SynchronousMode, Version,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        number: 841,
        situation: "durability",
        sentence: "A sync key that is absent or another leader's is made ours; one of which an earlier write may come yet is \
                   written once more, before anything else changes.",
        apply: claim,
    },
    Rule {
        number: 842,
        situation: "durability",
        sentence: "A standby that commits will not or do not wait for leaves the sync key, before anything else changes.",
        apply: leave,
    },
    Rule {
        number: 843,
        situation: "durability",
        sentence: "PostgreSQL is told to wait for the standbys that were chosen.",
        apply: choose,
    },
    Rule {
        number: 844,
        situation: "durability",
        sentence: "A standby that commits wait for and that has caught up enters the sync key.",
        apply: enter,
    },
    Rule {
        number: 845,
        situation: "durability",
        sentence: "In quorum mode the key's voters and votes follow, so that any election finds every acknowledged commit.",
        apply: requorum,
    },
    Rule {
        number: 846,
        situation: "durability",
        sentence: "With synchronous mode off the sync key goes first.",
        apply: remove_key,
    },
    Rule {
        number: 847,
        situation: "durability",
        sentence: "With synchronous mode off and no sync key, PostgreSQL gets the user's own synchronous_standby_names.",
        apply: restore_user_value,
    },
];

/// What to do next about the sync key and PostgreSQL's names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// The key becomes ours.
    Claim(SyncState),
    /// Names leave the key.
    Leave(SyncState),
    /// PostgreSQL waits for these.
    Names(StandbyNames),
    /// Names enter the key.
    Enter(SyncState),
    /// Voters and votes change in the key.
    Quorum(SyncState),
    /// The server has to be read again first.
    Settle,
}

/// Synchronous mode as far as elections go: it is on, and a leader has said who is synchronous.
pub(super) fn active<'a>(settings: &Settings, cluster: &'a ClusterView) -> Option<&'a SyncView> {
    (settings.synchronous_mode != SynchronousMode::Off && cluster.sync.leader.is_some()).then_some(&cluster.sync)
}

/// Commits of a strict cluster wait although there is nobody to wait for.
pub(super) fn is_starved(case: &Case<'_>) -> bool {
    case.view.settings.synchronous_mode != SynchronousMode::Off
        && case.view.settings.synchronous_mode_strict
        && standbys::healthy(case.view).is_empty()
}

pub(super) fn next_step(case: &Case<'_>) -> Option<Step> {
    if !leads(case) || !case.view.server.is_primary() || case.memory.durability.setting {
        return None;
    }
    if case.lock_is_gone() || key_is_moving(case) {
        return None;
    }
    let (monitoring, at) = match &case.view.server.monitoring {
        Observed::Seen { value, at } if value.is_primary => (value, *at),
        _ => return None,
    };
    if at < case.memory.durability.set_at {
        return None;
    }
    let names = StandbyNames::parse(&monitoring.synchronous_standby_names).unwrap_or_default();
    if case.memory.durability.is_being_told(&names, case.view) {
        return None;
    }
    let key = &case.fresh_cluster()?.sync;
    if key.is_led_by(case.me()) && case.memory.durability.may_change(key) {
        let sync = SyncState { leader: case.me().to_owned(), standbys: key.standbys.clone(), quorum: key.quorum };
        return (case.view.settings.synchronous_mode != SynchronousMode::Off).then_some(Step::Claim(sync));
    }
    let situation = priority::Situation {
        settings: &case.view.settings,
        key,
        reached: case.memory.durability.mark_of(&names).and_then(|mark| mark.position),
        held: case.memory.durability.mark_of(&names).is_some_and(|mark| mark.held),
        names,
        healthy: standbys::healthy(case.view),
    };
    match case.view.settings.synchronous_mode {
        _ if reconnecting(case, &situation) => None,
        SynchronousMode::On => priority::next_step(&situation),
        SynchronousMode::Quorum => quorum::next_step(&situation),
        SynchronousMode::Off => None,
    }
}

/// A write is under way, and may be one of the key whose answer is lost: what was read before says nothing any more.
fn key_is_moving(case: &Case<'_>) -> bool {
    case.view.store.in_flight == Some(StoreCallKind::Write)
}

/// Right after a start, a promotion or a change of names those standbys get one loop to connect before they count as
/// gone: a restarted server would otherwise stop waiting for standbys that are on their way.
fn reconnecting(case: &Case<'_>, situation: &priority::Situation<'_>) -> bool {
    let mut healthy = situation.healthy.iter();
    let since = case.memory.durability.mark_of(&situation.names).map(|mark| mark.since);
    situation.names.members().next().is_some()
        && situation.key.is_led_by(case.me())
        && !healthy.any(|standby| situation.names.contains(&standby.name))
        && since.is_none_or(|since| case.view.now < since + case.view.settings.loop_wait)
}

/// A strict cluster that was just made acknowledges nothing without a standby, from its first commit on.
pub(super) fn before_first_lock(case: &mut Case<'_>) -> Decision {
    let settings = &case.view.settings;
    if settings.synchronous_mode == SynchronousMode::Off || !settings.synchronous_mode_strict {
        return None;
    }
    let names = Some(StandbyNames::nobody_yet().to_string());
    if case.memory.durability.names == names && !case.memory.durability.setting {
        return None;
    }
    set_names(case, names, Reason::StrictWithoutStandby).or_else(|| case.wait(Reason::StrictWithoutStandby))
}

fn write(case: &mut Case<'_>, sync: SyncState, reason: Reason) -> Decision {
    let over = case.cluster()?.sync.version.clone();
    call(case, StoreCall::WriteSync { sync, over: over.clone() }, over, reason)
}

/// Writes or removes the key over this version, and notes that this may come late.
fn call(case: &mut Case<'_>, call: StoreCall, over: Option<Version>, reason: Reason) -> Decision {
    let decision = case.call(call, reason);
    if decision.is_some() {
        case.memory.durability.key = KeyWrites::MayCome(over);
    }
    decision
}

fn claim(case: &mut Case<'_>) -> Decision {
    let Some(Step::Claim(sync)) = case.durability_step().cloned() else { return None };
    let key = &case.cluster()?.sync;
    let reason = match key.is_led_by(case.me()) {
        true => Reason::SyncKeyMayChange,
        false => Reason::SyncKeyNotOurs { former: key.leader.clone() },
    };
    write(case, sync, reason)
}

fn requorum(case: &mut Case<'_>) -> Decision {
    let Some(Step::Quorum(sync)) = case.durability_step().cloned() else { return None };
    let (voters, quorum) = (sync.standbys.clone(), sync.quorum);
    write(case, sync, Reason::QuorumChanges { voters, quorum })
}

fn leave(case: &mut Case<'_>) -> Decision {
    let Some(Step::Leave(sync)) = case.durability_step().cloned() else { return None };
    let stay = sync.standbys.clone();
    write(case, sync, Reason::StandbysLeave { stay })
}

fn enter(case: &mut Case<'_>) -> Decision {
    let Some(Step::Enter(sync)) = case.durability_step().cloned() else { return None };
    let standbys = sync.standbys.clone();
    write(case, sync, Reason::StandbysEnter { standbys })
}

fn choose(case: &mut Case<'_>) -> Decision {
    let Some(Step::Names(names)) = case.durability_step().cloned() else { return None };
    let reason = if names == StandbyNames::nobody_yet() {
        Reason::StrictWithoutStandby
    } else {
        Reason::StandbysChosen { names: names.to_string() }
    };
    set_names(case, Some(names.to_string()), reason)
}

/// The server is told once; where it then still says something else, once more in each loop.
fn set_names(case: &mut Case<'_>, names: Option<String>, reason: Reason) -> Decision {
    let durability = &case.memory.durability;
    let just_told = durability.names == names && case.view.now < durability.set_at + case.view.settings.loop_wait;
    // Both write the same file.
    if just_told || case.view.errands.contains(&ErrandKind::ApplyConfiguration) {
        return None;
    }
    let decision = case.run(Errand::SetStandbyNames { names: names.clone() }, reason);
    if decision.is_some() {
        case.memory.durability.names = names;
    }
    decision
}

fn is_off(case: &Case<'_>) -> bool {
    let primary = leads(case) && !case.lock_is_gone() && case.view.server.is_primary();
    primary && case.view.settings.synchronous_mode == SynchronousMode::Off
}

fn remove_key(case: &mut Case<'_>) -> Decision {
    if !is_off(case) {
        return None;
    }
    let sync = &case.fresh_cluster()?.sync;
    let version = sync.version.clone().filter(|_| sync.leader.is_some())?;
    remove(case, version)
}

/// Removes the key that was read with this version.
fn remove(case: &mut Case<'_>, version: Version) -> Decision {
    call(case, StoreCall::DeleteSync { version: version.clone() }, Some(version), Reason::SynchronousModeOff)
}

fn restore_user_value(case: &mut Case<'_>) -> Decision {
    if !is_off(case)
        || key_is_moving(case)
        || case.fresh_cluster()?.sync.leader.is_some()
        || !case.memory.durability.user_value_due
    {
        return None;
    }
    let decision = set_names(case, None, Reason::SynchronousModeOff);
    if decision.is_some() {
        case.memory.durability.user_value_due = false;
    }
    decision
}
