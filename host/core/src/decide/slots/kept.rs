//! What is remembered of slots, and what the leader says of them in the `status` key: positions, and the names of slots
//! whose members are away (SLOT-11).

use super::super::{Memory, slot_name};
use super::wanted::{permanent_physical, wanted};
use super::{COPY_AGAIN, SINCE_ADVANCE};
use crate::model::{Lsn, Moment, Observed, Role, SlotSpec, StatusView, View};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Slots of members that are away, and of logical slots that were brought over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotsMemory {
    /// As leader: members' slots, and when the member was last known.
    retained: BTreeMap<String, Moment>,
    /// This member led at the last look: the times above are its own.
    led: bool,
    /// Logical slots that could not be moved: the log that they need is gone.
    broken: BTreeSet<String>,
    /// When a logical slot was last brought over, and where the leader's was then.
    copied: BTreeMap<String, (Option<Lsn>, Moment)>,
}

impl SlotsMemory {
    /// Takes in who is there. A new leader counts the time of those that are away from the beginning.
    pub(in crate::decide) fn absorb(&mut self, view: &View) {
        if view.lease.is_none_or(|lease| view.now >= lease.deadline) {
            self.led = false;
            self.retained.clear();
            return;
        }
        let Some(cluster) = view.cluster() else { return };
        self.broken.clear();
        self.copied.clear();
        if !self.led {
            self.led = true;
            self.retained = cluster.status.retain_slots.iter().map(|name| (name.clone(), view.now)).collect();
        }
        if let Observed::Seen { value, .. } = &view.server.monitoring {
            let own = slot_name(view.me());
            let streaming = cluster.members.iter().filter(|member| !member.tags.nostream());
            for name in streaming.map(|member| slot_name(&member.name)) {
                if name == own || value.slots.iter().any(|row| row.physical && row.name == name) {
                    self.retained.insert(name, view.now);
                }
            }
            self.retained.insert(own, view.now);
        }
        let ttl = view.settings.member_slots_ttl;
        let lasting = permanent_physical(&view.settings);
        self.retained.retain(|name, known| view.now.since(*known) < ttl && !lasting.contains(name));
    }

    /// Names of the members' slots that are kept, sorted.
    pub(super) fn retained(&self) -> impl Iterator<Item = &String> {
        self.retained.keys()
    }

    /// These logical slots could not be moved because the log that they need is gone.
    pub fn note_broken(&mut self, names: Vec<String>) {
        self.broken.extend(names);
    }

    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }

    /// The slot may be brought over: a while after the last time, and, where it is there already, once the leader's has
    /// moved, for the same copy would fail the same way.
    pub(super) fn may_copy(&self, view: &View, name: &str, position: Option<Lsn>) -> bool {
        self.copied.get(name).is_none_or(|(last, at)| {
            let moved = position.is_none() || position > *last;
            moved && view.now.since(*at) >= COPY_AGAIN
        })
    }

    /// These slots were brought over.
    pub(in crate::decide) fn note_copies(&mut self, view: &View, slots: &[SlotSpec]) {
        for slot in slots {
            let position = view.cluster().and_then(|cluster| cluster.status.slots.get(&slot.name).copied());
            self.broken.remove(&slot.name);
            self.copied.insert(slot.name.clone(), (position, view.now));
        }
    }

    /// The data directory is another one.
    pub(in crate::decide) fn forget_copies(&mut self) {
        self.broken.clear();
        self.copied.clear();
    }
}

/// What the leader says of its position and its slots: only from a server that answered lately (HA-03). A standby
/// leader's position is what it has of the remote side's log.
pub fn published_status(view: &View, memory: &Memory) -> Option<StatusView> {
    let Observed::Seen { value, at } = &view.server.monitoring else {
        return None;
    };
    let young = view.now.since(*at) <= view.settings.loop_wait + Duration::from_secs(2);
    let leads_site = memory.role == Role::StandbyLeader && !value.is_primary;
    let position = if leads_site { value.position() } else { value.current_lsn.filter(|_| value.is_primary) };
    let position = position.filter(|_| young)?;
    let mut status = StatusView { optime: Some(position), ..StatusView::default() };
    if view.server.version < SINCE_ADVANCE || !view.settings.use_slots {
        return Some(status);
    }
    let wanted = wanted(view, memory, true).unwrap_or_default();
    let rows = value.slots.iter().filter(|row| !row.temporary && !row.lost);
    let known = rows.filter(|row| wanted.get(&row.name).is_some_and(|slot| !slot.spec.differs_from(row)));
    status.slots = known.filter_map(|row| Some((row.name.clone(), row.position()?))).collect();
    status.slots.insert(slot_name(view.me()), position);
    status.retain_slots = memory.slots.retained().cloned().collect();
    Some(status)
}

/// What a leader whose server is down says as it gives the lock back: how far it wrote, and of the slots what it said
/// last (`said`), for the next leader goes on from there; without that, what the key says.
pub fn parting_status(view: &View, said: Option<&StatusView>, optime: Lsn) -> StatusView {
    let last = said.or_else(|| Some(&view.cluster()?.status));
    StatusView { optime: Some(optime), ..last.cloned().unwrap_or_default() }
}
