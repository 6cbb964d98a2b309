//! `pause` and `resume`: the flag is set through a member's API.

use super::context::Context;
use super::output::line;
use super::{CtlError, Result};
use crate::dcs::{Snapshot, Store};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the members' keys are read while they are waited for.
const POLL: Duration = Duration::from_secs(1);

/// Sets or clears the flag; with `wait`, ends once every member has said that it knows (PAUSE-12).
pub(super) async fn pause(context: &Context, paused: bool, wait: bool) -> Result<()> {
    let (store, snapshot) = context.read().await?;
    check(&snapshot, paused)?;
    let verb = if paused { "pause" } else { "resume" };
    let body = if paused { json!({"pause": true}) } else { json!({"pause": null}) };
    let leader = snapshot.view.leader_name();
    let mut members: Vec<_> = snapshot.view.members.iter().filter(|member| member.api_url.is_some()).collect();
    members.sort_by_key(|member| Some(member.name.as_str()) != leader);
    for member in members {
        let url = member.api_url.as_deref().unwrap_or_default();
        match context.call(Method::PATCH, url, "config", Some(&body)).await {
            Ok(said) if said.status == 200 => {
                if wait {
                    wait_for_all(context, &store, paused).await?;
                }
                line(&format!("Success: cluster management is {verb}d"));
                return Ok(());
            }
            Ok(said) => {
                let (code, body) = (said.status, said.body);
                line(&format!("Failed: {verb} cluster management status code={code}, ({body})"));
                return Ok(());
            }
            Err(why) => tracing::warn!("member {} is not accessible: {why}", member.name),
        }
    }
    Err(CtlError::new("Can not find accessible cluster member"))
}

/// There is something to change.
pub(super) fn check(snapshot: &Snapshot, paused: bool) -> Result<()> {
    let now = snapshot.config.as_ref().and_then(|config| config.get("pause")).and_then(Value::as_bool) == Some(true);
    match (paused, now) {
        (true, true) => Err(CtlError::new("Cluster is already paused")),
        (false, false) => Err(CtlError::new("Cluster is not paused")),
        _ => Ok(()),
    }
}

/// A loop and a second, then whoever has not said so is named.
async fn wait_for_all(context: &Context, store: &Store, paused: bool) -> Result<()> {
    let verb = if paused { "pause" } else { "resume" };
    line(&format!("'{verb}' request sent, waiting until it is recognized by all nodes"));
    let begun = Instant::now();
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = context.load(store).await?;
        let config = snapshot.config.as_ref();
        let loop_wait = config.and_then(|config| config.get("loop_wait")).and_then(Value::as_u64).unwrap_or(10);
        let ignorant = snapshot.view.members.iter().filter(|member| member.api_url.is_some() && member.pause != paused);
        let names: Vec<_> = ignorant.map(|member| member.name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let waited = begun.elapsed();
        if waited > Duration::from_secs(loop_wait) + POLL {
            let (names, waited) = (names.join(", "), waited.as_secs());
            line(&format!("{names} members didn't recognized pause state after {waited} seconds"));
            return Ok(());
        }
    }
}
