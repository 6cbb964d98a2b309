//! Which members have a role, as operators name roles.

use crate::dcs::Snapshot;
use regent_core::model::{MemberView, Role};

/// The members that have the role, by name.
pub(super) fn members(snapshot: &Snapshot, role: &str) -> Vec<MemberView> {
    snapshot.view.members.iter().filter(|member| has(member, snapshot, role)).cloned().collect()
}

fn has(member: &MemberView, snapshot: &Snapshot, role: &str) -> bool {
    let leads = snapshot.view.leader_name() == Some(member.name.as_str());
    match role {
        "leader" => leads,
        "primary" | "master" => leads && member.role != Some(Role::StandbyLeader),
        "standby-leader" => leads && member.role != Some(Role::Primary),
        "replica" | "standby" => !leads,
        _ => true,
    }
}
