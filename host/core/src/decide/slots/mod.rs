//! What has to be done about the server's slots: which to make, to drop, to move forward and to bring over (SLOT-01 to
//! SLOT-12). Which slots a server should have is the concern of `wanted`, what the leader says of them that of `kept`.

mod kept;
#[cfg(test)]
mod tests;
mod wanted;

pub use kept::{SlotsMemory, parting_status, published_status};
pub use wanted::{feedback_needed, slot_complaints};

use super::case::{Case, Decision};
use super::{Action, Reason};
use crate::model::{Errand, ErrandKind, Lsn, Settings, SlotRow, SlotSettings, SlotSpec, Task};
use std::collections::BTreeMap;
use std::time::Duration;
use wanted::{Wanted, wanted};

/// From 11 on a slot can be moved without a consumer.
const SINCE_ADVANCE: u32 = 110_000;

/// A logical slot that was brought over in vain is not brought over again sooner: each time the standby is restarted.
const COPY_AGAIN: Duration = Duration::from_secs(60);

/// What has to be done about the server's slots beside what else goes on, if anything.
pub(super) fn plan(case: &Case<'_>) -> Option<Errand> {
    let view = case.view;
    if !view.settings.use_slots {
        return None;
    }
    let monitoring = view.server.monitoring.value()?;
    case.fresh_cluster()?;
    let leading = case.holds_lease();
    let wanted = wanted(view, case.memory, leading)?;
    let have: BTreeMap<_, _> = monitoring.slots.iter().map(|slot| (slot.name.as_str(), slot)).collect();
    let mut plan = Plan::default();
    for slot in wanted.values() {
        plan.judge(case, slot, have.get(slot.spec.name.as_str()).copied());
    }
    for row in have.values().filter(|row| !wanted.contains_key(&row.name)) {
        if droppable(case, row) && (!row.failover || !leading && !row.synced) {
            plan.unwanted.push(row.name.clone());
        }
    }
    plan.unwanted.sort();
    let names: Vec<String> = wanted.into_keys().collect();
    plan.into_errand(case, names)
}

#[derive(Default)]
struct Plan {
    create: Vec<SlotSpec>,
    unwanted: Vec<String>,
    advance: Vec<(SlotSpec, Lsn)>,
}

impl Plan {
    fn judge(&mut self, case: &Case<'_>, slot: &Wanted, row: Option<&SlotRow>) {
        // A logical slot cannot be made on a standby: it is brought over.
        let can_make = slot.spec.logical.is_none() || case.holds_lease();
        let Some(row) = row else {
            self.create.extend(can_make.then(|| slot.spec.clone()));
            return;
        };
        if row.temporary || row.failover && !slot.spec.differs_from(row) {
            return;
        }
        if is_useless(slot, row, case.holds_lease()) {
            if droppable(case, row) {
                self.unwanted.push(row.name.clone());
                self.create.extend(can_make.then(|| slot.spec.clone()));
            }
            return;
        }
        let reached = case.view.server.monitoring.value().and_then(|server| server.replayed_lsn.or(server.current_lsn));
        let target = slot.position.zip(reached).map(|(position, reached)| position.min(reached));
        let moves = !row.active && case.view.server.version >= SINCE_ADVANCE;
        let behind = |to: &Lsn| row.position().is_some_and(|from| from < *to);
        if let Some(to) = target.filter(|to| moves && behind(to) && !case.memory.slots.is_broken(&row.name)) {
            self.advance.push((slot.spec.clone(), to));
        }
    }

    fn into_errand(self, case: &Case<'_>, wanted: Vec<String>) -> Option<Errand> {
        let view = case.view;
        let read_at = view.server.monitoring.at();
        let rested = |at| view.now.since(at) >= view.settings.loop_wait;
        // What was just brought about is not seen yet; and what could not be brought about is tried once a loop.
        let just_done = view
            .slots_synced
            .as_ref()
            .is_some_and(|(names, at)| *names == wanted && (read_at.is_none_or(|read| read <= *at) || !rested(*at)));
        let advance_due = view.slots_synced.as_ref().is_none_or(|(_, at)| rested(*at));
        let differs = !self.create.is_empty() || !self.unwanted.is_empty();
        let due = differs && !just_done || !self.advance.is_empty() && advance_due;
        let Plan { create, unwanted, advance } = self;
        due.then_some(Errand::SyncSlots { wanted, create, unwanted, advance })
    }
}

