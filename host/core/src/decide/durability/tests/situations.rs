//! Synchronous mode in situations: a healthy view, changed in a line or two, and the rule that must answer.

use super::super::super::{Action, Bootstrap, Memory, Race, Standing, decide};
use super::super::standbys::healthy;
use super::super::{Durability, KeyWrites, Mark};
use crate::decide::election::{Entrant, stand};
use crate::decide::switch_targets;
use crate::model::testing::{self, NOW, monitoring, view};
use crate::model::*;
use std::sync::Arc;
use std::time::Duration;

fn settings() -> Settings {
    Settings { use_slots: false, ..testing::settings() }
}

fn on() -> Settings {
    Settings { synchronous_mode: SynchronousMode::On, ..settings() }
}

fn key(leader: &str, standbys: &[&str], quorum: u32) -> SyncView {
    let standbys = standbys.iter().map(|name| (*name).to_owned()).collect();
    SyncView { leader: Some(leader.into()), standbys, quorum, version: Some(Version("7".into())) }
}

fn row(name: &str, state: &str, position: u64) -> ReplicationRow {
    let at = Some(Lsn(position));
    ReplicationRow {
        usename: "replicator".into(),
        application_name: name.into(),
        client_addr: None,
        state: "streaming".into(),
        sync_state: state.into(),
        sync_priority: 0,
        sent_lsn: at,
        write_lsn: at,
        flush_lsn: at,
        replay_lsn: at,
    }
}

fn streaming(view: &mut View, names: &str, rows: &[(&str, &str, u64)]) {
    let rows = rows.iter().map(|(name, state, position)| row(name, state, *position)).collect();
    let value = Monitoring { replication: rows, synchronous_standby_names: names.into(), ..monitoring(true) };
    view.server.monitoring = Observed::Seen { value, at: NOW };
}

fn update(view: &mut View, change: impl FnOnce(&mut ClusterView)) {
    let (cluster, at) = view.store.snapshot.clone().expect("it was read");
    let mut cluster = (*cluster).clone();
    change(&mut cluster);
    view.store.snapshot = Some((Arc::new(cluster), at));
}

/// A leader that has had these names for long.
fn leading(names: &str) -> Memory {
    let mark = Mark {
        names: StandbyNames::parse(names).expect("PostgreSQL reads it"),
        postmaster_start: WallTime(0),
        since: Moment(0),
        position: Some(Lsn(50)),
        held: true,
    };
    let durability =
        Durability { names: Some(names.into()), mark: Some(mark), key: KeyWrites::Settled, ..Durability::default() };
    Memory { role: Role::Primary, announced: Some(Role::Primary), durability, ..Memory::default() }
}

fn following() -> Memory {
    let next_timeline = Some((Timeline(2), NOW));
    Memory {
        role: Role::Replica,
        announced: Some(Role::Replica),
        followed: Some(None),
        next_timeline,
        durability: Durability { key: KeyWrites::Settled, ..Durability::default() },
        ..Memory::default()
    }
}

#[track_caller]
fn expect(view: &View, mut memory: Memory, rule: u16) -> Action {
    let verdict = decide(view, &mut memory);
    assert_eq!(verdict.rule, rule, "{:?}: {}", verdict.action, verdict.reason);
    verdict.action
}

fn written(leader: &str, standbys: &[&str], quorum: u32, over: Option<&str>) -> Action {
    let standbys = standbys.iter().map(|name| (*name).to_owned()).collect();
    let sync = SyncState { leader: leader.into(), standbys, quorum };
    Action::Store(StoreCall::WriteSync { sync, over: over.map(|version| Version(version.into())) })
}

fn names(names: Option<&str>) -> Action {
    Action::Run(Errand::SetStandbyNames { names: names.map(str::to_owned) })
}

