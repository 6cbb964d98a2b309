//! Which standbys could be synchronous: they run, stream from here, want to be, and are near enough (SYNC-04, SYNC-12,
//! SYNC-14).

use crate::model::{ClusterView, CommitPoint, Lsn, MemberView, Monitoring, ReplicationRow, View};
use std::cmp::Reverse;

/// A standby that could be synchronous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// The member's name.
    pub name: String,
    /// What PostgreSQL says of it: `sync`, `quorum`, `potential`, `async`.
    pub state: String,
    /// How far it is, in the sense in which commits wait.
    pub position: Lsn,
    /// Its sync_priority.
    pub priority: i64,
    /// It may become primary.
    pub may_lead: bool,
}

/// Every one of them, best first: those that may lead, then by priority, then those that are synchronous already, then
/// by position.
pub fn healthy(view: &View) -> Vec<Standby> {
    let (Some(cluster), Some(monitoring)) = (view.cluster(), view.server.monitoring.value()) else {
        return Vec::new();
    };
    let mut found: Vec<Standby> = cluster
        .members
        .iter()
        .filter(|member| member.name != view.me() && member.is_running() && !member.tags.nosync())
        .filter(|member| !is_cascading(view, cluster, monitoring, member))
        .filter_map(|member| standby(monitoring, member))
        .collect();
    if let Some(limit) = view.settings.maximum_lag_on_syncnode {
        let foremost = match found.len() {
            0 | 1 => monitoring.current_lsn,
            _ => found.iter().map(|standby| standby.position).max(),
        };
        let foremost = foremost.unwrap_or_default();
        found.retain(|standby| standby.position.behind(foremost) <= limit);
    }
    found.sort_by(|a, b| order(b).cmp(&order(a)).then_with(|| a.name.cmp(&b.name)));
    found
}

fn order(standby: &Standby) -> (bool, i64, &str, Lsn) {
    (standby.may_lead, standby.priority, &standby.state, standby.position)
}

fn standby(monitoring: &Monitoring, member: &MemberView) -> Option<Standby> {
    let rows = monitoring.replication.iter().filter(|row| streams_as(row, &member.name));
    let row = rows.max_by_key(|row| (row.sync_state == "sync", Reverse(row.sync_priority)))?;
    let position = match monitoring.synchronous_commit {
        CommitPoint::Written => row.write_lsn,
        CommitPoint::Flushed => row.flush_lsn,
        CommitPoint::Replayed => row.replay_lsn,
    };
    Some(Standby {
        name: member.name.clone(),
        state: row.sync_state.clone(),
        position: position?,
        priority: member.tags.sync_priority(),
        may_lead: !member.tags.nofailover(),
    })
}

fn streams_as(row: &ReplicationRow, name: &str) -> bool {
    row.state == "streaming" && row.application_name.eq_ignore_ascii_case(name)
}

/// It should stream from another member, which is connected: that it streams from here will not last.
fn is_cascading(view: &View, cluster: &ClusterView, monitoring: &Monitoring, member: &MemberView) -> bool {
    let others = |source: &&str| *source != view.me() && *source != member.name;
    let source = member.tags.replicatefrom().filter(others).filter(|source| cluster.member(source).is_some());
    source.is_some_and(|source| monitoring.replication.iter().any(|row| streams_as(row, source)))
}
