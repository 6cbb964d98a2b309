//! HA: who wins the race for a free lock, and who stands back for whom.

use crate::situation::{failover, standby_memory, status, tags, view, with_cluster, with_settings};
use crate::testing::NOW;
use regent_core::decide::{Action, Memory, decide};
use regent_core::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// This member lets go of the lost leader at 100, and the others answer this.
fn race(view: View, answers: &[(&str, MemberStatus)]) -> (u16, Action) {
    let answers: BTreeMap<_, _> = answers.iter().map(|(name, status)| ((*name).into(), Some(status.clone()))).collect();
    let mut memory = Memory { followed: Some(None), ..standby_memory() };
    let mut view = view;
    assert!(matches!(decide(&view, &mut memory).action, Action::Run(Errand::Probe { .. })), "members are asked first");
    view.probes = Some(ProbeRound { begun_at: NOW, answers });
    let verdict = decide(&view, &mut memory);
    (verdict.rule, verdict.action)
}

fn wins(outcome: &(u16, Action)) -> bool {
    matches!(outcome, (960, Action::Store(StoreCall::Acquire)))
}

/// HA-02: who is further behind the last published position than allowed does not lead.
#[test]
fn a_standby_that_is_too_far_behind_does_not_lead() {
    let behind = |bytes: u64| with_cluster(view(None), |cluster| cluster.status.optime = Some(Lsn(100 + bytes)));
    assert!(wins(&race(behind(1_048_576), &[("b", status(90))])));
    assert!(!wins(&race(behind(1_048_577), &[("b", status(90))])));
}

fn end_of_timeline_one() -> HistoryRow {
    HistoryRow { timeline: Timeline(1), switch_lsn: Lsn(50), reason: String::new(), timestamp: None, new_leader: None }
}

/// HA-28: with check_timeline, only who is on the cluster's timeline leads.
#[test]
fn a_standby_on_an_old_timeline_does_not_lead() {
    let on_two = |check| {
        let on_two = with_cluster(view(None), |cluster| cluster.history.rows = vec![end_of_timeline_one()]);
        with_settings(on_two, |settings| settings.check_timeline = check)
    };
    assert!(wins(&race(on_two(false), &[])));
    assert!(!wins(&race(on_two(true), &[])));
}

/// HA-50: among equals the higher failover_priority leads; who may not lead does not count.
#[test]
fn among_equals_the_priority_counts() {
    let with_tag = |name: &str, value: Scalar| MemberStatus { tags: tags(name, value), ..status(100) };
    assert!(!wins(&race(view(None), &[("b", with_tag("failover_priority", Scalar::Integer(2)))])));
    assert!(wins(&race(view(None), &[("b", with_tag("failover_priority", Scalar::Integer(0)))])));
    assert!(wins(&race(view(None), &[("b", with_tag("nofailover", Scalar::Bool(true)))])));
}

/// HA-02: positions on different timelines are not compared: who has the later leader's history goes first.
#[test]
fn a_later_timeline_goes_before_a_farther_position() {
    let on = |timeline, position| MemberStatus { timeline: Some(Timeline(timeline)), ..status(position) };
    assert!(wins(&race(view(None), &[("b", on(1, 90))])));
    assert!(!wins(&race(view(None), &[("b", on(2, 90))])));
    let untold = MemberStatus { timeline: None, ..status(90) };
    assert!(wins(&race(view(None), &[("b", untold)])), "a peer that tells none is compared by position");
}

