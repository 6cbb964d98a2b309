//! Which slots a server should have: those of members that stream from it, those of members that would if it led, those
//! of members that are away, and those that the operator wants to last. It does not know what the server has.

use super::super::{Memory, slot_name};
use super::SINCE_ADVANCE;
use crate::model::{ClusterView, LogicalSlot, Lsn, MemberView, Settings, SlotSettings, SlotSpec, Tags, View};
use std::collections::{BTreeMap, BTreeSet};

/// A slot to have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// Which.
    pub spec: SlotSpec,
    /// A member streams through it here.
    pub expected_active: bool,
    /// Its member is away.
    pub absent: bool,
    /// Where the slot of that name is at the leader, or its member elsewhere: it is moved there.
    pub position: Option<Lsn>,
}

/// Every slot that the server should have, by name; `None` where the cluster is not known.
pub(super) fn wanted(view: &View, memory: &Memory, leading: bool) -> Option<BTreeMap<String, Wanted>> {
    let cluster = view.cluster()?;
    let mut wanted = of_members(view, cluster, leading);
    if keeps_spares(view) && (leading || !view.settings.tags.nofailover()) {
        let away: Vec<&String> = match leading {
            true => memory.slots.retained().collect(),
            false => cluster.status.retain_slots.iter().collect(),
        };
        for name in away.into_iter().filter(|name| **name != slot_name(view.me())) {
            wanted.entry(name.clone()).or_insert_with(|| Wanted {
                spec: SlotSpec::physical(name.clone()),
                expected_active: false,
                absent: true,
                position: published(view, cluster, leading, name),
            });
        }
    }
    for spec in permanent(view, cluster, leading) {
        let position = published(view, cluster, leading, &spec.name);
        let slot = Wanted { spec, expected_active: false, absent: true, position };
        // Of a member's slot that is to last as well, the member's says more; a logical one gives way to it.
        wanted.entry(slot.spec.name.clone()).or_insert(slot);
    }
    Some(wanted)
}

/// Slots are kept for members that do not stream from here now.
fn keeps_spares(view: &View) -> bool {
    view.server.version >= SINCE_ADVANCE && !view.settings.member_slots_ttl.is_zero()
}

fn of_members(view: &View, cluster: &ClusterView, leading: bool) -> BTreeMap<String, Wanted> {
    let me = view.me();
    let spare = keeps_spares(view) && !view.settings.tags.nofailover();
    let mut wanted = BTreeMap::new();
    for member in cluster.members.iter().filter(|member| member.name != me && !member.tags.nostream()) {
        let source = source_of(cluster, member);
        let expected_active = source.map_or(leading, |source| source == me);
        if !expected_active && !spare {
            continue;
        }
        let name = slot_name(&member.name);
        // The leader knows a cascading member's position from that member; everybody else knows it from the leader.
        let position = match (leading, expected_active) {
            (true, true) => None,
            (true, false) => member.xlog_location,
            (false, _) => published(view, cluster, false, &name).max(told_by_member(cluster, member)),
        };
        let slot = Wanted { spec: SlotSpec::physical(name.clone()), expected_active, absent: false, position };
        // Two members whose names become one: the slot is used here if one of them does.
        let present = wanted.entry(name).or_insert_with(|| slot.clone());
        present.expected_active |= slot.expected_active;
    }
    wanted
}

/// Whom the member streams from, where that is not the leader: `replicatefrom`, while that member runs.
fn source_of<'a>(cluster: &'a ClusterView, member: &'a MemberView) -> Option<&'a str> {
    let source = member.tags.replicatefrom().filter(|name| *name != member.name)?;
    let running = |source: &MemberView| source.is_running() && source.conn_url.is_some();
    (cluster.leader_name() != Some(source) && cluster.member(source).is_some_and(running)).then_some(source)
}

fn published(view: &View, cluster: &ClusterView, leading: bool, name: &str) -> Option<Lsn> {
    let moves = !leading && view.server.version >= SINCE_ADVANCE;
    cluster.status.slots.get(name).copied().filter(|_| moves)
}

/// A peer before 4.0 does not publish members' slots; members say themselves how far they are.
fn told_by_member(cluster: &ClusterView, member: &MemberView) -> Option<Lsn> {
    let version = cluster.leader_member()?.version.as_deref()?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    member.xlog_location.filter(|_| major < 4)
}

