//! `list`: the members of a cluster as a table, or for programs.

use super::context::Context;
use super::output::line;
use super::table::{Align, Table};
use super::{CtlError, Result};
use crate::dcs::Snapshot;
use regent_core::model::{Lsn, MemberView, Role};
use serde_json::{Map, Value, json};

/// One member as it is shown.
struct Row {
    member: String,
    host: String,
    role: String,
    state: String,
    timeline: Option<u32>,
    receive: Option<Lsn>,
    replay: Option<Lsn>,
    leads: bool,
    extra: [String; 4],
}

/// Columns that are shown only where a member has something to say there.
const EXTRA: [&str; 4] = ["Pending restart", "Pending restart reason", "Scheduled restart", "Tags"];

/// Prints the cluster.
pub(super) async fn list(context: &Context, format: &str, extended: bool) -> Result<()> {
    let store = context.store().await?;
    let snapshot = context.load(&store).await?;
    print(context, &snapshot, format, extended)
}

/// Prints a reading.
pub(super) fn print(context: &Context, snapshot: &Snapshot, format: &str, extended: bool) -> Result<()> {
    let rows = rows(snapshot);
    match format {
        "pretty" => {
            line(&pretty(&context.scope, snapshot, &rows, extended).render());
            service_lines(snapshot);
        }
        "tsv" => tsv(&context.scope, &rows, extended),
        "json" => line(&json_text(&json_rows(&context.scope, &rows, snapshot))),
        "yaml" | "yml" => {
            let text = serde_yaml::to_string(&sorted(json_rows(&context.scope, &rows, snapshot)));
            line(&text.map_err(|error| CtlError::new(error.to_string()))?);
        }
        other => return Err(CtlError::new(format!("unknown format {other}"))),
    }
    Ok(())
}

fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let view = &snapshot.view;
    let addresses: Vec<_> = view.members.iter().map(address).collect();
    let hosts: Vec<_> = addresses.iter().flatten().map(|(host, _)| host).collect();
    let shared = hosts.iter().enumerate().any(|(index, host)| hosts[..index].contains(host));
    let with_port = shared || addresses.iter().flatten().any(|(_, port)| port != "5432");
    view.members
        .iter()
        .zip(&addresses)
        .map(|(member, address)| {
            let leads = view.leader_name() == Some(member.name.as_str());
            let raw = snapshot.members_raw.get(&member.name);
            let state = raw.and_then(|raw| raw.get("state")).and_then(Value::as_str).unwrap_or_default();
            Row {
                member: member.name.clone(),
                host: address.as_ref().map_or_else(String::new, |(host, port)| {
                    if with_port { format!("{host}:{port}") } else { host.clone() }
                }),
                role: role(member, snapshot, leads),
                state: member.replication_state.clone().filter(|_| !leads).unwrap_or_else(|| state.to_owned()),
                timeline: member.timeline.map(|timeline| timeline.0),
                receive: member.receive_lsn,
                replay: member.replay_lsn,
                leads,
                extra: extra(raw),
            }
        })
        .collect()
}

fn address(member: &MemberView) -> Option<(String, String)> {
    let authority = member.conn_url.as_deref()?.split("://").nth(1)?.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.to_owned()))
}

fn role(member: &MemberView, snapshot: &Snapshot, leads: bool) -> String {
    let named = snapshot.view.sync.lists(&member.name);
    let mode = snapshot.config.as_ref().and_then(|config| config.get("synchronous_mode"));
    let quorum = mode.and_then(Value::as_str).is_some_and(|mode| mode.eq_ignore_ascii_case("quorum"));
    match (leads, member.role) {
        (true, Some(Role::StandbyLeader)) => "Standby Leader",
        (true, _) => "Leader",
        (false, _) if named && quorum => "Quorum Standby",
        (false, _) if named => "Sync Standby",
        _ => "Replica",
    }
    .to_owned()
}

fn extra(raw: Option<&Value>) -> [String; 4] {
    let get = |name: &str| raw.and_then(|raw| raw.get(name));
    let pending = if get("pending_restart").and_then(Value::as_bool) == Some(true) { "*" } else { "" };
    let reasons = get("pending_restart_reason").and_then(Value::as_object);
    let reason = |(name, values): (&String, &Value)| {
        let text = |key: &str| values.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = format!("{name}: {}->{}", text("old_value"), text("new_value"));
        if line.len() > 50 { format!("{name}: [hidden - too long]") } else { line }
    };
    let reasons = reasons.map(|map| map.iter().map(reason).collect::<Vec<_>>().join("\n")).unwrap_or_default();
    let scheduled = get("scheduled_restart").map(|restart| {
        let at = restart.get("schedule").and_then(Value::as_str).unwrap_or_default();
        let version = restart.get("postgres_version").and_then(Value::as_str);
        version.map_or_else(|| at.to_owned(), |version| format!("{at} if version < {version}"))
    });
    let tags = get("tags").and_then(Value::as_object).filter(|tags| !tags.is_empty());
    let tags = tags.and_then(|tags| serde_yaml::to_string(tags).ok()).unwrap_or_default();
    [pending.to_owned(), reasons, scheduled.unwrap_or_default(), tags.trim_end().to_owned()]
}

fn lag(row: &Row, position: Option<Lsn>, optime: Lsn) -> String {
    match position {
        Some(position) if !row.leads => mebibytes(position.behind(optime)).to_string(),
        _ => String::new(),
    }
}

