//! `POST /restart`, `/reinitialize`, `/reload` (rest-api §7.1–7.4).

use super::page::{self, Answer};
use super::router::{Asked, Optional};
use super::{Shared, schedule};
use crate::agent::handle::{Reply, Request, RestartConditions, ScheduledRestart};
use regent_core::model::{Role, Scalar, WallTime};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::sync::oneshot;

async fn ask(shared: &Shared, request: impl FnOnce(oneshot::Sender<Reply>) -> Request) -> Answer {
    let (reply, answer) = oneshot::channel();
    if shared.handle.requests.send(request(reply)).await.is_err() {
        return page::error(503);
    }
    match answer.await {
        Ok(reply) => page::text(reply.status, &reply.text),
        Err(_) => page::error(503),
    }
}

/// Restarts, now or at a time.
pub(super) async fn restart(shared: &Shared, asked: &Asked) -> Answer {
    let body = match asked.object(Optional::Yes) {
        Ok(body) => body,
        Err(page) => return page,
    };
    let paused = shared.handle.published.borrow().settings.paused;
    match read(&body, paused) {
        Err(answer) => answer,
        Ok((conditions, None)) => ask(shared, |reply| Request::Restart(conditions, reply)).await,
        Ok((conditions, Some(at))) => {
            let mut body = body;
            body.insert("schedule".into(), json!(schedule::iso(at)));
            let restart = ScheduledRestart { at, body, conditions };
            ask(shared, |reply| Request::ScheduleRestart(restart, reply)).await
        }
    }
}

/// Forgets the scheduled restart.
pub(super) async fn cancel(shared: &Shared) -> Answer {
    ask(shared, Request::CancelRestart).await
}

fn read(body: &Map<String, Value>, paused: bool) -> Result<(RestartConditions, Option<WallTime>), Answer> {
    let mut conditions = RestartConditions::default();
    let mut at = None;
    for (name, value) in body {
        match name.as_str() {
            "schedule" if paused => {
                return Err(page::text(500, "Can't schedule restart in the paused state"));
            }
            "schedule" => at = Some(schedule::parse(value.as_str().unwrap_or_default(), "restart")?),
            "role" => conditions.role = Some(role(value)?),
            "postgres_version" => conditions.version_below = Some(version(value)?),
            "timeout" => conditions.timeout = Some(timeout(value)?),
            "restart_pending" => conditions.only_pending = true,
            other => {
                return Err(page::text(400, &format!("Unknown filter for the scheduled restart: {other}")));
            }
        }
    }
    Ok((conditions, at))
}

fn role(value: &Value) -> Result<Role, Answer> {
    let role = value.as_str().and_then(|role| role.parse().ok());
    role.filter(|role| matches!(role, Role::Primary | Role::StandbyLeader | Role::Replica))
        .ok_or_else(|| page::text(400, "PostgreSQL role should be either primary, standby_leader, or replica"))
}

/// `15.3` is 150003; `9.6.3` is 90603.
fn version(value: &Value) -> Result<u32, Answer> {
    let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
    let wrong = || page::text(400, &format!("Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: {text}"));
    let parts: Result<Vec<u32>, _> = text.split('.').map(|part| part.parse::<u16>().map(u32::from)).collect();
    match parts.map_err(|_| wrong())?.as_slice() {
        [major, minor] if *major >= 10 => Ok(major * 10_000 + minor),
        [major, middle, minor] => Ok(major * 10_000 + middle * 100 + minor),
        [_, _] => Err(page::text(400, &format!("Invalid PostgreSQL version: {text}"))),
        _ => Err(wrong()),
    }
}

fn timeout(value: &Value) -> Result<Duration, Answer> {
    let seconds = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => time(text),
        _ => None,
    };
    seconds
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| page::text(400, "Timeout should be a positive number of seconds"))
}

/// Seconds with an optional unit.
fn time(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[digits..].trim() {
        "" | "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

/// Makes this member anew.
pub(super) async fn reinitialize(shared: &Shared, asked: &Asked) -> Answer {
    let body = match asked.object(Optional::Yes) {
        Ok(body) => body,
        Err(page) => return page,
    };
    let flag = |name: &str| {
        let scalar = match body.get(name) {
            Some(Value::Bool(flag)) => Scalar::Bool(*flag),
            Some(Value::String(text)) => Scalar::Text(text.clone()),
            Some(Value::Number(number)) => Scalar::Integer(number.as_i64().unwrap_or(0)),
            _ => Scalar::Null,
        };
        scalar.as_bool().unwrap_or(false)
    };
    let (force, from_leader) = (flag("force"), flag("from_leader") || flag("from-leader"));
    ask(shared, |reply| Request::Reinitialize { force, from_leader, reply }).await
}

/// Reads the configuration again.
pub(super) async fn reload(shared: &Shared) -> Answer {
    match shared.handle.requests.send(Request::Reload(None)).await {
        Ok(()) => page::text(202, "reload scheduled"),
        Err(_) => page::error(503),
    }
}

/// The peer acts on this on Windows only; neither do we.
pub(super) async fn terminate(_shared: &Shared) -> Answer {
    page::text(202, "shutdown scheduled")
}
