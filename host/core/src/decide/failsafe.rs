//! Failsafe mode (HA-49): while the store is away the leader goes on as long as every member says that it may.
//!
//! A member that says so does not race for the lock for a whole ttl after it was asked, so a round in which all said
//! yes is worth as much as a renewal: it prolongs the lock by a ttl from just before the first question. Whom the key
//! in the store names may race, and nobody else, so those have to be asked. Once prolonged like this, the lock in the
//! store may be gone without anybody else having had it: it is taken anew, not renewed.

use super::case::{Case, Decision};
use super::{Memory, Reason, Rule};
use crate::model::{
    ClusterView, Errand, FailsafeRound, LeaseView, Moment, Promise, StoreCall, StoreCallKind, Task, View,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// No leader binds this member for longer with one question.
const TTL_MAX: Duration = Duration::from_secs(3600);

pub(super) const RULES: &[Rule] = &[Rule {
    number: 205,
    situation: "failsafe",
    sentence: "In failsafe mode a leader whose store is silent asks every member that the failsafe key names whether it \
               may go on.",
    apply: ask,
}];

/// A leader that asked this member as a primary may be asked itself so much later: what it says is newer than that.
const LEADERSHIP_SHOWS: Duration = Duration::from_secs(2);

/// Between two questions to such a leader.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// This member gave its word to another leader and has to keep it still.
pub(super) fn is_bound(case: &Case<'_>) -> bool {
    binding(case.view, case.memory).is_some()
}

/// The word that this member has to keep: its time is not over, and the leader did not step down since.
fn binding<'a>(view: &'a View, memory: &Memory) -> Option<&'a Promise> {
    let promise = view.failsafe.promise.as_ref()?;
    let open = view.now < promise.until && memory.word_returned != Some(promise.given_at);
    (open && promise.leader != view.me()).then_some(promise)
}

/// Notes who is there, and that the leader that was let go on says itself that its server is a standby again: then it
/// does not go on.
pub(super) fn absorb(memory: &mut Memory, view: &View) {
    let members = view.cluster().map_or(&[][..], |cluster| &cluster.members);
    memory.members_seen.extend(members.iter().map(|member| (member.name.clone(), view.now)));
    memory.members_seen.retain(|_, at| view.now.since(*at) < view.settings.ttl);
    let (Some(promise), Some(round)) = (&view.failsafe.promise, &view.probes) else {
        return;
    };
    let answer = round.answers.get(&promise.leader).and_then(Option::as_ref);
    let newer = round.begun_at >= promise.given_at + LEADERSHIP_SHOWS;
    if newer && answer.is_some_and(|status| status.in_recovery) {
        memory.word_returned = Some(promise.given_at);
    }
}

/// Gives this member's word to a leader that asks, unless it is, or may be about to be, the leader itself, or knows of
/// another. The word holds for the longer of both members' ttl: the leader counts on its own.
pub fn give_word(view: &View, leader: &str, ttl: Option<Duration>) -> Option<Promise> {
    let leads = view.lease.is_some() || view.store.in_flight == Some(StoreCallKind::Acquire);
    let promotes = matches!(&view.running, Some(running) if running.task == Task::Promote);
    if leads || promotes || view.server.may_take_writes() || !may_lead_still(view, leader) {
        return None;
    }
    let ttl = ttl.unwrap_or_default().clamp(view.settings.ttl, TTL_MAX.max(view.settings.ttl));
    Some(Promise { leader: leader.to_owned(), given_at: view.now, until: view.now + ttl })
}

/// Nothing that this member knows speaks against that leader. A machine that stood still with its clock, and whose lock
/// went to another meanwhile, asks as if nothing had been.
fn may_lead_still(view: &View, leader: &str) -> bool {
    let word = view.failsafe.promise.as_ref().filter(|promise| view.now < promise.until);
    let Some((cluster, read_at)) = &view.store.snapshot else {
        return word.is_none_or(|word| word.leader == leader);
    };
    match cluster.leader.as_ref().map(|lock| lock.name.as_str()) {
        // Since then it may have let another go on.
        Some(name) if name == leader => word.is_none_or(|word| word.leader == leader || word.given_at < *read_at),
        Some(_) => false,
        // The lock of a leader that only the others reach the store without runs out.
        None => word.is_some_and(|word| word.leader == leader),
    }
}

/// The lock as it is after a round of questions; `None` where that changes nothing.
pub fn prolonged(view: &View, round: &FailsafeRound) -> Option<LeaseView> {
    let lease = view.lease.filter(|lease| view.now < lease.deadline && !view.settings.paused)?;
    if !view.settings.failsafe_mode || !round.missing.is_empty() || view.store.lock_refused {
        return None;
    }
    let deadline = round.begun_at + view.settings.ttl;
    (deadline > lease.deadline).then_some(LeaseView { deadline, ..lease })
}

/// Every member that may race while the store does not answer this one: whom the key names, and whom it names if what
/// was last written there arrived. `None` where the key does not name this member: then failsafe mode can not be used.
fn electorate(case: &Case<'_>) -> Option<BTreeMap<String, String>> {
    let mut members = case.cluster()?.failsafe.clone()?;
    if !members.contains_key(case.me()) {
        return None;
    }
    members.extend(case.memory.failsafe_written.clone());
    members.remove(case.me());
    Some(members)
}

/// When the members are asked next, if the store stays silent.
pub(super) fn next_round(view: &View, asked_at: Option<Moment>) -> Option<Moment> {
    let silent = view.settings.failsafe_mode && view.lease.is_some() && view.store.failing_since.is_some();
    asked_at.filter(|_| silent).map(|asked| asked + view.settings.loop_wait)
}

