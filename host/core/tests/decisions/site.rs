//! SB: a standby cluster, whose leader has the lock and is a standby of another cluster.

use crate::situation::{control, expect, is_stop, primary_memory, standby_memory, stopped, view};
use crate::testing::{NOW, monitoring, settings};
use regent_core::decide::{Action, Bootstrap, Compared, Divergence, Memory, Race, Reason, Reconnecting, decide};
use regent_core::model::*;
use std::sync::Arc;
use std::time::Duration;

fn site() -> StandbyCluster {
    StandbyCluster {
        host: Some("east".into()),
        port: Some("5433".into()),
        primary_slot_name: Some("west".into()),
        ..StandbyCluster::default()
    }
}

fn remote() -> Source {
    Source {
        name: "remote_member:east:5433".into(),
        host: "east".into(),
        port: "5433".into(),
        slot: Some("west".into()),
    }
}

/// Member `a` of a standby cluster; where it leads, its server is a standby.
fn in_standby_cluster(leader: Option<&str>) -> View {
    let mut view = view(leader);
    view.settings = Arc::new(Settings { standby_cluster: Some(site()), ..settings() });
    view.server = crate::view(Some("b")).server;
    view.slots_synced = Some((vec!["b".into(), "c".into()], NOW));
    view
}

/// This timeline ended there.
fn history_row(timeline: u32) -> HistoryRow {
    let reason = String::new();
    HistoryRow { timeline: Timeline(timeline), switch_lsn: Lsn(80), reason, timestamp: None, new_leader: None }
}

/// A standby leader that follows the remote side.
fn leading() -> Memory {
    Memory {
        role: Role::StandbyLeader,
        announced: Some(Role::StandbyLeader),
        followed: Some(Some(remote())),
        compared: Some(Compared { leader: remote().name, timeline: None, at: NOW }),
        ..standby_memory()
    }
}

#[test]
fn the_lock_of_a_standby_cluster_promotes_nobody() {
    // SB-01
    let view = in_standby_cluster(Some("a"));
    let mut memory = standby_memory();
    let verdict = decide(&view, &mut memory);
    let told = Errand::Callback(Callback::OnRoleChange, Role::StandbyLeader);
    assert_eq!((verdict.rule, verdict.action), (250, Action::Run(told)));
    let verdict = decide(&view, &mut memory);
    assert_eq!((verdict.rule, verdict.action), (806, Action::Begin(Task::Follow(Some(remote())))));
    assert_eq!(memory.role, Role::StandbyLeader, "SB-06");
    assert_eq!(decide(&view, &mut leading()).reason, Reason::LeadingSite);

    // Nobody has the lock of another cluster's member either.
    let follower = in_standby_cluster(Some("b"));
    let mut memory = standby_memory();
    assert_eq!(decide(&follower, &mut memory).reason, Reason::Following { leader: "b".into() });
    assert_eq!(memory.role, Role::Replica);
}

#[test]
fn the_leader_is_first_announced_as_a_replica() {
    // CB-01
    let mut memory = Memory { announced: None, ..leading() };
    let mut next = || decide(&in_standby_cluster(Some("a")), &mut memory).action;
    let told = |event, role| Action::Run(Errand::Callback(event, role));
    assert_eq!(next(), told(Callback::OnStart, Role::Replica));
    assert_eq!(next(), told(Callback::OnRoleChange, Role::StandbyLeader));
}

#[test]
fn whom_the_leader_follows_is_configured() {
    let check = |change: &dyn Fn(&mut Settings), expected: Option<Source>| {
        let mut view = in_standby_cluster(Some("a"));
        let mut changed = (*view.settings).clone();
        change(&mut changed);
        view.settings = Arc::new(changed);
        let memory = Memory { followed: None, ..leading() };
        assert_eq!(expect(&view, memory, 806), Action::Begin(Task::Follow(expected)));
    };
    let with = |change: fn(&mut StandbyCluster)| {
        move |settings: &mut Settings| {
            let mut site = site();
            change(&mut site);
            settings.standby_cluster = Some(site);
        }
    };
    // SB-07: no slot where none is named, or none may be used.
    check(&with(|site| site.primary_slot_name = None), Some(Source { slot: None, ..remote() }));
    check(&|settings| settings.use_slots = false, Some(Source { slot: None, ..remote() }));
    let default_port = Source { name: "remote_member:east:5432".into(), port: "5432".into(), ..remote() };
    check(&with(|site| site.port = None), Some(default_port));
    // SB-05: an archive alone.
    let archive = with(|site| {
        *site = StandbyCluster { restore_command: Some("fetch %f %p".into()), ..StandbyCluster::default() };
    });
    check(&archive, None);
}

