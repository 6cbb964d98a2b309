//! Reads every key leniently (dcs-layout §2): nothing that anybody wrote may take the reader down.

use super::document::tags_from;
use crate::numbers;
use regent_core::model::{
    ClusterView, FailoverRequest, HistoryRow, HistoryView, LeaderView, Lsn, MemberView, StatusView, SyncState,
    SyncView, Timeline, Version, WallTime,
};
use regent_plugin_api::host::{Entry, KeyKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One reading of the store: what decisions need, and the documents as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What decisions need.
    pub view: ClusterView,
    /// The dynamic configuration, where it is a JSON object.
    pub config: Option<Value>,
    /// Where in it stand whole numbers of more than 64 bits, which are text in `config`.
    pub config_long: Vec<String>,
    /// Member documents by name; `{}` where one could not be read.
    pub members_raw: BTreeMap<String, Value>,
    /// The `failover` document; `{}` where there is none.
    pub failover_raw: Value,
    /// The `sync` document; `{}` where there is none.
    pub sync_raw: Value,
    /// The `history` document; `[]` where there is none.
    pub history_raw: Value,
    /// Where a watch goes on from.
    pub cursor: String,
}

/// Reads all entries of one reading.
pub fn decode_cluster(entries: &[Entry], cursor: String) -> Snapshot {
    let mut snapshot = Snapshot {
        failover_raw: json!({}),
        sync_raw: json!({}),
        history_raw: json!([]),
        cursor,
        ..Snapshot::default()
    };
    for entry in entries {
        decode_entry(&mut snapshot, entry);
    }
    if !entries.iter().any(|entry| entry.key.kind == KeyKind::Status) {
        snapshot.view.status.optime = legacy_optime(entries);
    }
    snapshot.view.members.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot
}

/// The position of nodes before 2.1: decimal text in a key of its own, asked only where `status` is absent.
fn legacy_optime(entries: &[Entry]) -> Option<Lsn> {
    let is_legacy = |entry: &&Entry| matches!(entry.key.kind, KeyKind::Other(_)) && entry.key.name == "optime/leader";
    let entry = entries.iter().find(is_legacy)?;
    std::str::from_utf8(&entry.value).ok()?.trim().parse().ok().map(Lsn)
}

fn decode_entry(snapshot: &mut Snapshot, entry: &Entry) {
    let text = String::from_utf8_lossy(&entry.value);
    let parsed = || serde_json::from_slice::<Value>(&entry.value).ok();
    let version = Version(entry.version.clone());
    match entry.key.kind {
        KeyKind::Initialize => snapshot.view.initialize = Some(text.trim().to_owned()),
        KeyKind::Leader if !text.is_empty() => {
            let leader = LeaderView { name: text.into_owned(), version, session: entry.session.clone() };
            snapshot.view.leader = Some(leader);
        }
        KeyKind::Member => {
            let document = member_document(&entry.value);
            snapshot.view.members.push(member(&entry.key.name, &document));
            snapshot.members_raw.insert(entry.key.name.clone(), document);
        }
        KeyKind::Config => {
            let document = numbers::read(&entry.value).ok().filter(|document| document.value.is_object());
            snapshot.config_long = document.as_ref().map(|document| document.long.clone()).unwrap_or_default();
            snapshot.config = document.map(|document| document.value);
            snapshot.view.config = snapshot.config.as_ref().map(|_| version);
        }
        KeyKind::Failover => {
            snapshot.failover_raw = failover_document(&text, parsed());
            snapshot.view.failover = Some(failover(&snapshot.failover_raw, version));
        }
        KeyKind::Sync => {
            snapshot.sync_raw = parsed().filter(Value::is_object).unwrap_or_else(|| json!({}));
            snapshot.view.sync = sync(&snapshot.sync_raw, version);
        }
        KeyKind::Status => snapshot.view.status = status(&text, parsed()),
        KeyKind::History => {
            let document = parsed().filter(Value::is_array);
            snapshot.view.history = document.as_ref().map(history).unwrap_or_default();
            snapshot.history_raw = document.unwrap_or_else(|| json!([]));
        }
        KeyKind::Failsafe => {
            snapshot.view.failsafe = parsed().and_then(|value| {
                let object = value.as_object()?;
                Some(object.iter().filter_map(|(name, url)| Some((name.clone(), url.as_str()?.to_owned()))).collect())
            });
        }
        _ => {}
    }
}

