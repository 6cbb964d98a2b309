//! What is shown of each member: from a reading of the store to rows.

use super::sheet::{Column, Empty, Sheet};
use super::table::Align;
use crate::dcs::Snapshot;
use regent_core::model::{Lsn, MemberView};
use serde_json::{Map, Value, json};

/// A reason longer than this is hidden from tables.
const REASON_MAX: usize = 50;

/// Columns that are shown only where a member has something to say there.
const EXTRA: [&str; 5] = ["Pending restart", "Pending restart reason", "Scheduled restart", "Tags", PROGRESS];

/// The peer's tool has no such column: it is there only while there is something in it.
const PROGRESS: &str = "Progress";

/// How the rows are looked at.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Eye {
    /// A table of members by name.
    Table,
    /// A table of who replicates from whom.
    Topology,
    /// A program's.
    Program,
}

/// The members under their columns.
pub(super) fn sheet(scope: &str, title: String, snapshot: &Snapshot, eye: Eye, extended: bool) -> Sheet {
    let members = if eye == Eye::Topology { tree(snapshot) } else { by_name(snapshot) };
    let with_port = needs_ports(&snapshot.view.members);
    let rows: Vec<(Vec<Value>, [Value; 5])> = members
        .iter()
        .map(|(member, shown)| {
            let mut cells = cells(member, shown, snapshot, with_port);
            if eye == Eye::Program {
                cells.insert(0, json!(scope));
            }
            (cells, extra(snapshot.members_raw.get(&member.name), eye))
        })
        .collect();
    let says =
        |index: &usize| extended && EXTRA[*index] != PROGRESS || rows.iter().any(|(_, extra)| is_said(&extra[*index]));
    let shown: Vec<usize> = (0..EXTRA.len()).filter(says).collect();
    let mut columns = columns(eye);
    columns.extend(shown.iter().map(|index| Column::new(EXTRA[*index], Align::Left)));
    let rows = rows.into_iter().map(|(mut cells, extra)| {
        cells.extend(shown.iter().map(|index| extra[*index].clone()));
        cells
    });
    Sheet { title, columns, rows: rows.collect(), empty: Empty::LeftOut }
}

fn columns(eye: Eye) -> Vec<Column> {
    let lag = |name: &str| Column { name: name.to_owned(), title: "Lag".to_owned(), align: Align::Right };
    let cluster = (eye == Eye::Program).then(|| Column::new("Cluster", Align::Left));
    cluster
        .into_iter()
        .chain(["Member", "Host", "Role", "State"].map(|name| Column::new(name, Align::Left)))
        .chain([Column::new("TL", Align::Right), Column::new("Receive LSN", Align::Right), lag("Receive Lag")])
        .chain([Column::new("Replay LSN", Align::Right), lag("Replay Lag")])
        .collect()
}

fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

fn by_name(snapshot: &Snapshot) -> Vec<(&MemberView, String)> {
    snapshot.view.members.iter().map(|member| (member, member.name.clone())).collect()
}

/// The leader, and below it those who replicate from it, and below them...
fn tree(snapshot: &Snapshot) -> Vec<(&MemberView, String)> {
    let leader = snapshot.view.leader_member();
    let is_leader = |member: &MemberView| leader.is_some_and(|leader| leader.name == member.name);
    let replicas: Vec<_> = snapshot.view.members.iter().filter(|member| !is_leader(member)).collect();
    let parent = |member: &MemberView| {
        let from = member.tags.replicatefrom()?;
        replicas.iter().find(|replica| replica.name == from && replica.name != member.name).map(|one| one.name.clone())
    };
    let mut shown: Vec<_> = leader.into_iter().map(|leader| (leader, leader.name.clone())).collect();
    let mut waiting: Vec<_> = replicas.iter().filter(|one| parent(one).is_none()).map(|one| (*one, 0)).rev().collect();
    while let Some((member, depth)) = waiting.pop() {
        shown.push((member, format!("{}+ {}", "  ".repeat(depth), member.name)));
        let below = replicas.iter().filter(|one| parent(one).as_deref() == Some(member.name.as_str()));
        waiting.extend(below.map(|one| (*one, depth + 1)).rev());
    }
    // Those who replicate from each other in a circle hang on nobody.
    let lost = replicas.iter().filter(|one| !shown.iter().any(|(member, _)| member.name == one.name));
    let lost: Vec<_> = lost.map(|one| (*one, format!("+ {}", one.name))).collect();
    shown.extend(lost);
    shown
}

/// Host and port where the member's server listens.
pub(super) fn address(member: &MemberView) -> Option<(String, String)> {
    let authority = member.conn_url.as_deref()?.split("://").nth(1)?.split('/').next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, "5432"),
    };
    Some((host.trim_matches(['[', ']']).to_owned(), port.to_owned()))
}

/// Hosts alone would not tell the members from each other.
fn needs_ports(members: &[MemberView]) -> bool {
    let addresses: Vec<_> = members.iter().filter_map(address).collect();
    let shared = addresses
        .iter()
        .enumerate()
        .any(|(index, (host, _))| addresses[..index].iter().any(|(other, _)| other == host));
    shared || addresses.iter().any(|(_, port)| port != "5432")
}

