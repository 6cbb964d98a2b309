//! The member key's document (dcs-layout §3): field order and presence are the interface.

use super::PEER_VERSION;
use regent_core::model::{Lsn, PgState, Role, Scalar, Tags, Timeline};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a member publishes about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberDocument {
    /// `postgres://host:port/database`, without credentials (BOOT-16).
    pub conn_url: String,
    /// `http(s)://host:port/patroni`.
    pub api_url: String,
    /// The server's state.
    pub state: PgState,
    /// The member's role.
    pub role: Role,
    /// The address of a proxy in front of it.
    pub proxy_url: Option<String>,
    /// `Some(false)`: a new primary without its first checkpoint.
    pub checkpoint_after_promote: Option<bool>,
    /// Published tags.
    pub tags: Tags,
    /// Parameters that wait for a restart: name, old value, new value.
    pub pending_restart: BTreeMap<String, (String, String)>,
    /// Primary: written; replica: the greater of received and replayed.
    pub xlog_location: Option<Lsn>,
    /// How far it replayed.
    pub replay_lsn: Option<Lsn>,
    /// How far it received.
    pub receive_lsn: Option<Lsn>,
    /// `streaming` or `in archive recovery`.
    pub replication_state: Option<String>,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// The restart that is scheduled, as it was asked for.
    pub scheduled_restart: Option<Value>,
    /// How far the making of its data directory is: ours alone, which the peer passes over.
    pub progress: Option<Value>,
    /// It sees the cluster in maintenance.
    pub pause: bool,
}

impl MemberDocument {
    /// The document as JSON, fields in the peer's order.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("conn_url".into(), json!(self.conn_url));
        map.insert("api_url".into(), json!(self.api_url));
        map.insert("state".into(), json!(self.state.as_str()));
        map.insert("role".into(), json!(self.role.as_str()));
        map.insert("version".into(), json!(PEER_VERSION));
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(name.into(), value);
            }
        };
        put("proxy_url", self.proxy_url.as_ref().map(|url| json!(url)));
        put("checkpoint_after_promote", self.checkpoint_after_promote.filter(|done| !done).map(Value::Bool));
        put("tags", (!self.tags.raw.is_empty()).then(|| tags_value(&self.tags)));
        if !self.pending_restart.is_empty() {
            put("pending_restart", Some(json!(true)));
            put("pending_restart_reason", Some(reasons(&self.pending_restart)));
        }
        let lsn = |lsn: Option<Lsn>| lsn.filter(|lsn| lsn.0 > 0).map(|lsn| json!(lsn.0));
        put("xlog_location", self.xlog_location.map(|lsn| json!(lsn.0)));
        put("replay_lsn", lsn(self.replay_lsn));
        put("receive_lsn", lsn(self.receive_lsn));
        put("replication_state", self.replication_state.as_ref().map(|state| json!(state)));
        put("timeline", self.timeline.filter(|timeline| timeline.0 > 0).map(|timeline| json!(timeline.0)));
        put("scheduled_restart", self.scheduled_restart.clone());
        put("progress", self.progress.clone());
        put("pause", self.pause.then(|| json!(true)));
        Value::Object(map)
    }

    /// The document as it is written.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }
}

/// Parameters that wait for a restart, as others read them.
pub fn reasons(pending: &BTreeMap<String, (String, String)>) -> Value {
    let reasons = pending.iter().map(|(name, (old, new))| (name.clone(), json!({"old_value": old, "new_value": new})));
    Value::Object(reasons.collect())
}

/// Tags as JSON, in the order they were written.
pub fn tags_value(tags: &Tags) -> Value {
    let scalar = |value: &Scalar| match value {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => json!(flag),
        Scalar::Integer(number) => json!(number),
        Scalar::Real(number) => json!(number),
        Scalar::Text(text) => json!(text),
    };
    Value::Object(tags.raw.iter().map(|(name, value)| (name.clone(), scalar(value))).collect())
}