#[test]
fn the_key_is_claimed_over_the_version_that_was_read() {
    // SYNC-01: absent, empty, or of a leader that is gone.
    let absent = view(on(), Some("a"), SyncView::default());
    assert_eq!(expect(&absent, leading(""), 841), written("a", &[], 0, None));
    let foreign = view(on(), Some("a"), key("b", &["a", "c"], 0));
    assert_eq!(expect(&foreign, leading(""), 841), written("a", &[], 0, Some("7")));
    let other_case = view(on(), Some("a"), key("A", &[], 0));
    assert!(matches!(expect(&other_case, leading(""), 890), Action::Wait { .. }), "SYNC-15");
}

#[test]
fn postgresql_waits_first_and_the_key_follows() {
    // SYNC-02
    let mut world = view(on(), Some("a"), key("a", &[], 0));
    streaming(&mut world, "", &[("b", "async", 100), ("c", "async", 90)]);
    assert_eq!(expect(&world, leading(""), 843), names(Some("b")));
    streaming(&mut world, "b", &[("b", "sync", 49)]);
    assert!(matches!(expect(&world, leading("b"), 890), Action::Wait { .. }), "it has not caught up");
    streaming(&mut world, "b", &[("b", "sync", 50)]);
    assert_eq!(expect(&world, leading("b"), 844), written("a", &["b"], 0, Some("7")));
    let mut unheard = leading("b");
    unheard.durability.mark = None;
    assert!(matches!(expect(&world, unheard, 890), Action::Wait { .. }), "others may not have heard of it yet");
}

#[test]
fn the_key_forgets_first_and_postgresql_follows() {
    // SYNC-02, SYNC-10
    let mut world = view(on(), Some("a"), key("a", &["b"], 0));
    streaming(&mut world, "b", &[("c", "async", 90)]);
    assert_eq!(expect(&world, leading("b"), 842), written("a", &[], 0, Some("7")));
    update(&mut world, |cluster| cluster.sync = key("a", &[], 0));
    assert_eq!(expect(&world, leading("b"), 843), names(Some("c")));
    streaming(&mut world, "", &[("b", "async", 90)]);
    update(&mut world, |cluster| cluster.sync = key("a", &["b"], 0));
    assert_eq!(expect(&world, leading(""), 842), written("a", &[], 0, Some("7")), "PostgreSQL does not wait for it");
}

/// A server that was told may wait for either: the key does not follow what it shows at that moment (seed 300217934).
#[test]
fn the_key_stays_while_the_server_is_being_told() {
    let quorum = Settings { synchronous_mode: SynchronousMode::Quorum, ..settings() };
    let mut world = view(quorum, Some("a"), key("a", &["b", "c"], 1));
    streaming(&mut world, "ANY 1 (b)", &[("b", "quorum", 100)]);
    let told = |ago: Duration| {
        let mut memory = leading("ANY 1 (b)");
        memory.durability.names = Some("ANY 1 (b,c)".into());
        memory.durability.set_at = NOW - ago;
        memory
    };
    assert!(matches!(expect(&world, told(Duration::ZERO), 890), Action::Wait { .. }));
    let long = world.settings.loop_wait;
    assert_eq!(expect(&world, told(long), 845), written("a", &["b"], 0, Some("7")), "it does not listen");
}

/// The answer to a write of the key may be lost although the write was not.
#[test]
fn nothing_is_told_to_postgresql_while_the_key_may_be_changing() {
    // SYNC-02
    let mut world = view(on(), Some("a"), key("a", &[], 0));
    streaming(&mut world, "", &[("b", "async", 100)]);
    assert_eq!(expect(&world, leading(""), 843), names(Some("b")));
    world.store.in_flight = Some(StoreCallKind::Write);
    assert!(matches!(expect(&world, leading(""), 890), Action::Wait { .. }));
    world.store.in_flight = Some(StoreCallKind::Renew);
    assert_eq!(expect(&world, leading(""), 843), names(Some("b")));
}