/// The slot is in the way of the one that is wanted, or can no longer do what it is for.
fn is_useless(slot: &Wanted, row: &SlotRow, leading: bool) -> bool {
    if slot.spec.differs_from(row) {
        return true;
    }
    if slot.spec.logical.is_some() {
        // On a standby the copy takes care of it, and until then it is of no harm.
        return leading && row.lost;
    }
    // A slot that nobody streams through here must not keep old rows. But an absent member comes back to the leader,
    // where what its slot keeps is kept on purpose.
    let keeps_rows = row.keeps_rows && !slot.expected_active && !(leading && slot.absent);
    row.lost || keeps_rows || row.restart_lsn.is_none() && !row.active
}

/// Slots in use are never dropped (SLOT-04), nor any in maintenance, nor those that are to be left alone (SLOT-09).
fn droppable(case: &Case<'_>, row: &SlotRow) -> bool {
    !case.paused() && !row.active && !row.temporary && !is_ignored(&case.view.settings, row)
}

/// A pattern of `ignore_slots` fits: all that it says is so.
fn is_ignored(settings: &Settings, row: &SlotRow) -> bool {
    let kind = if row.physical { "physical" } else { "logical" };
    let fits = |wanted: &Option<String>, has: Option<&str>| wanted.is_none() || wanted.as_deref() == has;
    settings.ignore_slots.iter().any(|(name, SlotSettings { kind: wanted, database, plugin, .. })| {
        fits(name, Some(&row.name))
            && fits(wanted, Some(kind))
            && fits(database, row.database.as_deref())
            && fits(plugin, row.plugin.as_deref())
    })
}

/// Logical slots that the leader has and this standby lacks, or can no longer move: brought over with a restart.
pub(super) fn copy(case: &mut Case<'_>) -> Decision {
    let view = case.view;
    if !view.settings.use_slots || case.paused() || view.server.version < SINCE_ADVANCE {
        return None;
    }
    // The restart would take the server away under them.
    if view.errands.contains(&ErrandKind::SyncSlots) {
        return None;
    }
    let cluster = case.fresh_cluster()?;
    let leader = cluster.leader_member().filter(|leader| leader.name != case.me() && leader.is_running())?;
    let switching = cluster.failover.as_ref().is_some_and(|request| !request.is_empty());
    // A standby that receives nothing would come up with slots that need a log which it does not have.
    let monitoring = view.server.monitoring.value().filter(|server| server.streaming_from.is_some())?;
    if switching || leader.role != Some(crate::model::Role::Primary) {
        return None;
    }
    let wanted = wanted(view, case.memory, false)?;
    let have = |name: &str| monitoring.slots.iter().find(|row| row.name == name);
    let due = |slot: &&Wanted| {
        let name = &slot.spec.name;
        let Some(position) = cluster.status.slots.get(name).filter(|_| slot.spec.logical.is_some()) else {
            return false;
        };
        match have(name) {
            None => case.memory.slots.may_copy(view, name, None),
            Some(row) if row.active || row.failover || slot.spec.differs_from(row) => false,
            Some(row) => {
                (row.lost || case.memory.slots.is_broken(name))
                    && case.memory.slots.may_copy(view, name, Some(*position))
            }
        }
    };
    let slots: Vec<SlotSpec> = wanted.values().filter(due).map(|slot| slot.spec.clone()).collect();
    if slots.is_empty() {
        return None;
    }
    let leader = leader.name.clone();
    let (from, follow) = (case.leader_source()?, case.source()?);
    let reason = Reason::LogicalSlotsMissing { leader };
    case.may_begin().then_some((Action::Begin(Task::CopySlots { slots, from, follow }), reason))
}
