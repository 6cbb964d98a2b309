//! A data directory that pg_rewind left half way: no server runs on it, whatever else is wanted.

use crate::situation::{POSTMASTER, control, expect, is_stop, primary_memory, stopped, view};
use crate::testing::NOW;
use regent_core::decide::{Action, Divergence, Memory, Reason, decide};
use regent_core::model::*;
use std::sync::Arc;
use std::time::Duration;

fn mark(source: &str, timeline: u32) -> DataDirectory {
    DataDirectory::HalfRewound(RewindMark { source: source.into(), timeline: Timeline(timeline), same_boot: true })
}

/// Member `a`, stopped, with data that are half `b`'s of timeline 1; `leader` leads on that timeline.
fn mixed(leader: Option<&str>) -> View {
    let mut mixed = view(leader);
    stopped(&mut mixed, ControlState::ShutDown);
    mixed.lease = None;
    mixed.server.data_directory = mark("b", 1);
    mixed
}

fn memory() -> Memory {
    Memory { role: Role::Demoted, divergence: Divergence::MustCheck, ..Memory::default() }
}

fn with(view: &View, change: impl FnOnce(&mut Settings)) -> View {
    let mut view = view.clone();
    let mut settings = (*view.settings).clone();
    change(&mut settings);
    view.settings = Arc::new(settings);
    view
}

fn with_leader(view: &View, change: impl FnOnce(&mut MemberView)) -> View {
    let mut view = view.clone();
    let (cluster, at) = view.store.snapshot.take().expect("there is one");
    let mut cluster = (*cluster).clone();
    let name = cluster.leader_name().expect("somebody leads").to_owned();
    change(cluster.members.iter_mut().find(|member| member.name == name).expect("the leader is a member"));
    view.store.snapshot = Some((Arc::new(cluster), at));
    view
}

/// Everything that would start, promote or offer a clean data directory leaves this one alone.
#[test]
fn no_server_is_started_on_a_half_rewound_directory() {
    let waits = |view: &View, memory: Memory| {
        assert!(matches!(expect(view, memory, 515), Action::Wait { .. }));
    };
    waits(&mixed(None), memory());
    waits(&mixed(Some("c")), memory());
    // A daemon that was just started knows only what it reads.
    waits(&mixed(Some("c")), Memory::default());
    let crashed = |leader| {
        let mut crashed = mixed(leader);
        crashed.server.control = Observed::Seen { value: control(ControlState::InProduction), at: NOW };
        crashed
    };
    waits(&crashed(None), memory());
    // In maintenance too, also for what was stopped to come back.
    let coming_back = Memory { comes_back: true, ..memory() };
    waits(&with(&mixed(Some("b")), |settings| settings.paused = true), coming_back);
    // An operator's restart changes nothing.
    let mut asked = mixed(Some("c"));
    asked.requests.restart = Some(RestartRequest { timeout: None });
    waits(&asked, memory());
    // Everybody else is gone: nothing is promoted.
    let mut alone = mixed(None);
    let (cluster, at) = alone.store.snapshot.take().expect("there is one");
    let mut cluster = (*cluster).clone();
    cluster.members.retain(|member| member.name == "a");
    alone.store.snapshot = Some((Arc::new(cluster), at));
    waits(&alone, memory());
    assert_eq!(alone.own_timeline(), None);
}

#[test]
fn a_lock_over_half_rewound_data_is_given_back_and_their_server_stopped() {
    let mut leads = view(Some("a"));
    leads.server.data_directory = mark("b", 1);
    let release = StoreCall::Release { optime: None };
    assert_eq!(expect(&leads, primary_memory(), 511), Action::Store(release.clone()));
    assert_eq!(expect(&with(&leads, |settings| settings.paused = true), primary_memory(), 511), Action::Store(release));

    let mut runs = view(Some("b"));
    runs.server.data_directory = mark("b", 1);
    assert_eq!(runs.server.postmaster, Some(POSTMASTER));
    let replica = Memory { role: Role::Replica, announced: Some(Role::Replica), ..Memory::default() };
    assert!(is_stop(&expect(&runs, replica.clone(), 512), StopMode::Fast));
    let paused = with(&runs, |settings| settings.paused = true);
    assert!(matches!(expect(&paused, replica, 515), Action::Wait { .. }));
}