#[test]
fn standbys_get_a_moment_to_connect_to_a_server_that_was_just_started() {
    let mut world = view(on(), Some("a"), key("a", &["b"], 0));
    streaming(&mut world, "b", &[]);
    let mut fresh = leading("b");
    fresh.durability.mark.as_mut().expect("it was seen").since = NOW - Duration::from_secs(1);
    assert!(matches!(expect(&world, fresh, 890), Action::Wait { .. }));
    assert_eq!(expect(&world, leading("b"), 842), written("a", &[], 0, Some("7")));
}

#[test]
fn strict_mode_goes_on_waiting_and_says_so() {
    // SYNC-05
    let strict = || Settings { synchronous_mode_strict: true, ..on() };
    let mut world = view(strict(), Some("a"), key("a", &["b"], 0));
    streaming(&mut world, "b", &[]);
    assert!(matches!(expect(&world, leading("b"), 880), Action::Wait { .. }));
    let mut nobody = view(strict(), Some("a"), key("a", &[], 0));
    streaming(&mut nobody, "", &[]);
    assert_eq!(expect(&nobody, leading(""), 843), names(Some(STRICT_PLACEHOLDER)));
    let made = Memory { bootstrap: Bootstrap::Configured, ..leading("") };
    let mut new = view(strict(), None, SyncView::default());
    new.server.status = Some(PostmasterStatus::Ready);
    new.server.recovery_signal = false;
    streaming(&mut new, "", &[]);
    assert_eq!(expect(&new, made, 534), names(Some(STRICT_PLACEHOLDER)), "before the first lock");
}

/// SYNC-02: a restarted primary comes up waiting for whom it waited before, so that has to be known (seed 500474011).
#[test]
fn a_primary_is_not_restarted_before_its_names_are_known() {
    let mut world = view(on(), Some("a"), key("a", &["c"], 0));
    streaming(&mut world, "c", &[("c", "sync", 100)]);
    world.requests.restart = Some(RestartRequest { timeout: None });
    let unknown = || Memory { durability: Durability { names: None, ..leading("c").durability }, ..leading("c") };
    let restart = Action::Begin(Task::Restart(StartMode::Primary));
    assert_eq!(expect(&world, unknown(), 620), restart, "the server says them");
    world.server.monitoring = Observed::Unseen("not asked yet".into());
    assert_ne!(decide(&world, &mut unknown()).action, restart);
    assert_eq!(expect(&world, leading("c"), 620), restart);
}

#[test]
fn the_key_goes_first_when_the_mode_is_switched_off() {
    // SYNC-01: then the user's own value comes back; what the user set while the mode was off is never touched.
    let mut world = view(settings(), Some("a"), key("a", &["b"], 0));
    streaming(&mut world, "b", &[("b", "sync", 100)]);
    let removed = Action::Store(StoreCall::DeleteSync { version: Version("7".into()) });
    assert_eq!(expect(&world, leading("b"), 846), removed);
    update(&mut world, |cluster| cluster.sync = SyncView { version: None, ..SyncView::default() });
    let mut memory = leading("b");
    memory.durability.user_value_due = true;
    assert_eq!(expect(&world, memory, 847), names(None));
    let mut own = leading("b");
    own.durability.names = None;
    own.durability.set_at = Moment(1);
    assert!(matches!(expect(&world, own, 890), Action::Wait { .. }));
}

#[test]
fn configuration_waits_until_it_is_known_whom_commits_wait_for() {
    let mut world = view(on(), Some("a"), key("a", &["b"], 0));
    world.requests.apply_configuration = true;
    world.server.monitoring = Observed::Unseen("not asked yet".into());
    let adopted = || Memory { role: Role::Primary, announced: Some(Role::Primary), ..Memory::default() };
    assert!(matches!(expect(&world, adopted(), 890), Action::Wait { .. }));
    streaming(&mut world, "b", &[("b", "sync", 100)]);
    assert!(matches!(expect(&world, adopted(), 630), Action::Run(Errand::ApplyConfiguration { .. })));
    let mut memory = adopted();
    decide(&world, &mut memory);
    assert_eq!(memory.durability.names.as_deref(), Some("b"), "the names that were found stay");
}