/// JSON tags as written; what is no scalar is left out.
pub fn tags_from(value: &Value) -> Tags {
    let Some(object) = value.as_object() else {
        return Tags::default();
    };
    let scalar = |value: &Value| match value {
        Value::Null => Some(Scalar::Null),
        Value::Bool(flag) => Some(Scalar::Bool(*flag)),
        // Beyond the numbers that a tag may be, it stays the text that it is.
        Value::Number(number) if number.is_u64() && !number.is_i64() => Some(Scalar::Text(number.to_string())),
        Value::Number(number) => {
            Some(number.as_i64().map_or_else(|| Scalar::Real(number.as_f64().unwrap_or(0.0)), Scalar::Integer))
        }
        Value::String(text) => Some(Scalar::Text(text.clone())),
        _ => None,
    };
    Tags { raw: object.iter().filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_described_as_the_peer_does() {
        let document = MemberDocument {
            conn_url: "postgres://127.0.0.1:15430/postgres".into(),
            api_url: "http://127.0.0.1:18000/patroni".into(),
            state: PgState::Running,
            role: Role::Replica,
            proxy_url: None,
            checkpoint_after_promote: None,
            tags: tags_from(&json!({"clonefrom": true, "custom": 1.5})),
            pending_restart: BTreeMap::new(),
            xlog_location: Some(Lsn(83886528)),
            replay_lsn: Some(Lsn(83886528)),
            receive_lsn: Some(Lsn(83886528)),
            replication_state: Some("streaming".into()),
            timeline: Some(Timeline(2)),
            scheduled_restart: None,
            progress: None,
            pause: false,
        };
        let expected = concat!(
            r#"{"conn_url":"postgres://127.0.0.1:15430/postgres","api_url":"http://127.0.0.1:18000/patroni","#,
            r#""state":"running","role":"replica","version":"4.1.5","tags":{"clonefrom":true,"custom":1.5},"#,
            r#""xlog_location":83886528,"replay_lsn":83886528,"receive_lsn":83886528,"#,
            r#""replication_state":"streaming","timeline":2}"#
        );
        assert_eq!(String::from_utf8(document.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn every_field_has_its_place() {
        let document = MemberDocument {
            conn_url: "c".into(),
            api_url: "a".into(),
            state: PgState::Running,
            role: Role::Primary,
            proxy_url: Some("p".into()),
            checkpoint_after_promote: Some(false),
            tags: tags_from(&json!({"z": "1", "a": null, "n": 7, "left out": [1]})),
            pending_restart: [("max_connections".to_owned(), ("100".to_owned(), "150".to_owned()))].into(),
            xlog_location: Some(Lsn(9)),
            replay_lsn: Some(Lsn(0)),
            receive_lsn: Some(Lsn(8)),
            replication_state: Some("in archive recovery".into()),
            timeline: Some(Timeline(3)),
            scheduled_restart: Some(json!({"schedule": "s", "role": "primary"})),
            progress: Some(json!({"bytes": 7})),
            pause: true,
        };
        let expected = concat!(
            r#"{"conn_url":"c","api_url":"a","state":"running","role":"primary","version":"4.1.5","proxy_url":"p","#,
            r#""checkpoint_after_promote":false,"tags":{"z":"1","a":null,"n":7},"pending_restart":true,"#,
            r#""pending_restart_reason":{"max_connections":{"old_value":"100","new_value":"150"}},"#,
            r#""xlog_location":9,"receive_lsn":8,"replication_state":"in archive recovery","timeline":3,"#,
            r#""scheduled_restart":{"schedule":"s","role":"primary"},"progress":{"bytes":7},"pause":true}"#
        );
        assert_eq!(String::from_utf8(document.to_bytes()).unwrap(), expected);
        let plain = MemberDocument {
            checkpoint_after_promote: Some(true),
            tags: Tags::default(),
            pending_restart: BTreeMap::new(),
            timeline: Some(Timeline(0)),
            scheduled_restart: None,
            progress: None,
            pause: false,
            ..document
        };
        for absent in ["checkpoint_after_promote", "tags", "pending_restart", "pending_restart_reason", "timeline"] {
            assert_eq!(plain.to_value().get(absent), None, "{absent}");
        }
        assert_eq!((plain.to_value().get("pause"), plain.to_value().get("scheduled_restart")), (None, None));
    }

    #[test]
    fn the_published_version_is_one_that_peers_can_compare() {
        let parts: Vec<u32> = PEER_VERSION.split('.').map(|part| part.parse().unwrap()).collect();
        assert!(parts.len() == 3 && parts >= vec![4, 0, 0], "{PEER_VERSION}");
    }
}
