//! Synchronous mode around a change of the leader: what a standby does before it is promoted, and before it goes.

use super::super::Reason;
use super::super::case::{Case, Decision};
use super::super::leader::leads;
use crate::model::{Settings, StandbyNames, StoreCall, SyncState, SyncView, SynchronousMode};

/// Before the promotion the sync key says that this member leads, and whom it will wait for (SYNC-06): else a member
/// that only the former leader waited for could take over once more.
///
/// The former leader may have written the key since this member was found fit to lead by it: a machine that stood still,
/// its clock too, does so when it goes on, and acknowledges commits by what it wrote. Then the race is held again, by
/// the new key. From the moment that the key names this member, no such write can come.
pub(in crate::decide) fn prepare(case: &mut Case<'_>) -> Decision {
    if !leads(case) || case.view.server.is_primary() || case.paused() {
        return None;
    }
    if case.view.settings.synchronous_mode == SynchronousMode::Off {
        return drop_key(case);
    }
    let Some(cluster) = case.fresh_cluster() else {
        return case.wait(Reason::SyncKeyUnread);
    };
    let sync = &cluster.sync;
    let foreign = sync.leader.is_some() && !sync.is_led_by(case.me());
    if foreign && !case.memory.durability.was_judged_by(sync) {
        return case.call_or_wait(StoreCall::Release { optime: None }, Reason::SyncKeyChanged);
    }
    let (wanted, names) = before_promotion(&case.view.settings, sync);
    let may_change = sync.is_led_by(case.me()) && case.memory.durability.may_change(sync);
    let same = || SyncState { leader: case.me().to_owned(), standbys: sync.standbys.clone(), quorum: sync.quorum };
    let wanted = wanted.or_else(|| may_change.then(same));
    if let Some(wanted) = wanted {
        let reason = match may_change {
            true => Reason::SyncKeyMayChange,
            false => Reason::SyncKeyNotOurs { former: sync.leader.clone() },
        };
        return super::write(case, wanted, reason.clone()).or_else(|| case.wait(reason));
    }
    case.memory.durability.names = Some(names.to_string());
    None
}

/// A key that is left over from synchronous mode names standbys that the new primary does not wait for. Switched on
/// again before that one removes it, the mode would go by it.
fn drop_key(case: &mut Case<'_>) -> Decision {
    let sync = &case.cluster()?.sync;
    let version = sync.version.clone().filter(|_| sync.leader.is_some())?;
    super::remove(case, version).or_else(|| case.wait(Reason::SynchronousModeOff))
}

/// What the key has to say before the promotion, where it says something else, and whom commits wait for from the
/// first one on.
pub(super) fn before_promotion(settings: &Settings, sync: &SyncView) -> (Option<SyncState>, StandbyNames) {
    if let (SynchronousMode::Quorum, Some(former)) = (settings.synchronous_mode, &sync.leader) {
        return (quorum_of_mine(settings, sync, former), for_quorum(settings, sync));
    }
    let strict = settings.synchronous_mode_strict;
    // Voters of a quorum need not have every commit; standbys of the former leader have.
    let mut standbys: Vec<String> = sync.members().cloned().collect();
    standbys.retain(|name| strict && sync.quorum == 0 && !name.eq_ignore_ascii_case(&settings.name));
    standbys.sort();
    let names = match standbys.is_empty() && strict {
        true => StandbyNames::nobody_yet(),
        false => StandbyNames::all_of(standbys.iter().cloned()),
    };
    let said = sync.leader.as_ref() == Some(&settings.name) && sync.standbys == standbys && sync.quorum == 0;
    let wanted = SyncState { leader: settings.name.clone(), standbys, quorum: 0 };
    ((!said).then_some(wanted), names)
}

/// The former leader becomes a voter in this member's place. As long as the key called it the leader, it could lead
/// again without a vote, and lose what was acknowledged here.
fn quorum_of_mine(settings: &Settings, sync: &SyncView, former: &str) -> Option<SyncState> {
    if sync.is_led_by(&settings.name) {
        return None;
    }
    let others = sync.standbys.iter().filter(|name| !name.eq_ignore_ascii_case(&settings.name)).cloned();
    let mut standbys: Vec<String> = others.chain([former.to_owned()]).collect();
    standbys.sort();
    Some(SyncState { leader: settings.name.clone(), standbys, quorum: sync.quorum })
}

/// Commits wait for so many that the key's voters still tell who has them all.
fn for_quorum(settings: &Settings, sync: &SyncView) -> StandbyNames {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let others: Vec<String> =
        sync.members().filter(|name| !name.eq_ignore_ascii_case(&settings.name)).cloned().collect();
    let outsider = u32::from(!sync.knows(&settings.name));
    let strict = u32::from(settings.synchronous_mode_strict);
    let members = number(sync.standbys.len()) + 1;
    let count = (members.saturating_sub(sync.quorum + 1) + outsider).max(strict);
    match (others.is_empty(), count) {
        (_, 0) => StandbyNames::default(),
        (true, _) if strict == 0 => StandbyNames::default(),
        (true, _) => StandbyNames::nobody_yet(),
        (false, count) => StandbyNames::any_of(count.min(number(others.len())), others),
    }
}

/// A synchronous standby that is about to stop says so, and waits until its leader no longer counts on it: otherwise
/// commits would hang (SYNC-03). Longer than two loops it does not wait.
pub(in crate::decide) fn ask_for_release(case: &mut Case<'_>) -> Decision {
    if case.holds_lease() || !case.view.server.is_standby() || !case.task_is_idle() {
        return None;
    }
    let settings = &case.view.settings;
    let listed = super::active(settings, case.cluster()?)?.lists(case.me());
    if !listed || case.other_leader().is_none() || case.view.store.failing_since.is_some() {
        return None;
    }
    let until = settings.loop_wait * 2;
    let since = *case.memory.durability.leaving_since.get_or_insert(case.view.now);
    if case.view.now >= since + until {
        return None;
    }
    case.wait(Reason::WaitingForRelease)
}