/// `{}` for what can not be read; a legacy value is a connection URL with the API's address as application name.
fn member_document(value: &[u8]) -> Value {
    if let Ok(text) = std::str::from_utf8(value)
        && text.starts_with("postgres")
    {
        let (url, api) = text.split_once("?application_name=").unwrap_or((text, ""));
        let mut map = Map::new();
        map.insert("conn_url".into(), json!(url));
        if !api.is_empty() {
            map.insert("api_url".into(), json!(api));
        }
        return Value::Object(map);
    }
    let document = numbers::read(value).ok().map(|document| document.value);
    document.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

fn text(document: &Value, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A position: a number, or a number as text.
fn lsn(value: &Value) -> Option<Lsn> {
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.map(Lsn)
}

/// A timeline. The greatest number is none: nothing could follow it.
fn timeline(value: &Value) -> Option<Timeline> {
    let number = lsn(value).and_then(|number| u32::try_from(number.0).ok())?;
    (1..u32::MAX).contains(&number).then_some(Timeline(number))
}

fn member(name: &str, document: &Value) -> MemberView {
    let position = |field: &str| document.get(field).and_then(lsn);
    MemberView {
        name: name.to_owned(),
        conn_url: text(document, "conn_url"),
        api_url: text(document, "api_url"),
        state: text(document, "state").and_then(|state| state.parse().ok()),
        role: text(document, "role").and_then(|role| role.parse().ok()),
        version: text(document, "version"),
        tags: document.get("tags").map(tags_from).unwrap_or_default(),
        xlog_location: position("xlog_location"),
        receive_lsn: position("receive_lsn"),
        replay_lsn: position("replay_lsn"),
        replication_state: text(document, "replication_state"),
        timeline: document.get("timeline").and_then(timeline),
        pending_restart: document.get("pending_restart").and_then(Value::as_bool).unwrap_or(false),
        pause: document.get("pause").and_then(Value::as_bool).unwrap_or(false),
        checkpoint_after_promote: document.get("checkpoint_after_promote").and_then(Value::as_bool),
    }
}

/// The legacy form is `leader:candidate`; JSON that is no object, or was cut off, asks for nothing.
fn failover_document(raw: &str, parsed: Option<Value>) -> Value {
    if let Some(document) = parsed {
        return Some(document).filter(Value::is_object).unwrap_or_else(|| json!({}));
    }
    let mut map = Map::new();
    if let Some((leader, rest)) = raw.split_once(':').filter(|_| !raw.trim_start().starts_with(['{', '[', '"'])) {
        let candidate = rest.split(':').next().unwrap_or_default();
        for (name, value) in [("leader", leader), ("member", candidate)] {
            if !value.trim().is_empty() {
                map.insert(name.into(), json!(value.trim()));
            }
        }
    }
    Value::Object(map)
}

fn failover(document: &Value, version: Version) -> FailoverRequest {
    FailoverRequest {
        leader: text(document, "leader"),
        candidate: text(document, "member"),
        scheduled_at: document.get("scheduled_at").and_then(scheduled),
        version,
    }
}

/// When a request is due. A time that nobody can tell, say one without offset, never comes: what was asked for later
/// must not happen now.
fn scheduled(value: &Value) -> Option<WallTime> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(wall_time(text).unwrap_or(NEVER)),
        _ => Some(NEVER),
    }
}

const NEVER: WallTime = WallTime(i64::MAX);

/// An ISO 8601 time with offset; `UTC` in words is one too.
fn wall_time(text: &str) -> Option<WallTime> {
    let text = text.trim();
    let at = match text.strip_suffix("UTC") {
        Some(time) => format!("{}Z", time.trim_end()).parse::<jiff::Timestamp>(),
        None => text.parse(),
    };
    at.ok().map(|at| WallTime(at.as_microsecond()))
}

