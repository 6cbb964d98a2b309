//! `GET /metrics`: the peer's names (rest-api §8), so that existing dashboards keep working, and a few of our own.

use crate::agent::handle::{PEER_VERSION, Published};
use regent_core::model::{Moment, PgState, Role};
use std::fmt::Write;

/// All metrics as text.
pub(super) fn render(published: &Published, now: Moment) -> String {
    let settings = &published.settings;
    let labels = format!("{{scope=\"{}\",name=\"{}\"}}", settings.scope, settings.name);
    let mut page = Page { text: String::with_capacity(8192), labels };
    peers(&mut page, published);
    ours(&mut page, published, now);
    page.text
}

struct Page {
    text: String,
    labels: String,
}

impl Page {
    fn put(&mut self, kind: &str, name: &str, help: &str, value: impl std::fmt::Display) {
        let labels = &self.labels;
        // Writing into a string can not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.put("gauge", name, help, value);
    }

    fn flag(&mut self, name: &str, help: &str, value: bool) {
        self.put("gauge", name, help, u8::from(value));
    }

    fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.put("counter", name, help, value);
    }
}

fn peers(page: &mut Page, published: &Published) {
    let version: String = PEER_VERSION.split('.').map(|part| format!("{part:0>2}")).collect();
    let monitoring = published.monitoring.as_deref();
    let primary = monitoring.filter(|monitoring| monitoring.is_primary);
    let replica = monitoring.filter(|monitoring| !monitoring.is_primary);
    let started = monitoring.map_or(0.0, |monitoring| monitoring.postmaster_start.0 as f64 / 1e6);
    let replayed_at = replica.and_then(|replica| replica.replayed_at).map_or(0.0, |at| at.0 as f64 / 1e6);
    let synchrony = super::status::synchronous(published);
    let state = |wanted: &str| replica.is_some_and(|replica| replica.replication_state.as_deref() == Some(wanted));
    page.gauge("patroni_version", "Peer version whose interface this is, without periods.", version);
    page.flag("patroni_postgres_running", "Value is 1 if Postgres is running, 0 otherwise.", monitoring.is_some());
    page.gauge("patroni_postmaster_start_time", "Epoch seconds since Postgres started.", started);
    page.flag("patroni_primary", "Value is 1 if this node is the leader, 0 otherwise.", primary.is_some());
    let location = primary.and_then(|primary| primary.current_lsn).unwrap_or_default().0;
    page.counter("patroni_xlog_location", "Current location of the Postgres transaction log.", location);
    let standby_leader = published.role == Role::StandbyLeader;
    page.flag("patroni_standby_leader", "Value is 1 if this node is the standby_leader.", standby_leader);
    page.flag("patroni_replica", "Value is 1 if this node is a replica, 0 otherwise.", replica.is_some());
    page.flag("patroni_sync_standby", "Value is 1 if this is a sync standby.", synchrony == Some("sync_standby"));
    page.flag("patroni_quorum_standby", "Value is 1 if this is a quorum standby.", synchrony == Some("quorum_standby"));
    let received = replica.and_then(|replica| replica.received_lsn.max(replica.replayed_lsn)).unwrap_or_default().0;
    page.counter("patroni_xlog_received_location", "Current location of the received transaction log.", received);
    let replayed = replica.and_then(|replica| replica.replayed_lsn).unwrap_or_default().0;
    page.counter("patroni_xlog_replayed_location", "Current location of the replayed transaction log.", replayed);
    page.gauge("patroni_xlog_replayed_timestamp", "Epoch seconds of the last replayed transaction.", replayed_at);
    let paused = replica.is_some_and(|replica| replica.replay_paused);
    page.flag("patroni_xlog_paused", "Value is 1 if replay is paused.", paused);
    page.flag("patroni_postgres_streaming", "Value is 1 if Postgres is streaming.", state("streaming"));
    let archive = state("in archive recovery");
    page.flag("patroni_postgres_in_archive_recovery", "Value is 1 if Postgres replicates from archive.", archive);
    let version = monitoring.map_or(0, |monitoring| monitoring.server_version);
    page.gauge("patroni_postgres_server_version", "Version of Postgres (if running), 0 otherwise.", version);
    cluster(page, published);
}

fn cluster(page: &mut Page, published: &Published) {
    let unlocked = published.cluster.as_ref().is_none_or(|cluster| cluster.view.leader.is_none());
    page.flag("patroni_cluster_unlocked", "Value is 1 if the cluster is unlocked.", unlocked);
    page.flag("patroni_failsafe_mode_is_active", "Value is 1 if failsafe mode is active.", published.failsafe_active);
    let enabled = published.settings.failsafe_mode;
    page.flag("patroni_failsafe_mode_enabled", "Value is 1 if failsafe mode is enabled.", enabled);
    let name = &published.settings.name;
    let failsafe = published.cluster.as_ref().and_then(|cluster| cluster.view.failsafe.as_ref());
    let member = failsafe.is_some_and(|map| map.contains_key(name));
    page.flag("patroni_failsafe_member", "Value is 1 if this node is in the failsafe key.", member);
    let timeline = published.timeline.unwrap_or(0);
    page.gauge("patroni_postgres_timeline", "Postgres timeline of this node (if running).", timeline);
    let seen = published.dcs_last_seen;
    page.gauge("patroni_dcs_last_seen", "Epoch seconds of the last contact with the DCS.", seen);
    let pending = !published.pending_restart.is_empty();
    page.flag("patroni_pending_restart", "Value is 1 if the node needs a restart.", pending);
    page.flag("patroni_is_paused", "Value is 1 if auto failover is disabled.", published.settings.paused);
    let number = PgState::ALL.iter().position(|state| *state == published.state);
    let number = number.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1);
    page.gauge("patroni_postgres_state", "Numeric representation of the Postgres state.", number);
    let priority = published.tags.failover_priority();
    page.gauge("patroni_failover_priority", "Failover priority of this node.", priority);
}

fn ours(page: &mut Page, published: &Published, now: Moment) {
    let seconds = |from: Moment, to: Moment| to.since(from).as_secs_f64();
    let left = published.lease_deadline.map_or(0.0, |deadline| seconds(now, deadline));
    page.gauge("regent_lease_left_seconds", "Time until the lock ends unless it is renewed; 0 without it.", left);
    let heartbeat = seconds(published.heartbeat_at, now);
    page.gauge("regent_loop_age_seconds", "Time since the decision loop last came round.", heartbeat);
    let monitoring = if published.monitoring.is_some() { seconds(published.monitoring_at, now) } else { -1.0 };
    page.gauge("regent_monitoring_age_seconds", "Age of the last answer of the server; -1 without one.", monitoring);
    page.flag("regent_task_running", "Value is 1 while long work is going on.", published.task.is_some());
}
