//! Decisions in situations: a healthy view, changed in a line or two, and the rule that must answer.

#[path = "../../src/model/testing.rs"]
mod testing;

mod callbacks;
mod failsafe;
mod half_rewound;
mod history;
mod late;
mod leading;
mod maintenance;
mod race;
mod site;
mod situation;
mod watchdog;

use regent_core::decide::{Action, Bootstrap, Divergence, GuardOrder, Memory, decide, guard_order};
use regent_core::model::*;
use situation::{POSTMASTER, control, expect, is_stop, primary_memory, standby_memory, stopped, view};
use std::sync::Arc;
use std::time::Duration;
use testing::{NOW, monitoring, settings};

/// HA-04
#[test]
fn a_primary_without_the_lock_is_stopped() {
    let mut lost = view(Some("a"));
    lost.lease = None;
    lost.store.lock_refused = true;
    assert!(is_stop(&expect(&lost, primary_memory(), 110), StopMode::Immediate));

    let mut other = view(Some("b"));
    other.server.status = Some(PostmasterStatus::Ready);
    other.server.recovery_signal = false;
    assert!(is_stop(&expect(&other, primary_memory(), 110), StopMode::Immediate));

    // By a clock that stood still, say: what the store said last counts more.
    let mut contradicted = view(Some("b"));
    contradicted.lease =
        view(Some("a")).lease.map(|lease| LeaseView { renewed_at: NOW - Duration::from_secs(1), ..lease });
    contradicted.server = view(Some("a")).server;
    assert!(is_stop(&expect(&contradicted, primary_memory(), 110), StopMode::Immediate));
    contradicted.lease = contradicted.lease.map(|lease| LeaseView { renewed_at: NOW, ..lease });
    let read_before = decide(&contradicted, &mut primary_memory());
    assert_ne!(read_before.rule, 110, "a reading from before the lock was taken says nothing");

    let mut ran_out = view(Some("a"));
    ran_out.lease = None;
    ran_out.store.lease_ran_out = true;
    assert!(is_stop(&expect(&ran_out, primary_memory(), 120), StopMode::Immediate));
}

#[test]
fn a_primary_keeps_the_server_while_the_lock_is_provably_valid() {
    let mut away = view(Some("a"));
    away.store.failing_since = Some(NOW - Duration::from_secs(10));
    away.store.retry_at = Some(NOW + Duration::from_secs(1));
    away.lease = Some(LeaseView {
        deadline: NOW + Duration::from_secs(10),
        renewed_at: NOW - Duration::from_secs(10),
        attempted_at: NOW,
    });
    let mut memory = primary_memory();
    assert!(matches!(decide(&away, &mut memory).action, Action::Wait { .. } | Action::Run(_)));

    let soon = LeaseView { deadline: NOW + Duration::from_millis(1300), renewed_at: NOW, attempted_at: NOW };
    away.lease = Some(soon);
    assert!(is_stop(&expect(&away, primary_memory(), 130), StopMode::Fast));

    away.running = Some(RunningTask {
        task: Task::Stop { mode: StopMode::Fast, checkpoint_first: false },
        since: NOW,
        escalated: Some(StopMode::Fast),
        cancelled: false,
    });
    away.lease = Some(LeaseView { deadline: NOW + Duration::from_millis(600), ..soon });
    assert_eq!(expect(&away, primary_memory(), 140), Action::Escalate(StopMode::Immediate));
}

#[test]
fn nothing_is_stopped_for_a_lost_lock_in_maintenance() {
    let mut paused = view(Some("b"));
    paused.settings = Arc::new(Settings { paused: true, ..settings() });
    paused.server.status = Some(PostmasterStatus::Ready);
    paused.server.recovery_signal = false;
    let verdict = decide(&paused, &mut primary_memory());
    assert!(!matches!(verdict.action, Action::Preempt(_) | Action::Begin(_)), "{verdict:?}");
}

