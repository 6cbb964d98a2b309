//! PAUSE: in maintenance the operator has the server, and the daemon only keeps the store true.

use crate::situation::{
    POSTMASTER, control, expect, is_stop, primary_memory, standby_memory, stopped, view, with_cluster,
};
use crate::testing::{NOW, monitoring, settings};
use regent_core::decide::{Action, Divergence, Memory, decide, guard_order};
use regent_core::model::*;
use std::sync::Arc;
use std::time::Duration;

fn paused(leader: Option<&str>) -> View {
    View { settings: Arc::new(Settings { paused: true, ..settings() }), ..view(leader) }
}

fn released(action: &Action) -> bool {
    matches!(action, Action::Store(StoreCall::Release { .. }))
}

/// PAUSE-01: nothing is started, stopped or promoted; the lock of a server that is gone is given back.
#[test]
fn nothing_is_started_and_nobody_takes_over() {
    let mut crashed = paused(Some("a"));
    stopped(&mut crashed, ControlState::InProduction);
    assert!(released(&expect(&crashed, primary_memory(), 710)));
    let mut without = paused(None);
    stopped(&mut without, ControlState::InProduction);
    assert!(matches!(expect(&without, primary_memory(), 710), Action::Wait { .. }));

    assert!(matches!(expect(&paused(None), standby_memory(), 915), Action::Wait { .. }));
}

/// PAUSE-02: the leader's server was made a standby by hand.
#[test]
fn a_lock_whose_server_is_no_primary_is_given_back() {
    let mut demoted = paused(Some("a"));
    demoted.server = paused(Some("b")).server;
    assert!(released(&expect(&demoted, standby_memory(), 810)));
}

/// PAUSE-03: the first primary to come takes a free lock; another one goes on without.
#[test]
fn a_running_primary_takes_a_free_lock_and_a_second_one_is_left_alone() {
    let mut free = paused(None);
    free.server = paused(Some("a")).server;
    assert!(matches!(expect(&free, primary_memory(), 910), Action::Store(StoreCall::Acquire)));

    let mut second = paused(Some("b"));
    second.server = paused(Some("a")).server;
    for rule in [decide(&second, &mut primary_memory()), decide(&second, &mut Memory::default())] {
        assert!(!matches!(rule.action, Action::Preempt(_) | Action::Begin(_)), "{:?}", rule.action);
    }
}

/// REW-02: that one may lead after maintenance, on an older timeline than what others have: those have their histories
/// compared with its own, and the primary whose server crashed meanwhile does too (seed 1200250366).
#[test]
fn an_older_primary_that_leads_after_maintenance_is_joined() {
    let compares = |view: &View, memory: Memory| {
        matches!(decide(view, &mut memory.clone()).action, Action::Begin(Task::CompareHistories(_)))
    };
    let monitoring = Monitoring { timeline: Some(Timeline(2)), ..monitoring(false) };
    let ahead = |mut view: View| {
        view.server.monitoring = Observed::Seen { value: monitoring.clone(), at: NOW };
        with_cluster(view, |cluster| cluster.members.iter_mut().for_each(|it| it.timeline = Some(Timeline(1))))
    };
    assert!(!compares(&ahead(paused(Some("b"))), standby_memory()));
    assert!(compares(&ahead(view(Some("b"))), standby_memory()));

    let mut crashed = paused(Some("b"));
    stopped(&mut crashed, ControlState::ShutDown);
    let mut memory = Memory { divergence: Divergence::Unknown, ..primary_memory() };
    assert_eq!(decide(&crashed, &mut memory).rule, 710);
    crashed.settings = Arc::new(settings());
    assert!(compares(&crashed, memory));
}

