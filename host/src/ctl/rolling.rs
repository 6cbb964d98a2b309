//! `restart --rolling`: one member after the other, the leader last, so that somebody can always be asked.

use super::context::Context;
use super::members::{Unreached, failed, names};
use super::output::line;
use super::{CtlError, Result};
use crate::dcs::Snapshot;
use regent_core::model::MemberView;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often a member is asked whether it is back.
const POLL: Duration = Duration::from_secs(1);

/// How long a member may take until it is back: a standby replays what it missed.
const BACK_LIMIT: Duration = Duration::from_secs(300);

/// Restarts the members; ends at the first one that does not come back.
pub(super) async fn roll(context: &Context, snapshot: &Snapshot, members: Vec<MemberView>, body: &Value) -> Result<()> {
    let members = in_turn(members, snapshot.view.leader_name());
    for (index, member) in members.iter().enumerate() {
        let left = &members[index + 1..];
        if let Err(why) = one(context, member, body).await {
            let left = if left.is_empty() { "nobody".to_owned() } else { names(left) };
            return Err(CtlError::new(format!(
                "The rolling restart ends at {}: {why}. Still to do: {left}",
                member.name
            )));
        }
    }
    Ok(())
}

/// Standbys first.
fn in_turn(mut members: Vec<MemberView>, leader: Option<&str>) -> Vec<MemberView> {
    members.sort_by_key(|member| Some(member.name.as_str()) == leader);
    members
}

async fn one(context: &Context, member: &MemberView, body: &Value) -> std::result::Result<(), String> {
    let mut unreached = Unreached::default();
    let said = unreached.ask(context, member, Method::POST, "restart", Some(body)).await;
    let said = said.ok_or("it is not accessible")?;
    if said.status != 200 {
        failed("restart", member, &said);
        return Err("it was not restarted".to_owned());
    }
    line(&format!("Success: restart on member {}", member.name));
    let streamed = member.replication_state.as_deref() == Some("streaming");
    let begun = Instant::now();
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let url = member.api_url.as_deref().unwrap_or_default();
        let document = context.call(Method::GET, url, "patroni", None).await;
        let document = document.ok().and_then(|said| serde_json::from_str::<Value>(&said.body).ok());
        if document.is_some_and(|document| is_back(&document, streamed)) {
            return Ok(());
        }
        if begun.elapsed() > BACK_LIMIT {
            return Err(format!("it was not back after {} seconds", BACK_LIMIT.as_secs()));
        }
    }
}

/// It runs, and streams where it did before, unless it leads by now.
fn is_back(document: &Value, streamed: bool) -> bool {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let leads = matches!(text("role"), "primary" | "master" | "standby_leader");
    text("state") == "running" && (leads || !streamed || text("replication_state") == "streaming")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_leader_is_last() {
        let member = |name: &str| MemberView { name: name.into(), ..MemberView::default() };
        let turn = in_turn(vec![member("a"), member("b"), member("c")], Some("a"));
        assert_eq!(names(&turn), "b, c, a");
        assert_eq!(names(&in_turn(turn, None)), "b, c, a");
    }

    #[test]
    fn a_member_is_back_when_it_does_what_it_did() {
        let check = |document: Value, streamed: bool, back: bool| {
            assert_eq!(is_back(&document, streamed), back, "{document}");
        };
        check(json!({"state": "running", "role": "replica", "replication_state": "streaming"}), true, true);
        check(json!({"state": "running", "role": "replica"}), true, false);
        check(json!({"state": "running", "role": "replica", "replication_state": "in archive recovery"}), false, true);
        check(json!({"state": "running", "role": "primary"}), true, true);
        check(json!({"state": "starting", "role": "primary"}), false, false);
        check(json!({}), false, false);
    }
}
