//! Reads every key leniently (dcs-layout §2): nothing that anybody wrote may take the reader down.

use super::document::tags_from;
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
    snapshot.view.members.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot
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
            snapshot.config = parsed().filter(Value::is_object);
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
            snapshot.history_raw = parsed().filter(Value::is_array).unwrap_or_else(|| json!([]));
            snapshot.view.history = history(&snapshot.history_raw);
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
    serde_json::from_slice::<Value>(value).ok().filter(Value::is_object).unwrap_or_else(|| json!({}))
}

fn text(document: &Value, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A position: a number, or a number as text.
fn lsn(value: &Value) -> Option<Lsn> {
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.map(Lsn)
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
        timeline: document
            .get("timeline")
            .and_then(Value::as_u64)
            .and_then(|timeline| u32::try_from(timeline).ok())
            .map(Timeline),
        pending_restart: document.get("pending_restart").and_then(Value::as_bool).unwrap_or(false),
        pause: document.get("pause").and_then(Value::as_bool).unwrap_or(false),
        checkpoint_after_promote: document.get("checkpoint_after_promote").and_then(Value::as_bool),
    }
}

/// The legacy form is `leader:candidate`.
fn failover_document(raw: &str, parsed: Option<Value>) -> Value {
    if let Some(document) = parsed.filter(Value::is_object) {
        return document;
    }
    let mut map = Map::new();
    if let Some((leader, candidate)) = raw.split_once(':').filter(|_| !raw.trim_start().starts_with(['{', '['])) {
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
        scheduled_at: text(document, "scheduled_at").and_then(|at| wall_time(&at)),
        version,
    }
}

/// An ISO 8601 time with offset, as far as the store's documents hold one.
fn wall_time(text: &str) -> Option<WallTime> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(WallTime(at.as_microsecond()))
}

fn sync(document: &Value, version: Version) -> SyncView {
    let leader = text(document, "leader");
    let names = text(document, "sync_standby").unwrap_or_default();
    let mut standbys: Vec<_> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    standbys.sort();
    let quorum = document.get("quorum").and_then(Value::as_u64).and_then(|quorum| u32::try_from(quorum).ok());
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

fn history(document: &Value) -> HistoryView {
    let rows = document.as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |row: &Value| {
        let cell = |index: usize| row.get(index);
        let text = |index: usize| cell(index).and_then(Value::as_str).map(str::to_owned);
        Some(HistoryRow {
            timeline: Timeline(u32::try_from(cell(0)?.as_u64()?).ok()?),
            switch_lsn: lsn(cell(1)?)?,
            reason: text(2)?,
            timestamp: text(3),
            new_leader: text(4),
        })
    };
    HistoryView { known: document.is_array(), rows: rows.iter().filter_map(row).collect() }
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

/// The `sync` document: its three fields in this order, `null` where nobody is named.
pub(super) fn encode_sync(sync: &SyncState) -> Vec<u8> {
    let standbys = (!sync.standbys.is_empty()).then(|| sync.standbys.join(","));
    json!({"leader": sync.leader, "quorum": sync.quorum, "sync_standby": standbys}).to_string().into_bytes()
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
