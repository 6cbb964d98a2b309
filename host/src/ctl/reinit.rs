//! `reinit`: makes replicas anew.

use super::Result;
use super::context::Context;
use super::members::{Choice, Unnamed, Unreached, choose, consent, failed};
use super::output::{confirm, line};
use crate::dcs::Snapshot;
use regent_core::model::MemberView;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often a member is asked whether it is done.
const POLL: Duration = Duration::from_secs(2);

/// What it is to be like.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub from_leader: bool,
    pub wait: bool,
}

/// `reinit`.
pub(super) async fn reinit(context: &Context, choice: &Choice, options: Options) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    let members = agreed(context, &snapshot, choice)?;
    let mut unreached = Unreached::default();
    let mut begun = Vec::new();
    for member in &members {
        if one(context, member, choice.force, options.from_leader, &mut unreached).await? {
            begun.push(member);
        }
    }
    if options.wait && !begun.is_empty() {
        wait_for(context, begun).await;
    }
    unreached.told()
}

/// Those that are meant.
pub(super) fn agreed(context: &Context, snapshot: &Snapshot, choice: &Choice) -> Result<Vec<MemberView>> {
    let members = choose(context, snapshot, choice, Unnamed::Asked)?;
    if !members.is_empty() {
        consent("reinitialize", &members, choice.force)?;
    }
    Ok(members)
}

/// Whether it began.
async fn one(
    context: &Context,
    member: &MemberView,
    mut force: bool,
    from_leader: bool,
    unreached: &mut Unreached,
) -> Result<bool> {
    loop {
        let body = json!({"force": force, "from_leader": from_leader});
        let said = unreached.ask(context, member, Method::POST, "reinitialize", Some(&body)).await;
        let Some(said) = said else { return Ok(false) };
        if said.status == 200 {
            line(&format!("Success: reinitialize for member {}", member.name));
            return Ok(true);
        }
        failed("reinitialize", member, &said);
        let busy = said.body.ends_with(" already in progress") && !force;
        if !busy || !confirm("Do you want to cancel it and reinitialize anyway?")? {
            return Ok(false);
        }
        force = true;
    }
}

async fn wait_for(context: &Context, mut members: Vec<&MemberView>) {
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    line(&format!("Waiting for reinitialize to complete on: {}", names.join(", ")));
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once; the copy has hardly begun.
    ticks.tick().await;
    while !members.is_empty() {
        ticks.tick().await;
        let mut left = Vec::new();
        for member in members {
            if is_busy(context, member).await {
                left.push(member);
            } else {
                line(&format!("Reinitialize is completed on: {}", member.name));
            }
        }
        members = left;
    }
}

/// Who does not answer may be busy.
async fn is_busy(context: &Context, member: &MemberView) -> bool {
    let Some(url) = &member.api_url else { return false };
    let Ok(said) = context.call(Method::GET, url, "patroni", None).await else { return true };
    let document: Value = serde_json::from_str(&said.body).unwrap_or_default();
    document.get("state").and_then(Value::as_str).is_none_or(|state| state == "creating replica")
}