/// SB-03: a demotion to follow another cluster empties the history key and may leave a member behind, on its later timeline.
/// If that one lacks too much to lead, nobody stands back for it (seed 1000746407); as long as the key tells of no
/// timeline, or of a later one than this member's, it may be the others who left, and everybody waits.
#[test]
fn nobody_stands_back_for_a_later_timeline_that_was_left_and_is_too_far_behind() {
    let beats = |known: bool, rows: &[HistoryRow], limit: u64| {
        let left = with_cluster(view(None), |cluster| {
            cluster.history = HistoryView { rows: rows.to_vec(), known };
            cluster.status.optime = Some(Lsn(100));
        });
        let left = with_settings(left, |settings| settings.maximum_lag_on_failover = limit);
        let other = MemberStatus { timeline: Some(Timeline(2)), ..status(90) };
        wins(&race(left, &[("b", other)]))
    };
    assert!(beats(true, &[], 9));
    assert!(!beats(true, &[], 10), "it is near enough to lead");
    assert!(!beats(false, &[], 9), "no history is known");
    assert!(!beats(true, &[end_of_timeline_one()], 9), "the cluster is on the other's timeline");
}

/// HA-10: a daemon that stood still finds answers from before another led and was lost again: they tell nothing.
#[test]
fn old_answers_win_no_race() {
    let mut free = view(None);
    let mut memory = Memory { followed: Some(None), ..standby_memory() };
    assert!(matches!(decide(&free, &mut memory).action, Action::Run(Errand::Probe { .. })));
    free.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".into(), Some(status(90)))].into() });
    let mut thawed = free.clone();
    assert!(matches!(decide(&free, &mut memory.clone()).action, Action::Store(StoreCall::Acquire)));
    thawed.now = NOW + Duration::from_secs(9);
    thawed.store.snapshot = thawed.store.snapshot.take().map(|(cluster, _)| (cluster, thawed.now));
    thawed.store.member_written_at = Some(thawed.now);
    if let Observed::Seen { at, .. } = &mut thawed.server.monitoring {
        *at = thawed.now;
    }
    assert!(matches!(decide(&thawed, &mut memory).action, Action::Run(Errand::Probe { .. })), "they are asked again");
}

/// HA-33: whom a switchover names goes first among equals only; a failover that names somebody is not compared.
#[test]
fn a_named_candidate_has_to_have_everything() {
    let asked = |leader: Option<&str>| {
        let named = with_cluster(view(None), |cluster| {
            cluster.failover = failover(leader, Some("a"), None);
            cluster.status.optime = Some(Lsn(150));
        });
        let (mut named, mut memory) = (named, Memory { followed: Some(None), ..standby_memory() });
        memory.former_leader = Some("b".into());
        let first = decide(&named, &mut memory);
        named.probes = Some(ProbeRound { begun_at: NOW, answers: [("c".into(), Some(status(101)))].into() });
        (first.rule, decide(&named, &mut memory))
    };
    let (_, switchover) = asked(Some("b"));
    assert!(!matches!(switchover.action, Action::Store(StoreCall::Acquire)), "{}", switchover.reason);
    let (rule, _) = asked(None);
    assert_eq!(rule, 930, "an operator answers for a failover");
}

/// HA-33: the others stand back for a named candidate that lacks nothing of theirs; else nobody would ever lead.
#[test]
fn who_has_more_does_not_stand_back_for_a_named_candidate() {
    let rule = |position| {
        let named = with_cluster(view(None), |cluster| cluster.failover = failover(Some("c"), Some("b"), None));
        race(named, &[("b", status(position))]).0
    };
    assert_eq!((rule(100), rule(99)), (935, 960));
}

/// HA-33: nor for somebody on an older timeline, wherever that one is on it (seed 300057274).
#[test]
fn who_is_on_a_later_timeline_does_not_stand_back() {
    let rule = |timeline| {
        let gave_up = with_cluster(view(None), |cluster| cluster.failover = failover(Some("a"), None, None));
        let answer = MemberStatus { timeline: Some(Timeline(timeline)), ..status(100) };
        race(gave_up, &[("b", answer)]).0
    };
    assert_eq!((rule(1), rule(0)), (935, 960));
}