#[test]
fn a_crashed_primary_is_started_in_place_or_gives_way() {
    let mut crashed = view(Some("a"));
    stopped(&mut crashed, ControlState::InProduction);
    crashed.server.recovery_signal = false;
    assert_eq!(expect(&crashed, primary_memory(), 725), Action::Begin(Task::Start(StartMode::Primary)));

    crashed.settings = Arc::new(Settings { primary_start_timeout: Duration::ZERO, ..settings() });
    assert!(matches!(expect(&crashed, primary_memory(), 720), Action::Run(Errand::Probe { .. })));
    let standby = MemberStatus { in_recovery: true, position: Lsn(100), ..MemberStatus::default() };
    crashed.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".to_owned(), Some(standby))].into() });
    assert_eq!(expect(&crashed, primary_memory(), 720), Action::Store(StoreCall::Release { optime: None }));

    // Why the lock is given back is told as it was: a start long ago that went well is no failure.
    let start = |outcome| FinishedTask { number: 1, task: Task::Start(StartMode::Primary), outcome, at: NOW };
    let reason = |view: &View| {
        let mut memory = Memory { release_wanted: true, role: Role::Demoted, absorbed: 1, ..primary_memory() };
        let verdict = decide(view, &mut memory);
        (verdict.rule, verdict.reason)
    };
    crashed.finished = Some(start(TaskOutcome::Done));
    assert_eq!(reason(&crashed), (730, regent_core::decide::Reason::GivingWay));
    crashed.finished = Some(start(TaskOutcome::Failed("it ended".into())));
    assert_eq!(reason(&crashed), (730, regent_core::decide::Reason::StartFailed));
}

/// REW-03, REW-04, REW-05, REW-08
#[test]
fn a_diverged_server_is_rewound_and_never_wiped_without_a_setting() {
    let mut old = view(Some("b"));
    stopped(&mut old, ControlState::ShutDown);
    let memory = Memory { role: Role::Demoted, divergence: Divergence::Diverged, ..Memory::default() };
    assert!(matches!(expect(&old, memory.clone(), 755), Action::Begin(Task::Rewind(source)) if source.name == "b"));

    old.settings = Arc::new(Settings { use_pg_rewind: false, ..settings() });
    assert!(matches!(expect(&old, memory.clone(), 770), Action::Begin(Task::Start(StartMode::Follow(_)))));

    let wipe = Settings { use_pg_rewind: false, remove_data_directory_on_diverged_timelines: true, ..settings() };
    old.settings = Arc::new(wipe);
    assert_eq!(expect(&old, memory.clone(), 760), Action::Begin(Task::Wipe));

    old.settings = Arc::new(settings());
    let failed = Memory { divergence: Divergence::RewindFailed, ..memory.clone() };
    assert!(matches!(expect(&old, failed.clone(), 770), Action::Begin(Task::Start(StartMode::Follow(_)))));
    old.settings = Arc::new(Settings { remove_data_directory_on_rewind_failure: true, ..settings() });
    assert_eq!(expect(&old, failed, 760), Action::Begin(Task::Wipe));

    let leader_is = |change: fn(&mut MemberView)| {
        let mut old = old.clone();
        let (cluster, at) = old.store.snapshot.take().expect("there is one");
        let mut cluster = (*cluster).clone();
        cluster.members.iter_mut().filter(|member| member.name == "b").for_each(change);
        old.store.snapshot = Some((Arc::new(cluster), at));
        old
    };
    let without_checkpoint = leader_is(|leader| leader.checkpoint_after_promote = Some(false));
    assert!(matches!(expect(&without_checkpoint, memory.clone(), 755), Action::Wait { .. }));
    let promoting = leader_is(|leader| leader.role = Some(Role::Replica));
    let unchecked = Memory { divergence: Divergence::MustCheck, ..memory };
    assert!(matches!(expect(&promoting, unchecked, 750), Action::Wait { .. }), "it is no primary yet");
}

fn status(position: u64) -> MemberStatus {
    MemberStatus { in_recovery: true, position: Lsn(position), ..MemberStatus::default() }
}