#[test]
fn a_cluster_is_promoted_when_the_section_goes() {
    // HA-58
    let mut view = in_standby_cluster(Some("a"));
    view.settings = Arc::new(settings());
    assert_eq!(expect(&view, leading(), 825), Action::Begin(Task::Promote));
}

#[test]
fn a_cluster_is_demoted_when_the_section_comes() {
    // HA-58
    let mut view = in_standby_cluster(Some("a"));
    view.server = crate::view(Some("a")).server;
    let mut memory = primary_memory();
    // What was told of its own history is taken back first.
    let told = |view: &mut View, rows: &[HistoryRow]| {
        let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
        Arc::make_mut(cluster).history.rows = rows.to_vec();
    };
    told(&mut view, &[history_row(1)]);
    assert_eq!(expect(&view, primary_memory(), 803), Action::Store(StoreCall::WriteHistory { rows: Vec::new() }));
    told(&mut view, &[]);
    let verdict = decide(&view, &mut memory);
    assert!(verdict.rule == 803 && is_stop(&verdict.action, StopMode::Fast), "{verdict:?}");
    assert!(memory.comes_back, "also if maintenance begins meanwhile");

    // It keeps the lock while it is down, is compared with the remote side, and comes back as its standby.
    stopped(&mut view, ControlState::ShutDown);
    view.server.recovery_signal = false;
    let down = |divergence| Memory { role: Role::Demoted, divergence, ..primary_memory() };
    let action = expect(&view, down(Divergence::MustCheck), 750);
    assert_eq!(action, Action::Begin(Task::CompareHistories(remote())));
    assert_eq!(expect(&view, down(Divergence::Diverged), 755), Action::Begin(Task::Rewind(remote())));
    let follow = Action::Begin(Task::Start(StartMode::Follow(remote())));
    assert_eq!(expect(&view, down(Divergence::None), 770), follow);
    // One that crashed is not started as a primary again.
    stopped(&mut view, ControlState::InProduction);
    let crashed = Memory { divergence: Divergence::None, crash_recovery_tried: true, ..primary_memory() };
    assert_eq!(expect(&view, crashed, 770), follow);

    // Without the lock nothing but an unlocked cluster tells that the primary is nobody's.
    let mut unlocked = in_standby_cluster(None);
    unlocked.server = crate::view(Some("a")).server;
    assert!(is_stop(&expect(&unlocked, primary_memory(), 803), StopMode::Fast));
    let paused = Settings { paused: true, ..(*unlocked.settings).clone() };
    unlocked.settings = Arc::new(paused);
    assert_ne!(decide(&unlocked, &mut primary_memory()).rule, 803);
}

#[test]
fn a_remote_side_that_is_away_holds_nobody_up() {
    let mut view = in_standby_cluster(Some("a"));
    stopped(&mut view, ControlState::ShutDownInRecovery);
    let task = Task::CompareHistories(remote());
    let outcome = TaskOutcome::Failed("nobody answers".into());
    view.finished = Some(FinishedTask { number: 1, task, outcome, at: NOW - Duration::from_secs(1) });
    let memory = Memory { divergence: Divergence::MustCheck, ..leading() };
    assert_eq!(expect(&view, memory, 770), Action::Begin(Task::Start(StartMode::Follow(remote()))));
}

#[test]
fn a_standby_that_does_not_stream_is_compared_with_the_remote_side() {
    // SB-08
    let mut view = in_standby_cluster(Some("a"));
    view.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    let comparison = Action::Begin(Task::CompareHistories(remote()));
    let long_ago = Compared { leader: remote().name, timeline: None, at: NOW - Duration::from_secs(11) };
    let reconnecting = Some(Reconnecting { tried_at: NOW, tries: 2 });
    let memory = Memory { compared: Some(long_ago), reconnecting, ..leading() };
    assert_eq!(expect(&view, memory.clone(), 807), comparison);
    assert_ne!(decide(&view, &mut Memory { reconnecting, ..leading() }).rule, 807, "that was just done");
    let long_ago = memory.compared.clone();
    assert_ne!(decide(&view, &mut Memory { compared: long_ago, ..leading() }).rule, 807, "it may find its stream");
    let lost =
        Memory { reconnecting: Some(Reconnecting { tried_at: NOW - Duration::from_secs(1), tries: 1 }), ..leading() };
    assert_eq!(expect(&view, lost, 808), Action::Run(Errand::WakeReceiver));
    let mut streams = view.clone();
    let streaming_from = Some(("east".to_owned(), 5433));
    streams.server.monitoring = Observed::Seen { value: Monitoring { streaming_from, ..monitoring(false) }, at: NOW };
    assert_ne!(decide(&streams, &mut memory.clone()).rule, 807);

    let diverged = Memory { divergence: Divergence::Diverged, ..leading() };
    assert!(is_stop(&expect(&view, diverged, 805), StopMode::Fast));
    // A replica of the standby leader replays the remote side's history, too.
    let mut replica = in_standby_cluster(Some("b"));
    replica.server = view.server.clone();
    let followed = Memory { compared: memory.compared, reconnecting, ..standby_memory() };
    assert_eq!(expect(&replica, followed, 807), comparison);
    let diverged = Memory { divergence: Divergence::Diverged, ..standby_memory() };
    assert!(is_stop(&expect(&replica, diverged, 1010), StopMode::Fast));
}

