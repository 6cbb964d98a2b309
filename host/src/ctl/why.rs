//! `why`: what was decided, by which rule, for which reason; and what of now no decision tells.

use super::context::Context;
use super::output::line;
use super::{CtlError, Result};
use reqwest::Method;
use serde_json::Value;

/// Prints the last decisions of every member, or of one.
pub(super) async fn why(context: &Context, names: &[String], last: usize, format: &str) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    let members = snapshot.view.members.iter().filter(|one| names.is_empty() || names.contains(&one.name));
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        return Err(CtlError::new(format!("{} is not a member of cluster", names.first().unwrap_or(&context.scope))));
    }
    let strangers = super::doctor::strangers(context, &snapshot).await;
    for one in members {
        let stranger = strangers.get(&one.name);
        let url = one.api_url.as_deref().unwrap_or_default();
        let said = context.call(Method::GET, url, &format!("journal?last={last}"), None).await;
        let entries = said.map(|said| serde_json::from_str::<Vec<Value>>(&said.body).unwrap_or_default());
        if format == "json" {
            let entries = entries.unwrap_or_default();
            let mut told = serde_json::json!({"member": one.name, "decisions": entries});
            if let Some(why) = stranger {
                told["history"] = why.as_str().into();
            }
            line(&told.to_string());
            continue;
        }
        line(&one.name);
        match entries {
            Ok(entries) => entries.iter().for_each(|entry| line(&describe(entry))),
            Err(why) => line(&format!("  does not answer: {why}")),
        }
        if let Some(why) = stranger {
            line(&format!("  now: {why}"));
        }
    }
    Ok(())
}

/// A decision in one line.
pub(super) fn describe(entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let at = text("at").get(..19).unwrap_or_default().replace('T', " ");
    let rule = entry.get("rule").and_then(Value::as_u64).unwrap_or(0);
    let outcome = Some(text("outcome")).filter(|outcome| !outcome.is_empty());
    let outcome = outcome.map(|outcome| format!(" ({outcome})")).unwrap_or_default();
    format!("  {at} rule {rule:>4} {:<12} {}: {}{outcome}", text("situation"), text("action"), text("reason"))
}