/// Slots that the operator wants to last, as far as they are for this server.
fn permanent(view: &View, cluster: &ClusterView, leading: bool) -> Vec<SlotSpec> {
    let settings = &view.settings;
    if settings.tags.nofailover() && !leading {
        return Vec::new();
    }
    let advances = view.server.version >= SINCE_ADVANCE;
    let logical = advances && settings.standby_cluster.is_none() && streams(cluster, view.me(), &settings.tags);
    let slots = settings.slots.iter().filter_map(|(name, slot)| permanent_slot(settings, name, slot).ok().flatten());
    slots
        .filter(|spec| if spec.logical.is_some() { logical } else { advances || leading })
        .filter(|spec| spec.logical.is_some() || spec.name != slot_name(view.me()))
        .collect()
}

/// Names of the physical slots that last: those of them that are members' need no keeping.
pub(super) fn permanent_physical(settings: &Settings) -> BTreeSet<String> {
    let slots = settings.slots.iter().filter_map(|(name, slot)| permanent_slot(settings, name, slot).ok().flatten());
    slots.filter(|spec| spec.logical.is_none()).map(|spec| spec.name).collect()
}

/// One entry of `slots`: what it asks for in this type of cluster, or what is wrong with it.
fn permanent_slot(settings: &Settings, name: &str, slot: &SlotSettings) -> Result<Option<SlotSpec>, String> {
    let legal = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
    if name.is_empty() || name.len() > 63 || !name.chars().all(legal) {
        return Err(format!("{name:?} is not a name that a slot can have"));
    }
    let own_type = if settings.standby_cluster.is_some() { "standby" } else { "primary" };
    let meant = slot.cluster_type.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(own_type));
    let spec = match (slot.kind.as_deref(), &slot.database, &slot.plugin) {
        (Some("physical") | None, ..) => SlotSpec::physical(name),
        (Some("logical"), Some(database), Some(plugin)) => {
            let logical = LogicalSlot { database: database.clone(), plugin: plugin.clone() };
            SlotSpec { name: name.to_owned(), logical: Some(logical) }
        }
        (Some("logical"), ..) => return Err(format!("the logical slot {name} needs a database and a plugin")),
        (Some(other), ..) => return Err(format!("the slot {name} cannot be of the type {other:?}")),
    };
    Ok(meant.then_some(spec))
}

/// Neither this member nor one between it and the leader lives without a stream.
fn streams(cluster: &ClusterView, name: &str, tags: &Tags) -> bool {
    let mut passed = BTreeSet::from([name]);
    let mut tags = tags;
    loop {
        if tags.nostream() {
            return false;
        }
        match tags.replicatefrom().and_then(|name| cluster.member(name)) {
            Some(next) if passed.insert(&next.name) => tags = &next.tags,
            _ => return true,
        }
    }
}

/// The standby has to tell its source which rows its logical slots need, or those of standbys behind it (SLOT-10).
pub fn feedback_needed(view: &View) -> bool {
    let settings = &view.settings;
    let mut specs =
        settings.slots.iter().filter_map(|(name, slot)| permanent_slot(settings, name, slot).ok().flatten());
    let logical = specs.any(|spec| spec.logical.is_some());
    if !logical || settings.standby_cluster.is_some() || !settings.use_slots || view.server.version < SINCE_ADVANCE {
        return false;
    }
    let Some(cluster) = view.cluster() else {
        return !settings.tags.nostream() && !settings.tags.nofailover();
    };
    let mut asked = BTreeSet::new();
    let mut waiting = vec![(view.me(), &settings.tags)];
    while let Some((name, tags)) = waiting.pop() {
        if !asked.insert(name) || tags.nostream() {
            continue;
        }
        if !tags.nofailover() && streams(cluster, name, tags) {
            return true;
        }
        let behind = cluster.members.iter().filter(|member| member.tags.replicatefrom() == Some(name));
        waiting.extend(behind.map(|member| (member.name.as_str(), &member.tags)));
    }
    false
}

/// What is wrong with the names of slots: entries that cannot be kept, and names that two have in common.
pub fn slot_complaints(settings: &Settings, cluster: Option<&ClusterView>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut members: BTreeMap<String, &str> = BTreeMap::new();
    for member in cluster.iter().flat_map(|cluster| &cluster.members) {
        let name = slot_name(&member.name);
        if let Some(other) = members.insert(name.clone(), &member.name) {
            complaints.push(format!("the members {other} and {} share the slot {name}", member.name));
        }
    }
    for (name, slot) in &settings.slots {
        match permanent_slot(settings, name, slot) {
            Err(complaint) => complaints.push(complaint),
            Ok(Some(SlotSpec { name, logical: Some(_) })) if members.contains_key(&name) => {
                complaints.push(format!("the logical slot {name} has the name of a member's slot and is not made"));
            }
            Ok(_) => {}
        }
    }
    complaints
}