/// PAUSE-04: whom an operator names leads, also in maintenance; a hand-over to anybody does not happen, and what was
/// scheduled waits.
#[test]
fn only_a_named_member_takes_over() {
    let request = |candidate: Option<&str>, scheduled_at| FailoverRequest {
        leader: Some("a".into()),
        candidate: candidate.map(Into::into),
        scheduled_at,
        version: Version("7".into()),
    };
    let asked = |mut view: View, request: FailoverRequest| {
        let (cluster, at) = view.store.snapshot.clone().expect("every view has one");
        view.store.snapshot = Some((Arc::new(ClusterView { failover: Some(request), ..(*cluster).clone() }), at));
        view
    };
    let named = asked(paused(Some("a")), request(Some("b"), None));
    assert!(matches!(expect(&named, primary_memory(), 835), Action::Run(Errand::Probe { .. })));
    let anybody = asked(paused(Some("a")), request(None, None));
    assert!(matches!(expect(&anybody, primary_memory(), 830), Action::Store(StoreCall::ClearFailover { .. })));
    let mut scheduled = asked(paused(Some("a")), request(Some("b"), Some(WallTime(5))));
    scheduled.wall = WallTime(10);
    scheduled.slots_synced = Some((vec!["b".into(), "c".into()], NOW));
    expect(&scheduled, primary_memory(), 890);

    let mut taken = asked(paused(Some("a")), request(Some("a"), None));
    taken.server = paused(Some("b")).server;
    assert!(matches!(expect(&taken, standby_memory(), 825), Action::Begin(Task::Promote)));

    let mut given = asked(paused(Some("b")), request(Some("b"), None));
    stopped(&mut given, ControlState::ShutDown);
    let memory = Memory { comes_back: true, divergence: Divergence::None, ..standby_memory() };
    assert!(matches!(expect(&given, memory, 770), Action::Begin(Task::Start(StartMode::Follow(_)))));

    let mut ours = asked(paused(None), request(Some("a"), None));
    ours.server = paused(Some("b")).server;
    assert!(matches!(expect(&ours, standby_memory(), 930), Action::Store(StoreCall::Acquire)));
}

/// PAUSE-05: the daemon ends and leaves the server and the lock as they are.
#[test]
fn the_daemon_ends_alone() {
    let mut leaving = paused(Some("a"));
    leaving.requests.shutdown = true;
    assert!(matches!(expect(&leaving, primary_memory(), 310), Action::Exit { code: 0 }));
}

/// PAUSE-06, PAUSE-09: a lock that can not be renewed stops nobody, and no guard or watchdog will.
#[test]
fn a_primary_goes_on_without_the_store() {
    let mut away = paused(Some("a"));
    away.lease = None;
    away.store.lease_ran_out = true;
    away.store.failing_since = Some(NOW - Duration::from_secs(60));
    away.store.retry_at = Some(NOW + Duration::from_secs(1));
    let verdict = decide(&away, &mut primary_memory());
    assert!(matches!(verdict.action, Action::Wait { .. } | Action::Run(_)), "{:?}", verdict.action);
    assert_eq!(guard_order(&away, &primary_memory()), regent_core::decide::GuardOrder::StandDown);
}

/// PAUSE-07, PAUSE-13: a server of another cluster leads nobody, and the daemon stays; it goes when maintenance ends.
#[test]
fn a_foreign_data_directory_gives_the_lock_back() {
    let foreign = |mut view: View| {
        let other = ControlData { system_id: "7710345176211499999".into(), ..control(ControlState::InProduction) };
        view.server.control = Observed::Seen { value: other, at: NOW };
        view
    };
    assert!(released(&expect(&foreign(paused(Some("a"))), primary_memory(), 550)));
    let verdict = decide(&foreign(paused(Some("b"))), &mut standby_memory());
    assert!(!matches!(verdict.action, Action::Exit { .. }), "{:?}", verdict.action);
    assert!(matches!(expect(&foreign(view(Some("a"))), primary_memory(), 550), Action::Exit { code: 1 }));
}

/// PAUSE-08: a standby goes after a new leader also in maintenance, if need be by a rewind, after which it is started;
/// a server that an operator stopped is not.
#[test]
fn a_standby_is_stopped_only_to_be_rewound() {
    let diverged = || Memory { divergence: Divergence::Diverged, ..standby_memory() };
    let mut memory = diverged();
    let verdict = decide(&paused(Some("b")), &mut memory);
    assert!(verdict.rule == 1010 && is_stop(&verdict.action, StopMode::Fast) && memory.comes_back);
    let mut down = paused(Some("b"));
    stopped(&mut down, ControlState::ShutDownInRecovery);
    assert!(matches!(expect(&down, memory, 755), Action::Begin(Task::Rewind(_))));
    expect(&down, diverged(), 710);

    let elsewhere = paused(Some("c"));
    assert!(matches!(expect(&elsewhere, standby_memory(), 1020), Action::Begin(Task::Follow(Some(_)))));
}

/// PAUSE-13: an empty data directory stays empty.
#[test]
fn nothing_is_cloned_or_made() {
    let mut empty = paused(Some("b"));
    stopped(&mut empty, ControlState::ShutDown);
    empty.server.data_directory = DataDirectory::Empty;
    let verdict = decide(&empty, &mut Memory::default());
    assert!(!matches!(verdict.action, Action::Begin(_)), "{:?}", verdict.action);

    let mut gone = paused(Some("b"));
    gone.server.data_directory = DataDirectory::Empty;
    gone.server.postmaster = Some(POSTMASTER);
    let verdict = decide(&gone, &mut standby_memory());
    assert!(!matches!(verdict.action, Action::Begin(_) | Action::Preempt(_)), "{:?}", verdict.action);
}