fn race(mine: u64, others: &[(&str, u64)]) -> (u16, Action) {
    let mut free = view(None);
    free.server.monitoring = Observed::Seen {
        value: Monitoring { received_lsn: Some(Lsn(mine)), replayed_lsn: None, ..monitoring(false) },
        at: NOW,
    };
    let answers = others.iter().map(|(name, position)| ((*name).to_owned(), Some(status(*position)))).collect();
    free.probes = Some(ProbeRound { begun_at: NOW, answers });
    let race = regent_core::decide::Race {
        begun_at: NOW,
        receiving_stopped_at: Some(NOW),
        again_at: NOW + Duration::from_millis(700),
        rounds: 1,
    };
    let mut memory = Memory {
        role: Role::Replica,
        announced: Some(Role::Replica),
        followed: Some(None),
        race: Some(race),
        ..Memory::default()
    };
    let verdict = decide(&free, &mut memory);
    (verdict.rule, verdict.action)
}

#[test]
fn the_member_with_most_of_the_log_takes_the_lock_and_ties_are_broken() {
    assert_eq!(race(100, &[("b", 90)]), (960, Action::Store(StoreCall::Acquire)));
    assert!(matches!(race(100, &[("b", 110)]), (960, Action::Wait { .. })));
    assert_eq!(race(100, &[("b", 100), ("c", 100)]), (960, Action::Store(StoreCall::Acquire)));
}

/// A silent member delays the answers by two seconds, a busy store what is done with them; neither may make the race begin
/// anew each time. `make faults` had no leader until the silent member's key was gone.
#[test]
fn answers_that_come_late_are_looked_at() {
    let mut free = view(None);
    free.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    let (role, announced, followed) = (Role::Replica, Some(Role::Replica), Some(None));
    let mut memory = Memory { role, announced, followed, ..Memory::default() };
    assert!(matches!(decide(&free, &mut memory).action, Action::Run(Errand::Probe { .. })));
    let answers = |position| [("b".to_owned(), Some(status(position))), ("c".to_owned(), None)].into();
    let at = |milliseconds| {
        let mut later = free.clone();
        later.now = NOW + Duration::from_millis(milliseconds);
        later.store.member_written_at = Some(later.now);
        if let Some((_, read_at)) = &mut later.store.snapshot {
            *read_at = later.now;
        }
        later.probes = Some(ProbeRound { begun_at: NOW, answers: answers(90) });
        later
    };
    assert_eq!(expect(&at(2_000), memory.clone(), 960), Action::Store(StoreCall::Acquire));

    let mut busy = memory.clone();
    for milliseconds in [2_000, 2_600, 3_200, 3_800] {
        let mut later = at(milliseconds);
        later.store.in_flight = Some(StoreCallKind::TouchMember);
        let verdict = decide(&later, &mut busy);
        assert!(matches!((verdict.rule, &verdict.action), (960, Action::Wait { .. })), "{verdict:?}");
    }
    assert_eq!(expect(&at(3_900), busy.clone(), 960), Action::Store(StoreCall::Acquire));
    let verdict = decide(&at(4_100), &mut busy);
    assert!(matches!(verdict.action, Action::Run(Errand::Probe { .. })), "they are too old now: {verdict:?}");

    // Whoever stands back asks again after the pause, counted from the answers.
    let mut behind = at(2_000);
    behind.probes = Some(ProbeRound { begun_at: NOW, answers: answers(900) });
    assert!(matches!(decide(&behind, &mut memory).action, Action::Wait { .. }));
    let again = at(2_750);
    behind = View { now: again.now, store: again.store, ..behind };
    assert!(matches!(decide(&behind, &mut memory).action, Action::Run(Errand::Probe { .. })));
}

