//! The Linux watchdog and the last budgets of a stop: when it is opened, fed, closed, and what its lack means (WD-01,
//! WD-03, WD-05).

use crate::situation::{POSTMASTER, control, expect, is_stop, primary_memory, standby_memory, view};
use crate::testing::NOW;
use regent_core::decide::{Action, Memory, WatchdogOrder, decide, fast_stop_budget, guard_margin, watchdog_order};
use regent_core::model::*;
use std::sync::Arc;
use std::time::Duration;

fn watched(mut view: View, mode: FenceMode, state: WatchdogState) -> View {
    view.settings = Arc::new(Settings { watchdog: mode, ..(*view.settings).clone() });
    view.watchdog = WatchdogView { state, usable: state != WatchdogState::Failed };
    view
}

/// A standby that just took the lock.
fn standby_with_lock(mode: FenceMode, state: WatchdogState) -> View {
    let mut view = watched(view(Some("a")), mode, state);
    view.server = crate::situation::view(Some("b")).server;
    view
}

const OPEN: WatchdogState = WatchdogState::Open { timeout: Duration::from_secs(15) };

/// WD-01: it is open before the promotion; `required` leads nowhere without it, `automatic` goes on.
#[test]
fn a_promotion_waits_for_the_watchdog() {
    let check = |mode, state, rule, promotes: bool| {
        let action = expect(&standby_with_lock(mode, state), standby_memory(), rule);
        assert_eq!(action == Action::Begin(Task::Promote), promotes, "{mode:?} {state:?}: {action:?}");
        action
    };
    check(FenceMode::Off, WatchdogState::Closed, 825, true);
    for mode in [FenceMode::Automatic, FenceMode::Required] {
        check(mode, WatchdogState::Closed, 822, false);
        check(mode, OPEN, 825, true);
    }
    check(FenceMode::Automatic, WatchdogState::Failed, 825, true);
    let released = check(FenceMode::Required, WatchdogState::Failed, 821, false);
    assert!(matches!(released, Action::Store(StoreCall::Release { .. })), "{released:?}");
}

/// WD-01: a primary whose required watchdog fails is stopped, gives the lock back, and does not race again.
#[test]
fn a_primary_without_the_required_watchdog_gives_way() {
    let failed = watched(view(Some("a")), FenceMode::Required, WatchdogState::Failed);
    let mut memory = primary_memory();
    let verdict = decide(&failed, &mut memory);
    assert_eq!(verdict.rule, 817);
    assert!(is_stop(&verdict.action, StopMode::Immediate) && memory.release_wanted);
    let mut down = failed.clone();
    crate::situation::stopped(&mut down, ControlState::InProduction);
    assert!(matches!(decide(&down, &mut memory).action, Action::Store(StoreCall::Release { .. })));

    let automatic = watched(view(Some("a")), FenceMode::Automatic, WatchdogState::Failed);
    assert_ne!(decide(&automatic, &mut primary_memory()).rule, 817);
    let mut paused = failed.clone();
    paused.settings = Arc::new(Settings { paused: true, ..(*failed.settings).clone() });
    assert_ne!(decide(&paused, &mut primary_memory()).rule, 817);

    let racer = watched(view(None), FenceMode::Required, WatchdogState::Failed);
    assert!(racer.watchdog_failed());
    assert!(matches!(expect(&racer, standby_memory(), 920), Action::Wait { .. }));
}

/// WD-03, PAUSE-09: only a leader outside maintenance holds it open, and each renewal feeds it once.
#[test]
fn it_is_fed_by_renewals_and_open_for_leaders_only() {
    let check = |view: &View, memory: &Memory, expected| assert_eq!(watchdog_order(view, memory), expected);
    let fed = WatchdogOrder::Feed { renewed_at: NOW };
    let leading = watched(view(Some("a")), FenceMode::Automatic, OPEN);
    check(&leading, &primary_memory(), fed);
    check(&standby_with_lock(FenceMode::Required, WatchdogState::Closed), &standby_memory(), fed);
    check(&watched(view(Some("b")), FenceMode::Required, OPEN), &standby_memory(), WatchdogOrder::Close);
    check(&watched(view(Some("a")), FenceMode::Off, OPEN), &primary_memory(), WatchdogOrder::Close);
    let mut paused = leading.clone();
    paused.settings = Arc::new(Settings { paused: true, ..(*leading.settings).clone() });
    check(&paused, &primary_memory(), WatchdogOrder::Close);
    let mut lost = leading.clone();
    lost.lease = None;
    check(&lost, &primary_memory(), WatchdogOrder::Leave);
    let mut down = leading.clone();
    crate::situation::stopped(&mut down, ControlState::ShutDown);
    check(&down, &primary_memory(), WatchdogOrder::Close);
}

