//! Which physical slots a server should have: those of the members that stream from it, and, on every other member,
//! those that would be needed if it led (SLOT-01, SLOT-11). The latter are moved forward, so that they keep little.

use super::case::Case;
use super::slot_name;
use crate::model::{Errand, Lsn, SlotRow};
use std::collections::{BTreeMap, BTreeSet};

/// What has to be done about the server's slots, if anything.
pub(super) fn plan(case: &Case<'_>) -> Option<Errand> {
    if !case.view.settings.use_slots {
        return None;
    }
    let monitoring = case.view.server.monitoring.value()?;
    let cluster = case.fresh_cluster()?;
    let wanted = wanted(case)?;
    let have: BTreeMap<_, _> = monitoring.slots.iter().map(|slot| (slot.name.as_str(), slot)).collect();
    let unwanted = unwanted(case, &monitoring.slots, &wanted);
    let missing = wanted.iter().any(|name| !have.contains_key(name.as_str()));
    let advance = if case.holds_lease() {
        Vec::new()
    } else {
        let reached = monitoring.replayed_lsn.unwrap_or_default();
        advance(&cluster.status.slots, &wanted, &have, reached)
    };
    let read_at = case.view.server.monitoring.at();
    let just_done = case.view.slots_synced.as_ref().is_some_and(|(names, at)| {
        let same = names.iter().eq(wanted.iter());
        same && read_at.is_none_or(|read| read <= *at)
    });
    let advance_due =
        case.view.slots_synced.as_ref().is_none_or(|(_, at)| case.view.now.since(*at) >= case.view.settings.loop_wait);
    let due = (missing || !unwanted.is_empty()) && !just_done || (!advance.is_empty() && advance_due);
    due.then(|| Errand::SyncSlots { wanted: wanted.into_iter().collect(), unwanted, advance })
}

/// Slots of members that stream from here, and of those that would if this member led.
fn wanted(case: &Case<'_>) -> Option<BTreeSet<String>> {
    let cluster = case.cluster()?;
    let leading = case.holds_lease();
    let spare = !case.view.settings.member_slots_ttl.is_zero() && !case.view.settings.tags.nofailover();
    let mut wanted = BTreeSet::new();
    for member in cluster.members.iter().filter(|member| member.name != case.me() && !member.tags.nostream()) {
        let source = member.tags.replicatefrom().filter(|name| cluster.member(name).is_some());
        let from_here = source.map_or(leading, |name| name == case.me());
        if from_here || (spare && source.is_none()) {
            wanted.insert(slot_name(&member.name));
        }
    }
    Some(wanted)
}

/// Slots of ours that nobody needs: of members that stream from elsewhere, and of those that have been away for longer
/// than member_slots_ttl. A slot that no member ever had is not ours.
fn unwanted(case: &Case<'_>, have: &[SlotRow], wanted: &BTreeSet<String>) -> Vec<String> {
    let ttl = case.view.settings.member_slots_ttl;
    let ours = |name: &str| {
        name == slot_name(case.me())
            || case
                .memory
                .slots_seen
                .get(name)
                .is_some_and(|(present, seen)| *present || case.view.now.since(*seen) >= ttl)
    };
    have.iter()
        .filter(|slot| slot.physical && !slot.active && !slot.temporary)
        .filter(|slot| !wanted.contains(&slot.name) && !case.view.settings.slots.contains_key(&slot.name))
        .filter(|slot| ours(&slot.name))
        .map(|slot| slot.name.clone())
        .collect()
}

/// Slots to move forward: to where the leader's slot of that name is, but not past what was replayed here.
fn advance(
    leaders: &BTreeMap<String, Lsn>,
    wanted: &BTreeSet<String>,
    have: &BTreeMap<&str, &SlotRow>,
    reached: Lsn,
) -> Vec<(String, Lsn)> {
    let target = |name: &String| {
        let to = (*leaders.get(name)?).min(reached);
        let from = have.get(name.as_str()).filter(|slot| !slot.active)?.restart_lsn?;
        (from < to).then(|| (name.clone(), to))
    };
    wanted.iter().filter_map(target).collect()
}