/// A bench run gave the lock to a member at 0/413E1A8 while another had 0/413E258 and answered with an older reading.
#[test]
fn a_member_that_still_receives_is_asked_again() {
    let mut free = view(None);
    free.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    let race = |rounds| regent_core::decide::Race {
        begun_at: NOW,
        receiving_stopped_at: Some(NOW),
        again_at: NOW + Duration::from_millis(700),
        rounds,
    };
    let mut memory = Memory {
        role: Role::Replica,
        announced: Some(Role::Replica),
        followed: Some(None),
        race: Some(race(1)),
        ..Memory::default()
    };
    let round = |at, unsettled, position| ProbeRound {
        begun_at: at,
        answers: [("b".to_owned(), Some(MemberStatus { unsettled, ..status(position) }))].into(),
    };
    free.probes = Some(round(NOW, true, 90));
    let verdict = decide(&free, &mut memory);
    assert!(matches!((verdict.rule, &verdict.action), (955, Action::Wait { .. })), "{verdict:?}");
    let Action::Wait { until } = verdict.action else { unreachable!() };
    assert!(until <= NOW + Duration::from_millis(50), "it is asked again at once: {until:?}");

    // An event between: the old round is not looked at again, and nobody is asked too soon.
    free.now = NOW + Duration::from_millis(5);
    let verdict = decide(&free, &mut memory);
    assert!(matches!(verdict.action, Action::Wait { .. }), "{verdict:?}");
    free.now = until;
    let verdict = decide(&free, &mut memory);
    assert!(matches!(verdict.action, Action::Run(Errand::Probe { .. })), "{verdict:?}");
    assert_eq!(memory.race.as_ref().map(|race| race.rounds), Some(1), "the first round is repeated");
    let mut ahead = memory.clone();
    free.probes = Some(round(until, false, 110));
    assert!(matches!(decide(&free, &mut ahead).action, Action::Wait { .. }), "it turned out to be ahead");

    // One that never lets go holds nobody up for longer than a second.
    free.now = NOW + Duration::from_millis(1100);
    free.server.monitoring = Observed::Seen { value: monitoring(false), at: free.now };
    let again_at = free.now + Duration::from_millis(700);
    memory.race = Some(regent_core::decide::Race { begun_at: free.now, again_at, ..race(1) });
    free.probes = Some(round(free.now, true, 90));
    assert_eq!(expect(&free, memory, 960), Action::Store(StoreCall::Acquire));
}

/// REW-02, REW-11: a verdict on one leader's history says nothing of the next leader's: a standby that was ahead of the
/// new leader asked it for its old timeline every five seconds, for ever.
#[test]
fn a_standby_is_compared_with_each_new_leader() {
    let mut standby = view(Some("b"));
    standby.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    standby.server.control = Observed::Seen { value: control(ControlState::InArchiveRecovery), at: NOW };
    let mut cluster = (*standby.store.snapshot.clone().expect("it is there").0).clone();
    for member in &mut cluster.members {
        member.timeline = Some(Timeline(9));
    }
    standby.store.snapshot = Some((Arc::new(cluster), NOW));
    let mut memory = Memory {
        role: Role::Replica,
        announced: Some(Role::Replica),
        divergence: Divergence::None,
        compared: Some(regent_core::decide::Compared { leader: "b".into(), timeline: Some(Timeline(8)), at: NOW }),
        ..Memory::default()
    };
    assert!(matches!(expect(&standby, memory.clone(), 1015), Action::Begin(Task::CompareHistories(_))));
    memory.compared = Some(regent_core::decide::Compared { leader: "b".into(), timeline: Some(Timeline(9)), at: NOW });
    assert_ne!(decide(&standby, &mut memory.clone()).rule, 1015, "that was just done");
    memory.compared = Some(regent_core::decide::Compared {
        leader: "b".into(),
        timeline: Some(Timeline(9)),
        at: NOW - Duration::from_secs(11),
    });
    assert_eq!(decide(&standby, &mut memory).rule, 1015, "it still does not stream");
}

/// HA-54: a switchover hung for as long as anybody watched: the last reading of the control file came in with the time
/// of the one before, and the leader, its server down, waited for another while it went on renewing its lock.
#[test]
fn an_older_reading_of_the_control_file_replaces_no_newer_one() {
    let seen = |state, at| Observed::Seen { value: control(state), at };
    let mut down = view(Some("a"));
    stopped(&mut down, ControlState::InProduction);
    down.server.take_control(seen(ControlState::ShutDown, NOW + Duration::from_millis(2)));
    down.server.take_control(seen(ControlState::InProduction, NOW - Duration::from_millis(9)));
    assert_eq!(down.server.control_after_end().map(|control| control.state), Some(ControlState::ShutDown));
    down.server.take_control(Observed::Unseen("torn".into()));
    assert!(down.server.control_after_end().is_some());
    down.server.control = seen(ControlState::InProduction, NOW - Duration::from_millis(9));
    assert!(down.server.control_after_end().is_none());
    assert!(matches!(expect(&down, primary_memory(), 715), Action::Wait { .. }));
    down.server.take_control(seen(ControlState::ShutDown, NOW));
    assert_ne!(decide(&down, &mut primary_memory()).rule, 715);
}

