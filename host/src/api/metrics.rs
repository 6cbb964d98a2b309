//! `GET /metrics`: the peer's names (rest-api §8), so that existing dashboards keep working, and a few of our own.

use crate::agent::handle::{PEER_VERSION, Progress, Published};
use crate::telemetry::metrics::{Family, Metrics};
use regent_core::model::{FenceMode, Moment, PgState, Role, WatchdogState};
use std::fmt::Write;

/// All metrics as text.
pub(super) fn render(published: &Published, metrics: &Metrics, now: Moment) -> String {
    let settings = &published.settings;
    let labels = format!("scope=\"{}\",name=\"{}\"", escape(&settings.scope), escape(&settings.name));
    let mut page = Page { text: String::with_capacity(32 << 10), labels };
    peers(&mut page, published);
    ours(&mut page, published, now);
    measured(&mut page, metrics);
    page.text
}

/// A label's value as the text format has it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Page {
    text: String,
    labels: String,
}

impl Page {
    fn put(&mut self, kind: &str, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(kind, name, help);
        let labels = &self.labels;
        // Writing into a string can not fail.
        let _ = writeln!(self.text, "{name}{{{labels}}} {value}");
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        // As above.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn histograms(&mut self, name: &str, help: &str, family: &Family) {
        self.head("histogram", name, help);
        family.render(&mut self.text, name, &self.labels);
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
    let names = "0=initdb, 1=initdb_failed, 2=custom_bootstrap, 3=custom_bootstrap_failed, 4=creating_replica, 5=running, \
                 6=starting, 7=bootstrap_starting, 8=start_failed, 9=restarting, 10=restart_failed, 11=stopping, \
                 12=stopped, 13=stop_failed, 14=crashed";
    // Writing into a string can not fail.
    let _ = writeln!(page.text, "# Values: {names}");
    let number = PgState::ALL.iter().position(|state| *state == published.state);
    let number = number.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1);
    page.gauge("patroni_postgres_state", "Numeric representation of the Postgres state.", number);
    let priority = published.tags.failover_priority();
    page.gauge("patroni_failover_priority", "Failover priority of this node.", priority);
}

/// Our own.
fn ours(page: &mut Page, published: &Published, now: Moment) {
    let seconds = |from: Moment, to: Moment| to.since(from).as_secs_f64();
    let left = published.lease_deadline.map_or(0.0, |deadline| seconds(now, deadline));
    page.gauge("regent_lease_left_seconds", "Time until the lock ends unless it is renewed; 0 without it.", left);
    let heartbeat = seconds(published.heartbeat_at, now);
    page.gauge("regent_loop_age_seconds", "Time since the decision loop last came round.", heartbeat);
    let monitoring = if published.monitoring.is_some() { seconds(published.monitoring_at, now) } else { -1.0 };
    page.gauge("regent_monitoring_age_seconds", "Age of the last answer of the server; -1 without one.", monitoring);
    page.flag("regent_task_running", "Value is 1 while long work is going on.", published.task.is_some());
    let progress = published.progress.as_ref();
    let bytes = progress.map_or(0, |progress| progress.bytes);
    page.gauge("regent_method_bytes", "How much the method that makes the data directory has made; 0 without.", bytes);
    let total = progress.and_then(|progress| progress.bytes_total).unwrap_or(0);
    page.gauge("regent_method_total_bytes", "How much there will be, where the method says so; 0 otherwise.", total);
    let files = progress.and_then(|progress| progress.files).unwrap_or(0);
    page.gauge("regent_method_files", "How many files it has made, where that is known; 0 otherwise.", files);
    let percent = progress.and_then(Progress::percent).unwrap_or(0);
    page.gauge("regent_method_percent", "How much of the whole that is, where that is known; 0 otherwise.", percent);
    fences(page, published, now);
}

fn fences(page: &mut Page, published: &Published, now: Moment) {
    let settings = &published.settings;
    let alive = published.guard.alive;
    page.flag("regent_guard_wanted", "Value is 1 if there should be a lease guard.", settings.guard != FenceMode::Off);
    page.flag("regent_guard_alive", "Value is 1 if the lease guard's process answers.", alive);
    let armed = published.guard.armed_until.filter(|until| alive && *until > now);
    page.flag("regent_guard_armed", "Value is 1 if the guard kills the server at the lock's end.", armed.is_some());
    let wanted = settings.watchdog != FenceMode::Off;
    page.flag("regent_watchdog_wanted", "Value is 1 if the Linux watchdog should be used.", wanted);
    let open = matches!(published.watchdog.state, WatchdogState::Open { .. });
    page.flag("regent_watchdog_open", "Value is 1 while the Linux watchdog counts down and is fed.", open);
    let failed = published.watchdog_failed || published.watchdog.state == WatchdogState::Failed;
    page.flag("regent_watchdog_failed", "Value is 1 if the Linux watchdog was asked for and is not to be had.", failed);
}

/// What was counted and measured since the daemon began.
fn measured(page: &mut Page, metrics: &Metrics) {
    page.histograms("regent_loop_seconds", "How long a round of decisions took.", &metrics.rounds);
    page.histograms("regent_dcs_request_seconds", "How long the DCS took to answer, by operation.", &metrics.store);
    let errors = [("unreachable", &metrics.store_unreachable), ("unknown", &metrics.store_unknown)];
    page.head("counter", "regent_dcs_errors_total", "Operations on the DCS that were surely or perhaps not done.");
    for (kind, counters) in errors {
        for (operation, count) in counters.each() {
            let labels = &page.labels;
            // Writing into a string can not fail.
            let _ = writeln!(
                page.text,
                "regent_dcs_errors_total{{{labels},operation=\"{operation}\",error=\"{kind}\"}} {count}"
            );
        }
    }
    page.histograms("regent_task_seconds", "How long work on the server took, by task.", &metrics.tasks);
    let help = "Phases of failovers that this member brought about.";
    page.histograms("regent_failover_phase_seconds", help, &metrics.failovers);
    let help = "Phases of switchovers that this member had a part in.";
    page.histograms("regent_switchover_phase_seconds", help, &metrics.switchovers);
}
