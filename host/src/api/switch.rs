//! `POST /switchover` and `/failover` (rest-api §7.6): checked, written down, and watched until it is over.

use super::cluster::reading;
use super::page::{self, Answer};
use super::router::{Asked, Optional};
use super::{Shared, schedule};
use crate::agent::handle::{Probe, Published, Request, Written};
use regent_core::model::{ClusterView, Role, SynchronousMode};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long after the new leader has the lock its own word that it takes writes is waited for.
const PROMOTION_PATIENCE: Duration = Duration::from_secs(1);

/// What was asked.
struct Wish {
    action: &'static str,
    leader: Option<String>,
    candidate: Option<String>,
    scheduled_at: Option<String>,
}

impl Wish {
    fn title(&self) -> &'static str {
        if self.action == "switchover" { "Switchover" } else { "Failover" }
    }

    fn done(&self) -> &'static str {
        if self.action == "switchover" { "switched over" } else { "failed over" }
    }
}

/// Hands over, now or at a time.
pub(super) async fn switch(shared: &Shared, action: &str, asked: &Asked) -> Answer {
    let body = match asked.object(Optional::No) {
        Ok(body) => body,
        // An empty object is understood, and lacks something.
        Err(page) if asked.body.is_empty() => return page,
        Err(page) => match serde_json::from_slice(&asked.body) {
            Ok(Value::Object(object)) => object,
            _ => return page,
        },
    };
    match check_and_ask(shared, action, &body).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn check_and_ask(shared: &Shared, action: &str, body: &Map<String, Value>) -> Result<Answer, Answer> {
    let published = Arc::clone(&shared.handle.published.borrow());
    let wish = read(action, body, published.settings.paused)?;
    if wish.scheduled_at.is_none() {
        check(shared, &published, &wish).await?;
    }
    write(shared, &wish).await?;
    if wish.scheduled_at.is_some() {
        return Ok(page::text(202, &format!("{} scheduled", wish.title())));
    }
    Ok(watch(shared, &published, &wish).await)
}

fn read(action: &str, body: &Map<String, Value>, paused: bool) -> Result<Wish, Answer> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let (leader, candidate) = (text("leader"), text("candidate").or_else(|| text("member")));
    let refuse = |text: &str| Err(page::text(400, text));
    if action == "failover" && candidate.is_none() {
        return refuse("Failover could be performed only to a specific candidate");
    }
    if action == "switchover" && leader.is_none() {
        return refuse("Switchover could be performed only from a specific leader");
    }
    let scheduled_at = match text("scheduled_at") {
        Some(_) if action == "failover" => return refuse("Failover can't be scheduled"),
        Some(_) if paused => return refuse("Can't schedule switchover in the paused state"),
        Some(at) => Some(schedule::iso(schedule::parse(&at, "switchover")?)),
        None => None,
    };
    if paused && candidate.is_none() {
        return refuse("Switchover is possible only to a specific candidate in a paused state");
    }
    let action = if leader.is_some() { "switchover" } else { "failover" };
    if leader.is_some() && leader == candidate {
        return refuse("Switchover target and source are the same");
    }
    Ok(Wish { action, leader, candidate, scheduled_at })
}

async fn check(shared: &Shared, published: &Published, wish: &Wish) -> Result<(), Answer> {
    let refuse = |text: &str| Err(page::text(412, text));
    let Some(snapshot) = reading(shared).await else { return Err(page::error(503)) };
    let view = &snapshot.view;
    if wish.leader.is_some() && wish.leader.as_deref() != view.leader_name() {
        return refuse("leader name does not match");
    }
    let synchronous = published.settings.synchronous_mode != SynchronousMode::Off && view.sync.leader.is_some();
    let mut members = candidates(view, wish);
    if synchronous && wish.candidate.is_none() {
        members.retain(|name| view.sync.lists(name));
    }
    if let Some(candidate) = &wish.candidate {
        let plain = published.settings.synchronous_mode == SynchronousMode::On;
        if wish.action == "switchover" && synchronous && plain && !view.sync.lists(candidate) {
            return refuse("candidate name does not match with sync_standby");
        }
        if view.member(candidate).is_none() {
            return refuse("candidate does not exists");
        }
    } else if synchronous && view.sync.standbys.is_empty() {
        return refuse(&format!("{} is not possible: can not find sync_standby", wish.action));
    } else if members.is_empty() {
        let why = format!("{} is not possible: cluster does not have members except leader", wish.action);
        return refuse(&why);
    }
    let answers = probe(shared, members).await;
    let good = answers.values().any(|probe| match probe {
        Probe::Answered(status) => !status.tags.nofailover() && !status.watchdog_failed,
        Probe::Silent(_) => false,
    });
    if good { Ok(()) } else { refuse(&format!("{} is not possible: no good candidates have been found", wish.action)) }
}