fn sync(document: &Value, version: Version) -> SyncView {
    let leader = text(document, "leader");
    let names = text(document, "sync_standby").unwrap_or_default();
    let mut standbys: Vec<_> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    standbys.sort();
    standbys.dedup();
    let quorum = document.get("quorum").and_then(lsn).and_then(|quorum| u32::try_from(quorum.0).ok());
    SyncView {
        quorum: leader.as_ref().and(quorum).unwrap_or(0),
        standbys: if leader.is_some() { standbys } else { Vec::new() },
        leader,
        version: Some(version),
    }
}

/// A bare integer is the legacy position.
fn status(raw: &str, parsed: Option<Value>) -> StatusView {
    if let Ok(position) = raw.trim().parse() {
        return StatusView { optime: Some(Lsn(position)), ..StatusView::default() };
    }
    let document = parsed.unwrap_or_default();
    let slots = document.get("slots").and_then(Value::as_object);
    let retained = document.get("retain_slots").and_then(Value::as_array);
    StatusView {
        optime: document.get("optime").and_then(lsn),
        slots: slots
            .map(|slots| slots.iter().filter_map(|(name, at)| Some((name.clone(), lsn(at)?))).collect())
            .unwrap_or_default(),
        retain_slots: retained
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
    }
}

/// Rows have three to five columns. What follows an unreadable last row can not be told, so then nothing is known.
fn history(document: &Value) -> HistoryView {
    let rows = document.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.last().is_some_and(|last| history_row(last).is_none()) {
        return HistoryView::default();
    }
    HistoryView { known: true, rows: rows.iter().filter_map(history_row).collect() }
}

fn history_row(row: &Value) -> Option<HistoryRow> {
    let cell = |index: usize| row.get(index);
    let text = |index: usize| cell(index).and_then(Value::as_str).map(str::to_owned);
    Some(HistoryRow {
        timeline: timeline(cell(0)?)?,
        switch_lsn: lsn(cell(1)?)?,
        reason: cell(2)?.as_str().unwrap_or_default().to_owned(),
        timestamp: text(3),
        new_leader: text(4),
    })
}

/// The `history` document.
pub(super) fn encode_history(rows: &[HistoryRow]) -> Vec<u8> {
    let row = |row: &HistoryRow| {
        let mut cells = vec![json!(row.timeline.0), json!(row.switch_lsn.0), json!(row.reason)];
        if let Some(timestamp) = &row.timestamp {
            cells.push(json!(timestamp));
            cells.extend(row.new_leader.as_ref().map(|leader| json!(leader)));
        }
        Value::Array(cells)
    };
    Value::Array(rows.iter().map(row).collect()).to_string().into_bytes()
}

/// The `status` document: null members are left out.
pub(super) fn encode_status(status: &StatusView) -> Vec<u8> {
    let mut map = Map::new();
    if let Some(optime) = status.optime {
        map.insert("optime".into(), json!(optime.0));
    }
    if !status.slots.is_empty() {
        let slots = status.slots.iter().map(|(name, at)| (name.clone(), json!(at.0)));
        map.insert("slots".into(), Value::Object(slots.collect()));
    }
    if !status.retain_slots.is_empty() {
        map.insert("retain_slots".into(), json!(status.retain_slots));
    }
    Value::Object(map).to_string().into_bytes()
}

/// The `sync` document: its three fields in this order, `null` where nobody is named, the standbys sorted.
pub(super) fn encode_sync(sync: &SyncState) -> Vec<u8> {
    let mut standbys = sync.standbys.clone();
    standbys.sort();
    let standbys = (!standbys.is_empty()).then(|| standbys.join(","));
    let leader = Some(&sync.leader).filter(|leader| !leader.is_empty());
    json!({"leader": leader, "quorum": sync.quorum, "sync_standby": standbys}).to_string().into_bytes()
}

/// The `failover` document; `{}` without any field.
pub(super) fn encode_failover(leader: Option<&str>, candidate: Option<&str>, at: Option<&str>) -> Vec<u8> {
    let mut map = Map::new();
    for (name, value) in [("leader", leader), ("member", candidate), ("scheduled_at", at)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            map.insert(name.into(), json!(value));
        }
    }
    Value::Object(map).to_string().into_bytes()
}

#[cfg(test)]
mod tests;
