//! `pause` and `resume`: the flag is set through a member's API.

use super::context::Context;
use super::output::line;
use super::{CtlError, Result};
use reqwest::Method;
use serde_json::{Value, json};

/// Sets or clears the flag.
pub(super) async fn pause(context: &Context, paused: bool) -> Result<()> {
    let store = context.store().await?;
    let snapshot = context.load(&store).await?;
    let now = snapshot.config.as_ref().and_then(|config| config.get("pause")).and_then(Value::as_bool) == Some(true);
    if now == paused {
        let text = if paused { "Cluster is already paused" } else { "Cluster is not paused" };
        return Err(CtlError::new(text));
    }
    let verb = if paused { "pause" } else { "resume" };
    let body = if paused { json!({"pause": true}) } else { json!({"pause": null}) };
    let leader = snapshot.view.leader_name();
    let mut members: Vec<_> = snapshot.view.members.iter().filter(|member| member.api_url.is_some()).collect();
    members.sort_by_key(|member| Some(member.name.as_str()) != leader);
    for member in members {
        let url = member.api_url.as_deref().unwrap_or_default();
        match context.call(Method::PATCH, url, "config", Some(&body)).await {
            Ok(said) if said.status == 200 => {
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