/// This member has the lock, and its server is a standby yet.
fn about_to_be_promoted(settings: Settings, key: SyncView) -> View {
    let mut world = view(settings, Some("a"), key);
    world.server.status = Some(PostmasterStatus::Standby);
    world.server.recovery_signal = true;
    world.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    world
}

/// SYNC-06: seed 500993238 switched the mode on again before the new primary had removed the key.
#[test]
fn a_key_left_over_goes_before_a_promotion() {
    let mut world = about_to_be_promoted(settings(), key("b", &["a", "c"], 1));
    let removed = Action::Store(StoreCall::DeleteSync { version: Version("7".into()) });
    assert_eq!(expect(&world, following(), 823), removed);
    world.store.in_flight = Some(StoreCallKind::Write);
    assert!(matches!(expect(&world, following(), 823), Action::Wait { .. }), "it is being removed");
    world.store.in_flight = None;
    update(&mut world, |cluster| cluster.sync = SyncView::default());
    assert_eq!(expect(&world, following(), 825), Action::Begin(Task::Promote));
}

#[test]
fn a_promotion_waits_for_the_key() {
    // SYNC-06
    let mut world = about_to_be_promoted(on(), key("b", &["a", "c"], 0));
    let raced = |key: SyncView| Memory {
        durability: Durability { raced_by: Some(key), key: KeyWrites::Settled, ..Durability::default() },
        ..following()
    };
    let of_b = || raced(key("b", &["a", "c"], 0));
    assert_eq!(expect(&world, of_b(), 823), written("a", &[], 0, Some("7")));
    let release = Action::Store(StoreCall::Release { optime: None });
    for other in [raced(key("b", &["a"], 0)), raced(key("b", &["a", "c"], 1)), raced(SyncView::default()), following()]
    {
        assert_eq!(expect(&world, other, 823), release, "the race was held by another key (seed 200065428)");
    }
    world.store.changed = true;
    world.store.in_flight = Some(StoreCallKind::Load);
    assert!(matches!(expect(&world, of_b(), 823), Action::Wait { .. }), "what was read may be old");
    (world.store.changed, world.store.in_flight) = (false, None);
    update(&mut world, |cluster| cluster.sync = key("a", &[], 0));
    assert_eq!(expect(&world, following(), 825), Action::Begin(Task::Promote));
    let quorum = Settings { synchronous_mode: SynchronousMode::Quorum, ..settings() };
    world.settings = Arc::new(quorum);
    update(&mut world, |cluster| cluster.sync = key("b", &["a", "c"], 1));
    let mut memory = raced(key("b", &["a", "c"], 1));
    let claimed = written("a", &["b", "c"], 1, Some("7"));
    assert_eq!(decide(&world, &mut memory).action, claimed, "SYNC-13: the former leader votes in our place");
    let version = Some(Version("8".into()));
    update(&mut world, |cluster| cluster.sync = SyncView { version, ..key("a", &["b", "c"], 1) });
    assert_eq!(decide(&world, &mut memory).action, Action::Begin(Task::Promote));
    assert_eq!(memory.durability.names.as_deref(), Some("ANY 1 (b,c)"));
}

