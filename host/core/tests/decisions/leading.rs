//! HA: who keeps the lock, and what a promotion and a hand-over wait for.

use crate::situation::{
    POSTMASTER, control, expect, failover, is_stop, primary_memory, standby_memory, status, stopped, tags, view,
    with_cluster, with_settings,
};
use crate::testing::{NOW, member, monitoring, settings};
use regent_core::decide::{Action, Bootstrap, Divergence, Memory, decide, switch_targets};
use regent_core::model::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// HA-54: after its shutdown the leader hands over to members that have its last record, which begins there.
#[test]
fn a_lock_is_handed_to_who_has_the_last_record() {
    let cluster = view(Some("a")).cluster().expect("it was read").clone();
    let targets = |position| {
        let answers = [("b".to_owned(), Some(status(position)))].into();
        switch_targets(&cluster, &settings(), &ProbeRound { begun_at: NOW, answers }, None, Some(Lsn(100)), true)
    };
    assert_eq!((targets(100), targets(101)), (vec![], vec!["b".to_owned()]));
}

/// HA-57: a primary whose timeline is older than the cluster's does not take the lock; it is stopped.
#[test]
fn a_stale_primary_does_not_win() {
    let row = HistoryRow {
        timeline: Timeline(1),
        switch_lsn: Lsn(50),
        reason: String::new(),
        timestamp: None,
        new_leader: None,
    };
    let mut stale = with_cluster(view(None), |cluster| cluster.history.rows = vec![row]);
    stale.server = view(Some("a")).server;
    assert!(is_stop(&expect(&stale, primary_memory(), 910), StopMode::Immediate));
}

/// HA-05: a lock that could not be renewed lately promotes nobody.
#[test]
fn a_doubtful_lock_promotes_nobody() {
    let mut doubtful = view(Some("a"));
    doubtful.server = view(Some("b")).server;
    assert!(matches!(expect(&doubtful, standby_memory(), 825), Action::Begin(Task::Promote)));
    doubtful.store.failing_since = Some(NOW - Duration::from_secs(1));
    doubtful.store.retry_at = Some(NOW + Duration::from_secs(1));
    let action = decide(&doubtful, &mut standby_memory()).action;
    assert!(!matches!(action, Action::Begin(Task::Promote)), "{action:?}");
}

/// HA-65: a new leader says at once how far its log goes. Seeds 500947532 and 500984147 lost it before its first loop:
/// nobody was near enough to what the former leader had said.
#[test]
fn a_new_primary_renews_its_lock_at_once() {
    let mut promoted = view(Some("a"));
    let at = NOW - Duration::from_millis(500);
    promoted.lease = promoted.lease.map(|lease| LeaseView { renewed_at: at, ..lease });
    assert_ne!(decide(&promoted, &mut primary_memory()).rule, 210, "loop_wait has not passed");
    promoted.finished = Some(FinishedTask { number: 1, task: Task::Promote, outcome: TaskOutcome::Done, at: NOW });
    assert_eq!(expect(&promoted, primary_memory(), 210), Action::Store(StoreCall::Renew));
    let mut unseen = promoted.clone();
    unseen.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    assert_ne!(decide(&unseen, &mut primary_memory()).rule, 210, "there is nothing to tell yet");
    promoted.lease = promoted.lease.map(|lease| LeaseView { renewed_at: NOW, ..lease });
    assert_ne!(decide(&promoted, &mut primary_memory()).rule, 210, "it was told");
}

/// HA-52: where pre_promote refuses, the lock is given back, and for a ttl this member does not race.
#[test]
fn a_refused_promotion_gives_way_to_others() {
    let mut refused = view(Some("a"));
    refused.server = view(Some("b")).server;
    let outcome = TaskOutcome::Refused("exited with code=1".into());
    refused.finished = Some(FinishedTask { number: 1, task: Task::Promote, outcome, at: NOW });
    let mut memory = standby_memory();
    assert!(matches!(decide(&refused, &mut memory).action, Action::Store(StoreCall::Release { .. })));

    let mut free = view(None);
    free.finished = refused.finished.clone();
    assert_eq!(decide(&free, &mut memory).rule, 920);
    free.now = NOW + Duration::from_secs(21);
    free.store.snapshot = free.store.snapshot.map(|(cluster, _)| (cluster, free.now));
    free.store.member_written_at = Some(free.now);
    assert_ne!(decide(&free, &mut memory).rule, 920, "a ttl later it may try again");
}