fn ask(case: &mut Case<'_>) -> Decision {
    let silent = case.view.settings.failsafe_mode && !case.paused() && case.view.store.failing_since.is_some();
    if !silent || !case.holds_lease() || !case.view.server.is_primary() {
        return None;
    }
    let due = case.memory.failsafe_asked_at.is_none_or(|asked| case.view.now >= asked + case.view.settings.loop_wait);
    if !due {
        return None;
    }
    let members = electorate(case)?;
    let decision = case.run(Errand::AskFailsafe { members }, Reason::StoreSilentInFailsafe);
    if decision.is_some() {
        case.memory.failsafe_asked_at = Some(case.view.now);
    }
    decision
}

/// Who has a member key, and who had one less than a ttl ago: after an outage they come back one by one, and whom the
/// key does not name may not lead.
fn wanted_key(case: &Case<'_>, cluster: &ClusterView) -> BTreeMap<String, String> {
    let (now, ttl) = (case.view.now, case.view.settings.ttl);
    let seen = |name: &str| case.memory.members_seen.get(name).copied().unwrap_or_default();
    let lately = |name: &str| now.since(seen(name).max(case.view.started_at)) < ttl;
    let named = cluster.failsafe.iter().flatten().filter(|(name, _)| *name == case.me() || lately(name));
    let mut wanted: BTreeMap<_, _> = named.map(|(name, url)| (name.clone(), url.clone())).collect();
    wanted.extend(cluster.members.iter().filter_map(|member| Some((member.name.clone(), member.api_url.clone()?))));
    wanted
}

pub(super) fn write_key(case: &mut Case<'_>) -> Decision {
    if !super::leader::leads(case) || case.lock_is_gone() || !case.view.settings.failsafe_mode {
        return None;
    }
    let cluster = case.fresh_cluster()?;
    let members = wanted_key(case, cluster);
    // Whose own key ran out meanwhile is named once it is there again: a key without its leader bars it from the race.
    if !members.contains_key(case.me()) {
        return None;
    }
    if cluster.failsafe.as_ref() == Some(&members) {
        case.memory.failsafe_written.clear();
        return None;
    }
    let decision = case.call(StoreCall::WriteFailsafe { members: members.clone() }, Reason::FailsafeKeyDiffers);
    if decision.is_some() {
        // Whether it arrives may stay unknown: whoever is named by any of them has to be asked.
        case.memory.failsafe_written.extend(members);
    }
    decision
}

pub(super) fn stand_back(case: &mut Case<'_>) -> Decision {
    let free = case.fresh_cluster().is_some_and(|cluster| cluster.leader.is_none());
    if !free || !case.task_is_idle() || !case.view.server.is_standby() {
        return None;
    }
    let promise = binding(case.view, case.memory)?;
    let leader = promise.leader.clone();
    let reason = Reason::WordGiven { leader: leader.clone() };
    if case.view.now < next_question(case.view, promise) {
        return case.wait(reason);
    }
    let errand = Errand::Probe { members: vec![leader.clone()], former_leader: Some(leader) };
    case.run(errand, reason.clone()).or_else(|| case.wait(reason))
}

fn next_question(view: &View, promise: &Promise) -> Moment {
    let newer = promise.given_at + LEADERSHIP_SHOWS;
    view.probes.as_ref().map_or(newer, |round| newer.max(round.begun_at + ASK_AGAIN))
}

/// When a member that is bound looks again: at the next question to the leader, and at its word's end.
pub(super) fn bound_moments(view: &View, memory: &Memory) -> impl Iterator<Item = Moment> {
    let bound = binding(view, memory);
    bound.map(|promise| [next_question(view, promise), promise.until]).into_iter().flatten()
}

pub(super) fn not_named(case: &mut Case<'_>) -> Decision {
    if !super::leaderless::leaderless(case) || !case.view.settings.failsafe_mode {
        return None;
    }
    let named = case.cluster()?.failsafe.as_ref().filter(|members| !members.is_empty())?;
    if named.contains_key(case.me()) { None } else { case.wait(Reason::NotInFailsafeKey) }
}

/// The daemon before this one may have given its word, and its leader may go by it still.
pub(super) fn is_young(view: &View) -> bool {
    view.now < view.started_at + view.settings.ttl
}

/// A young daemon may have let a leader go on: somebody whom the failsafe key names did not say, in this race, that it
/// follows.
pub(super) fn may_owe_a_word(case: &Case<'_>) -> bool {
    let named = case.cluster().filter(|_| is_young(case.view)).and_then(|cluster| cluster.failsafe.as_ref());
    let mut others = named.into_iter().flat_map(|named| named.keys()).filter(|name| *name != case.me());
    let round = super::leaderless::race_round(case);
    let follows = |name: &String| round?.answers.get(name)?.as_ref().map(|status| status.in_recovery);
    others.any(|name| follows(name) != Some(true))
}

/// A daemon's word ends with it, and the leader counts on it for a ttl, also if failsafe mode was switched off meanwhile.
pub(super) fn may_have_forgotten(case: &mut Case<'_>) -> Decision {
    if !super::leaderless::leaderless(case) || !is_young(case.view) {
        return None;
    }
    let answers = &super::leaderless::race_round(case)?.answers;
    let named = case.cluster()?.failsafe.as_ref()?.keys().filter(|name| *name != case.me());
    let silent = named.filter(|name| answers.get(*name).is_none_or(Option::is_none));
    let silent: Vec<_> = silent.cloned().collect();
    if silent.is_empty() {
        return None;
    }
    super::leaderless::stand_back(case, Reason::MayHaveForgotten { silent })
}