fn candidates(view: &ClusterView, wish: &Wish) -> Vec<String> {
    let others = view.members.iter().filter(|member| Some(member.name.as_str()) != view.leader_name());
    let names = others.map(|member| member.name.clone());
    names.filter(|name| wish.candidate.as_ref().is_none_or(|candidate| candidate == name)).collect()
}

async fn probe(shared: &Shared, members: Vec<String>) -> BTreeMap<String, Probe> {
    let (reply, answers) = oneshot::channel();
    if shared.handle.requests.send(Request::ProbeMembers(members, reply)).await.is_err() {
        return BTreeMap::new();
    }
    answers.await.unwrap_or_default()
}

async fn write(shared: &Shared, wish: &Wish) -> Result<(), Answer> {
    let (reply, answer) = oneshot::channel();
    let request = Request::WriteFailover {
        leader: wish.leader.clone(),
        candidate: wish.candidate.clone(),
        scheduled_at: wish.scheduled_at.clone(),
        reply,
    };
    let sent = shared.handle.requests.send(request).await.is_ok();
    match answer.await {
        Ok(Written::Done) if sent => Ok(()),
        _ => Err(page::text(503, "failed to write failover key into DCS")),
    }
}

/// Follows the published state until another member leads, the request is gone, or the time is over.
async fn watch(shared: &Shared, before: &Published, wish: &Wish) -> Answer {
    let patience = before.settings.loop_wait.max(Duration::from_secs(10)) * 2;
    let old = before.cluster.as_ref().and_then(|cluster| cluster.view.leader_name().map(str::to_owned));
    let mut published = shared.handle.published.clone();
    let mut seen = false;
    let over = async {
        loop {
            let state = Arc::clone(&published.borrow_and_update());
            if let Some(cluster) = &state.cluster {
                let leader = cluster.view.leader_name();
                if let Some(new) = leader.filter(|leader| Some(*leader) != old.as_deref()) {
                    let new = new.to_owned();
                    // It has the lock; whoever asked wants to write.
                    let writable = until_writable(&mut published, &new);
                    if tokio::time::timeout(PROMOTION_PATIENCE, writable).await.is_err() {
                        tracing::debug!("{new} has the lock and does not say yet that it takes writes");
                    }
                    return Some(new);
                }
                let open = cluster.view.failover.as_ref().is_some_and(|request| !request.is_empty());
                if seen && !open && leader.is_some() {
                    return None;
                }
                seen |= open;
            }
            if published.changed().await.is_err() {
                return None;
            }
        }
    };
    match tokio::time::timeout(patience, over).await {
        Ok(Some(leader)) => match &wish.candidate {
            Some(candidate) if *candidate != leader => {
                let done = if wish.action == "switchover" { "Switched over" } else { "Failed over" };
                page::text(200, &format!("{done} to \"{leader}\" instead of \"{candidate}\""))
            }
            _ => page::text(200, &format!("Successfully {} to \"{leader}\"", wish.done())),
        },
        Ok(None) => page::text(503, &format!("{} failed", wish.title())),
        Err(_) => {
            let seconds = patience.as_secs();
            let why =
                format!("{} status unknown after {seconds} seconds; operation may still be in progress", wish.title());
            page::text(503, &why)
        }
    }
}

/// Waits for the new leader's own word, or for the lock to go on to somebody else.
async fn until_writable(published: &mut watch::Receiver<Arc<Published>>, leader: &str) {
    loop {
        let state = Arc::clone(&published.borrow_and_update());
        let view = state.cluster.as_ref().map(|cluster| &cluster.view);
        let leads = view.and_then(ClusterView::leader_name) == Some(leader);
        let role = view.and_then(|view| view.member(leader)).and_then(|member| member.role);
        if !leads || matches!(role, Some(Role::Primary | Role::StandbyLeader)) || published.changed().await.is_err() {
            return;
        }
    }
}

/// Forgets the scheduled switchover.
pub(super) async fn cancel(shared: &Shared) -> Answer {
    let cluster = shared.handle.published.borrow().cluster.clone();
    let request = cluster.and_then(|cluster| cluster.view.failover.clone());
    let Some(request) = request.filter(|request| request.scheduled_at.is_some()) else {
        return page::text(404, "no switchover is scheduled");
    };
    let (reply, answer) = oneshot::channel();
    let sent = shared.handle.requests.send(Request::ClearFailover { version: request.version, reply }).await.is_ok();
    match answer.await {
        Ok(Written::Done) if sent => page::text(200, "scheduled switchover deleted"),
        _ => page::error(409),
    }
}
