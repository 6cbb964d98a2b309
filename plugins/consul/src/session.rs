//! The session that locks this member's keys: made when it is needed, renewed by a message, for half of the ttl.

use crate::call::{Agent, Repeat};
use crate::duration;
use crate::http::Request;
use crate::kv::odd;
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, DcsError, Result, log};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Consul ends a session at twice its time.
const LIVES: u32 = 2;

/// What servers grant at least, unless they say otherwise.
const MIN: Duration = Duration::from_secs(10);

/// The session as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its number.
    pub id: String,
    /// How long what it locks lives after each message.
    pub ttl: Duration,
}

/// Our session, if there is one.
pub(crate) struct Session {
    agent: Arc<Agent>,
    /// What others see as its name.
    name: String,
    checks: Vec<String>,
    loop_wait: Duration,
    /// The shortest time that the servers grant, once they refused a shorter one.
    least: Duration,
    current: Option<Current>,
}

struct Current {
    held: Held,
    /// The time that was asked for.
    wanted: Duration,
    /// When the last message was sent that was answered.
    kept_at: Duration,
}

impl Session {
    /// No session yet.
    pub fn new(agent: Arc<Agent>, name: String, checks: Vec<String>, loop_wait: Duration) -> Session {
        Session { agent, name, checks, loop_wait, least: Duration::ZERO, current: None }
    }

    /// The session, while it is for that time.
    pub fn held(&self, wanted: Duration) -> Option<&Held> {
        self.current.as_ref().filter(|current| current.wanted == wanted).map(|current| &current.held)
    }

    /// Forgets it: it is gone.
    pub fn forget(&mut self) {
        self.current = None;
    }

    /// A session that was renewed in this loop already, or is now.
    pub async fn alive(&mut self, cx: &Cx, wanted: Duration) -> Result<Held> {
        let recently = self.current.as_ref().filter(|current| {
            // A little less than a loop, so that a heartbeat that comes early does not skip its turn.
            let counts = (self.loop_wait * 9 / 10).min(current.held.ttl / 2);
            current.wanted == wanted && clock::now() < current.kept_at + counts
        });
        match recently {
            Some(current) => Ok(current.held.clone()),
            None => self.fresh(cx, wanted).await,
        }
    }

    /// A session that lives for `wanted` from now on: renewed, or a new one where there is none or it is gone.
    pub async fn fresh(&mut self, cx: &Cx, wanted: Duration) -> Result<Held> {
        match self.keep(cx, wanted).await? {
            Some(held) => Ok(held),
            None => self.create(cx, wanted).await,
        }
    }

    /// Renews the session; `None` if there is none for that time, or it is gone (CONS-10).
    pub async fn keep(&mut self, cx: &Cx, wanted: Duration) -> Result<Option<Held>> {
        let Some(held) = self.held(wanted).cloned() else {
            return Ok(None);
        };
        let sent_at = clock::now();
        let request = Request::put(format!("session/renew/{}", held.id));
        let reply = self.agent.run(cx, Repeat::Write, &request).await?.reply;
        if reply.status == 404 {
            self.forget();
            return Ok(None);
        }
        if reply.status != 200 {
            return Err(odd(&reply));
        }
        if let Some(current) = &mut self.current {
            current.kept_at = sent_at;
        }
        Ok(Some(held))
    }

    async fn create(&mut self, cx: &Cx, wanted: Duration) -> Result<Held> {
        self.forget();
        loop {
            let sent_at = clock::now();
            let ttl = (wanted / LIVES).max(self.least);
            let request = Request::put("session/create").json(&json!({
                "Name": self.name, "Behavior": "delete", "LockDelay": "0.001s", "Checks": self.checks,
                "TTL": duration::write(ttl),
            }));
            let reply = self.agent.run(cx, Repeat::Write, &request).await?.reply;
            if reply.status == 500 && reply.text().contains("Invalid Session TTL") {
                self.lengthen(cx, ttl, &reply.text()).await?;
                continue;
            }
            let answer: Option<Value> = serde_json::from_slice(&reply.body).ok();
            let id = answer.as_ref().and_then(|answer| answer.get("ID")?.as_str()).map(str::to_owned);
            let (200, Some(id)) = (reply.status, id) else {
                return Err(odd(&reply));
            };
            let held = Held { id, ttl: ttl * LIVES };
            self.current = Some(Current { held: held.clone(), wanted, kept_at: sent_at });
            return Ok(held);
        }
    }

    /// The servers grant no session that short (CONS-07).
    async fn lengthen(&mut self, cx: &Cx, refused: Duration, text: &str) -> Result<()> {
        let least = match least_of(text) {
            Some(least) => least,
            None => self.configured_least(cx).await,
        };
        if least <= refused {
            return Err(DcsError::new(regent_plugin_sdk::ErrorKind::Invalid, format!("consul: {text}")));
        }
        let (from, to) = (duration::write(refused), duration::write(least));
        log::warn(&format!("Changing Session TTL from {from} to {to}"));
        self.least = least;
        Ok(())
    }

    async fn configured_least(&self, cx: &Cx) -> Duration {
        let request = Request::get("agent/self");
        let Ok(answer) = self.agent.run(cx, Repeat::Read, &request).await else {
            return MIN;
        };
        let answer: Value = serde_json::from_slice(&answer.reply.body).unwrap_or_default();
        ["Config", "DebugConfig"]
            .iter()
            .find_map(|part| least_in(answer.get(part)?.get("SessionTTLMin")?))
            .unwrap_or(MIN)
    }
}

/// The least time in `..., must be between [10s=24h0m0s]`.
fn least_of(text: &str) -> Option<Duration> {
    duration::read(text.split_once('[')?.1.split_once('=')?.0)
}

/// Nanoseconds, or as Go writes it.
fn least_in(value: &Value) -> Option<Duration> {
    let least = value.as_u64().map(Duration::from_nanos);
    least.or_else(|| duration::read(value.as_str()?)).filter(|least| !least.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONS-07.
    #[test]
    fn the_least_time_is_found() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(least_of(text), expected.map(Duration::from_secs), "{text}");
        };
        check("Invalid Session TTL '500000000', must be between [10s=24h0m0s]", Some(10));
        check("Invalid Session TTL '500000000', must be between [1m30s=24h0m0s]", Some(90));
        check("Invalid Session TTL", None);
        assert_eq!(least_in(&json!(30_000_000_000_u64)), Some(Duration::from_secs(30)));
        assert_eq!(least_in(&json!("30s")), Some(Duration::from_secs(30)));
        assert_eq!(least_in(&json!(0)), None);
    }
}
