//! What the loop measures of its own work, for `/metrics`: calls to the store, work on the server, and the phases of
//! failovers and switchovers. It decides nothing, and nothing is decided by it.

use super::Agent;
use crate::act::StoreAnswer;
use crate::ports;
use crate::telemetry::metrics::{Family, Metrics};
use regent_core::model::{ClusterView, Moment, StoreCall, StoreCallKind, Task, TaskOutcome};

/// How far the change of the leader is that this member sees, or brings about.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Since when the lock is seen to be free.
    free_since: Option<Moment>,
    /// Somebody asked for it.
    asked: bool,
    /// When this member took the lock.
    taken_at: Option<Moment>,
    /// When this member's server had stopped to hand over.
    stopped_at: Option<Moment>,
}

impl Change {
    fn phases<'a>(&self, metrics: &'a Metrics) -> &'a Family {
        if self.asked { &metrics.switchovers } else { &metrics.failovers }
    }

    /// The store was read.
    fn seen(&mut self, view: &ClusterView, me: &str, now: Moment) {
        let asked = view.failover.as_ref().is_some_and(|request| !request.is_empty());
        match view.leader_name() {
            // A cluster that never had a leader is made, not failed over.
            None if self.free_since.is_none() && view.initialize.as_deref().is_some_and(|id| !id.is_empty()) => {
                self.free_since = Some(now);
                self.asked |= asked;
            }
            Some(leader) if leader != me => *self = Change { asked, ..Change::default() },
            // The request is open until the new leader has removed it.
            _ => self.asked |= asked && self.taken_at.is_none(),
        }
    }

    fn taken(&mut self, metrics: &Metrics, now: Moment) {
        if let Some(since) = self.free_since {
            self.phases(metrics).observe("election", now.since(since));
            self.taken_at = Some(now);
        }
    }

    fn promoted(&mut self, metrics: &Metrics, now: Moment) {
        if let (Some(since), Some(taken)) = (self.free_since, self.taken_at) {
            self.phases(metrics).observe("promotion", now.since(taken));
            self.phases(metrics).observe("total", now.since(since));
        }
        *self = Change::default();
    }

    fn stopped(&mut self, metrics: &Metrics, begun_at: Moment, now: Moment) {
        self.phases(metrics).observe("stop", now.since(begun_at));
        self.stopped_at = Some(now);
    }

    fn released(&mut self, metrics: &Metrics, now: Moment) {
        if let Some(stopped) = self.stopped_at {
            self.phases(metrics).observe("release", now.since(stopped));
        }
        *self = Change::default();
    }
}

impl Agent {
    /// A call to the store ended.
    pub(super) fn measure_store(&mut self, call: &StoreCall, sent_at: Moment, answer: &StoreAnswer) {
        let (now, operation) = (ports::now(), operation(call.kind()));
        let metrics = &self.parts.metrics;
        metrics.store.observe(operation, now.since(sent_at));
        match answer {
            StoreAnswer::Unreachable(_) => metrics.store_unreachable.count(operation),
            StoreAnswer::Unknown(_) => metrics.store_unknown.count(operation),
            StoreAnswer::Loaded(snapshot) => self.change.seen(&snapshot.view, &self.view.settings.name, now),
            StoreAnswer::Held(_) if *call == StoreCall::Acquire => self.change.taken(metrics, now),
            StoreAnswer::Done if matches!(call, StoreCall::Release { .. }) => self.change.released(metrics, now),
            _ => {}
        }
    }

    /// Work on the server ended that was begun then.
    pub(super) fn measure_task(&mut self, task: &Task, begun_at: Moment, outcome: &TaskOutcome) {
        let (now, metrics) = (ports::now(), &self.parts.metrics);
        metrics.tasks.observe(label(task), now.since(begun_at));
        if *outcome != TaskOutcome::Done {
            return;
        }
        match task {
            Task::Promote => self.change.promoted(metrics, now),
            // Who stops in order while it has the lock, hands over; who lost it is no part of what follows.
            Task::Stop { .. } if self.view.lease.is_some() => self.change.stopped(metrics, begun_at, now),
            _ => {}
        }
    }
}

