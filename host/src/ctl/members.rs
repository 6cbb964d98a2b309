//! Commands that act on members one by one: `restart`, `reinit`, `reload`.

use super::context::{Context, Said};
use super::output::{ask, confirm, line};
use super::{CtlError, Result, list};
use crate::dcs::Snapshot;
use regent_core::model::{MemberView, Role};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Which members.
pub(super) struct Choice {
    pub names: Vec<String>,
    pub role: Option<String>,
    pub force: bool,
}

/// What a restart is to be like.
#[derive(Default)]
pub(super) struct RestartOptions {
    pub any: bool,
    pub scheduled: Option<String>,
    pub version: Option<String>,
    pub pending: bool,
    pub timeout: Option<String>,
}

fn has_role(member: &MemberView, snapshot: &Snapshot, role: &str) -> bool {
    let leads = snapshot.view.leader_name() == Some(member.name.as_str());
    match role {
        "leader" => leads,
        "primary" | "master" => leads && member.role != Some(Role::StandbyLeader),
        "standby-leader" => leads && member.role == Some(Role::StandbyLeader),
        "replica" | "standby" => !leads,
        _ => true,
    }
}

/// The chosen members, after the cluster was shown.
async fn choose(context: &Context, choice: &Choice, action: &str) -> Result<(Snapshot, Vec<MemberView>)> {
    let store = context.store().await?;
    let snapshot = context.load(&store).await?;
    list::print(context, &snapshot, "pretty", false)?;
    let role = choice.role.as_deref().unwrap_or("any");
    let members = &snapshot.view.members;
    if members.is_empty() {
        return Err(CtlError::new(format!("{} cluster doesn't have any members", context.scope)));
    }
    let fitting: Vec<_> = members.iter().filter(|member| has_role(member, &snapshot, role)).cloned().collect();
    let mut names = choice.names.clone();
    if names.is_empty() && action == "reinitialize" {
        let all = fitting.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
        let name = ask(&format!("Which member do you want to reinitialize [{all}]?"), "")?;
        if !fitting.iter().any(|member| member.name == name) {
            return Err(CtlError::new(format!("{name} is not a member of cluster")));
        }
        names.push(name);
    }
    let chosen: Vec<_> =
        fitting.into_iter().filter(|member| names.is_empty() || names.contains(&member.name)).collect();
    if chosen.is_empty() {
        let shown = if role == "any" { "'any'" } else { role };
        return Err(CtlError::new(format!("No {shown} among provided members")));
    }
    Ok((snapshot, chosen))
}

fn names(members: &[MemberView]) -> String {
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

async fn call(context: &Context, member: &MemberView, path: &str, body: Option<&Value>) -> Said {
    let unreachable = |body: String| Said { status: 0, body };
    match &member.api_url {
        Some(url) => context.call(Method::POST, url, path, body).await.unwrap_or_else(unreachable),
        None => unreachable("it has no API".to_owned()),
    }
}

fn failed(action: &str, member: &MemberView, said: &Said) {
    line(&format!("Failed: {action} for member {}, status code={}, ({})", member.name, said.status, said.body));
}

/// `restart`.
pub(super) async fn restart(context: &Context, choice: &Choice, options: &RestartOptions) -> Result<()> {
    let (_, mut members) = choose(context, choice, "restart").await?;
    let mut scheduled = options.scheduled.clone();
    let mut version = options.version.clone();
    if !choice.force {
        if scheduled.is_none() {
            let answer = ask("When should the restart take place (e.g. 2026-11-20T20:53) ", "now")?;
            scheduled = Some(answer).filter(|answer| answer != "now");
        }
        let question = match &scheduled {
            Some(at) => format!("Are you sure you want to schedule restart of members {} at {at}?", names(&members)),
            None => format!("Are you sure you want to restart members {}?", names(&members)),
        };
        if !confirm(&question)? {
            let what = if scheduled.is_some() { "scheduled restart" } else { "restart" };
            return Err(CtlError::new(format!("Aborted {what}")));
        }
        if version.is_none() {
            let answer = ask("Restart if the PostgreSQL version is less than provided (e.g. 9.5.2) ", "")?;
            version = Some(answer).filter(|answer| !answer.is_empty());
        }
    }
    if options.any {
        members.truncate(1);
    }
    if options.pending && scheduled.is_none() {
        members.retain(|member| member.pending_restart);
    }
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("restart_pending", options.pending.then(|| json!(true)));
    put("postgres_version", version.map(Value::String));
    put("schedule", scheduled.filter(|at| at != "now").map(Value::String));
    put("timeout", options.timeout.clone().map(Value::String));
    let body = Value::Object(body);
    for member in &members {
        let said = call(context, member, "restart", Some(&body)).await;
        match said.status {
            200 => line(&format!("Success: restart on member {}", member.name)),
            202 => line(&format!("Success: restart scheduled on member {}", member.name)),
            409 => line(&format!("Failed: another restart is already scheduled on member {}", member.name)),
            _ => failed("restart", member, &said),
        }
    }
    Ok(())
}

/// `reinit`.
pub(super) async fn reinit(context: &Context, choice: &Choice, from_leader: bool) -> Result<()> {
    let (_, members) = choose(context, choice, "reinitialize").await?;
    let question = format!("Are you sure you want to reinitialize members {}?", names(&members));
    if !choice.force && !confirm(&question)? {
        return Err(CtlError::new("Aborted reinitialize"));
    }
    for member in &members {
        let mut force = choice.force;
        loop {
            let body = json!({"force": force, "from_leader": from_leader});
            let said = call(context, member, "reinitialize", Some(&body)).await;
            if said.status == 200 {
                line(&format!("Success: reinitialize for member {}", member.name));
                break;
            }
            failed("reinitialize", member, &said);
            let busy = said.body.ends_with(" already in progress") && !force;
            if !busy || !confirm("Do you want to cancel it and reinitialize anyway?")? {
                break;
            }
            force = true;
        }
    }
    Ok(())
}

/// `reload`.
pub(super) async fn reload(context: &Context, choice: &Choice) -> Result<()> {
    let (snapshot, members) = choose(context, choice, "reload").await?;
    let question = format!("Are you sure you want to reload members {}?", names(&members));
    if !choice.force && !confirm(&question)? {
        return Err(CtlError::new("Aborted reload"));
    }
    let wait = snapshot.config.as_ref().and_then(|config| config.get("loop_wait")).and_then(Value::as_u64);
    for member in &members {
        let said = call(context, member, "reload", None).await;
        match said.status {
            200 => line(&format!("No changes to apply on member {}", member.name)),
            202 => line(&format!(
                "Reload request received for member {} and will be processed within {} seconds",
                member.name,
                wait.unwrap_or(10)
            )),
            _ => failed("reload", member, &said),
        }
    }
    Ok(())
}
