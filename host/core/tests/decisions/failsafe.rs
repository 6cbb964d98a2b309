//! HA-49: the members' word in place of the store's, as a leader asks for it and as a member keeps it.

use crate::situation::{expect, is_stop, primary_memory, standby_memory, view};
use crate::testing::{NOW, monitoring, settings};
use regent_core::decide::{Action, Memory, Race, Reason, decide, give_word, prolonged};
use regent_core::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(20);

fn key(names: &[&str]) -> BTreeMap<String, String> {
    names.iter().map(|name| ((*name).to_owned(), format!("http://{name}:8008/patroni"))).collect()
}

/// Member `a` in failsafe mode, with a failsafe key that names these.
fn in_failsafe_mode(leader: Option<&str>, names: Option<&[&str]>) -> View {
    let mut view = view(leader);
    view.settings = Arc::new(Settings { failsafe_mode: true, ..settings() });
    if let Some((cluster, _)) = &mut view.store.snapshot {
        Arc::make_mut(cluster).failsafe = names.map(key);
    }
    view
}

/// The leader `a`, whose store has been silent for five seconds.
fn cut_off(names: Option<&[&str]>) -> View {
    let mut view = in_failsafe_mode(Some("a"), names);
    let renewed_at = NOW - Duration::from_secs(5);
    view.store.failing_since = Some(NOW - Duration::from_secs(3));
    view.store.retry_at = Some(NOW + Duration::from_secs(1));
    view.lease = Some(LeaseView { deadline: renewed_at + TTL, renewed_at, attempted_at: renewed_at });
    view
}

fn round(view: &View, missing: &[&str]) -> FailsafeRound {
    let missing = missing.iter().map(|name| (*name).to_owned()).collect();
    FailsafeRound { begun_at: view.now, asked: key(&["b", "c"]), missing }
}

fn asked(action: &Action) -> Option<&BTreeMap<String, String>> {
    match action {
        Action::Run(Errand::AskFailsafe { members }) => Some(members),
        _ => None,
    }
}

#[test]
fn a_leader_without_the_store_asks_whom_the_key_names() {
    let view = cut_off(Some(&["a", "b", "c"]));
    let mut memory = primary_memory();
    let verdict = decide(&view, &mut memory);
    assert_eq!((verdict.rule, asked(&verdict.action)), (205, Some(&key(&["b", "c"]))));
    assert_ne!(decide(&view, &mut memory).rule, 205, "once a loop");
    let later = View { now: NOW + Duration::from_secs(2), ..view.clone() };
    assert_eq!(decide(&later, &mut memory).rule, 205);

    // A key that was written, but not read back, may have arrived.
    let unread = Memory { failsafe_written: key(&["a", "d"]), ..primary_memory() };
    assert_eq!(asked(&expect(&view, unread, 205)), Some(&key(&["b", "c", "d"])));

    // Alone there is nobody to ask, and nobody who could race.
    assert_eq!(asked(&expect(&cut_off(Some(&["a"])), primary_memory(), 205)), Some(&BTreeMap::new()));
}

#[test]
fn who_can_not_be_kept_by_the_members_asks_nobody_and_stops_in_time() {
    let check = |mut view: View| {
        let verdict = decide(&view, &mut primary_memory());
        assert!(asked(&verdict.action).is_none(), "{verdict:?}");
        view.now = view.lease.expect("it leads").deadline - Duration::from_secs(1);
        assert!(is_stop(&expect(&view, primary_memory(), 130), StopMode::Fast));
    };
    check(cut_off(None));
    check(cut_off(Some(&[])));
    check(cut_off(Some(&["b", "c"])));
    check(View { settings: Arc::new(settings()), ..cut_off(Some(&["a", "b", "c"])) });

    let mut answering = cut_off(Some(&["a", "b", "c"]));
    answering.store.failing_since = None;
    assert!(asked(&decide(&answering, &mut primary_memory()).action).is_none());
    let paused = Settings { paused: true, failsafe_mode: true, ..settings() };
    let paused = View { settings: Arc::new(paused), ..cut_off(Some(&["a", "b", "c"])) };
    assert!(asked(&decide(&paused, &mut primary_memory()).action).is_none());
}

#[test]
fn only_the_word_of_all_prolongs_the_lock() {
    let view = cut_off(Some(&["a", "b", "c"]));
    let lease = prolonged(&view, &round(&view, &[])).expect("all said yes");
    assert_eq!((lease.deadline, lease.renewed_at), (NOW + TTL, NOW - Duration::from_secs(5)));

    assert_eq!(prolonged(&view, &round(&view, &["c"])), None, "one did not answer, or said no");
    let off = View { settings: Arc::new(settings()), ..view.clone() };
    assert_eq!(prolonged(&off, &round(&off, &[])), None);
    let mut refused = view.clone();
    refused.store.lock_refused = true;
    assert_eq!(prolonged(&refused, &round(&refused, &[])), None, "the store said no");
    let mut late = view.clone();
    late.now = late.lease.expect("it leads").deadline;
    assert_eq!(prolonged(&late, &round(&late, &[])), None, "a lock that is over stays over");
}