/// HA-10: the pid file tells of a promotion a little later than the control file.
#[test]
fn a_promotion_is_not_begun_twice() {
    let mut promoted = view(Some("a"));
    promoted.server.status = Some(PostmasterStatus::Standby);
    let memory = Memory { role: Role::Promoted, ..standby_memory() };
    let finished = FinishedTask { number: 1, task: Task::Promote, outcome: TaskOutcome::Done, at: NOW };
    promoted.finished = Some(finished);
    assert!(matches!(expect(&promoted, memory.clone(), 825), Action::Wait { .. }));

    // REW-08: nor is it forgotten that its checkpoint is due: `make faults` saw pg_rewind run against a server without it.
    let mut after = memory.clone();
    assert!(matches!(decide(&promoted, &mut after).action, Action::Wait { .. }));
    assert_eq!((after.role, after.checkpoint_pending), (Role::Promoted, true));
    promoted.server.status = Some(PostmasterStatus::Ready);
    after.announced = Some(Role::Primary);
    assert_eq!(expect(&promoted, after, 860), Action::Run(Errand::CheckpointAfterPromote));
    promoted.server.status = Some(PostmasterStatus::Standby);
    promoted.finished.as_mut().expect("just set").at = NOW - Duration::from_secs(2);
    assert_eq!(expect(&promoted, memory, 825), Action::Begin(Task::Promote));
}

#[test]
fn only_the_lock_promotes() {
    let mut standby = view(Some("b"));
    let verdict = decide(&standby, &mut Memory { followed: Some(None), ..Memory::default() });
    assert!(!matches!(verdict.action, Action::Begin(Task::Promote)));
    standby = view(Some("a"));
    standby.server.status = Some(PostmasterStatus::Standby);
    standby.server.recovery_signal = true;
    let memory = standby_memory();
    assert_eq!(expect(&standby, memory.clone(), 825), Action::Begin(Task::Promote));
    standby.store.failing_since = Some(NOW);
    let verdict = decide(&standby, &mut memory.clone());
    assert!(!matches!(verdict.action, Action::Begin(Task::Promote)), "a lock that is not confirmed lately");
}

/// REW-08: a daemon that finds a primary on a timeline without a checkpoint writes it: the one before did not.
#[test]
fn a_checkpoint_that_was_left_undone_is_written() {
    let mut found = view(Some("a"));
    let Observed::Seen { value, .. } = &mut found.server.monitoring else { panic!("it was asked") };
    value.timeline = Some(Timeline(2));
    let mut memory = primary_memory();
    decide(&found, &mut memory);
    assert!(memory.checkpoint_pending);
    let mut usual = primary_memory();
    decide(&view(Some("a")), &mut usual);
    assert!(!usual.checkpoint_pending);
}

/// A member that is cut off right after its promotion is heard of no more: the number of its timeline would be taken
/// twice, and two histories of one number can not be told apart (seed 5040030).
#[test]
fn the_timeline_that_begins_is_announced_first() {
    let mut standby = view(Some("a"));
    standby.server = view(Some("b")).server;
    let mut memory = Memory { next_timeline: None, ..standby_memory() };
    let verdict = decide(&standby, &mut memory);
    assert_eq!((verdict.rule, verdict.action), (824, Action::Store(StoreCall::TouchMember)));
    assert_eq!(memory.next_timeline, Some((Timeline(2), NOW)));
    standby.now = NOW + Duration::from_millis(5);
    let announced = Memory { next_timeline: Some((Timeline(2), standby.now)), ..standby_memory() };
    let verdict = decide(&standby, &mut announced.clone());
    assert_eq!(verdict.rule, 824, "what was written before said nothing of it");
    standby.store.member_written_at = Some(standby.now);
    assert_eq!(expect(&standby, announced.clone(), 825), Action::Begin(Task::Promote));
    let taken = Memory { newest_timeline: Timeline(2), ..announced };
    assert_eq!(expect(&standby, taken, 824), Action::Store(StoreCall::TouchMember), "another has begun that one");
}