/// While the store is busy with something else, a lock that is to be given back promotes nobody and starts nothing.
#[test]
fn a_busy_store_changes_no_mind() {
    let busy = |mut view: View| {
        view.store.in_flight = Some(StoreCallKind::TouchMember);
        view
    };
    let standby_with_lock = |change: fn(&mut Settings)| {
        let mut view = with_settings(view(Some("a")), change);
        view.server = crate::situation::view(Some("b")).server;
        busy(view)
    };
    let waits = |view: &View, memory, rule| assert!(matches!(expect(view, memory, rule), Action::Wait { .. }));
    waits(&standby_with_lock(|_| {}), Memory { release_wanted: true, ..standby_memory() }, 815);
    waits(&standby_with_lock(|settings| settings.paused = true), standby_memory(), 810);
    let mut unguarded = standby_with_lock(|settings| settings.guard = FenceMode::Required);
    unguarded.guard.alive = false;
    waits(&unguarded, standby_memory(), 820);
    let mut crashed = with_settings(busy(view(Some("a"))), |settings| settings.paused = true);
    stopped(&mut crashed, ControlState::InProduction);
    waits(&crashed, primary_memory(), 710);
}

/// HA-51: while the lost leader still writes, the race waits, as long as primary_race_backoff; not for a named member.
#[test]
fn a_race_waits_while_the_lost_leader_still_writes() {
    let backoff = |seconds| with_settings(view(None), |settings| settings.primary_race_backoff = seconds);
    let mut memory = standby_memory();
    let mut at = |after: u64, position: u64, streams: bool| {
        let mut view = backoff(Duration::from_secs(10));
        view.now = NOW + Duration::from_secs(after);
        view.store.snapshot = view.store.snapshot.map(|(cluster, _)| (cluster, view.now));
        view.store.member_written_at = Some(view.now);
        let streaming_from = streams.then(|| ("b".to_owned(), 5432));
        let answer = Monitoring { received_lsn: Some(Lsn(position)), streaming_from, ..monitoring(false) };
        view.server.monitoring = Observed::Seen { value: answer, at: view.now };
        decide(&view, &mut memory).rule
    };
    assert_eq!(at(0, 100, true), 938, "the first loop is waited for");
    assert_eq!(at(2, 110, true), 938, "it grows");
    assert_eq!(at(3, 110, true), 938, "it grew less than a loop ago");
    assert_eq!(at(5, 110, true), 940, "it stands still");

    let mut memory = standby_memory();
    assert_eq!(decide(&view(None), &mut memory).rule, 940, "nothing is waited for without the setting");
    let named =
        with_cluster(backoff(Duration::from_secs(10)), |cluster| cluster.failover = failover(None, Some("a"), None));
    expect(&named, standby_memory(), 930);
}

/// HA-33: a scheduled switchover waits for its time, is carried out in a window after it, and is dropped when stale.
#[test]
fn a_scheduled_switchover_has_a_window() {
    let at = |seconds: i64| {
        let request = failover(Some("a"), None, Some(WallTime(60_000_000)));
        let view = with_cluster(view(Some("a")), |cluster| cluster.failover = request);
        let mut view = with_settings(view, |settings| settings.use_slots = false);
        view.wall = WallTime(seconds * 1_000_000);
        view
    };
    let waits = expect(&at(59), primary_memory(), 890);
    assert!(matches!(waits, Action::Wait { until } if until <= NOW + Duration::from_secs(1)), "{waits:?}");
    assert!(matches!(expect(&at(60), primary_memory(), 835), Action::Run(Errand::Probe { .. })));
    assert!(matches!(expect(&at(63), primary_memory(), 835), Action::Run(Errand::Probe { .. })));
    assert!(matches!(expect(&at(64), primary_memory(), 830), Action::Store(StoreCall::ClearFailover { .. })));

    let mut memory = primary_memory();
    decide(&at(61), &mut memory);
    assert_eq!(decide(&at(64), &mut memory).rule, 835, "what was begun in time goes on");
}

/// HA-41, HA-59: a replica follows the member that its tag names, the leader where that is missing, and nobody with
/// nostream.
#[test]
fn tags_say_whom_a_replica_follows() {
    let tagged =
        |name: &str, value: Scalar| with_settings(view(Some("b")), |settings| settings.tags = tags(name, value));
    let follows = |view: &View| match expect(view, standby_memory(), 1020) {
        Action::Begin(Task::Follow(source)) => source.map(|source| source.name),
        other => panic!("{other:?}"),
    };
    assert_eq!(follows(&tagged("replicatefrom", Scalar::Text("c".into()))).as_deref(), Some("c"));
    assert_eq!(follows(&tagged("nostream", Scalar::Bool(true))), None);
    let verdict = decide(&tagged("replicatefrom", Scalar::Text("gone".into())), &mut standby_memory());
    assert!(!matches!(verdict.action, Action::Begin(Task::Follow(_))), "the leader is followed already");
}