#[test]
fn only_members_that_the_key_names_race() {
    // SYNC-01, SYNC-16
    let mut world = view(on(), None, key("b", &["c"], 0));
    assert!(matches!(expect(&world, following(), 925), Action::Wait { .. }));
    let request = |leader: Option<&str>| FailoverRequest {
        leader: leader.map(str::to_owned),
        candidate: Some("a".into()),
        scheduled_at: None,
        version: Version("1".into()),
    };
    update(&mut world, |cluster| cluster.failover = Some(request(Some("b"))));
    assert!(matches!(expect(&world, following(), 925), Action::Wait { .. }), "a switchover does not change that");
    update(&mut world, |cluster| cluster.failover = Some(request(None)));
    assert_eq!(expect(&world, following(), 930), Action::Store(StoreCall::Acquire), "SYNC-09: a failover does");
    // SYNC-10, SYNC-15: those that it names ask each other, and nobody else.
    for (named, asked) in [(key("b", &["A"], 0), "b"), (key("a", &[], 0), ""), (SyncView::default(), "b,c")] {
        match expect(&view(on(), None, named), following(), 950) {
            Action::Run(Errand::Probe { members, .. }) => assert_eq!(members.join(","), asked),
            other => panic!("{other:?}"),
        }
    }
    let mut stale = view(on(), None, key("b", &["c"], 0));
    stale.server.status = Some(PostmasterStatus::Ready);
    stale.server.recovery_signal = false;
    let stop = Task::Stop { mode: StopMode::Immediate, checkpoint_first: false };
    assert_eq!(expect(&stale, leading(""), 910), Action::Preempt(stop), "another may have led since");
}

fn status(position: u64) -> Option<MemberStatus> {
    Some(MemberStatus { in_recovery: true, position: Lsn(position), ..MemberStatus::default() })
}

/// SYNC-13: who still receives from the lost leader may have more than it says (seed 10016175).
#[test]
fn a_position_that_may_still_grow_is_no_vote() {
    let vote = |unsettled| {
        let settings = Settings { synchronous_mode: SynchronousMode::Quorum, ..settings() };
        let timeline = Some(Timeline(1));
        let entrant = Entrant { settings: &settings, position: Lsn(100), timeline, rounds: 2, named: false };
        let answer = status(90).map(|status| MemberStatus { unsettled, ..status });
        let round = ProbeRound { begun_at: NOW, answers: [("b".to_owned(), answer)].into() };
        stand(&entrant, &ClusterView { sync: key("c", &["a", "b"], 1), ..ClusterView::default() }, &round, true)
    };
    assert_eq!(vote(false), Standing::First);
    assert_eq!(vote(true), Standing::NotEnoughVotes { votes: 0, quorum: 1 });
}

/// SYNC-13: who still reads its own log has more than it says.
#[test]
fn a_position_short_of_the_own_log_is_not_final() {
    let mut view = view(settings(), None, SyncView::default());
    let race = Race { begun_at: NOW, receiving_stopped_at: Some(NOW), again_at: NOW, rounds: 1 };
    let memory = Memory { race: Some(race), ..Memory::default() };
    let mut told = |log_was_read| {
        let value = Monitoring { log_was_read, ..monitoring(false) };
        view.server.monitoring = Observed::Seen { value, at: NOW };
        memory.position_is_final(&view)
    };
    assert!(told(true));
    assert!(!told(false));
}

fn standing(mode: SynchronousMode, sync: SyncView, answers: &[(&str, u64)]) -> Standing {
    let settings = Settings { synchronous_mode: mode, ..settings() };
    let entrant =
        Entrant { settings: &settings, position: Lsn(100), timeline: Some(Timeline(1)), rounds: 1, named: false };
    let answers = answers.iter().map(|(name, position)| ((*name).to_owned(), status(*position))).collect();
    let cluster = ClusterView { sync, ..ClusterView::default() };
    stand(&entrant, &cluster, &ProbeRound { begun_at: NOW, answers }, true)
}