fn cells(member: &MemberView, shown: &str, snapshot: &Snapshot, with_port: bool) -> Vec<Value> {
    let leads = snapshot.view.leader_name() == Some(member.name.as_str());
    let raw = snapshot.members_raw.get(&member.name);
    let state = raw.and_then(|raw| raw.get("state")).and_then(Value::as_str).unwrap_or_default();
    let state = member.replication_state.as_deref().filter(|_| !leads).unwrap_or(state);
    let host = address(member).map(|(host, port)| if with_port { format!("{host}:{port}") } else { host });
    let mut cells = vec![
        json!(shown),
        json!(host.unwrap_or_default()),
        json!(role(member, snapshot, leads)),
        json!(state),
        json!(member.timeline.map(|timeline| timeline.0)),
    ];
    let (receive, replay) = positions(member);
    for position in [receive, replay] {
        match position {
            _ if leads => cells.extend([Value::Null, Value::Null]),
            None => cells.extend([json!("unknown"), Value::Null]),
            Some(position) => {
                let lag = position.behind(snapshot.view.status.optime.unwrap_or_default());
                cells.extend([json!(position.to_string()), json!(mebibytes(lag))]);
            }
        }
    }
    cells
}

/// Where it says only one position, that is what it received while it streams, and else what it replayed.
fn positions(member: &MemberView) -> (Option<Lsn>, Option<Lsn>) {
    if member.receive_lsn.is_some() || member.replay_lsn.is_some() {
        return (member.receive_lsn, member.replay_lsn);
    }
    let streams = member.replication_state.as_deref() == Some("streaming");
    if streams { (member.xlog_location, None) } else { (None, member.xlog_location) }
}

fn role(member: &MemberView, snapshot: &Snapshot, leads: bool) -> &'static str {
    let config = |name: &str| snapshot.config.as_ref().and_then(|config| config.get(name));
    let listed = snapshot.view.sync.lists(&member.name);
    let quorum = config("synchronous_mode").and_then(Value::as_str);
    let quorum = quorum.is_some_and(|mode| mode.eq_ignore_ascii_case("quorum"));
    let standby = config("standby_cluster").is_some_and(|other| {
        ["host", "port", "restore_command"].iter().any(|name| other.get(name).is_some_and(|value| !value.is_null()))
    });
    match (leads, listed) {
        (true, _) if standby => "Standby Leader",
        (true, _) => "Leader",
        (false, true) if quorum => "Quorum Standby",
        (false, true) => "Sync Standby",
        (false, false) => "Replica",
    }
}

/// Rounded to whole mebibytes, half to even.
fn mebibytes(bytes: u64) -> u64 {
    (bytes as f64 / 1_048_576.0).round_ties_even() as u64
}

fn extra(raw: Option<&Value>, eye: Eye) -> [Value; 5] {
    let get = |name: &str| raw.and_then(|raw| raw.get(name));
    let pending = if get("pending_restart").and_then(Value::as_bool) == Some(true) { "*" } else { "" };
    let reasons = get("pending_restart_reason").and_then(Value::as_object).map(|map| reasons(map, eye));
    let scheduled = get("scheduled_restart").filter(|restart| restart.is_object()).map(|restart| {
        let at = restart.get("schedule").and_then(Value::as_str).unwrap_or_default();
        let version = restart.get("postgres_version").and_then(Value::as_str);
        version.map_or_else(|| at.to_owned(), |version| format!("{at} if version < {version}"))
    });
    let tags = get("tags").filter(|tags| tags.is_object()).cloned().unwrap_or_default();
    let tags = if eye == Eye::Topology && tags.is_object() { json!(super::document::flow(&tags)) } else { tags };
    let progress = get("progress").and_then(progress).unwrap_or_default();
    [json!(pending), json!(reasons.unwrap_or_default()), json!(scheduled.unwrap_or_default()), tags, json!(progress)]
}

/// `tar: 77 %, 7 MB of 9 MB in 2 files (base.tar)`
fn progress(told: &Value) -> Option<String> {
    let number = |name: &str| told.get(name).and_then(Value::as_u64);
    let text = |name: &str| told.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut line = text("method").map(|method| format!("{method}: ")).unwrap_or_default();
    line += &number("percent").map(|percent| format!("{percent} %, ")).unwrap_or_default();
    line += &format!("{} MB", mebibytes(number("bytes")?));
    line += &number("bytes_total").map(|total| format!(" of {} MB", mebibytes(total))).unwrap_or_default();
    line += &number("files").map(|files| format!(" in {files} files")).unwrap_or_default();
    line += &text("message").map(|message| format!(" ({})", shortened(message))).unwrap_or_default();
    Some(line)
}

fn shortened(message: &str) -> String {
    message.chars().filter(|character| !character.is_control()).take(REASON_MAX).collect()
}

fn reasons(map: &Map<String, Value>, eye: Eye) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let reason = |(name, values): (&String, &Value)| {
        let (old, new) = (text(values.get("old_value")), text(values.get("new_value")));
        let line = format!("{name}: {old}->{new}");
        let hidden = eye != Eye::Program && line.chars().count() > REASON_MAX;
        if hidden { format!("{name}: [hidden - too long]") } else { line }
    };
    map.iter().map(reason).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_one_line() {
        let check = |told: Value, expected: &str| {
            let [.., shown] = extra(Some(&json!({"progress": told})), Eye::Table);
            assert_eq!(shown, json!(expected));
        };
        let mebibyte = 1 << 20;
        check(json!({"method": "m", "bytes": 7 * mebibyte}), "m: 7 MB");
        let whole = json!({
            "method": "tar", "bytes": 7 * mebibyte, "bytes_total": 9 * mebibyte, "percent": 77, "files": 2,
            "message": "base.tar\u{1b}[2J",
        });
        check(whole, "tar: 77 %, 7 MB of 9 MB in 2 files (base.tar[2J)");
        check(json!({"method": "m"}), "");
        check(Value::Null, "");
    }
}
