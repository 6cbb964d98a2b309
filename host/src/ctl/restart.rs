//! `restart`: of members' servers, now or later, under conditions.

use super::context::Context;
use super::members::{Choice, Unnamed, Unreached, choose, consent, failed, names};
use super::output::{ask, confirm, line};
use super::when::{When, example};
use super::{CtlError, Result};
use crate::dcs::Snapshot;
use regent_core::model::MemberView;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// What a restart is to be like.
#[derive(Default)]
pub(super) struct RestartOptions {
    pub any: bool,
    pub scheduled: Option<String>,
    pub version: Option<String>,
    pub pending: bool,
    pub timeout: Option<String>,
}

/// `restart`.
pub(super) async fn restart(context: &Context, choice: &Choice, options: &RestartOptions) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    let Plan { members, body, scheduled } = plan(context, &snapshot, choice, options)?;
    let mut unreached = Unreached::default();
    for member in &members {
        let raw = snapshot.members_raw.get(&member.name);
        let planned = raw.is_some_and(|raw| raw.get("scheduled_restart").is_some_and(Value::is_object));
        let replace = planned && scheduled && choice.force;
        one(context, member, &body, replace, &mut unreached).await;
    }
    unreached.told()
}

/// Who is asked to restart, and what they are told.
pub(super) struct Plan {
    members: Vec<MemberView>,
    body: Value,
    scheduled: bool,
}

/// Asks for what the options leave open.
pub(super) fn plan(context: &Context, snapshot: &Snapshot, choice: &Choice, options: &RestartOptions) -> Result<Plan> {
    let mut members = choose(context, snapshot, choice, Unnamed::All)?;
    let scheduled = match &options.scheduled {
        Some(at) => at.clone(),
        None if choice.force => "now".to_owned(),
        None => ask(&format!("When should the restart take place (e.g. {}) ", example()), Some("now"))?,
    };
    let scheduled = When::read(&scheduled)?;
    if options.pending && scheduled.is_none() {
        members.retain(|member| member.pending_restart);
    }
    if options.any && !members.is_empty() {
        members = vec![members.swap_remove(fastrand::usize(..members.len()))];
    }
    agree(&members, scheduled.as_ref(), options, choice.force)?;
    let version = match &options.version {
        Some(version) => version.clone(),
        None if choice.force => String::new(),
        None => ask("Restart if the PostgreSQL version is less than provided (e.g. 9.5.2) ", Some(""))?,
    };
    check_version(&version)?;
    let paused = snapshot.config.as_ref().and_then(|config| config.get("pause")).and_then(Value::as_bool);
    if scheduled.is_some() && paused == Some(true) {
        return Err(CtlError::new("Can't schedule restart in the paused state"));
    }
    let body = body(options, &version, scheduled.as_ref());
    Ok(Plan { members, body, scheduled: scheduled.is_some() })
}

fn agree(members: &[MemberView], scheduled: Option<&When>, options: &RestartOptions, force: bool) -> Result<()> {
    let Some(at) = scheduled else { return consent("restart", members, force) };
    let question = if options.pending {
        "The nodes needing a restart will be identified at the scheduled time, and might be different from the ones \
         showing pending restart right now. Is this fine?"
            .to_owned()
    } else {
        let (names, at) = (names(members), at.spaced());
        format!("Are you sure you want to schedule restart of members {names} at {at}?")
    };
    if force || confirm(&question)? { Ok(()) } else { Err(CtlError::new("Aborted scheduled restart")) }
}

/// `9.6.3`, or from 10 on `10.1`.
fn check_version(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let numbers: std::result::Result<Vec<u32>, _> = text.split('.').map(|part| part.trim().parse::<u32>()).collect();
    let numbers = numbers.map_err(|_| CtlError::new(format!("Invalid PostgreSQL version: {text}")))?;
    match numbers.as_slice() {
        [0..=9, _, _] | [10..=u32::MAX, _] => Ok(()),
        _ => {
            let why = "Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted";
            Err(CtlError::new(format!("{why}: {text}")))
        }
    }
}

fn body(options: &RestartOptions, version: &str, scheduled: Option<&When>) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("restart_pending", options.pending.then(|| json!(true)));
    put("postgres_version", (!version.is_empty()).then(|| json!(version)));
    put("schedule", scheduled.map(|at| json!(at.iso())));
    put("timeout", options.timeout.clone().map(Value::String));
    Value::Object(body)
}

async fn one(context: &Context, member: &MemberView, body: &Value, replace: bool, unreached: &mut Unreached) {
    if replace && unreached.ask(context, member, Method::DELETE, "restart", None).await.is_none() {
        return;
    }
    let Some(said) = unreached.ask(context, member, Method::POST, "restart", Some(body)).await else { return };
    match said.status {
        200 => line(&format!("Success: restart on member {}", member.name)),
        202 => line(&format!("Success: restart scheduled on member {}", member.name)),
        409 => line(&format!("Failed: another restart is already scheduled on member {}", member.name)),
        _ => failed("restart", member, &said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTL-08.
    #[test]
    fn versions_are_checked() {
        let check = |text: &str, fits: bool| assert_eq!(check_version(text).is_ok(), fits, "{text}");
        for text in ["", "9.6.3", "15.2", "10.0"] {
            check(text, true);
        }
        for text in ["9.6", "15", "15.1.1", "foo", "9.x.1", "."] {
            check(text, false);
        }
    }
}
