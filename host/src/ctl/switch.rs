//! `switchover` and `failover`.

use super::context::{Context, Said, done};
use super::output::{ask, confirm, line, timestamp};
use super::when::{When, example};
use super::{CtlError, Result, list};
use crate::dcs::{Snapshot, Store};
use regent_core::model::Role;
use reqwest::Method;
use serde_json::{Map, Value};

/// A way to hand over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Action {
    Switchover,
    Failover,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Switchover => "switchover",
            Action::Failover => "failover",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Action::Switchover => "Switchover",
            Action::Failover => "Failover",
        }
    }
}

/// What is asked for.
pub(super) struct Wish {
    pub action: Action,
    pub leader: Option<String>,
    pub candidate: Option<String>,
    pub scheduled: Option<String>,
    pub force: bool,
}

/// What is going to be asked of a member.
pub(super) struct Plan {
    leader: Option<String>,
    candidate: Option<String>,
    scheduled: Option<String>,
}

/// Hands over.
pub(super) async fn switch(context: Context, wish: Wish) -> Result<()> {
    let context = &context;
    let (store, snapshot) = context.read().await?;
    let plan = plan(context, &snapshot, &wish)?;
    let body = body(wish.action, &plan);
    let target = snapshot.view.leader_member().or_else(|| snapshot.view.member(plan.candidate.as_deref()?));
    let url = target.and_then(|member| member.api_url.clone());
    match post(context, url.as_deref(), wish.action, &body).await {
        Ok(said) if matches!(said.status, 200 | 202) => line(&format!("{} {}", timestamp(), said.body)),
        Ok(said) => {
            line(&unsuccessful(wish.action, &said));
            return Ok(());
        }
        Err(why) => {
            tracing::warn!("the API is not accessible, so the store is asked: {why}");
            let action = wish.action.name();
            line(&format!("{} Could not {action} using Patroni api, falling back to DCS", timestamp()));
            write(context, &store, &plan).await?;
        }
    }
    let snapshot = context.load(&store).await?;
    list::print(context, &snapshot);
    Ok(())
}

/// Who answers that it does not know may have handed over all the same.
fn unsuccessful(action: Action, said: &Said) -> String {
    let how = if said.body.contains("status unknown") { "result unknown" } else { "failed" };
    format!("{} {how}, details: {}, {}", action.title(), said.status, said.body)
}

/// Asks for what the wish leaves open.
pub(super) fn plan(context: &Context, snapshot: &Snapshot, wish: &Wish) -> Result<Plan> {
    line("Current cluster topology");
    list::print(context, snapshot);
    let leader = leader(context, snapshot, wish)?;
    let candidate = candidate(context, snapshot, wish, leader.as_deref())?;
    let paused = snapshot.config.as_ref().and_then(|config| config.get("pause")).and_then(Value::as_bool);
    let scheduled = schedule(wish, paused == Some(true))?;
    consent(context, snapshot, wish, candidate.as_deref(), scheduled.as_deref())?;
    Ok(Plan { leader, candidate, scheduled })
}