/// SB-08, REW-10: where nothing can mend it, a standby that left the remote side's history is left running: stopping it
/// would be no more than a restart, again and again.
#[test]
fn a_standby_that_can_not_be_mended_is_not_stopped() {
    let mut view = in_standby_cluster(Some("a"));
    let remove_data_directory_on_diverged_timelines = true;
    let unmended =
        Settings { use_pg_rewind: false, remove_data_directory_on_diverged_timelines, ..(*view.settings).clone() };
    view.settings = Arc::new(unmended);
    let diverged = Memory { divergence: Divergence::Diverged, ..leading() };
    assert_eq!(expect(&view, diverged.clone(), 890), decide(&view, &mut leading()).action);
    stopped(&mut view, ControlState::ShutDownInRecovery);
    assert_eq!(expect(&view, diverged, 770), Action::Begin(Task::Start(StartMode::Follow(remote()))));
    // What a rewind has spoilt is made anew where a setting says so, from another member that leads.
    let failed = Memory { divergence: Divergence::RewindFailed, ..standby_memory() };
    view.server.control = Observed::Seen { value: control(ControlState::ShutDownInRecovery), at: NOW };
    assert_ne!(decide(&view, &mut failed.clone()).rule, 760, "nobody else leads");
    let leader = in_standby_cluster(Some("b"));
    view.store.snapshot = leader.store.snapshot;
    view.lease = None;
    assert_eq!(expect(&view, failed, 760), Action::Begin(Task::Wipe));
}

/// What it needs to come up may be at the remote side, of which a daemon that was just started knew nothing.
#[test]
fn a_standby_leader_that_does_not_come_up_is_started_anew_with_its_source() {
    let mut view = in_standby_cluster(Some("a"));
    view.server.status = Some(PostmasterStatus::Starting);
    view.server.monitoring = Observed::Unseen("it starts".into());
    let since = NOW - view.settings.loop_wait;
    let mut starting = |mode| {
        let task = Task::Start(mode);
        view.running = Some(RunningTask { task, since, escalated: None, cancelled: false });
        decide(&view, &mut leading()).rule
    };
    assert_eq!((starting(StartMode::Standby), starting(StartMode::Follow(remote()))), (412, 490));
}

/// A rewind to the remote side that is under way when the cluster is promoted is not cut off: a server can not run on what
/// is left then, on none of the members perhaps (the simulator's seed 700051814). A comparison is.
#[test]
fn a_promotion_of_the_cluster_spoils_no_rewind() {
    let mut view = view(Some("a"));
    stopped(&mut view, ControlState::ShutDownInRecovery);
    let mut during = |task| {
        view.running = Some(RunningTask { task, since: NOW, escalated: None, cancelled: false });
        decide(&view, &mut leading()).rule
    };
    assert_eq!((during(Task::Rewind(remote())), during(Task::CompareHistories(remote()))), (490, 430));
}

/// What was written of a time in which the cluster was not a standby cluster would tell who may lead once it is promoted:
/// worlds of the simulator had nobody to lead after a demotion and a promotion.
#[test]
fn a_standby_leader_takes_back_what_was_told_of_another_history() {
    let mut view = in_standby_cluster(Some("a"));
    let told = |view: &mut View, change: &dyn Fn(&mut ClusterView)| {
        let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
        change(Arc::make_mut(cluster));
    };
    told(&mut view, &|cluster| cluster.history.rows = vec![history_row(1)]);
    assert_eq!(expect(&view, leading(), 855), Action::Store(StoreCall::WriteHistory { rows: Vec::new() }));
    told(&mut view, &|cluster| cluster.history.rows.clear());
    let version = Version("7".into());
    let key =
        SyncView { leader: Some("a".into()), standbys: vec!["b".into()], quorum: 0, version: Some(version.clone()) };
    told(&mut view, &|cluster| cluster.sync = key.clone());
    assert_eq!(expect(&view, leading(), 823), Action::Store(StoreCall::DeleteSync { version }));
}