#[test]
fn what_counts_in_a_race_is_what_synchronous_members_have() {
    let mode = SynchronousMode::On;
    assert_eq!(standing(mode, key("b", &["a"], 0), &[("b", 200), ("c", 200)]), Standing::First);
    assert_eq!(standing(mode, key("b", &["a", "c"], 0), &[("c", 101)]), Standing::Ahead("c".into()));
    assert_eq!(standing(mode, SyncView::default(), &[("c", 101)]), Standing::Ahead("c".into()));
    let quorum = SynchronousMode::Quorum;
    let few = |votes| Standing::NotEnoughVotes { votes, quorum: 1 };
    assert_eq!(standing(quorum, key("b", &["a", "c"], 1), &[]), few(0), "SYNC-13");
    assert_eq!(standing(quorum, key("b", &["a", "c"], 1), &[("b", 110)]), few(0));
    let led = standing(quorum, key("b", &["a", "c"], 1), &[("b", 100)]);
    assert_eq!(led, Standing::First, "whoever has all that the leader had has every commit (seed 300507701)");
    assert_eq!(standing(quorum, key("b", &["a", "c"], 1), &[("c", 100)]), Standing::First);
    assert_eq!(standing(quorum, key("b", &["c", "d"], 1), &[("c", 100)]), few(0), "an outsider needs one more");
    assert_eq!(standing(quorum, key("b", &["c", "d"], 1), &[("c", 100), ("d", 9)]), Standing::First);
    assert_eq!(standing(quorum, key("a", &["b", "c"], 1), &[]), Standing::First, "it led, so it has everything");
}

#[test]
fn a_leader_hands_over_to_synchronous_members_unless_told_to_fail_over() {
    // SYNC-09, SYNC-16
    let answers = || [("b".to_owned(), status(100)), ("c".to_owned(), status(100))].into();
    let round = ProbeRound { begun_at: NOW, answers: answers() };
    let request = |leader: Option<&str>, candidate: Option<&str>| FailoverRequest {
        leader: leader.map(str::to_owned),
        candidate: candidate.map(str::to_owned),
        scheduled_at: None,
        version: Version("1".into()),
    };
    let targets = |settings: &Settings, sync: SyncView, request: Option<&FailoverRequest>| {
        let cluster = ClusterView { sync, ..ClusterView::default() };
        switch_targets(&cluster, settings, &round, request, None, true).join(",")
    };
    assert_eq!(targets(&on(), key("a", &["c"], 0), Some(&request(Some("a"), None))), "c");
    assert_eq!(targets(&on(), key("a", &["c"], 0), None), "c");
    assert_eq!(targets(&on(), key("a", &["c"], 0), Some(&request(Some("a"), Some("b")))), "");
    assert_eq!(targets(&on(), key("a", &["c"], 0), Some(&request(None, Some("b")))), "b");
    assert_eq!(targets(&settings(), key("a", &["c"], 0), None), "b,c", "the mode is off");
    let quorum = Settings { synchronous_mode: SynchronousMode::Quorum, ..settings() };
    assert_eq!(targets(&quorum, key("a", &["b", "c", "d"], 2), None), "", "too few could vote");
    assert_eq!(targets(&quorum, key("a", &["b", "c", "d"], 1), None), "b,c");
}

#[test]
fn a_synchronous_standby_asks_to_be_let_go_of() {
    // SYNC-03
    let mut world = view(on(), Some("b"), key("b", &["a"], 0));
    world.requests.shutdown = true;
    let mut memory = following();
    let verdict = decide(&world, &mut memory);
    assert_eq!((verdict.rule, memory.durability.leaving_since), (325, Some(NOW)));
    let wake = match verdict.action {
        Action::Wait { until } => until,
        other => panic!("{other:?}"),
    };
    assert!(wake <= NOW + Duration::from_secs(4));
    let mut late = following();
    late.durability.leaving_since = Some(NOW - Duration::from_secs(4));
    assert!(matches!(expect(&world, late, 330), Action::Begin(Task::Stop { .. })), "two loops are enough");
    let mut away = world.clone();
    away.store.failing_since = Some(NOW);
    assert!(matches!(expect(&away, following(), 330), Action::Begin(Task::Stop { .. })), "the store is away");
    update(&mut world, |cluster| cluster.sync = key("b", &["c"], 0));
    assert!(matches!(expect(&world, memory, 330), Action::Begin(Task::Stop { .. })), "it was let go of");
    let mut restart = view(on(), Some("b"), key("b", &["a"], 0));
    restart.requests.restart = Some(RestartRequest { timeout: None });
    assert!(matches!(expect(&restart, following(), 615), Action::Wait { .. }));
}