#[test]
fn what_the_members_kept_is_taken_anew_and_gives_way() {
    let mut kept = cut_off(Some(&["a", "b", "c"]));
    kept.failsafe.kept_at = Some(NOW);
    let memory = Memory { failsafe_asked_at: Some(NOW), ..primary_memory() };
    let verdict = decide(&kept, &mut memory.clone());
    assert_eq!(verdict.reason, Reason::KeptByMembers);

    kept.store.retry_at = None;
    assert_eq!(expect(&kept, memory.clone(), 210), Action::Store(StoreCall::Acquire));

    let mut other = in_failsafe_mode(Some("b"), Some(&["a", "b", "c"]));
    other.server = kept.server.clone();
    other.lease = kept.lease;
    other.failsafe.kept_at = Some(NOW);
    assert!(is_stop(&expect(&other, memory, 110), StopMode::Immediate));
}

/// HA-49: a leader that goes on without the store asks those whom the failsafe key names, and nobody else: a switchover's
/// candidate that is not among them must not take the lock (seed 1000672011). For a failover an operator answers.
#[test]
fn a_candidate_that_the_failsafe_key_bars_does_not_take_the_lock() {
    let rule = |names: &[&str], leader: Option<&str>| {
        let mut named = in_failsafe_mode(None, Some(names));
        named.started_at = Moment(0);
        let (cluster, _) = named.store.snapshot.as_mut().expect("every view has one");
        let version = Version("1".into());
        let (leader, candidate) = (leader.map(str::to_owned), Some("a".to_owned()));
        Arc::make_mut(cluster).failover = Some(FailoverRequest { leader, candidate, scheduled_at: None, version });
        decide(&named, &mut standby_memory()).rule
    };
    assert_eq!((rule(&["b", "c"], Some("b")), rule(&["a", "b"], Some("b"))), (936, 930));
    assert_eq!(rule(&["b", "c"], None), 930);
}

#[test]
fn a_lock_that_only_the_members_keep_promotes_nobody() {
    let mut standby = in_failsafe_mode(Some("a"), Some(&["a", "b", "c"]));
    standby.server = view(Some("b")).server;
    assert_eq!(expect(&standby, standby_memory(), 825), Action::Begin(Task::Promote));
    standby.failsafe.kept_at = Some(NOW);
    assert_ne!(decide(&standby, &mut standby_memory()).action, Action::Begin(Task::Promote));
}

#[test]
fn the_key_names_every_member_and_forgets_none_in_an_outage() {
    let written = |names: Option<&[&str]>, change: &dyn Fn(&mut View, &mut Memory)| {
        let mut view = in_failsafe_mode(Some("a"), names);
        let mut memory = primary_memory();
        memory.members_seen = ["b", "c"].map(|name| (name.to_owned(), NOW)).into();
        change(&mut view, &mut memory);
        let verdict = decide(&view, &mut memory);
        match verdict.action {
            Action::Store(StoreCall::WriteFailsafe { members }) => Some(members),
            _ => None,
        }
    };
    let same = |_: &mut View, _: &mut Memory| {};
    assert_eq!(written(None, &same), Some(key(&["a", "b", "c"])));
    assert_eq!(written(Some(&["a", "b"]), &same), Some(key(&["a", "b", "c"])));
    assert_eq!(written(Some(&["a", "b", "c"]), &same), None);
    let off = |view: &mut View, _: &mut Memory| view.settings = Arc::new(settings());
    assert_eq!(written(None, &off), None);

    // Who was named and was seen less than a ttl ago stays named.
    let left = |seen: Moment| {
        move |view: &mut View, memory: &mut Memory| {
            let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
            Arc::make_mut(cluster).members.retain(|member| member.name != "c");
            memory.members_seen.insert("c".into(), seen);
            view.started_at = Moment(0);
        }
    };
    assert_eq!(written(Some(&["a", "b", "c"]), &left(NOW - TTL / 2)), None);
    assert_eq!(written(Some(&["a", "b", "c"]), &left(NOW - TTL)), Some(key(&["a", "b"])));

    // A leader whose own member key ran out would bar itself from the next race (seed 200068725).
    let nameless = |view: &mut View, _: &mut Memory| {
        let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
        Arc::make_mut(cluster).members.retain(|member| member.name != "a");
    };
    assert_eq!(written(None, &nameless), None);
}