#[test]
fn the_lock_of_a_lost_standby_leader_is_raced_for() {
    // SB-03
    let race =
        Race { begun_at: NOW, receiving_stopped_at: Some(NOW), again_at: NOW + Duration::from_secs(1), rounds: 1 };
    let memory = Memory { race: Some(race), followed: Some(None), ..standby_memory() };
    let mut view = in_standby_cluster(None);
    view.server.monitoring = Observed::Seen { value: monitoring(false), at: NOW };
    let standby = MemberStatus { in_recovery: true, position: Lsn(90), ..MemberStatus::default() };
    view.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".to_owned(), Some(standby))].into() });
    // The timelines are the remote side's.
    let settings = Settings { check_timeline: true, ..(*view.settings).clone() };
    view.settings = Arc::new(settings);
    let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
    Arc::make_mut(cluster).history.rows = vec![history_row(7)];
    // A later one may be of a time before there was a remote side (seed 800091291).
    let abandoned =
        MemberStatus { in_recovery: true, position: Lsn(90), timeline: Some(Timeline(8)), ..MemberStatus::default() };
    let round = ProbeRound { begun_at: NOW, answers: [("b".to_owned(), Some(abandoned))].into() };
    let before = View { probes: Some(round), ..view.clone() };
    for view in [&view, &before] {
        assert_eq!(expect(view, memory.clone(), 960), Action::Store(StoreCall::Acquire));
    }

    // While nobody leads, a server that was down is started as a standby of the remote side.
    stopped(&mut view, ControlState::ShutDownInRecovery);
    let down = Memory { divergence: Divergence::None, ..standby_memory() };
    assert_eq!(expect(&view, down, 770), Action::Begin(Task::Start(StartMode::Follow(remote()))));
}

#[test]
fn a_standby_leader_that_can_not_be_started_gives_way() {
    let mut view = in_standby_cluster(Some("a"));
    stopped(&mut view, ControlState::ShutDownInRecovery);
    let task = Task::Start(StartMode::Follow(remote()));
    let outcome = TaskOutcome::Failed("it ended".into());
    view.finished = Some(FinishedTask { number: 1, task, outcome, at: NOW });
    assert_eq!(expect(&view, leading(), 730), Action::Store(StoreCall::Release { optime: None }));
}

#[test]
fn the_first_server_of_a_standby_cluster_is_a_clone() {
    let mut view = in_standby_cluster(None);
    view.server.data_directory = DataDirectory::Empty;
    view.server.postmaster = None;
    view.server.status = None;
    view.store.claimed = true;
    let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
    Arc::make_mut(cluster).initialize = Some(String::new());
    let mut memory = Memory::default();
    let verdict = decide(&view, &mut memory);
    let clone = Task::Clone { source: Some(remote()), only_basebackup: false };
    assert_eq!(
        (verdict.rule, verdict.action, memory.bootstrap),
        (532, Action::Begin(clone.clone()), Bootstrap::Building)
    );

    let ended = |outcome| {
        let mut view = view.clone();
        view.finished = Some(FinishedTask { number: 1, task: clone.clone(), outcome, at: NOW });
        let mut memory = memory.clone();
        decide(&view, &mut memory);
        memory.bootstrap
    };
    assert_eq!(ended(TaskOutcome::Done), Bootstrap::Built);
    assert_eq!(ended(TaskOutcome::Failed("no".into())), Bootstrap::Failed);
}

#[test]
fn a_standby_leader_hands_over_as_a_primary_does() {
    let mut view = in_standby_cluster(Some("a"));
    let (cluster, _) = view.store.snapshot.as_mut().expect("every view has one");
    let version = Version("7".into());
    Arc::make_mut(cluster).failover =
        Some(FailoverRequest { leader: Some("a".into()), candidate: Some("b".into()), scheduled_at: None, version });
    assert!(matches!(expect(&view, leading(), 835), Action::Run(Errand::Probe { .. })));
    let standby = MemberStatus { in_recovery: true, position: Lsn(100), ..MemberStatus::default() };
    view.probes = Some(ProbeRound { begun_at: NOW, answers: [("b".to_owned(), Some(standby))].into() });
    let row = ReplicationRow {
        usename: String::new(),
        application_name: "b".into(),
        client_addr: None,
        state: "streaming".into(),
        sync_state: "async".into(),
        sync_priority: 0,
        sent_lsn: None,
        write_lsn: None,
        flush_lsn: None,
        replay_lsn: None,
    };
    let value = Monitoring { replication: vec![row], streaming_from: Some(("east".into(), 5433)), ..monitoring(false) };
    view.server.monitoring = Observed::Seen { value, at: NOW };
    assert!(is_stop(&expect(&view, leading(), 840), StopMode::Fast));

    // In maintenance its lock is not given back for want of a primary.
    let paused = Settings { paused: true, ..(*view.settings).clone() };
    let mut paused = View { settings: Arc::new(paused), ..in_standby_cluster(Some("a")) };
    paused.server.control = Observed::Seen { value: control(ControlState::InArchiveRecovery), at: NOW };
    assert_eq!(decide(&paused, &mut leading()).reason, Reason::LeadingSite);
}
