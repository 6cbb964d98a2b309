//! Failsafe mode at the loop: the question as a leader sends it, the word as a member gives it, and what came of both.

use super::Agent;
use super::handle::FailsafeAnswer;
use crate::act;
use crate::observe::failsafe::{Question, ask};
use crate::ports;
use regent_core::decide::{give_word, prolonged, published_status};
use regent_core::model::FailsafeRound;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

impl Agent {
    /// Asks members whether this leader may go on.
    pub(super) fn failsafe_work(&self, members: BTreeMap<String, String>) -> act::ErrandWork {
        let configuration = &self.parts.configuration;
        let mut body = json!({
            "name": self.view.me(),
            "conn_url": configuration.conn_url(),
            "api_url": configuration.api_url(),
            "ttl": self.view.settings.ttl.as_secs_f64(),
        });
        if let Some(status) = published_status(&self.view, &self.memory) {
            let slots: BTreeMap<_, _> = status.slots.into_iter().map(|(name, position)| (name, position.0)).collect();
            body["slots"] = json!(slots);
        }
        let question = Question { body, authentication: configuration.effective.ctl.authentication.clone() };
        let client = self.parts.client.clone();
        Box::pin(async move {
            let begun_at = ports::now();
            Ok(act::Finding::Failsafe(ask(&client, begun_at, members, question).await))
        })
    }

    /// Takes in what members said.
    pub(super) fn take_failsafe_round(&mut self, round: &FailsafeRound) {
        if let Some(lease) = prolonged(&self.view, round) {
            if self.view.failsafe.kept_at.is_none() {
                tracing::warn!("the store is away; every member lets this leader go on");
            }
            self.view.lease = Some(lease);
            self.view.failsafe.kept_at = Some(round.begun_at);
        }
    }

    /// This member's answer to a leader that asks.
    pub(super) fn answer_failsafe(&mut self, leader: &str, ttl: Option<Duration>) -> FailsafeAnswer {
        if !self.view.settings.failsafe_mode {
            return FailsafeAnswer::Off;
        }
        match give_word(&self.view, leader, ttl) {
            Some(promise) => {
                if self.view.failsafe.promise.as_ref().is_none_or(|last| last.until < self.view.now) {
                    tracing::info!("{leader} may go on without the store");
                }
                self.view.failsafe.promise = Some(promise);
                let monitoring = self.view.server.monitoring.value();
                FailsafeAnswer::Accepted(monitoring.and_then(|monitoring| monitoring.position()))
            }
            None => FailsafeAnswer::Leading,
        }
    }

    /// The members' word keeps this leader, or this member gave its own to another.
    pub(super) fn failsafe_active(&self) -> bool {
        let failsafe = &self.view.failsafe;
        let kept = failsafe.kept_at.is_some() && self.view.lease.is_some();
        kept || failsafe.promise.as_ref().is_some_and(|promise| self.view.now < promise.until)
    }
}