/// Rounded to whole mebibytes, half to even.
fn mebibytes(bytes: u64) -> u64 {
    (bytes as f64 / 1048576.0).round_ties_even() as u64
}

fn lsn(row: &Row, position: Option<Lsn>) -> String {
    match position {
        _ if row.leads => String::new(),
        Some(position) => position.to_string(),
        None => "unknown".to_owned(),
    }
}

fn shown_extra(rows: &[Row], extended: bool) -> Vec<usize> {
    (0..EXTRA.len()).filter(|index| extended || rows.iter().any(|row| !row.extra[*index].is_empty())).collect()
}

fn pretty(scope: &str, snapshot: &Snapshot, rows: &[Row], extended: bool) -> Table {
    let optime = snapshot.view.status.optime.unwrap_or_default();
    let extra = shown_extra(rows, extended);
    let mut columns: Vec<(String, Align)> = [
        ("Member", Align::Left),
        ("Host", Align::Left),
        ("Role", Align::Left),
        ("State", Align::Left),
        ("TL", Align::Right),
        ("Receive LSN", Align::Right),
        ("Lag", Align::Right),
        ("Replay LSN", Align::Right),
        ("Lag", Align::Right),
    ]
    .map(|(name, align)| (name.to_owned(), align))
    .to_vec();
    columns.extend(extra.iter().map(|index| (EXTRA[*index].to_owned(), Align::Left)));
    let cells = |row: &Row| {
        let mut cells = vec![
            row.member.clone(),
            row.host.clone(),
            row.role.clone(),
            row.state.clone(),
            row.timeline.map(|timeline| timeline.to_string()).unwrap_or_default(),
            lsn(row, row.receive),
            lag(row, row.receive, optime),
            lsn(row, row.replay),
            lag(row, row.replay, optime),
        ];
        cells.extend(extra.iter().map(|index| row.extra[*index].clone()));
        cells
    };
    let initialize = match snapshot.view.initialize.as_deref() {
        None => "uninitialized",
        Some("") => "initializing",
        Some(system_id) => system_id,
    };
    Table { title: format!("Cluster: {scope} ({initialize})"), columns, rows: rows.iter().map(cells).collect() }
}

fn service_lines(snapshot: &Snapshot) {
    let config = snapshot.config.as_ref();
    if config.and_then(|config| config.get("pause")).and_then(Value::as_bool) == Some(true) {
        line(" Maintenance mode: on");
    }
    let text = |name: &str| snapshot.failover_raw.get(name).and_then(Value::as_str);
    if let Some(at) = text("scheduled_at") {
        line(&format!(" Switchover scheduled at: {at}"));
        for (label, name) in [("from", "leader"), ("to", "member")] {
            if let Some(value) = text(name) {
                line(&format!("{label:>24}: {value}"));
            }
        }
    }
}

fn tsv(scope: &str, rows: &[Row], extended: bool) {
    let extra = shown_extra(rows, extended);
    let mut header =
        ["Cluster", "Member", "Host", "Role", "State", "TL", "Receive LSN", "Receive Lag", "Replay LSN", "Replay Lag"]
            .map(str::to_owned)
            .to_vec();
    header.extend(extra.iter().map(|index| EXTRA[*index].to_owned()));
    line(&header.join("\t"));
    for row in rows {
        let optime = row.receive.max(row.replay).unwrap_or_default();
        let mut cells = vec![
            scope.to_owned(),
            row.member.clone(),
            row.host.clone(),
            row.role.clone(),
            row.state.clone(),
            row.timeline.map(|timeline| timeline.to_string()).unwrap_or_default(),
            lsn(row, row.receive),
            lag(row, row.receive, optime),
            lsn(row, row.replay),
            lag(row, row.replay, optime),
        ];
        cells.extend(extra.iter().map(|index| row.extra[*index].replace('\n', ", ")));
        line(&cells.join("\t"));
    }
}

fn json_rows(scope: &str, rows: &[Row], snapshot: &Snapshot) -> Vec<Map<String, Value>> {
    let optime = snapshot.view.status.optime.unwrap_or_default();
    rows.iter()
        .map(|row| {
            let mut map = Map::new();
            let mut put = |name: &str, value: Value| {
                if value != json!("") && !value.is_null() {
                    map.insert(name.to_owned(), value);
                }
            };
            put("Cluster", json!(scope));
            put("Member", json!(row.member));
            put("Host", json!(row.host));
            put("Role", json!(row.role));
            put("State", json!(row.state));
            put("TL", json!(row.timeline));
            if !row.leads {
                let megabytes = |position: Option<Lsn>| position.map(|position| mebibytes(position.behind(optime)));
                put("Receive LSN", json!(lsn(row, row.receive)));
                put("Receive Lag", json!(megabytes(row.receive)));
                put("Replay LSN", json!(lsn(row, row.replay)));
                put("Replay Lag", json!(megabytes(row.replay)));
            }
            for (name, value) in EXTRA.iter().zip(&row.extra).take(3) {
                put(name, json!(value));
            }
            let raw = snapshot.members_raw.get(&row.member);
            put("Tags", raw.and_then(|raw| raw.get("tags")).cloned().unwrap_or_default());
            map
        })
        .collect()
}

fn sorted(rows: Vec<Map<String, Value>>) -> Vec<std::collections::BTreeMap<String, Value>> {
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

/// One line, with the separators of the peer.
fn json_text(rows: &[Map<String, Value>]) -> String {
    let value = Value::Array(rows.iter().cloned().map(Value::Object).collect());
    spaced(&value)
}

fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}