fn stopping(mode: StopMode, since: Moment) -> View {
    let mut view = watched(view(Some("a")), FenceMode::Automatic, OPEN);
    let task = Task::Stop { mode, checkpoint_first: false };
    view.running = Some(RunningTask { task, since, escalated: Some(mode), cancelled: false });
    view.server.status = Some(PostmasterStatus::Stopping);
    view
}

/// WD-05: a stop lets go of it once the last session is gone, and not before.
#[test]
fn a_stop_lets_go_of_it_when_no_session_is_left() {
    let check = |state, at, expected| {
        let mut view = stopping(StopMode::Fast, NOW);
        view.lease = None;
        view.server.control = Observed::Seen { value: control(state), at };
        assert_eq!(view.server.postmaster, Some(POSTMASTER));
        assert_eq!(watchdog_order(&view, &primary_memory()), expected, "{state:?}");
    };
    let later = NOW + Duration::from_millis(1);
    check(ControlState::InProduction, later, WatchdogOrder::Leave);
    check(ControlState::ShuttingDown, later, WatchdogOrder::Close);
    check(ControlState::ShutDown, later, WatchdogOrder::Close);
    check(ControlState::ShutDown, NOW - Duration::from_millis(1), WatchdogOrder::Leave);
}

/// DESIGN 4: a stop for the lock's sake is not waited for longer because the lock is renewed meanwhile.
#[test]
fn a_fenced_stop_is_not_prolonged_by_renewals() {
    let ttl = stopping(StopMode::Fast, NOW).settings.ttl;
    let rule = |since, checkpoint_first| {
        let mut view = stopping(StopMode::Fast, since);
        let task = Task::Stop { mode: StopMode::Fast, checkpoint_first };
        view.running = view.running.map(|running| RunningTask { task, ..running });
        decide(&view, &mut primary_memory()).rule
    };
    assert_eq!(rule(NOW - fast_stop_budget(ttl), false), 140);
    assert_ne!(rule(NOW - fast_stop_budget(ttl) + Duration::from_millis(1), false), 140);
    assert_ne!(rule(NOW - fast_stop_budget(ttl), true), 140, "an operator's own stop has its own time");
}

/// DESIGN 4: fast, then immediate, then killed, all before the lock ends; and at once where it is gone.
#[test]
fn a_stop_that_hangs_is_killed_before_the_lock_ends() {
    let margin = guard_margin(stopping(StopMode::Fast, NOW).settings.ttl);
    let killed = |view: &View| {
        let verdict = decide(view, &mut primary_memory());
        verdict.rule == 145 && verdict.action == Action::Escalate(StopMode::Kill)
    };
    let left = |left: Duration| {
        let mut view = stopping(StopMode::Immediate, NOW);
        view.lease = view.lease.map(|lease| LeaseView { deadline: NOW + left, ..lease });
        view
    };
    assert!(!killed(&left(margin * 2)) && killed(&left(margin)));
    let Action::Wait { until } = decide(&left(margin * 2), &mut primary_memory()).action else { panic!("it waits") };
    assert!(until <= NOW + margin, "{until}");

    let mut lost = stopping(StopMode::Immediate, NOW - margin);
    lost.lease = None;
    assert!(!killed(&lost), "nobody says that the lock is gone");
    lost.store.lease_ran_out = true;
    assert!(killed(&lost));
    lost.server.control = Observed::Seen { value: control(ControlState::ShutDown), at: NOW };
    assert!(!killed(&lost), "no session is left: what lives on is archiving");
    let mut paused = stopping(StopMode::Immediate, NOW - margin);
    (paused.lease, paused.store.lease_ran_out) = (None, true);
    paused.settings = Arc::new(Settings { paused: true, ..(*paused.settings).clone() });
    assert!(!killed(&paused));
}
