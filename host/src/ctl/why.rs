//! `why` and `history`: what was decided, by which rule, for which reason; and past promotions.

use super::context::Context;
use super::output::line;
use super::table::{Align, Table};
use super::{CtlError, Result};
use reqwest::Method;
use serde_json::Value;

/// Prints the last decisions of every member, or of one.
pub(super) async fn why(context: &Context, member: Option<&str>, last: usize, format: &str) -> Result<()> {
    let store = context.store().await?;
    let snapshot = context.load(&store).await?;
    let members = snapshot.view.members.iter().filter(|one| member.is_none_or(|name| name == one.name));
    let members: Vec<_> = members.collect();
    if members.is_empty() {
        return Err(CtlError::new(format!("{} is not a member of cluster", member.unwrap_or(&context.scope))));
    }
    for one in members {
        let url = one.api_url.as_deref().unwrap_or_default();
        let said = context.call(Method::GET, url, &format!("journal?last={last}"), None).await;
        let entries = said.map(|said| serde_json::from_str::<Vec<Value>>(&said.body).unwrap_or_default());
        if format == "json" {
            let entries = entries.unwrap_or_default();
            line(&serde_json::json!({"member": one.name, "decisions": entries}).to_string());
            continue;
        }
        line(&one.name);
        match entries {
            Ok(entries) => entries.iter().for_each(|entry| line(&describe(entry))),
            Err(why) => line(&format!("  does not answer: {why}")),
        }
    }
    Ok(())
}

fn describe(entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let at = text("at").get(..19).unwrap_or_default().replace('T', " ");
    let rule = entry.get("rule").and_then(Value::as_u64).unwrap_or(0);
    let outcome = Some(text("outcome")).filter(|outcome| !outcome.is_empty());
    let outcome = outcome.map(|outcome| format!(" ({outcome})")).unwrap_or_default();
    format!("  {at} rule {rule:>4} {:<12} {}: {}{outcome}", text("situation"), text("action"), text("reason"))
}

/// Prints past promotions.
pub(super) async fn history(context: &Context, format: &str) -> Result<()> {
    let store = context.store().await?;
    let snapshot = context.load(&store).await?;
    let columns = [
        ("TL", Align::Right),
        ("LSN", Align::Right),
        ("Reason", Align::Left),
        ("Timestamp", Align::Left),
        ("New Leader", Align::Left),
    ];
    let cell = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let rows = snapshot.history_raw.as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| (0..columns.len()).map(|index| cell(row.get(index))).collect()).collect();
    if format == "json" {
        let objects = rows.iter().map(|row| {
            let pairs =
                columns.iter().zip(row).map(|((name, _), value)| ((*name).to_owned(), Value::from(value.as_str())));
            Value::Object(pairs.collect())
        });
        line(&Value::Array(objects.collect()).to_string());
        return Ok(());
    }
    let columns = columns.map(|(name, align)| (name.to_owned(), align)).to_vec();
    line(&Table { title: String::new(), columns, rows }.render());
    Ok(())
}
