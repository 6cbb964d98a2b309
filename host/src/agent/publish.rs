//! The published state: what the API and load balancers see, made anew after each round of decisions.

use super::configuration::Configuration;
use super::handle::{GuardReport, Progress, Published};
use super::{Agent, document};
use regent_core::decide::{GuardOrder, Memory};
use regent_core::model::{Moment, Observed, PgState, Role, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is published before the first decision.
pub(super) fn first(view: &View, configuration: &Configuration) -> Published {
    Published {
        generation: 1,
        settings: Arc::clone(&view.settings),
        state: if view.server.postmaster.is_some() { PgState::Starting } else { PgState::Stopped },
        role: Role::Uninitialized,
        monitoring: None,
        monitoring_at: Moment(0),
        position_final: false,
        timeline: None,
        system_id: None,
        tags: configuration.effective.settings.tags.clone(),
        pending_restart: BTreeMap::new(),
        scheduled_restart: None,
        cluster: None,
        cluster_at: Moment(0),
        dcs_last_seen: 0,
        lease_deadline: None,
        failsafe_active: false,
        watchdog_failed: view.watchdog_failed(),
        heartbeat_at: view.now,
        task: None,
        progress: None,
        guard: GuardReport { alive: view.guard.alive, armed_until: None },
        watchdog: view.watchdog,
    }
}

impl Agent {
    pub(super) fn publish(&mut self) {
        self.generation += 1;
        let view = &self.view;
        let up = view.server.is_primary() || view.server.is_standby();
        let (monitoring, monitoring_at) = match &view.server.monitoring {
            Observed::Seen { value, at } if up => (Some(Arc::new(value.clone())), *at),
            _ => (None, Moment(0)),
        };
        let loaded_at = view.store.snapshot.as_ref().map_or(Moment(0), |(_, at)| *at);
        let cluster = self.snapshot.clone().filter(|_| view.now.since(loaded_at) <= view.settings.ttl);
        let published = Published {
            generation: self.generation,
            settings: Arc::clone(&view.settings),
            state: document::state(view, &self.memory),
            role: self.memory.role,
            monitoring,
            monitoring_at,
            position_final: self.memory.position_is_final(view),
            timeline: view.own_timeline().map(|timeline| timeline.0),
            system_id: view.server.control.value().map(|control| control.system_id.clone()),
            tags: document::tags(view, &self.memory),
            pending_restart: self.pending_restart.clone(),
            scheduled_restart: self.scheduled_restart.clone(),
            cluster,
            cluster_at: loaded_at,
            dcs_last_seen: self.dcs_last_seen,
            lease_deadline: view.lease.map(|lease| lease.deadline).filter(|_| self.lease_counts()),
            failsafe_active: self.failsafe_active(),
            watchdog_failed: view.watchdog_failed(),
            heartbeat_at: view.now,
            task: view.running.as_ref().map(|running| running.task.to_string()),
            progress: self.progress(),
            guard: self.guard_report(),
            watchdog: view.watchdog,
        };
        self.published.send_replace(Arc::new(published));
    }

    fn guard_report(&self) -> GuardReport {
        let armed_until = match self.guard_order {
            Some(GuardOrder::Kill(_, at)) => Some(at),
            _ => None,
        };
        GuardReport { alive: self.view.guard.alive, armed_until }
    }

    /// How far the making of a data directory is.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.view.running.as_ref().and_then(|_| self.parts.deeds.progress())
    }

    /// The lock makes this member the primary for clients, unless it is being given up: then at once no longer.
    fn lease_counts(&self) -> bool {
        !matches!(&self.memory.handover, Some(handover) if handover.stopping)
            && self.memory.role != Role::Demoted
            && !self.memory.release_wanted
    }
}

/// The inputs that matter to most decisions, for the journal.
pub(super) fn facts(view: &View, memory: &Memory) -> serde_json::Map<String, serde_json::Value> {
    let cluster = view.cluster();
    let lease_left = view.lease.map(|lease| lease.deadline.since(view.now).as_millis() as u64);
    let position = view.server.monitoring.value().and_then(|monitoring| monitoring.position());
    let facts = serde_json::json!({
        "role": memory.role.as_str(),
        "leader": cluster.and_then(|cluster| cluster.leader_name()),
        "lease_left_ms": lease_left,
        "server": view.server.status.map(|status| format!("{status:?}").to_lowercase()),
        "position": position.map(|position| position.to_string()),
        "store_failing_ms": view.store.failing_since.map(|since| view.now.since(since).as_millis() as u64),
        "divergence": format!("{:?}", memory.divergence).to_lowercase(),
    });
    match facts {
        serde_json::Value::Object(facts) => facts,
        _ => serde_json::Map::new(),
    }
}