#[test]
fn the_guard_is_armed_for_who_can_write_and_has_somebody_to_give_way_to() {
    let leading = view(Some("a"));
    let margin = Duration::from_millis(500);
    let expected = GuardOrder::Kill(POSTMASTER, NOW + Duration::from_secs(20) - margin);
    assert_eq!(guard_order(&leading, &primary_memory()), expected);
    assert_eq!(guard_order(&view(Some("b")), &Memory::default()), GuardOrder::StandDown);
    let bootstrapping = Memory { bootstrap: Bootstrap::Built, ..primary_memory() };
    assert_eq!(guard_order(&leading, &bootstrapping), GuardOrder::StandDown);
    let mut restarted = view(Some("a"));
    restarted.lease = None;
    assert_eq!(guard_order(&restarted, &primary_memory()), GuardOrder::Keep, "what it was told last stays");
    let mut alone = view(Some("a"));
    let (cluster, at) = alone.store.snapshot.take().expect("there is one");
    let mut cluster = (*cluster).clone();
    cluster.members.retain(|member| member.name == "a");
    alone.store.snapshot = Some((Arc::new(cluster.clone()), at));
    assert_eq!(guard_order(&alone, &primary_memory()), GuardOrder::StandDown, "there never was anybody else");
    let remembered = Memory { heir_seen: Some(NOW), ..primary_memory() };
    assert_eq!(guard_order(&alone, &remembered), expected, "who is away may come back");
    // A later timeline is a trace, before the server can tell of it as well (seed 1000615439).
    let mut promoted = alone.clone();
    let task = Task::Promote;
    promoted.running = Some(RunningTask { task, since: NOW, escalated: None, cancelled: false });
    assert_eq!(guard_order(&promoted, &primary_memory()), expected, "whoever led before may come back");
    let mut left = alone.clone();
    cluster.status.retain_slots.push("b".into());
    left.store.snapshot = Some((Arc::new(cluster), at));
    assert_eq!(guard_order(&left, &primary_memory()), expected, "the daemon before this one saw it (seed 300075569)");
    left.started_at = Moment(0);
    left.now = Moment(0) + Duration::from_hours(25);
    assert_eq!(guard_order(&left, &primary_memory()), GuardOrder::StandDown, "it does not come back any more");
}

#[test]
fn a_foreign_data_directory_ends_the_daemon() {
    let mut foreign = view(Some("b"));
    let other = ControlData { system_id: "1111111111111111111".into(), ..control(ControlState::InArchiveRecovery) };
    foreign.server.control = Observed::Seen { value: other, at: NOW };
    let memory = Memory { announced: Some(Role::Replica), ..Memory::default() };
    assert_eq!(expect(&foreign, memory, 550), Action::Exit { code: 1 });
}

#[test]
fn an_empty_directory_bootstraps_only_a_virgin_cluster() {
    let mut empty = view(None);
    stopped(&mut empty, ControlState::ShutDown);
    empty.server.data_directory = DataDirectory::Empty;
    assert!(matches!(expect(&empty, Memory::default(), 545), Action::Wait { .. }), "the cluster exists");
    empty.store.snapshot = Some((Arc::new(ClusterView::default()), NOW));
    assert_eq!(expect(&empty, Memory::default(), 530), Action::Store(StoreCall::ClaimInitialize));
    empty.store.claimed = true;
    assert_eq!(expect(&empty, Memory::default(), 532), Action::Begin(Task::Bootstrap));
}

fn standby_row(name: &str) -> ReplicationRow {
    ReplicationRow {
        usename: "replicator".into(),
        application_name: name.into(),
        client_addr: None,
        state: "streaming".into(),
        sync_state: "async".into(),
        sync_priority: 0,
        sent_lsn: Some(Lsn(100)),
        write_lsn: Some(Lsn(100)),
        flush_lsn: Some(Lsn(100)),
        replay_lsn: Some(Lsn(100)),
    }
}

