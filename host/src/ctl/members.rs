//! Which members a command acts on, how they are asked to act, and `reload`.

use super::context::{Context, Said};
use super::output::{ask, confirm, line};
use super::{CtlError, Result, list, role};
use crate::dcs::Snapshot;
use regent_core::model::MemberView;
use reqwest::Method;
use serde_json::Value;

/// Which members.
pub(super) struct Choice {
    pub names: Vec<String>,
    pub role: String,
    pub force: bool,
}

/// What is done where nobody is named.
#[derive(PartialEq)]
pub(super) enum Unnamed {
    /// All of them are meant.
    All,
    /// Somebody is asked for a name; nobody, where nothing is to be asked.
    Asked,
}

/// The chosen members, after the cluster was shown.
pub(super) fn choose(
    context: &Context,
    snapshot: &Snapshot,
    choice: &Choice,
    unnamed: Unnamed,
) -> Result<Vec<MemberView>> {
    let fitting = role::members(snapshot, &choice.role);
    if fitting.is_empty() {
        return Err(CtlError::new(format!("{} cluster doesn't have any members", context.scope)));
    }
    list::print(context, snapshot);
    let mut named = choice.names.clone();
    if named.is_empty() && unnamed == Unnamed::Asked {
        if choice.force {
            return Ok(Vec::new());
        }
        let name = ask(&format!("Which member do you want to reinitialize [{}]?", names(&fitting)), Some(""))?;
        if !fitting.iter().any(|member| member.name == name) {
            return Err(CtlError::new(format!("{name} is not a member of cluster")));
        }
        named.push(name);
    }
    let is_meant = |member: &MemberView| named.is_empty() || named.contains(&member.name);
    let chosen: Vec<_> = fitting.into_iter().filter(is_meant).collect();
    if chosen.is_empty() {
        let role = &choice.role;
        let shown = if unnamed == Unnamed::Asked { role.clone() } else { format!("'{role}'") };
        return Err(CtlError::new(format!("No {shown} among provided members")));
    }
    Ok(chosen)
}

/// The members' names in one line.
pub(super) fn names(members: &[MemberView]) -> String {
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Asks whether it is meant, unless nothing is to be asked.
pub(super) fn consent(action: &str, members: &[MemberView], force: bool) -> Result<()> {
    let question = format!("Are you sure you want to {action} members {}?", names(members));
    if force || confirm(&question)? { Ok(()) } else { Err(CtlError::new(format!("Aborted {action}"))) }
}

/// Members that could not be asked: they end a command with an error, after all others were asked.
#[derive(Default)]
pub(super) struct Unreached(Vec<String>);

impl Unreached {
    /// Asks a member; `None` where it can not be reached, which is told.
    pub async fn ask(
        &mut self,
        context: &Context,
        member: &MemberView,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Said> {
        let said = match &member.api_url {
            Some(url) => context.call(method, url, path, body).await,
            None => Err("it has no API".to_owned()),
        };
        let error = match said {
            Ok(said) => return Some(said),
            Err(error) => error,
        };
        tracing::warn!("member {} is not accessible: {error}", member.name);
        self.0.push(member.name.clone());
        None
    }

    /// The command's end.
    pub fn told(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(CtlError::new(format!("Members that are not accessible: {}", self.0.join(", "))))
    }
}

/// Tells that a member did not do it.
pub(super) fn failed(action: &str, member: &MemberView, said: &Said) {
    line(&format!("Failed: {action} for member {}, status code={}, ({})", member.name, said.status, said.body));
}

/// `reload`.
pub(super) async fn reload(context: &Context, choice: &Choice) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    let members = choose(context, &snapshot, choice, Unnamed::All)?;
    consent("reload", &members, choice.force)?;
    let wait = snapshot.config.as_ref().and_then(|config| config.get("loop_wait")).and_then(Value::as_u64);
    let mut unreached = Unreached::default();
    for member in &members {
        let Some(said) = unreached.ask(context, member, Method::POST, "reload", None).await else { continue };
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
    unreached.told()
}
