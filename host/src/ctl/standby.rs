//! `demote-cluster` and `promote-cluster`: a whole cluster becomes the standby of another one, or stands on its own.

use super::context::Context;
use super::output::{confirm, line, seconds};
use super::{CtlError, Result, list};
use crate::dcs::{Snapshot, Store};
use regent_core::model::{MemberView, Role};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often the store is read while the change is waited for.
const POLL: Duration = Duration::from_secs(1);

/// The other cluster's primary.
pub(super) struct Other {
    pub host: Option<String>,
    pub port: Option<i64>,
    pub restore_command: Option<String>,
    pub primary_slot_name: Option<String>,
}

impl Other {
    /// It says where to stream or fetch from.
    pub fn check(&self) -> Result<()> {
        if self.host.is_none() && self.port.is_none() && self.restore_command.is_none() {
            return Err(CtlError::new("At least --host, --port or --restore-command should be specified"));
        }
        Ok(())
    }

    fn section(&self) -> Value {
        let fields = [
            ("host", self.host.clone().map(Value::String)),
            ("port", self.port.map(Value::from)),
            ("primary_slot_name", self.primary_slot_name.clone().map(Value::String)),
            ("restore_command", self.restore_command.clone().map(Value::String)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>())
    }
}

/// `demote-cluster`.
pub(super) async fn demote(context: &Context, other: &Other, force: bool) -> Result<()> {
    other.check()?;
    change(context, other.section(), &DEMOTION, force).await
}

/// `promote-cluster`.
pub(super) async fn promote(context: &Context, force: bool) -> Result<()> {
    change(context, Value::Null, &PROMOTION, force).await
}

/// A way to go: its words, and the leader's role at its end.
pub(super) struct Way {
    verb: &'static str,
    noun: &'static str,
    ends: Role,
}

pub(super) const DEMOTION: Way = Way { verb: "demote", noun: "demotion", ends: Role::StandbyLeader };
pub(super) const PROMOTION: Way = Way { verb: "promote", noun: "promotion", ends: Role::Primary };

async fn change(context: &Context, section: Value, way: &Way, force: bool) -> Result<()> {
    let (store, snapshot) = context.read().await?;
    let Way { verb, .. } = way;
    let leader = agreed(context, &snapshot, way, force)?;
    let scope = &context.scope;
    let refused = |why: String| CtlError::new(format!("Failed to {verb} {scope} cluster: {why}"));
    let url = leader.api_url.as_deref().ok_or_else(|| refused("its leader has no API".to_owned()))?;
    let body = json!({"standby_cluster": section});
    let said = context.call(Method::PATCH, url, "config", Some(&body)).await.map_err(refused)?;
    if said.status != 200 {
        let why = format!("/config PATCH status code={}, ({})", said.status, said.body);
        return Err(refused(format!("Failed to {verb} {scope} cluster: {why}")));
    }
    let snapshot = wait_for(context, &store, way, &leader.name).await?;
    line(&format!("{} cluster is successfully {verb}d", seconds()));
    list::print(context, &snapshot);
    Ok(())
}

/// The leader that is asked.
pub(super) fn agreed<'a>(context: &Context, snapshot: &'a Snapshot, way: &Way, force: bool) -> Result<&'a MemberView> {
    let Way { verb, noun, .. } = way;
    let Some(leader) = snapshot.view.leader_member() else {
        return Err(CtlError::new(format!("Cluster has no leader, {noun} is not possible")));
    };
    if leader.role == Some(way.ends) {
        return Err(CtlError::new("Cluster is already in the required state"));
    }
    line("Current cluster topology");
    list::print(context, snapshot);
    let scope = &context.scope;
    if !force && !confirm(&format!("Are you sure you want to {verb} {scope} cluster?"))? {
        return Err(CtlError::new(format!("Aborted cluster {noun}")));
    }
    Ok(leader)
}

/// Until a leader has the role and runs, and who led before runs, too.
async fn wait_for(context: &Context, store: &Store, way: &Way, before: &str) -> Result<Snapshot> {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = context.load(store).await?;
        let leader = snapshot.view.leader_member();
        let done = leader.is_some_and(|leader| leader.role == Some(way.ends) && leader.is_running())
            && snapshot.view.member(before).is_none_or(|old| way.ends == Role::Primary || old.is_running());
        if done {
            return Ok(snapshot);
        }
        let unlocked = if leader.is_none() { "True" } else { "False" };
        let raw = leader.and_then(|leader| snapshot.members_raw.get(&leader.name));
        let text = |name: &str| raw.and_then(|raw| raw.get(name)).and_then(Value::as_str).unwrap_or("None").to_owned();
        let (role, state) = (text("role"), text("state"));
        line(&format!("{} cluster is unlocked: {unlocked}, leader role: {role}, leader state: {state}", seconds()));
    }
}
