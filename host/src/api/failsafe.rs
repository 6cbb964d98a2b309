//! `POST /failsafe` (rest-api §7.7): a leader that has lost the store asks whether it may go on.

use super::Shared;
use super::page::{self, Answer};
use super::router::{Asked, Optional};
use crate::agent::handle::{FailsafeAnswer, Request};
use axum::http::HeaderValue;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::oneshot;

/// Lets the loop answer: it alone knows that no lock is being taken at this moment.
pub(super) async fn answer(shared: &Shared, asked: &Asked) -> Answer {
    if !shared.published().settings.failsafe_mode {
        return page::error(502);
    }
    let body = match asked.object(Optional::No) {
        Ok(body) => body,
        Err(page) => return page,
    };
    let Some(leader) = body.get("name").and_then(Value::as_str).map(str::to_owned) else {
        return page::error(400);
    };
    let ttl = body.get("ttl").and_then(Value::as_f64).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let (reply, answer) = oneshot::channel();
    if shared.handle.requests.send(Request::Failsafe { leader, ttl, reply }).await.is_err() {
        return page::error(503);
    }
    match answer.await {
        Ok(FailsafeAnswer::Accepted(position)) => {
            let mut answer = page::text(200, "Accepted");
            if let Some(value) = position.and_then(|position| HeaderValue::from_str(&position.0.to_string()).ok()) {
                answer.headers_mut().insert("lsn", value);
            }
            answer
        }
        Ok(FailsafeAnswer::Leading) => page::text(500, "Running as a leader"),
        Ok(FailsafeAnswer::Off) => page::error(502),
        Err(_) => page::error(503),
    }
}