/// HA-45: what is written between the last thing that a candidate received and the stop would be lost.
#[test]
fn a_switchover_waits_until_its_candidate_streams() {
    let asked = |leader: Option<&str>, streams: bool, after: Duration| {
        let mut view = view(Some("a"));
        let request = FailoverRequest {
            leader: leader.map(str::to_owned),
            candidate: Some("b".into()),
            scheduled_at: None,
            version: Version("7".into()),
        };
        let (cluster, at) = view.store.snapshot.take().expect("there is one");
        let cluster = ClusterView { failover: Some(request), ..(*cluster).clone() };
        view.store.snapshot = Some((Arc::new(cluster), at));
        if streams && let Observed::Seen { value, .. } = &mut view.server.monitoring {
            value.replication.push(standby_row("b"));
        }
        let mut memory = primary_memory();
        assert_eq!(decide(&view, &mut memory).rule, 835, "the candidate is asked first");
        let answer = status(100);
        view.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".to_owned(), Some(answer))].into() });
        view.now = NOW + after;
        let deadline = view.now + Duration::from_secs(20);
        view.lease = view.lease.map(|lease| LeaseView { renewed_at: view.now, deadline, ..lease });
        view.store.member_written_at = Some(view.now);
        view.store.snapshot = view.store.snapshot.take().map(|(cluster, _)| (cluster, view.now));
        expect(&view, memory, 840)
    };
    let (soon, late) = (Duration::from_millis(100), Duration::from_secs(9));
    assert!(is_stop(&asked(Some("a"), true, soon), StopMode::Fast));
    assert!(matches!(asked(Some("a"), false, soon), Action::Wait { .. }));
    assert!(matches!(asked(Some("a"), false, late), Action::Store(StoreCall::ClearFailover { .. })));
    assert!(matches!(asked(None, false, soon), Action::Wait { .. }));
    assert!(is_stop(&asked(None, false, late), StopMode::Fast), "a failover is meant whatever it costs");
}

/// A standby whose stream ended is told to connect again each second, not after PostgreSQL's own five.
#[test]
fn a_standby_that_lost_its_stream_connects_again_soon() {
    let mut view = view(Some("b"));
    let source = Source { name: "b".into(), host: "b".into(), port: "5432".into(), slot: Some("a".into()) };
    let mut memory = Memory {
        role: Role::Replica,
        announced: Some(Role::Replica),
        followed: Some(Some(source)),
        divergence: Divergence::None,
        ..Memory::default()
    };
    view.slots_synced = Some((vec!["b".into(), "c".into()], NOW + Duration::from_secs(60)));
    assert_eq!(decide(&view, &mut memory).rule, 1090, "its own attempt comes first");
    let mut told = 0;
    for tenths in 1..=30 {
        view.now = NOW + Duration::from_millis(100 * tenths);
        view.store.member_written_at = Some(view.now);
        view.store.snapshot = view.store.snapshot.take().map(|(cluster, _)| (cluster, view.now));
        let verdict = decide(&view, &mut memory);
        told += u32::from(verdict.rule == 1040 && verdict.action == Action::Run(Errand::WakeReceiver));
    }
    assert_eq!(told, 3);
    if let Observed::Seen { value, .. } = &mut view.server.monitoring {
        value.streaming_from = Some(("b".into(), 5432));
    }
    view.now = NOW + Duration::from_secs(9);
    decide(&view, &mut memory);
    assert_eq!(memory.reconnecting, None);
}

/// Readings of the control file that overtook each other, or failed, once left a stopped leader waiting for ever.
#[test]
fn the_control_file_is_read_again_where_its_reading_went_wrong() {
    for control in [Observed::Unseen("pg_controldata failed".into()), view(Some("a")).server.control] {
        let mut down = view(Some("a"));
        stopped(&mut down, ControlState::ShutDown);
        down.server.ended_at = Some(NOW + Duration::from_millis(1));
        down.server.control = control;
        down.now = NOW + Duration::from_millis(300);
        let Action::Wait { until } = expect(&down, primary_memory(), 715) else { panic!("it is being read") };
        assert!(until <= NOW + Duration::from_millis(501), "{until}");
        down.now = NOW + Duration::from_millis(600);
        assert_eq!(expect(&down, primary_memory(), 715), Action::Run(Errand::ReadControl));
    }
}
