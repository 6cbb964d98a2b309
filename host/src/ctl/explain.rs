//! `config explain`: what a key means, who set it, and which value counts.

use super::output::line;
use super::{CtlError, Result};
use crate::config::{Explanation, LocalConfig, explain};
use serde_json::Value;

/// Explains a key; without a reading of the store, what all members share is not known.
pub(super) fn key(local: &LocalConfig, shared: std::result::Result<Option<Value>, CtlError>, key: &str) -> Result<()> {
    let (dynamic, unread) = match shared {
        Ok(config) => (config, None),
        Err(why) => (None, Some(why)),
    };
    let told = explain(local, dynamic.as_ref(), key).map_err(|nearest| {
        let hint = nearest.map(|nearest| format!(" Did you mean '{nearest}'?")).unwrap_or_default();
        CtlError::new(format!("No such setting '{key}'.{hint}"))
    })?;
    line(key);
    for (name, text) in lines(&told, unread.as_ref()) {
        line(&format!("  {:<14}{text}", format!("{name}:")));
    }
    Ok(())
}

fn lines(told: &Explanation, unread: Option<&CtlError>) -> Vec<(&'static str, String)> {
    let unset = || "not set".to_owned();
    let here = told.local.as_ref().map(|(value, place)| {
        let place = place.to_string();
        let place = place.trim_end_matches([':', ' ']);
        if place.is_empty() { value.clone() } else { format!("{value} ({place})") }
    });
    let shared = unread.map(|why| format!("not known: {why}")).or_else(|| told.dynamic.clone());
    let mut lines = vec![("takes", told.takes.clone()), ("set by", told.set_by.to_owned())];
    lines.extend(told.variable.clone().map(|name| ("variable", name)));
    lines.push(("a change", format!("counts {}", told.applied)));
    lines.push(("default", told.default.clone().unwrap_or_else(|| "none".to_owned())));
    lines.push(("this node", here.unwrap_or_else(unset)));
    lines.push(("all members", shared.unwrap_or_else(unset)));
    lines.push(("in force", told.in_force.clone().unwrap_or_else(|| "nothing".to_owned())));
    lines
}