/// HA-12, HA-13, HA-14: a leader whose data directory is gone gives the lock back once its server was stopped.
#[test]
fn a_lost_data_directory_costs_the_lock() {
    let mut gone = view(Some("a"));
    gone.server.data_directory = DataDirectory::Empty;
    gone.server.postmaster = Some(POSTMASTER);
    assert!(is_stop(&expect(&gone, primary_memory(), 520), StopMode::Immediate));
    stopped(&mut gone, ControlState::InProduction);
    gone.server.data_directory = DataDirectory::Empty;
    let mut memory = primary_memory();
    assert!(matches!(decide(&gone, &mut memory).action, Action::Store(StoreCall::Release { .. })));
    assert_eq!(memory.role, Role::Uninitialized);
}

/// HA-60: a data directory that can not be read is no empty one: nothing is cloned over it.
#[test]
fn storage_that_disappears_is_left_alone() {
    let mut lost = view(Some("a"));
    stopped(&mut lost, ControlState::InProduction);
    lost.server.data_directory = DataDirectory::Inaccessible("Input/output error".into());
    assert!(matches!(expect(&lost, primary_memory(), 510), Action::Store(StoreCall::Release { .. })));
    let mut replica = view(Some("b"));
    stopped(&mut replica, ControlState::ShutDown);
    replica.server.data_directory = DataDirectory::Inaccessible("Input/output error".into());
    assert!(matches!(expect(&replica, standby_memory(), 510), Action::Wait { .. }));
}

/// HA-20: a running replica of a cluster that the store does not know is not taken over, and not stopped.
#[test]
fn a_running_replica_of_an_unknown_cluster_ends_the_daemon() {
    let unknown = with_cluster(view(None), |cluster| cluster.initialize = None);
    assert!(matches!(expect(&unknown, standby_memory(), 555), Action::Exit { code: 1 }));
}

/// HA-62: after the store was wiped, only the lock's owner writes the identifier and the configuration again.
#[test]
fn only_the_leader_restores_lost_keys() {
    let wiped = |leader| {
        let mut view = with_cluster(view(leader), |cluster| (cluster.initialize, cluster.config) = (None, None));
        view.store.has_configuration = true;
        view
    };
    assert!(matches!(expect(&wiped(Some("a")), primary_memory(), 850), Action::Store(StoreCall::SetInitialize { .. })));
    let identified = with_cluster(wiped(Some("a")), |cluster| cluster.initialize = Some("7710345176211496303".into()));
    assert!(matches!(expect(&identified, primary_memory(), 850), Action::Store(StoreCall::RestoreConfig)));
    let verdict = decide(&wiped(Some("b")), &mut standby_memory());
    assert!(!matches!(verdict.action, Action::Store(_)), "{:?}", verdict.action);
}

/// HA-23, HA-24, HA-48: whatever goes on, the lock is renewed when it is due.
#[test]
fn the_lock_is_renewed_while_long_work_goes_on() {
    let stop = Task::Stop { mode: StopMode::Fast, checkpoint_first: true };
    for task in [stop, Task::Restart(StartMode::Primary), Task::Promote, Task::Start(StartMode::Primary)] {
        let mut busy = view(Some("a"));
        let running = |task| RunningTask { task, since: NOW, escalated: None, cancelled: false };
        busy.running = Some(running(task.clone()));
        let renewed_at = NOW - Duration::from_secs(2);
        busy.lease = Some(LeaseView { renewed_at, attempted_at: renewed_at, deadline: NOW + Duration::from_secs(18) });
        let action = expect(&busy, primary_memory(), 210);
        assert!(matches!(action, Action::Store(StoreCall::Renew)), "{task}: {action:?}");
    }
}

/// HA-01: a shorter ttl counts from the first renewal that is sent with it, answered or not (seed 300240088).
#[test]
fn a_lock_ends_no_later_than_its_renewal_asks_for() {
    let seconds = |of: u64| NOW + Duration::from_secs(of);
    let lease = LeaseView { deadline: seconds(18), renewed_at: NOW, attempted_at: NOW };
    let asked = |ttl| lease.being_renewed(seconds(2), Duration::from_secs(ttl)).deadline;
    assert_eq!((asked(5), asked(20)), (seconds(7), seconds(18)));
}