#[test]
fn a_member_gives_its_word_unless_it_may_lead() {
    let standby = in_failsafe_mode(Some("b"), None);
    let promise = give_word(&standby, "b", None).expect("it is a standby");
    assert_eq!((promise.leader.as_str(), promise.given_at, promise.until), ("b", NOW, NOW + TTL));
    let until = |ttl| give_word(&standby, "b", Some(ttl)).map(|promise| promise.until);
    assert_eq!(until(TTL * 2), Some(NOW + TTL * 2), "the asking leader counts on its own ttl");
    assert_eq!(until(TTL / 2), Some(NOW + TTL));
    assert_eq!(until(Duration::MAX), Some(NOW + Duration::from_secs(3600)));

    let check = |change: &dyn Fn(&mut View)| {
        let mut view = in_failsafe_mode(Some("b"), None);
        change(&mut view);
        assert_eq!(give_word(&view, "b", None), None);
    };
    check(&|view| view.server = crate::view(Some("a")).server);
    check(&|view| view.lease = Some(LeaseView { deadline: NOW + TTL, renewed_at: NOW, attempted_at: NOW }));
    check(&|view| view.store.in_flight = Some(StoreCallKind::Acquire));
    check(&|view| {
        view.running = Some(RunningTask { task: Task::Promote, since: NOW, escalated: None, cancelled: false });
    });
}

/// HA-49: who comes back from where its clock stood still is not let go on beside the leader that came after it (seed
/// 60004799).
#[test]
fn a_member_gives_its_word_to_no_leader_that_another_came_after() {
    let gives = |read: Option<Option<&str>>, word: Option<(&str, u64)>| {
        let mut view = in_failsafe_mode(read.flatten(), None);
        if read.is_none() {
            view.store.snapshot = None;
        } else if let Some((_, read_at)) = &mut view.store.snapshot {
            *read_at = NOW - Duration::from_secs(5);
        }
        view.failsafe.promise = word.map(|(leader, ago)| {
            let given_at = NOW - Duration::from_secs(ago);
            Promise { leader: leader.into(), given_at, until: given_at + TTL }
        });
        give_word(&view, "b", None).is_some()
    };
    assert!(gives(Some(Some("b")), None) && gives(None, None));
    assert!(!gives(Some(Some("c")), None) && !gives(Some(Some("a")), None), "another was seen to lead");
    assert!(!gives(Some(None), None), "nobody was seen to lead");
    assert!(gives(Some(None), Some(("b", 3))), "it let that leader go on since its lock ran out");
    assert!(!gives(Some(Some("b")), Some(("c", 3))) && gives(Some(Some("b")), Some(("c", 7))), "the later counts");
    assert!(!gives(None, Some(("c", 3))) && gives(None, Some(("c", 30))), "a word that has ended binds nobody");
}

/// A standby `a` that let `b` go on three seconds ago; now it sees that the lock is free.
fn bound() -> View {
    let mut view = in_failsafe_mode(None, Some(&["a", "b", "c"]));
    let given_at = NOW - Duration::from_secs(3);
    view.failsafe.promise = Some(Promise { leader: "b".into(), given_at, until: given_at + TTL });
    view
}

fn answered(begun_at: Moment, in_recovery: bool) -> Option<ProbeRound> {
    let status = MemberStatus { in_recovery, position: Lsn(100), ..MemberStatus::default() };
    Some(ProbeRound { begun_at, answers: [("b".to_owned(), Some(status))].into() })
}

#[test]
fn who_gave_its_word_does_not_race_until_it_is_over_or_the_leader_stepped_down() {
    let asks = |view: &View| match decide(view, &mut standby_memory()) {
        verdict if verdict.rule == 905 => matches!(verdict.action, Action::Run(Errand::Probe { .. })),
        verdict => panic!("{verdict:?}"),
    };
    let mut view = bound();
    assert!(asks(&view), "the leader is asked whether it still leads");
    view.probes = answered(NOW, false);
    assert!(!asks(&view), "it does");
    view.now = NOW + Duration::from_secs(1);
    assert!(asks(&view), "once a second");
    // What it said before, or just as it asked, is too old to count.
    view.probes = answered(NOW - Duration::from_secs(2), true);
    assert!(asks(&view));

    let mut memory = standby_memory();
    view.probes = answered(NOW, true);
    assert_ne!(decide(&view, &mut memory).rule, 905);
    view.probes = None;
    assert_ne!(decide(&view, &mut memory).rule, 905, "the word was returned for good");
    // Its next question binds again.
    let given_at = NOW + Duration::from_secs(1);
    view.failsafe.promise = Some(Promise { leader: "b".into(), given_at, until: given_at + TTL });
    assert_eq!(decide(&view, &mut memory).rule, 905);

    let over = View { now: NOW + TTL, ..bound() };
    assert_ne!(decide(&over, &mut standby_memory()).rule, 905);
}