#[test]
fn a_primary_that_hangs_in_its_stop_is_killed_in_the_end() {
    // HA-53
    let settings = Settings { primary_stop_timeout: Some(Duration::from_secs(5)), ..on() };
    let mut world = view(settings, Some("a"), key("a", &["b"], 0));
    let stopping = |seconds: u64, mode: StopMode| RunningTask {
        task: Task::Stop { mode: StopMode::Fast, checkpoint_first: true },
        since: NOW - Duration::from_secs(seconds),
        escalated: Some(mode),
        cancelled: false,
    };
    world.running = Some(stopping(4, StopMode::Fast));
    assert!(matches!(expect(&world, leading("b"), 490), Action::Wait { .. }));
    world.running = Some(stopping(5, StopMode::Fast));
    assert_eq!(expect(&world, leading("b"), 415), Action::Escalate(StopMode::Immediate));
    world.running = Some(stopping(10, StopMode::Immediate));
    assert_eq!(expect(&world, leading("b"), 415), Action::Escalate(StopMode::Kill));
}

#[test]
fn operators_and_positions_decide_who_is_synchronous() {
    let check = |settings: Settings, tags: &[(&str, &str, Scalar)], rows: &[(&str, &str, u64)], expected: &str| {
        let mut world = view(settings, Some("a"), key("a", &[], 0));
        streaming(&mut world, "", rows);
        update(&mut world, |cluster| {
            for member in &mut cluster.members {
                let own = tags.iter().filter(|(name, ..)| *name == member.name);
                member.tags.raw = own.map(|(_, tag, value)| ((*tag).to_owned(), value.clone())).collect();
            }
        });
        let found: Vec<String> = healthy(&world).into_iter().map(|standby| standby.name).collect();
        assert_eq!(found.join(","), expected, "{tags:?} {rows:?}");
    };
    let both = [("B", "async", 90), ("c", "async", 100)];
    check(on(), &[], &both, "c,b");
    check(on(), &[], &[("b", "sync", 90), ("c", "async", 100)], "b,c");
    check(on(), &[("b", "sync_priority", Scalar::Integer(2))], &both, "b,c"); // SYNC-14
    check(on(), &[("b", "nosync", Scalar::Bool(true))], &both, "c"); // SYNC-04
    check(on(), &[("b", "sync_priority", Scalar::Text("0".into()))], &both, "c");
    check(on(), &[("c", "nofailover", Scalar::Bool(true))], &both, "b,c");
    check(on(), &[("b", "replicatefrom", Scalar::Text("c".into()))], &both, "c");
    check(on(), &[("b", "replicatefrom", Scalar::Text("b".into()))], &both, "c,b");
    check(on(), &[], &[("x", "async", 100)], "");
    let near = Settings { maximum_lag_on_syncnode: Some(5), ..on() };
    check(near.clone(), &[], &both, "c"); // SYNC-12
    check(near, &[], &[("b", "async", 90)], "");
}

