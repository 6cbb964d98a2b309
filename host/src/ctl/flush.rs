//! `flush`: drops restarts and switchovers that were scheduled.

use super::Result;
use super::context::{Context, done};
use super::members::{Choice, Unnamed, Unreached, choose, consent, failed};
use super::output::{line, timestamp};
use crate::dcs::Snapshot;
use reqwest::Method;
use serde_json::Value;

/// `flush ... restart`.
pub(super) async fn restart(context: &Context, choice: &Choice) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    let members = choose(context, &snapshot, choice, Unnamed::All)?;
    consent("flush", &members, choice.force)?;
    let mut unreached = Unreached::default();
    for member in &members {
        let raw = snapshot.members_raw.get(&member.name);
        if !raw.is_some_and(|raw| raw.get("scheduled_restart").is_some_and(Value::is_object)) {
            line(&format!("No scheduled restart for member {}", member.name));
            continue;
        }
        match unreached.ask(context, member, Method::DELETE, "restart", None).await {
            Some(said) if said.status == 200 => {
                line(&format!("Success: flush scheduled restart for member {}", member.name));
            }
            Some(said) => failed("flush scheduled restart", member, &said),
            None => {}
        }
    }
    unreached.told()
}

/// `flush ... switchover`: through a member, the leader first; or else in the store.
pub(super) async fn switchover(context: &Context) -> Result<()> {
    let (store, snapshot) = context.read().await?;
    pending(&snapshot);
    if !is_scheduled(&snapshot) {
        return Ok(());
    }
    let leader = snapshot.view.leader_name();
    let mut members: Vec<_> = snapshot.view.members.iter().filter(|member| member.api_url.is_some()).collect();
    members.sort_by_key(|member| Some(member.name.as_str()) != leader);
    let mut unreached = Unreached::default();
    for member in members {
        let Some(said) = unreached.ask(context, member, Method::DELETE, "switchover", None).await else { continue };
        match said.status {
            200 => line(&format!("Success: {}", said.body)),
            404 => line(&format!("Failed: {}", said.body)),
            code => {
                line(&format!("Failed: member={}, status_code={code}, ({})", member.name, said.body));
                continue;
            }
        }
        return Ok(());
    }
    line(&format!("{} Could not find any accessible member of cluster {}", timestamp(), context.scope));
    let version = snapshot.view.failover.map(|request| request.version);
    done(store.clear_failover(version, context.patience()).await)
}

/// Tells that there is nothing to drop.
pub(super) fn pending(snapshot: &Snapshot) {
    if !is_scheduled(snapshot) {
        line("No pending scheduled switchover");
    }
}

/// A switchover waits for its time.
fn is_scheduled(snapshot: &Snapshot) -> bool {
    snapshot.failover_raw.get("scheduled_at").and_then(Value::as_str).is_some_and(|at| !at.is_empty())
}