/// HA-43: only running replicas that offer themselves are cloned from, else the leader.
#[test]
fn only_running_members_are_cloned_from() {
    let offered = |state| {
        let mut empty = with_cluster(view(Some("b")), |cluster| {
            let mut offer = MemberView { state: Some(state), ..member("c", Role::Replica) };
            offer.tags = tags("clonefrom", Scalar::Bool(true));
            cluster.members[2] = offer;
        });
        stopped(&mut empty, ControlState::ShutDown);
        empty.server.data_directory = DataDirectory::Empty;
        match expect(&empty, Memory::default(), 540) {
            Action::Begin(Task::Clone { source: Some(source), .. }) => source.name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(offered(PgState::Running), "c");
    assert_eq!(offered(PgState::Stopped), "b");
}

/// HA-36: a restart that takes longer than it may gives way to another member, where one can take over.
#[test]
fn a_restart_that_takes_too_long_gives_way() {
    let mut restarting = view(Some("a"));
    let since = NOW - Duration::from_secs(2);
    let task = Task::Restart(StartMode::Primary);
    restarting.running = Some(RunningTask { task, since, escalated: None, cancelled: false });
    restarting.server.status = Some(PostmasterStatus::Starting);
    restarting.server.monitoring = Observed::Unseen("it starts".into());
    let limited = || Memory { start_timeout: Some(Duration::from_secs(1)), ..primary_memory() };
    assert!(matches!(expect(&restarting, limited(), 410), Action::Run(Errand::Probe { .. })));
    let answers = |status| BTreeMap::from([("b".to_owned(), status)]);
    restarting.probes = Some(ProbeRound { begun_at: NOW, answers: answers(Some(status(100))) });
    assert!(is_stop(&expect(&restarting, limited(), 410), StopMode::Immediate));
    restarting.probes = Some(ProbeRound { begun_at: NOW, answers: answers(None) });
    expect(&restarting, limited(), 490);
}

/// What a standby needs to come up at all may be at a leader that was not there when it was started.
#[test]
fn a_standby_that_does_not_come_up_is_started_anew_with_another_source() {
    let starting = |mode, age, leader| {
        let mut view = view(leader);
        let since = NOW - view.settings.loop_wait * age / 2;
        let task = Task::Start(mode);
        view.running = Some(RunningTask { task, since, escalated: None, cancelled: false });
        view.server.status = Some(PostmasterStatus::Starting);
        view.server.monitoring = Observed::Unseen("it starts".into());
        view
    };
    let of = |name: &str| {
        let source = Source { name: name.into(), host: name.into(), port: "5432".into(), slot: Some("a".into()) };
        StartMode::Follow(source)
    };
    let replica = Memory::default;
    assert!(is_stop(&expect(&starting(StartMode::Standby, 2, Some("b")), replica(), 412), StopMode::Immediate));
    assert!(is_stop(&expect(&starting(of("c"), 2, Some("b")), replica(), 412), StopMode::Immediate));
    expect(&starting(of("b"), 9, Some("b")), replica(), 490);
    expect(&starting(StartMode::Standby, 1, Some("b")), replica(), 490);
    expect(&starting(StartMode::Standby, 9, None), replica(), 490);
    let mut up = starting(StartMode::Standby, 2, Some("b"));
    up.server.status = Some(PostmasterStatus::Standby);
    expect(&up, replica(), 490);
}

/// HA-55: the same goes for a standby with the lock, which comes up within a moment as a rule; it lacked the end of what it
/// had been rewound to, the cluster being promoted meanwhile (the simulator's seed 700051814).
#[test]
fn a_standby_with_the_lock_that_does_not_come_up_gives_way() {
    let limit = settings().primary_start_timeout;
    let starting = |age| {
        let mut view = view(Some("a"));
        let since = NOW - age;
        let task = Task::Start(StartMode::Standby);
        view.running = Some(RunningTask { task, since, escalated: None, cancelled: false });
        view.server.status = Some(PostmasterStatus::Starting);
        view.server.monitoring = Observed::Unseen("it starts".into());
        let answers = BTreeMap::from([("b".to_owned(), Some(status(100)))]);
        View { probes: Some(ProbeRound { begun_at: NOW, answers }), ..view }
    };
    let demoted = || Memory { role: Role::Demoted, ..primary_memory() };
    assert!(is_stop(&expect(&starting(limit), demoted(), 410), StopMode::Immediate));
    expect(&starting(limit / 2), demoted(), 490);
    let mut at_once = with_settings(starting(limit), |settings| settings.primary_start_timeout = Duration::ZERO);
    at_once.running.as_mut().expect("it runs").since = NOW - Duration::from_millis(300);
    expect(&at_once, demoted(), 490);
}

/// HA-55: the crash recovery of a primary is its start in place, and longer than primary_start_timeout only while nobody
/// can take over.
#[test]
fn a_crash_recovery_that_takes_too_long_gives_way() {
    let mut recovering = view(Some("a"));
    let limit = recovering.settings.primary_start_timeout;
    let task = Task::Start(StartMode::Primary);
    recovering.running = Some(RunningTask { task, since: NOW - limit, escalated: None, cancelled: false });
    recovering.server.status = Some(PostmasterStatus::Starting);
    recovering.server.monitoring = Observed::Unseen("it recovers".into());
    let answered = |status| {
        let answers = BTreeMap::from([("b".to_owned(), status)]);
        View { probes: Some(ProbeRound { begun_at: NOW, answers }), ..recovering.clone() }
    };
    expect(&answered(None), primary_memory(), 490);
    assert!(is_stop(&expect(&answered(Some(status(100))), primary_memory(), 410), StopMode::Immediate));
    let mut sooner = answered(Some(status(100)));
    sooner.running.as_mut().expect("it runs").since = NOW - limit / 2;
    expect(&sooner, primary_memory(), 490);
}

/// HA-25: while a replica is made without a leader, what lies in its directory is nobody's cluster yet.
#[test]
fn a_directory_in_the_making_is_not_judged() {
    let mut making = view(None);
    stopped(&mut making, ControlState::InProduction);
    let foreign = ControlData { system_id: "7710345176211496304".into(), ..control(ControlState::InProduction) };
    making.server.control = Observed::Seen { value: foreign, at: NOW };
    let task = Task::Clone { source: None, only_basebackup: false };
    making.running = Some(RunningTask { task, since: NOW, escalated: None, cancelled: false });
    assert!(matches!(expect(&making, Memory::default(), 490), Action::Wait { .. }));
    making.running = None;
    assert_eq!(expect(&making, Memory::default(), 550), Action::Exit { code: 1 });
}

/// HA-26: whoever is busy waits for the end of that, not for the store: what follows begins at once, without a reading.
#[test]
fn the_end_of_long_work_is_acted_on_at_once() {
    let mut busy = view(Some("b"));
    stopped(&mut busy, ControlState::ShutDown);
    let source = Source { name: "b".into(), host: "b".into(), port: "5432".into(), slot: Some("a".into()) };
    let task = Task::CompareHistories(source);
    busy.running = Some(RunningTask { task: task.clone(), since: NOW, escalated: None, cancelled: false });
    let mut memory = Memory { role: Role::Demoted, divergence: Divergence::MustCheck, ..Memory::default() };
    assert_eq!(decide(&busy, &mut memory).rule, 490);
    let end = LocalEnd { timeline: Timeline(1), lsn: Lsn(90), in_recovery: false };
    let outcome = TaskOutcome::Histories(end, LeaderHistory { timeline: Timeline(1), switches: Vec::new() });
    busy.running = None;
    busy.finished = Some(FinishedTask { number: 1, task, outcome, at: NOW });
    let verdict = decide(&busy, &mut memory);
    assert!(matches!(verdict.action, Action::Begin(Task::Start(StartMode::Follow(_)))), "{:?}", verdict.action);
}

/// HA-08: while the primary starts, an operator's request is carried out without waiting for the time to run out.
#[test]
fn a_starting_primary_gives_way_when_asked() {
    let starting = |request| {
        let mut starting = with_cluster(view(Some("a")), |cluster| cluster.failover = request);
        let task = Task::Start(StartMode::Primary);
        starting.running = Some(RunningTask { task, since: NOW, escalated: None, cancelled: false });
        starting.server.status = Some(PostmasterStatus::Starting);
        starting.server.monitoring = Observed::Unseen("it starts".into());
        starting
    };
    expect(&starting(None), primary_memory(), 490);
    let mut asked = starting(failover(Some("a"), Some("b"), None));
    assert!(matches!(expect(&asked, primary_memory(), 410), Action::Run(Errand::Probe { .. })));
    let answers = |name: &str| BTreeMap::from([(name.to_owned(), Some(status(100)))]);
    asked.probes = Some(ProbeRound { begun_at: NOW, answers: answers("c") });
    expect(&asked, primary_memory(), 490);
    asked.probes = Some(ProbeRound { begun_at: NOW, answers: answers("b") });
    assert!(is_stop(&expect(&asked, primary_memory(), 410), StopMode::Immediate));
}

/// HA-19: an identifier that can not be read is no reason to leave.
#[test]
fn an_unreadable_identifier_ends_nobody() {
    let mut unreadable = view(Some("b"));
    let broken = ControlData { system_id: String::new(), ..control(ControlState::InArchiveRecovery) };
    unreadable.server.control = Observed::Seen { value: broken, at: NOW };
    let verdict = decide(&unreadable, &mut standby_memory());
    assert!(!matches!(verdict.action, Action::Exit { .. }), "{:?}", verdict.action);
}

/// BOOT-18: the claim of a failed bootstrap is given back, whatever it left is set aside, and the daemon ends; the same
/// where it was cancelled by the daemon's end.
#[test]
fn a_failed_bootstrap_makes_room_for_another_node() {
    for (outcome, shutdown, code) in
        [(TaskOutcome::Failed("exited with code=2".into()), false, 1), (TaskOutcome::Cancelled, true, 0)]
    {
        let mut failed = with_cluster(view(None), |cluster| cluster.initialize = Some(String::new()));
        stopped(&mut failed, ControlState::ShutDown);
        failed.server.data_directory = DataDirectory::Foreign;
        failed.server.control = Observed::Unseen(String::new());
        (failed.store.claimed, failed.requests.shutdown) = (true, shutdown);
        failed.finished = Some(FinishedTask { number: 1, task: Task::Bootstrap, outcome, at: NOW });
        let mut memory = Memory { bootstrap: Bootstrap::Building, ..Memory::default() };
        let mut next = |view: &View| {
            let verdict = decide(view, &mut memory);
            assert_eq!(verdict.rule, 322, "{:?}", verdict.action);
            verdict.action
        };
        assert!(matches!(next(&failed), Action::Store(StoreCall::CancelInitialize)));
        let mut free = with_cluster(failed, |cluster| cluster.initialize = None);
        free.store.claimed = false;
        assert!(matches!(next(&free), Action::Begin(Task::SetAsideFailedBootstrap)));
        free.server.data_directory = DataDirectory::Empty;
        let set_aside = Task::SetAsideFailedBootstrap;
        free.finished = Some(FinishedTask { number: 2, task: set_aside, outcome: TaskOutcome::Done, at: NOW });
        assert!(matches!(next(&free), Action::Exit { code: exit } if exit == code));
    }
}

/// BOOT-10: what a method left that keeps its work is no database cluster; it goes when the member is made anew.
#[test]
fn ruins_are_left_alone_until_somebody_asks() {
    let mut ruins = view(Some("b"));
    stopped(&mut ruins, ControlState::ShutDown);
    ruins.server.data_directory = DataDirectory::Foreign;
    ruins.server.control = Observed::Unseen(String::new());
    assert!(matches!(expect(&ruins, standby_memory(), 510), Action::Wait { .. }));
    ruins.requests.reinitialize = Some(ReinitializeRequest { force: false, from_leader: false });
    assert!(matches!(expect(&ruins, standby_memory(), 610), Action::Begin(Task::Wipe)));
}

/// BOOT-07: an empty member of a cluster that was made, but has no leader, is made by a method that needs none.
#[test]
fn a_replica_can_be_made_from_nobody() {
    let check = |initialize: &str, able: bool, rule: u16| {
        let empty = with_cluster(view(None), |cluster| cluster.initialize = Some(initialize.into()));
        let mut empty = with_settings(empty, |settings| settings.clones_without_source = able);
        stopped(&mut empty, ControlState::ShutDown);
        empty.server.data_directory = DataDirectory::Empty;
        empty.server.control = Observed::Unseen(String::new());
        expect(&empty, Memory::default(), rule)
    };
    let nobody = Task::Clone { source: None, only_basebackup: false };
    assert!(matches!(check("7710345176211496303", true, 543), Action::Begin(task) if task == nobody));
    assert!(matches!(check("7710345176211496303", false, 545), Action::Wait { .. }));
    assert!(matches!(check("", true, 545), Action::Wait { .. }));
}
