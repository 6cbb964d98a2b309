//! `list` and `topology`: the members of clusters.

use super::Result;
use super::context::{Context, Surroundings};
use super::output::{line, seconds};
use super::rows::{Eye, sheet};
use super::watch::{Pace, fresh_screen};
use crate::dcs::Snapshot;
use serde_json::Value;

/// How the clusters are shown.
pub(super) struct Look {
    pub format: String,
    pub extended: bool,
    pub timestamp: bool,
    pub topology: bool,
}

/// Prints clusters, or the configured one.
pub(super) async fn list(
    surroundings: &Surroundings,
    names: &[String],
    group: Option<u32>,
    look: Look,
    mut pace: Pace,
) -> Result<()> {
    let names = if names.is_empty() { vec![surroundings.scope().to_owned()] } else { names.to_vec() };
    if names.iter().all(String::is_empty) {
        tracing::warn!("Listing members: No cluster names were provided");
        return Ok(());
    }
    let mut clusters = Vec::new();
    for name in &names {
        let context = surroundings.cluster(Some(name), group)?;
        let store = context.store().await?;
        clusters.push((context, store));
    }
    loop {
        fresh_screen(&pace)?;
        if look.timestamp {
            line(&seconds());
        }
        for (context, store) in &clusters {
            show(context, &context.load(store).await?, &look);
        }
        if !pace.again().await {
            return Ok(());
        }
    }
}

/// Prints a reading as a table.
pub(super) fn print(context: &Context, snapshot: &Snapshot) {
    print_as(context, snapshot, "pretty");
}

/// Prints a reading.
pub(super) fn print_as(context: &Context, snapshot: &Snapshot, format: &str) {
    show(context, snapshot, &Look { format: format.to_owned(), extended: false, timestamp: false, topology: false });
}

/// Prints a reading as it is wished.
pub(super) fn show(context: &Context, snapshot: &Snapshot, look: &Look) {
    let eye = match look.format.as_str() {
        _ if look.topology => Eye::Topology,
        "pretty" => Eye::Table,
        _ => Eye::Program,
    };
    let title = title(context, snapshot);
    sheet(&context.scope, title, snapshot, eye, look.extended).print(&look.format, "\t");
    if eye != Eye::Program {
        service_lines(snapshot).iter().for_each(|text| line(text));
    }
}

fn title(context: &Context, snapshot: &Snapshot) -> String {
    let initialize = match snapshot.view.initialize.as_deref() {
        None => "uninitialized",
        Some("") => "initializing",
        Some(system_id) => system_id,
    };
    let scope = &context.scope;
    match context.group {
        Some(group) => format!("Citus cluster: {scope} (group: {group}, {initialize})"),
        None if context.grouped => format!("Citus cluster: {scope}"),
        None => format!("Cluster: {scope} ({initialize})"),
    }
}

fn service_lines(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    let config = snapshot.config.as_ref();
    if config.and_then(|config| config.get("pause")).and_then(Value::as_bool) == Some(true) {
        lines.push(" Maintenance mode: on".to_owned());
    }
    let text = |name: &str| snapshot.failover_raw.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(at) = text("scheduled_at") {
        lines.push(format!(" Switchover scheduled at: {at}"));
        for (label, name) in [("from", "leader"), ("to", "member")] {
            lines.extend(text(name).map(|value| format!("{label:>24}: {value}")));
        }
    }
    lines
}
