//! Synchronous mode around a change of the leader: what a standby does before it is promoted, and before it goes.

use super::super::Reason;
use super::super::case::{Case, Decision};
use super::super::leader::leads;
use crate::model::{StandbyNames, StoreCall, SyncState, SyncView, SynchronousMode};

/// Before the promotion the sync key says that this member leads, and whom it will wait for (SYNC-06): else a member
/// that only the former leader waited for could take over once more.
pub(in crate::decide) fn prepare(case: &mut Case<'_>) -> Decision {
    let mode = case.view.settings.synchronous_mode;
    if !leads(case) || case.view.server.is_primary() || case.paused() || mode == SynchronousMode::Off {
        return None;
    }
    let Some(cluster) = case.fresh_cluster() else {
        return case.wait(Reason::SyncKeyUnread);
    };
    let sync = &cluster.sync;
    if mode == SynchronousMode::Quorum && sync.leader.is_some() {
        case.memory.durability.names = Some(for_quorum(case, sync).to_string());
        return None;
    }
    let strict = case.view.settings.synchronous_mode_strict;
    let mut standbys: Vec<String> =
        sync.members().filter(|name| !name.eq_ignore_ascii_case(case.me())).cloned().collect();
    standbys.sort();
    standbys.retain(|_| strict);
    let wanted = SyncState { leader: case.me().to_owned(), standbys, quorum: 0 };
    let present = sync.leader.as_ref() == Some(&wanted.leader) && sync.standbys == wanted.standbys && sync.quorum == 0;
    if !present {
        let former = sync.leader.clone();
        let call = StoreCall::WriteSync { sync: wanted, over: sync.version.clone() };
        let reason = Reason::SyncKeyNotOurs { former };
        return case.call(call, reason.clone()).or_else(|| case.wait(reason));
    }
    let names = match (wanted.standbys.is_empty(), strict) {
        (true, true) => StandbyNames::nobody_yet(),
        _ => StandbyNames::all_of(wanted.standbys),
    };
    case.memory.durability.names = Some(names.to_string());
    None
}

/// The key stays as it is, and commits wait for so many that its voters still tell who has them all.
fn for_quorum(case: &Case<'_>, sync: &SyncView) -> StandbyNames {
    let members = u32::try_from(sync.standbys.len()).unwrap_or(u32::MAX).saturating_add(1);
    let others = sync.members().filter(|name| !name.eq_ignore_ascii_case(case.me())).cloned();
    let strict = u32::from(case.view.settings.synchronous_mode_strict);
    let outsider = u32::from(!sync.knows(case.me()));
    let count = (members.saturating_sub(sync.quorum + 1) + outsider).max(strict);
    let others: Vec<String> = others.collect();
    match (others.is_empty(), count) {
        (true, 0) | (false, 0) => StandbyNames::default(),
        (true, _) => StandbyNames::nobody_yet(),
        (false, count) => StandbyNames::any_of(count.min(u32::try_from(others.len()).unwrap_or(count)), others),
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