/// A rewind that was cut off is one that has not succeeded yet, as long as its source is what it was.
#[test]
fn the_same_rewind_is_begun_again() {
    let again = mixed(Some("b"));
    assert!(matches!(expect(&again, memory(), 513), Action::Begin(Task::Rewind(source)) if source.name == "b"));
    // Not at once after a failure, not before the leader's checkpoint, not on a guess.
    let resting = Memory { task_not_before: NOW + Duration::from_secs(1), ..memory() };
    assert!(matches!(expect(&again, resting, 513), Action::Wait { .. }));
    let unfinished = with_leader(&again, |leader| leader.checkpoint_after_promote = Some(false));
    assert!(matches!(expect(&unfinished, memory(), 513), Action::Wait { .. }));
    let unknown = with_leader(&again, |leader| leader.timeline = None);
    assert!(matches!(expect(&unknown, memory(), 515), Action::Wait { .. }));
    // While it runs, and while a cancelled one ends, that is waited for.
    let mut running = again.clone();
    let source = Source { name: "b".into(), host: "b".into(), port: "5432".into(), slot: None };
    let since = NOW;
    running.running = Some(RunningTask { task: Task::Rewind(source), since, escalated: None, cancelled: true });
    assert!(matches!(expect(&running, memory(), 490), Action::Wait { .. }));
}

/// REW-04: what no rewind can mend is a failed rewind, and its settings say what becomes of it.
#[test]
fn what_can_not_be_rewound_again_is_made_anew_only_where_a_setting_says_so() {
    let check = |view: &View, memory: Memory| {
        let mut told = memory.clone();
        let verdict = decide(view, &mut told);
        assert_eq!((verdict.rule, verdict.reason), (515, Reason::HalfRewoundForGood { source: "b".into() }));
        let allowed = with(view, |settings| settings.remove_data_directory_on_rewind_failure = true);
        assert_eq!(expect(&allowed, memory.clone(), 514), Action::Begin(Task::Wipe));
        let allowed = with(view, |settings| settings.remove_data_directory_on_diverged_timelines = true);
        assert_eq!(expect(&allowed, memory, 514), Action::Begin(Task::Wipe));
    };
    let again = mixed(Some("b"));
    // pg_rewind itself said that it can not.
    check(&again, Memory { divergence: Divergence::RewindFailed, ..memory() });
    // The leader went on to another timeline, or another leads: blocks of the old one would stay.
    check(&with_leader(&again, |leader| leader.timeline = Some(Timeline(2))), memory());
    check(&with_leader(&mixed(Some("c")), |leader| leader.timeline = Some(Timeline(2))), memory());
    check(&mixed(Some("c")), memory());
    // The machine was booted: nobody knows what of it reached the disk.
    let mut booted = again.clone();
    booted.server.data_directory =
        DataDirectory::HalfRewound(RewindMark { source: "b".into(), timeline: Timeline(1), same_boot: false });
    check(&booted, memory());
    // pg_rewind had written the control file already.
    let mut late = again.clone();
    late.server.control = Observed::Seen { value: control(ControlState::InArchiveRecovery), at: NOW };
    check(&late, memory());
    check(&with(&again, |settings| settings.use_pg_rewind = false), memory());

    // Without a leader to copy from nothing is removed.
    let alone = with(&mixed(None), |settings| settings.remove_data_directory_on_rewind_failure = true);
    assert!(matches!(expect(&alone, memory(), 515), Action::Wait { .. }));

    // In a standby cluster a running leader can be copied as well, and only then.
    let host = Some("east".to_owned());
    let site = StandbyCluster { host, port: Some("5432".into()), ..StandbyCluster::default() };
    let in_site = |leader: Option<&str>| {
        with(&mixed(leader), |settings| {
            settings.standby_cluster = Some(site.clone());
            settings.use_pg_rewind = false;
            settings.remove_data_directory_on_rewind_failure = true;
        })
    };
    assert_eq!(expect(&in_site(Some("b")), memory(), 514), Action::Begin(Task::Wipe));
    assert!(matches!(expect(&in_site(None), memory(), 515), Action::Wait { .. }));
}

#[test]
fn an_operator_may_have_it_made_anew() {
    let mut asked = mixed(Some("c"));
    asked.requests.reinitialize = Some(ReinitializeRequest { from_leader: false, force: false });
    assert_eq!(expect(&asked, memory(), 610), Action::Begin(Task::Wipe));
    let paused = with(&asked, |settings| settings.paused = true);
    assert_eq!(expect(&paused, memory(), 610), Action::Begin(Task::Wipe));
}
