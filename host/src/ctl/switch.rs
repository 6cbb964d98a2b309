//! `switchover` and `failover`.

use super::context::{Context, Said, done};
use super::output::{ask, confirm, line, timestamp};
use super::{CtlError, Result, list};
use crate::dcs::{Snapshot, Store};
use regent_core::model::Role;
use reqwest::Method;
use serde_json::{Map, Value};

/// What is asked for.
pub(super) struct Wish {
    pub action: &'static str,
    pub leader: Option<String>,
    pub candidate: Option<String>,
    pub scheduled: Option<String>,
    pub force: bool,
}

/// Hands over.
pub(super) async fn switch(context: &Context, wish: Wish) -> Result<()> {
    let store = context.store().await?;
    let snapshot = context.load(&store).await?;
    line("Current cluster topology");
    list::print(context, &snapshot, "pretty", false)?;
    let leader = leader(context, &snapshot, &wish)?;
    let candidate = candidate(context, &snapshot, &wish, leader.as_deref())?;
    let paused = snapshot.config.as_ref().and_then(|config| config.get("pause")).and_then(Value::as_bool);
    let scheduled = schedule(&wish, paused == Some(true))?;
    consent(context, &snapshot, &wish, candidate.as_deref(), scheduled.as_deref())?;
    let body = body(leader.as_deref(), candidate.as_deref(), scheduled.as_deref());
    let target = snapshot.view.leader_member().or_else(|| snapshot.view.member(candidate.as_deref()?));
    let url = target.and_then(|member| member.api_url.clone());
    match post(context, url.as_deref(), wish.action, &body).await {
        Ok(said) if matches!(said.status, 200 | 202) => line(&format!("{} {}", timestamp(), said.body)),
        Ok(said) => {
            let title = if wish.action == "switchover" { "Switchover" } else { "Failover" };
            let verb = if said.body.contains("status unknown") { "result unknown" } else { "failed" };
            line(&format!("{title} {verb}, details: {}, {}", said.status, said.body));
            return Ok(());
        }
        Err(_) => {
            line(&format!("{} Could not {} using Patroni api, falling back to DCS", timestamp(), wish.action));
            write(context, &store, leader.as_deref(), candidate.as_deref(), scheduled.as_deref()).await?;
        }
    }
    let snapshot = context.load(&store).await?;
    list::print(context, &snapshot, "pretty", false)
}

fn leader(context: &Context, snapshot: &Snapshot, wish: &Wish) -> Result<Option<String>> {
    if wish.action == "failover" {
        return Ok(None);
    }
    let Some(current) = snapshot.view.leader_name() else {
        return Err(CtlError::new("This cluster has no leader"));
    };
    let standby = snapshot.view.leader_member().is_some_and(|member| member.role == Some(Role::StandbyLeader));
    let named = match &wish.leader {
        Some(name) => name.clone(),
        None if wish.force => current.to_owned(),
        None => ask(if standby { "Standby Leader" } else { "Primary" }, current)?,
    };
    if named != current {
        return Err(CtlError::new(format!("Member {named} is not the leader of cluster {}", context.scope)));
    }
    Ok(Some(named))
}

fn candidate(context: &Context, snapshot: &Snapshot, wish: &Wish, leader: Option<&str>) -> Result<Option<String>> {
    let current = leader.or(snapshot.view.leader_name());
    let able = snapshot.view.members.iter().filter(|member| Some(member.name.as_str()) != current);
    let names: Vec<_> = able.filter(|member| !member.tags.nofailover()).map(|member| member.name.clone()).collect();
    if names.is_empty() {
        let verb = if wish.action == "switchover" { "switchover" } else { "failover" };
        return Err(CtlError::new(format!("No candidates found to {verb} to")));
    }
    let named = match &wish.candidate {
        Some(name) => Some(name.clone()),
        None if wish.force => None,
        None => {
            let shown = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
            Some(ask(&format!("Candidate [{shown}] "), "")?).filter(|name| !name.is_empty())
        }
    };
    match named {
        None if wish.action == "failover" => {
            Err(CtlError::new("Failover could be performed only to a specific candidate"))
        }
        Some(name) if Some(name.as_str()) == current => {
            Err(CtlError::new(format!("Member {name} is already the leader of cluster {}", context.scope)))
        }
        Some(name) if !names.contains(&name) => {
            let scope = &context.scope;
            Err(CtlError::new(format!("Member {name} does not exist in cluster {scope} or is tagged as nofailover")))
        }
        named => Ok(named),
    }
}

fn schedule(wish: &Wish, paused: bool) -> Result<Option<String>> {
    if wish.action == "failover" {
        return Ok(None);
    }
    let scheduled = match &wish.scheduled {
        Some(at) => Some(at.clone()),
        None if wish.force => None,
        None => Some(ask("When should the switchover take place (e.g. 2026-11-20T20:53 ) ", "now")?),
    };
    let scheduled = scheduled.filter(|at| at != "now" && !at.is_empty());
    if scheduled.is_some() && paused {
        return Err(CtlError::new("Can't schedule switchover in the paused state"));
    }
    Ok(scheduled)
}

fn consent(
    context: &Context,
    snapshot: &Snapshot,
    wish: &Wish,
    candidate: Option<&str>,
    scheduled: Option<&str>,
) -> Result<()> {
    if wish.force {
        return Ok(());
    }
    let sync = &snapshot.view.sync;
    let asynchronous = candidate.filter(|name| wish.action == "failover" && sync.leader.is_some() && !sync.knows(name));
    if let Some(name) = asynchronous
        && !confirm(&format!("Are you sure you want to failover to the asynchronous node {name}?"))?
    {
        return Err(CtlError::new("Aborting failover"));
    }
    let demoting =
        snapshot.view.leader_name().map(|leader| format!(", demoting current leader {leader}")).unwrap_or_default();
    let (scope, action) = (&context.scope, wish.action);
    let (question, aborting) = match scheduled {
        Some(at) => (
            format!("Are you sure you want to schedule {action} of cluster {scope} at {at}{demoting}?"),
            format!("Aborting scheduled {action}"),
        ),
        None => (format!("Are you sure you want to {action} cluster {scope}{demoting}?"), format!("Aborting {action}")),
    };
    if confirm(&question)? { Ok(()) } else { Err(CtlError::new(aborting)) }
}

fn body(leader: Option<&str>, candidate: Option<&str>, scheduled: Option<&str>) -> Value {
    let fields = [("candidate", candidate), ("leader", leader), ("scheduled_at", scheduled)];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    Value::Object(fields.collect::<Map<_, _>>())
}

async fn post(context: &Context, url: Option<&str>, action: &str, body: &Value) -> std::result::Result<Said, String> {
    let url = url.ok_or("no member has an API")?;
    let said = context.call(Method::POST, url, action, Some(body)).await?;
    if said.status == 501 && action == "switchover" && said.body.contains("Server does not support this operation") {
        return context.call(Method::POST, url, "failover", Some(body)).await;
    }
    Ok(said)
}

async fn write(
    context: &Context,
    store: &Store,
    leader: Option<&str>,
    candidate: Option<&str>,
    scheduled: Option<&str>,
) -> Result<()> {
    done(store.write_failover(leader, candidate, scheduled, context.patience()).await)
}