/// SYNC-13, SYNC-16: whom an operator named needs votes where the key has some, though the mode is another by now (seed
/// 200036730).
#[test]
fn a_named_voter_needs_votes_until_the_key_has_none() {
    let rule = |quorum| {
        let mut view = with_cluster(view(None), |cluster| {
            cluster.failover = failover(Some("b"), Some("a"), None);
            let standbys = vec!["a".to_owned(), "c".to_owned()];
            cluster.sync = SyncView { leader: Some("b".into()), standbys, quorum, version: None };
        });
        view.settings = Arc::new(Settings { synchronous_mode: SynchronousMode::On, ..(*view.settings).clone() });
        decide(&view, &mut Memory { followed: Some(None), ..standby_memory() }).rule
    };
    assert_eq!((rule(0), rule(1)), (930, 950));
}

/// HA-33: who gave the lock up for others stands back for them, so they do not for it, be it preferred or not (seed
/// 1000421).
#[test]
fn nobody_stands_back_for_the_member_that_gave_the_lock_up() {
    let preferred = || Some(MemberStatus { tags: tags("failover_priority", Scalar::Integer(3)), ..status(100) });
    let takes = |candidate: Option<&str>| {
        let mut asked = with_cluster(view(None), |cluster| cluster.failover = failover(Some("b"), candidate, None));
        let mut memory = Memory { followed: Some(None), ..standby_memory() };
        assert!(matches!(decide(&asked, &mut memory).action, Action::Run(Errand::Probe { .. })));
        asked.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".into(), preferred())].into() });
        decide(&asked, &mut memory).action == Action::Store(StoreCall::Acquire)
    };
    assert!(takes(None));
    assert!(!takes(Some("c")), "a named candidate that does not answer leaves an ordinary race");
}

/// HA-49: nor for a preferred or a named member that the failsafe key does not name, which does not race (seeds 300562485
/// and 400163549).
#[test]
fn nobody_stands_back_for_whom_the_failsafe_key_bars() {
    let beats = |other: MemberStatus, named: &[&str]| {
        let asked = with_settings(view(None), |settings| settings.failsafe_mode = true);
        let url = |name: &&str| ((*name).to_owned(), format!("http://{name}:8008/patroni"));
        let asked = with_cluster(asked, |cluster| cluster.failsafe = Some(named.iter().map(url).collect()));
        wins(&race(asked, &[("b", other)]))
    };
    // Nor if it has more (seed 700058731): it waits for the leader, which may never come back.
    let preferred = MemberStatus { tags: tags("failover_priority", Scalar::Integer(3)), ..status(100) };
    for other in [preferred, status(200)] {
        assert!(beats(other.clone(), &["a"]) && !beats(other, &["a", "b"]));
    }
    let candidate = |named: &[&str]| {
        let asked = with_settings(view(None), |settings| settings.failsafe_mode = true);
        let url = |name: &&str| ((*name).to_owned(), format!("http://{name}:8008/patroni"));
        let asked = with_cluster(asked, |cluster| {
            cluster.failsafe = Some(named.iter().map(url).collect());
            cluster.failover = failover(Some("c"), Some("b"), None);
        });
        race(asked, &[("b", status(100))]).0
    };
    assert_eq!((candidate(&["a"]), candidate(&["a", "b"])), (960, 935));
}

/// SYNC-13: in quorum mode those who stand back for a named candidate let go of the lost leader first: their positions
/// are votes only once they stand still (seed 1003970).
#[test]
fn who_stands_back_lets_the_candidate_count_its_vote() {
    let mut named = with_settings(view(None), |settings| settings.synchronous_mode = SynchronousMode::Quorum);
    named = with_cluster(named, |cluster| {
        cluster.failover = failover(Some("c"), Some("b"), None);
        let standbys = vec!["a".into(), "b".into()];
        cluster.sync = SyncView { leader: Some("c".into()), standbys, quorum: 1, ..SyncView::default() };
    });
    let mut memory = standby_memory();
    assert!(matches!(decide(&named, &mut memory).action, Action::Run(Errand::Probe { .. })));
    named.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".into(), Some(status(100)))].into() });
    assert_eq!(decide(&named, &mut memory).action, Action::Begin(Task::StopReceiving));
    memory.followed = Some(None);
    let verdict = decide(&named, &mut memory);
    assert!(verdict.rule == 935 && matches!(verdict.action, Action::Wait { .. }), "{verdict:?}");
}