fn leader(context: &Context, snapshot: &Snapshot, wish: &Wish) -> Result<Option<String>> {
    if wish.action == Action::Failover {
        return Ok(None);
    }
    let Some(current) = snapshot.view.leader_name() else {
        return Err(CtlError::new("This cluster has no leader"));
    };
    let standby = snapshot.view.leader_member().is_some_and(|member| member.role == Some(Role::StandbyLeader));
    let named = match &wish.leader {
        Some(name) => name.clone(),
        None if wish.force => current.to_owned(),
        None => ask(if standby { "Standby Leader" } else { "Primary" }, Some(current))?,
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
        return Err(CtlError::new(format!("No candidates found to {} to", wish.action.name())));
    }
    let named = match &wish.candidate {
        Some(name) => Some(name.clone()),
        None if wish.force => None,
        None => {
            let shown = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
            Some(ask(&format!("Candidate [{shown}]"), Some(""))?)
        }
    };
    match named {
        named if wish.action == Action::Failover && named.as_deref().unwrap_or_default().is_empty() => {
            Err(CtlError::new("Failover could be performed only to a specific candidate"))
        }
        Some(name) if name.is_empty() => Ok(Some(name)),
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
    if wish.action == Action::Failover {
        return Ok(None);
    }
    let scheduled = match &wish.scheduled {
        Some(at) => at.clone(),
        None if wish.force => "now".to_owned(),
        None => ask(&format!("When should the switchover take place (e.g. {} ) ", example()), Some("now"))?,
    };
    let scheduled = When::read(&scheduled)?.map(|at| at.iso());
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
    let asynchronous =
        candidate.filter(|name| wish.action == Action::Failover && sync.leader.is_some() && !sync.knows(name));
    if let Some(name) = asynchronous
        && !confirm(&format!("Are you sure you want to failover to the asynchronous node {name}?"))?
    {
        return Err(CtlError::new("Aborting failover"));
    }
    let demoting =
        snapshot.view.leader_name().map(|leader| format!(", demoting current leader {leader}")).unwrap_or_default();
    let (scope, action) = (&context.scope, wish.action.name());
    let (question, aborting) = match scheduled {
        Some(at) => (
            format!("Are you sure you want to schedule {action} of cluster {scope} at {at}{demoting}?"),
            format!("Aborting scheduled {action}"),
        ),
        None => (format!("Are you sure you want to {action} cluster {scope}{demoting}?"), format!("Aborting {action}")),
    };
    if confirm(&question)? { Ok(()) } else { Err(CtlError::new(aborting)) }
}

/// A switchover names its leader, and its candidate even where it is nobody in particular.
fn body(action: Action, plan: &Plan) -> Value {
    let mut body = Map::from_iter([("candidate".to_owned(), Value::from(plan.candidate.clone()))]);
    if action == Action::Switchover {
        body.insert("leader".to_owned(), Value::from(plan.leader.clone()));
    }
    if let Some(at) = &plan.scheduled {
        body.insert("scheduled_at".to_owned(), Value::from(at.clone()));
    }
    Value::Object(body)
}

/// A node that knows no switchovers yet is asked for a failover.
async fn post(context: &Context, url: Option<&str>, action: Action, body: &Value) -> std::result::Result<Said, String> {
    let url = url.ok_or("no member has an API")?;
    let said = context.call(Method::POST, url, action.name(), Some(body)).await?;
    let unknown = said.status == 501 && said.body.contains("Server does not support this operation");
    if unknown && action == Action::Switchover {
        return context.call(Method::POST, url, "failover", Some(body)).await;
    }
    Ok(said)
}

async fn write(context: &Context, store: &Store, plan: &Plan) -> Result<()> {
    let candidate = plan.candidate.as_deref().filter(|name| !name.is_empty());
    let (leader, scheduled) = (plan.leader.as_deref(), plan.scheduled.as_deref());
    done(store.write_failover(leader, candidate, scheduled, context.patience()).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::testing::{Api, context};
    use serde_json::json;

    const NOT_KNOWN: &str = "<title>Error response</title> Server does not support this operation";

    /// CTL-18: a member of before there were switchovers is asked for a failover, once.
    #[tokio::test]
    async fn a_member_that_knows_no_switchover_is_asked_for_a_failover() {
        let body = json!({"leader": "a", "candidate": "b"});
        let check = async |says: fn(&str) -> (u16, &'static str), action, lines: &[&str], status: u16| {
            let api = Api::serve(None, says).await;
            let said = post(&context("", false), Some(&api.url), action, &body).await.unwrap();
            let asked = api.asked();
            let found: Vec<&str> = asked.iter().filter_map(|text| text.split(" HTTP").next()).collect();
            assert_eq!((found.as_slice(), said.status), (lines, status));
            assert!(asked.iter().all(|text| text.ends_with(r#"{"leader":"a","candidate":"b"}"#)), "{asked:?}");
        };
        let old = |line: &str| if line.ends_with("/switchover") { (501, NOT_KNOWN) } else { (200, "done") };
        check(old, Action::Switchover, &["POST /switchover", "POST /failover"], 200).await;
        check(|_| (501, NOT_KNOWN), Action::Switchover, &["POST /switchover", "POST /failover"], 501).await;
        check(|_| (501, NOT_KNOWN), Action::Failover, &["POST /failover"], 501).await;
        check(|_| (501, "not today"), Action::Switchover, &["POST /switchover"], 501).await;
        check(|_| (412, "no"), Action::Switchover, &["POST /switchover"], 412).await;
    }
}