fn operation(kind: StoreCallKind) -> &'static str {
    match kind {
        StoreCallKind::Load => "load",
        StoreCallKind::Acquire => "acquire",
        StoreCallKind::Renew => "renew",
        StoreCallKind::Release => "release",
        StoreCallKind::TouchMember => "touch_member",
        StoreCallKind::Write => "write",
    }
}

fn label(task: &Task) -> &'static str {
    match task {
        Task::Bootstrap => "bootstrap",
        Task::Clone { .. } => "clone",
        Task::Start(_) => "start",
        Task::Stop { .. } => "stop",
        Task::Promote => "promote",
        Task::Restart(_) => "restart",
        Task::Rewind(_) => "rewind",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regent_core::model::{FailoverRequest, LeaderView, Version};

    fn view(leader: Option<&str>, asked: bool) -> ClusterView {
        let leader = leader.map(|name| LeaderView {
            name: name.to_owned(),
            version: Version("1".to_owned()),
            session: String::new(),
        });
        let failover = asked.then(|| FailoverRequest {
            leader: Some("a".to_owned()),
            candidate: None,
            scheduled_at: None,
            version: Version("2".to_owned()),
        });
        ClusterView { initialize: Some("7".to_owned()), leader, failover, ..ClusterView::default() }
    }

    fn counted(family: &Family) -> Vec<String> {
        let mut text = String::new();
        family.render(&mut text, "m", "a=\"\"");
        let counts = text.lines().filter(|line| line.starts_with("m_sum") && !line.ends_with(" 0"));
        counts.map(str::to_owned).collect()
    }

    #[test]
    fn a_failover_is_measured_by_who_takes_over() {
        let (metrics, mut change) = (Metrics::default(), Change::default());
        change.seen(&view(Some("a"), false), "b", Moment(1_000));
        change.seen(&view(None, false), "b", Moment(2_000));
        change.seen(&view(None, false), "b", Moment(2_500));
        change.taken(&metrics, Moment(3_000));
        change.seen(&view(Some("b"), false), "b", Moment(3_100));
        change.promoted(&metrics, Moment(5_000));
        let expected = [("election", 1), ("promotion", 2), ("total", 3)];
        assert_eq!(
            counted(&metrics.failovers),
            expected.map(|(phase, sum)| format!("m_sum{{a=\"\",phase=\"{phase}\"}} {sum}"))
        );
        assert!(counted(&metrics.switchovers).is_empty());
    }

    #[test]
    fn a_switchover_is_measured_by_both() {
        let (metrics, mut old, mut new) = (Metrics::default(), Change::default(), Change::default());
        old.seen(&view(Some("a"), true), "a", Moment(0));
        new.seen(&view(Some("a"), true), "b", Moment(0));
        old.stopped(&metrics, Moment(1_000), Moment(2_000));
        old.released(&metrics, Moment(4_000));
        new.seen(&view(None, true), "b", Moment(4_000));
        new.taken(&metrics, Moment(7_000));
        new.promoted(&metrics, Moment(11_000));
        let expected = [("stop", 1), ("release", 2), ("election", 3), ("promotion", 4), ("total", 7)];
        assert_eq!(
            counted(&metrics.switchovers),
            expected.map(|(phase, sum)| format!("m_sum{{a=\"\",phase=\"{phase}\"}} {sum}"))
        );
        assert!(counted(&metrics.failovers).is_empty());
    }

    #[test]
    fn a_change_that_others_bring_about_is_not_ours() {
        let (metrics, mut change) = (Metrics::default(), Change::default());
        change.seen(&view(None, false), "c", Moment(0));
        change.seen(&view(Some("b"), false), "c", Moment(1_000));
        change.promoted(&metrics, Moment(2_000));
        // The first leader of a cluster was not failed over to.
        change.seen(&ClusterView::default(), "c", Moment(3_000));
        change.taken(&metrics, Moment(4_000));
        change.promoted(&metrics, Moment(5_000));
        assert!(counted(&metrics.failovers).is_empty());
    }
}
