//! Repeats a request until there is an answer or the budget ends, and says at the end what its fate means.

use crate::config::{Fixed, Soft};
use crate::http::{Fault, Http, Reply, Request};
use regent_dcs_common::retry::{PAUSE, TRY_MIN};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use regent_dcs_common::retry::Repeat;

/// An answer that says something.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the agent said: 200, 404, 409, or 500 where the matter is a session.
    pub reply: Reply,
    /// An earlier try of the same request may have been applied too.
    pub unsure: bool,
}

/// The agent, and how it is asked.
pub(crate) struct Agent {
    http: Http,
    soft: Mutex<Arc<Soft>>,
    /// What a single try may take (CONS-02).
    patience: Duration,
}

/// What an answer means for its request.
enum Meaning {
    Final,
    Again(Fault),
    Refused(ErrorKind),
}

impl Agent {
    /// Nothing is connected yet.
    pub fn new(fixed: &Fixed, soft: Soft, retry_timeout: Duration) -> Result<Agent> {
        let patience = retry_timeout / 3;
        Ok(Agent { http: Http::new(fixed, patience)?, soft: Mutex::new(Arc::new(soft)), patience })
    }

    /// What may change meanwhile.
    pub fn soft(&self) -> Arc<Soft> {
        Arc::clone(&self.soft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on so.
    pub fn change(&self, soft: Soft) {
        *self.soft.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(soft);
    }

    /// One try, for as long as is given.
    pub async fn once(&self, request: &Request, patience: Duration) -> std::result::Result<Reply, Fault> {
        let soft = self.soft();
        let answer = tokio::time::timeout(patience, self.http.send(request, &soft)).await;
        answer.unwrap_or_else(|_| Err(Fault::Unsure("no answer in time".to_owned())))
    }

    /// What a single try may take.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Tries until there is an answer.
    pub async fn run(&self, cx: &Cx, repeat: Repeat, request: &Request) -> Result<Answer> {
        let (mut unsure, mut pause) = (false, PAUSE.0);
        let mut last = "there was no time to ask".to_owned();
        while cx.left() >= TRY_MIN {
            let fault = match self.once(request, self.patience.min(cx.left())).await {
                Ok(reply) => match meaning(&reply) {
                    Meaning::Final => return Ok(Answer { reply, unsure }),
                    Meaning::Again(fault) => fault,
                    Meaning::Refused(kind) if !unsure || repeat == Repeat::Read => {
                        return Err(failed(kind, &reply.text()));
                    }
                    Meaning::Refused(_) => return Err(failed(ErrorKind::Indeterminate, &reply.text())),
                },
                Err(fault) => fault,
            };
            match fault {
                Fault::Unsent(why) => last = why,
                Fault::Unsure(why) if repeat == Repeat::Once => return Err(failed(ErrorKind::Indeterminate, &why)),
                Fault::Unsure(why) => {
                    unsure = true;
                    last = why;
                }
            }
            rest(pause.min(cx.left().saturating_sub(TRY_MIN))).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        let kind = if unsure && repeat != Repeat::Read { ErrorKind::Indeterminate } else { ErrorKind::Unavailable };
        Err(failed(kind, &last))
    }
}

fn meaning(reply: &Reply) -> Meaning {
    let text = reply.text();
    match reply.status {
        200..=299 | 404 | 409 => Meaning::Final,
        401 | 403 => Meaning::Refused(ErrorKind::Auth),
        429 => Meaning::Again(Fault::Unsent(text)),
        400..=499 => Meaning::Refused(ErrorKind::Invalid),
        500 if is_of_session(&text) => Meaning::Final,
        500 if text.contains("No cluster leader") => Meaning::Again(Fault::Unsent(text)),
        _ => Meaning::Again(Fault::Unsure(text)),
    }
}

/// Whether a failure is about a session: it was not applied, and asking again would not help.
pub(crate) fn is_of_session(text: &str) -> bool {
    text.to_ascii_lowercase().contains("invalid session")
}

fn failed(kind: ErrorKind, why: &str) -> DcsError {
    DcsError::new(kind, format!("consul: {why}"))
}

#[allow(clippy::disallowed_methods, reason = "between two tries, within the call's budget")]
async fn rest(time: Duration) {
    // pace: the next try
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_meanings() {
        let check = |status: u16, text: &str, expected: &str| {
            let reply = Reply { status, index: None, body: text.as_bytes().to_vec() };
            let meaning = match meaning(&reply) {
                Meaning::Final => "final".to_owned(),
                Meaning::Again(Fault::Unsent(_)) => "unsent".to_owned(),
                Meaning::Again(Fault::Unsure(_)) => "unsure".to_owned(),
                Meaning::Refused(kind) => format!("{kind:?}"),
            };
            assert_eq!(meaning, expected, "{status} {text}");
        };
        check(200, "true", "final");
        check(404, "", "final");
        check(409, "{}", "final");
        check(403, "Permission denied", "Auth");
        check(413, "too large", "Invalid");
        check(429, "", "unsent");
        check(500, "No cluster leader", "unsent");
        check(500, "rpc error making call: EOF", "unsure");
        check(500, "Invalid Session TTL '1', must be between [10s=24h0m0s]", "final");
        check(500, "rpc error making call: invalid session \"x\"", "final");
        check(503, "", "unsure");
    }
}