#[test]
fn a_server_that_was_primary_comes_up_waiting_for_whom_the_key_names() {
    let mut crashed = view(on(), Some("a"), key("a", &["b", "c"], 0));
    crashed.server.postmaster = None;
    crashed.server.status = None;
    crashed.server.recovery_signal = false;
    let mut memory = Memory { role: Role::Primary, announced: Some(Role::Primary), ..Memory::default() };
    assert_eq!(decide(&crashed, &mut memory).action, Action::Begin(Task::Start(StartMode::Primary)));
    assert_eq!(memory.durability.names.as_deref(), Some("2 (b,c)"));
    // Before the key was read nobody knows whom (seed 300346044); a strict server waits for somebody in any case.
    let mut unread = Memory { role: Role::Primary, ..Memory::default() };
    decide(&View { store: StoreView::default(), ..crashed.clone() }, &mut unread);
    assert_eq!(unread.durability.names, None);
    let strict = Settings { synchronous_mode_strict: true, ..on() };
    let mut nobody = View { settings: Arc::new(strict), ..crashed };
    let mut memory = Memory { role: Role::Primary, ..Memory::default() };
    update(&mut nobody, |cluster| cluster.sync = key("a", &[], 0));
    decide(&nobody, &mut memory);
    assert_eq!(memory.durability.names, Some(StandbyNames::nobody_yet().to_string()));
    let race = Race { begun_at: NOW, receiving_stopped_at: None, again_at: NOW, rounds: 0 };
    let mut standby = Memory { race: Some(race), ..leading("b") };
    decide(&view(on(), Some("b"), key("b", &["a"], 0)), &mut standby);
    assert_eq!(standby.durability.names.as_deref(), Some(""), "a standby waits for nobody");
}

/// Who reads that its lock is not there any more leaves the keys alone: others may have led since (seed 300060463).
#[test]
fn a_leader_whose_lock_is_gone_writes_no_key() {
    let mut world = view(on(), Some("a"), key("c", &["b"], 0));
    streaming(&mut world, "", &[]);
    assert!(matches!(expect(&world, leading(""), 841), Action::Store(StoreCall::WriteSync { .. })));
    let later = NOW + Duration::from_millis(1);
    let (cluster, _) = world.store.snapshot.clone().expect("it was read");
    let without = ClusterView { leader: None, ..(*cluster).clone() };
    world.store.snapshot = Some((Arc::new(without.clone()), later));
    let verdict = decide(&world, &mut leading(""));
    assert!(matches!(verdict.action, Action::Wait { .. }), "{verdict:?}");
    world.store.snapshot = Some((Arc::new(without), NOW - Duration::from_millis(1)));
    assert!(matches!(expect(&world, leading(""), 841), Action::Store(StoreCall::WriteSync { .. })), "read before");
}

/// SYNC-02: whose data are gone while commits count on them does not come back with a copy of somebody who has less, and
/// so with fewer commits than the sync key says of it (seed 300118051).
#[test]
fn who_is_counted_on_is_made_anew_from_the_leader_itself() {
    let mut empty = view(on(), Some("b"), key("b", &["a"], 0));
    empty.server.postmaster = None;
    empty.server.status = None;
    empty.server.data_directory = DataDirectory::Empty;
    update(&mut empty, |cluster| {
        cluster.members[2].tags = Tags { raw: vec![("clonefrom".to_owned(), Scalar::Bool(true))] };
    });
    let source = |action: Action| match action {
        Action::Begin(Task::Clone { source, only_basebackup }) => (source.expect("there is one").name, only_basebackup),
        other => panic!("{other:?}"),
    };
    let mut memory = Memory::default();
    assert!(matches!(decide(&empty, &mut memory).action, Action::Wait { .. }), "the leader is to take it out first");
    let mut patient = empty.clone();
    patient.now = NOW + patient.settings.loop_wait * 2;
    patient.store.snapshot = empty.store.snapshot.clone().map(|(cluster, _)| (cluster, patient.now));
    patient.store.member_written_at = Some(patient.now);
    assert_eq!(source(expect(&patient, memory, 540)), ("b".to_owned(), true), "a strict one may have nobody else");
    let mut restless = Memory { counted_on_since: Some(NOW - Duration::from_secs(1)), ..Memory::default() };
    decide(&View { store: StoreView { changed: true, ..empty.store.clone() }, ..empty.clone() }, &mut restless);
    assert_eq!(restless.counted_on_since, Some(NOW - Duration::from_secs(1)), "news do not begin the wait anew");
    update(&mut empty, |cluster| cluster.sync = key("b", &["c"], 0));
    assert_eq!(source(expect(&empty, Memory::default(), 540)), ("c".to_owned(), false));
}
