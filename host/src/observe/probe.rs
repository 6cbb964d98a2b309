//! Asks other members for their status (`GET /patroni`), all at once, each under the deadline that the race allows.

use regent_core::model::{Lsn, MemberStatus, Moment, ProbeRound, Role, Scalar, Tags, Timeline};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a member may take to answer (rest-api §9).
const PATIENCE: Duration = Duration::from_secs(2);

/// How much longer than all others the former leader is waited for. Its lock is gone; that it answers late tells
/// nothing that may hold the race up.
const PATIENCE_FOR_FORMER_LEADER: Duration = Duration::from_millis(300);

/// A member to ask.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its `api_url`.
    pub url: String,
}

/// Asks every target; returns when all have answered or were silent for as long as they are worth.
///
/// `begun_at` is the moment just before the first question is sent.
pub async fn ask(
    client: &reqwest::Client,
    begun_at: Moment,
    targets: Vec<Target>,
    former_leader: Option<&str>,
) -> ProbeRound {
    let mut answers: BTreeMap<String, Option<MemberStatus>> =
        targets.iter().map(|target| (target.name.clone(), None)).collect();
    let mut others_left = targets.iter().filter(|target| former_leader != Some(target.name.as_str())).count();
    let mut questions = JoinSet::new();
    for target in targets {
        let client = client.clone();
        questions.spawn(async move {
            let status = ask_one(&client, &target).await;
            (target.name, status)
        });
    }
    loop {
        let next = if others_left == 0 && !questions.is_empty() {
            match tokio::time::timeout(PATIENCE_FOR_FORMER_LEADER, questions.join_next()).await {
                Ok(next) => next,
                Err(_) => break,
            }
        } else {
            questions.join_next().await
        };
        let Some(joined) = next else { break };
        let Ok((name, status)) = joined else { continue };
        if former_leader != Some(name.as_str()) {
            others_left = others_left.saturating_sub(1);
        }
        match status {
            Ok(status) => {
                answers.insert(name, Some(status));
            }
            Err(why) => tracing::info!("Request failed to {name}: {why}"),
        }
    }
    ProbeRound { begun_at, answers }
}

async fn ask_one(client: &reqwest::Client, target: &Target) -> Result<MemberStatus, String> {
    let answer = client.get(&target.url).timeout(PATIENCE).send().await.map_err(|error| describe(&error))?;
    let body = answer.bytes().await.map_err(|error| describe(&error))?;
    let document: Value = serde_json::from_slice(&body).map_err(|error| format!("not a status document: {error}"))?;
    parse(&document).ok_or_else(|| "its status document has no WAL position".to_owned())
}

pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The parts of a status document that the race needs; `None` where there is no WAL position (rest-api §9, HA-46).
pub fn parse(document: &Value) -> Option<MemberStatus> {
    let wal = document.get("wal").or_else(|| document.get("xlog"))?;
    let number = |name: &str| wal.get(name).and_then(Value::as_u64).unwrap_or(0);
    let role = document.get("role").and_then(Value::as_str).and_then(|role| role.parse().ok());
    let location = number("location");
    let in_recovery = location == 0 && role != Some(Role::Primary);
    let received = number("received_location").max(number("replayed_location"));
    // Who still streams, or does not know yet that the lock is free, has not said its last word. The peer says nothing
    // of finality: without a stream it is believed.
    let told = |name: &str| document.get(name).and_then(Value::as_bool);
    let streams = document.get("replication_state").and_then(Value::as_str) == Some("streaming");
    let settled = told("position_final").unwrap_or(told("cluster_unlocked") == Some(true) && !streams);
    let timeline = document.get("timeline").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    Some(MemberStatus {
        in_recovery,
        position: Lsn(location.max(received)),
        timeline: timeline.map(Timeline),
        tags: document.get("tags").and_then(Value::as_object).map(tags).unwrap_or_default(),
        watchdog_failed: told("watchdog_failed").unwrap_or(false),
        unsettled: in_recovery && !settled,
    })
}

fn tags(object: &serde_json::Map<String, Value>) -> Tags {
    let scalar = |value: &Value| match value {
        Value::Bool(flag) => Scalar::Bool(*flag),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Scalar::Real(number.as_f64().unwrap_or(0.0)), Scalar::Integer)
        }
        Value::String(text) => Scalar::Text(text.clone()),
        _ => Scalar::Null,
    };
    Tags { raw: object.iter().map(|(name, value)| (name.clone(), scalar(value))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_position_is_final_once_the_lost_leader_was_let_go() {
        let check = |more: Value, unsettled: bool| {
            let mut document = json!({"role": "replica", "xlog": {"received_location": 7}});
            let (Value::Object(map), Value::Object(more)) = (&mut document, more) else { unreachable!() };
            map.extend(more);
            assert_eq!(parse(&document).map(|status| status.unsettled), Some(unsettled), "{document}");
        };
        check(json!({"replication_state": "streaming"}), true);
        check(json!({"replication_state": "streaming", "cluster_unlocked": true}), true);
        check(json!({"cluster_unlocked": true}), false);
        check(json!({"cluster_unlocked": true, "position_final": false}), true);
        check(json!({"cluster_unlocked": true, "position_final": true}), false);
        check(json!({}), true);
        check(json!({"role": "primary", "xlog": {"location": 7}}), false);
    }

    fn check(document: Value, expected: Option<(bool, u64)>) {
        let found = parse(&document).map(|status| (status.in_recovery, status.position.0));
        assert_eq!(found, expected, "{document}");
    }

    /// HA-46
    #[test]
    fn status_documents_tell_role_and_position() {
        check(json!({"role": "primary", "xlog": {"location": 50}}), Some((false, 50)));
        check(json!({"role": "replica", "xlog": {"received_location": 7, "replayed_location": 9}}), Some((true, 9)));
        check(json!({"role": "master", "wal": {"received_location": 7}}), Some((false, 7)));
        check(json!({"role": "replica", "state": "unknown"}), None);
        check(json!("nonsense"), None);
    }
}