/// A lock in the store under this member's own name, from before, is not taken over either.
#[test]
fn who_gave_its_word_takes_no_lock_over() {
    let mut view = in_failsafe_mode(Some("a"), Some(&["a", "b", "c"]));
    view.lease = None;
    view.server = crate::view(Some("b")).server;
    let takes = |view: &View| decide(view, &mut standby_memory()).action == Action::Store(StoreCall::Acquire);
    assert!(takes(&view));
    view.failsafe.promise = bound().failsafe.promise;
    assert!(!takes(&view));
}

#[test]
fn who_is_not_named_does_not_race_but_where_an_operator_says_so() {
    let mut view = in_failsafe_mode(None, Some(&["b", "c"]));
    assert_eq!(decide(&view, &mut standby_memory()).reason, Reason::NotInFailsafeKey);
    assert_ne!(
        decide(&in_failsafe_mode(None, Some(&["a", "b"])), &mut standby_memory()).reason,
        Reason::NotInFailsafeKey
    );
    assert_ne!(decide(&in_failsafe_mode(None, None), &mut standby_memory()).reason, Reason::NotInFailsafeKey);
    let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
    Arc::make_mut(cluster).failover = Some(FailoverRequest {
        leader: None,
        candidate: Some("a".into()),
        scheduled_at: None,
        version: Version("7".into()),
    });
    assert_eq!(expect(&view, standby_memory(), 930), Action::Store(StoreCall::Acquire));
}

/// Seed 400139242: an operator named a member whose daemon had given its word before it was restarted.
#[test]
fn a_named_member_that_just_started_asks_first() {
    let mut view = in_failsafe_mode(None, Some(&["a", "b"]));
    view.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    let (cluster, _) = view.store.snapshot.as_mut().expect("it was read");
    Arc::make_mut(cluster).failover = Some(FailoverRequest {
        leader: None,
        candidate: Some("a".into()),
        scheduled_at: None,
        version: Version("7".into()),
    });
    let race =
        Race { begun_at: NOW, receiving_stopped_at: Some(NOW), again_at: NOW + Duration::from_secs(1), rounds: 1 };
    let racing = || Memory { race: Some(race.clone()), followed: Some(None), ..standby_memory() };
    expect(&view, racing(), 930);
    view.started_at = NOW - Duration::from_secs(5);
    let heard = |b: Option<bool>| {
        let b = b.map(|in_recovery| MemberStatus { in_recovery, position: Lsn(200), ..MemberStatus::default() });
        let answers = [("b".to_owned(), b)].into();
        View { probes: Some(ProbeRound { begun_at: NOW, answers }), ..view.clone() }
    };
    expect(&view, Memory { race: None, ..racing() }, 950);
    expect(&heard(None), racing(), 957);
    expect(&heard(Some(false)), racing(), 960);
    assert_eq!(expect(&heard(Some(true)), racing(), 930), Action::Store(StoreCall::Acquire));
}

#[test]
fn a_daemon_that_just_started_may_have_given_its_word_before() {
    let race =
        Race { begun_at: NOW, receiving_stopped_at: Some(NOW), again_at: NOW + Duration::from_secs(1), rounds: 1 };
    let memory = Memory { race: Some(race), followed: Some(None), ..standby_memory() };
    let mut view = in_failsafe_mode(None, Some(&["a", "b", "c"]));
    view.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    view.started_at = NOW - Duration::from_secs(5);
    let standby = MemberStatus { in_recovery: true, position: Lsn(90), ..MemberStatus::default() };
    let answers = |b: Option<MemberStatus>| {
        Some(ProbeRound {
            begun_at: NOW,
            answers: [("b".to_owned(), b), ("c".to_owned(), Some(standby.clone()))].into(),
        })
    };
    view.probes = answers(None);
    let verdict = decide(&view, &mut memory.clone());
    let forgotten = Reason::MayHaveForgotten { silent: vec!["b".into()] };
    assert_eq!((verdict.rule, verdict.reason), (957, forgotten.clone()));
    // The pause between rounds being over when the answers come in does not open the race (seed 300046362).
    let mut late = memory.clone();
    late.race = late.race.map(|race| Race { again_at: NOW, ..race });
    let verdict = decide(&view, &mut late);
    assert_eq!((verdict.rule, verdict.reason), (957, forgotten));
    assert!(matches!(verdict.action, Action::Wait { .. }));
    assert!(late.race.is_some_and(|race| race.again_at > NOW), "it begins with the answers");
    let old = View { started_at: NOW - TTL, ..view.clone() };
    assert_eq!(expect(&old, memory.clone(), 960), Action::Store(StoreCall::Acquire));
    view.probes = answers(Some(standby.clone()));
    assert_eq!(expect(&view, memory, 960), Action::Store(StoreCall::Acquire));
}
