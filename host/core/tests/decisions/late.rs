//! Calls to the store that may be carried out after they were given up: what was meant by them must not happen then.

use crate::situation::{expect, primary_memory, standby_memory, stopped, view};
use crate::testing::{NOW, settings};
use regent_core::decide::{Action, Durability, KeyWrites, Memory, decide};
use regent_core::model::*;
use std::sync::Arc;
use std::time::Duration;

/// A leader in synchronous mode whose key has this version; the server waits for whom the key names.
fn leader(version: &str) -> View {
    let mut view = view(Some("a"));
    view.settings = Arc::new(Settings { synchronous_mode: SynchronousMode::On, ..settings() });
    let (cluster, at) = view.store.snapshot.clone().expect("every view has one");
    let sync = SyncView {
        leader: Some("a".into()),
        standbys: vec!["b".into()],
        quorum: 0,
        version: Some(Version(version.into())),
    };
    view.store.snapshot = Some((Arc::new(ClusterView { sync, ..(*cluster).clone() }), at));
    view
}

/// SYNC-02: a write of the sync key that went unanswered may come as long as its version is there. The key is written
/// once more before anything else, also by a daemon that reads it for the first time, for the one before it may have written (seed
/// 500083689).
#[test]
fn a_sync_key_that_may_change_yet_is_written_once_more() {
    let again = |view: &View, memory: &mut Memory| match decide(view, memory).action {
        Action::Store(StoreCall::WriteSync { sync, over }) => Some((sync.standbys, over)),
        _ => None,
    };
    let same = |version: &str| Some((vec!["b".to_owned()], Some(Version(version.into()))));
    let doubtful = |version: &str| {
        let key = KeyWrites::MayCome(Some(Version(version.into())));
        Memory { durability: Durability { key, ..Durability::default() }, ..primary_memory() }
    };
    let mut memory = doubtful("5");
    assert_eq!(again(&leader("5"), &mut memory), same("5"));
    assert_eq!(memory.durability.key, KeyWrites::MayCome(Some(Version("5".into()))));

    let mut memory = doubtful("5");
    assert_ne!(again(&leader("6"), &mut memory), same("6"), "what was meant for another version can not come any more");

    let mut memory = primary_memory();
    assert_eq!(again(&leader("5"), &mut memory), same("5"), "the store may have been away since the start");

    let mut standby = leader("5");
    standby.server.status = Some(PostmasterStatus::Standby);
    standby.server.recovery_signal = true;
    standby.server.monitoring = Observed::Unseen("not asked yet".into());
    let memory = Memory { durability: doubtful("5").durability, ..standby_memory() };
    assert!(matches!(expect(&standby, memory, 823), Action::Store(StoreCall::WriteSync { .. })));
}

/// A request to give the lock back that went unanswered may be carried out later: nothing is promoted or started on that
/// lock before it was taken anew.
#[test]
fn a_lock_that_may_be_given_back_yet_is_taken_anew() {
    let mut unsure = view(Some("a"));
    unsure.server.status = Some(PostmasterStatus::Standby);
    unsure.server.recovery_signal = true;
    unsure.server.monitoring = Observed::Unseen("not asked yet".into());
    let earlier = NOW - Duration::from_millis(200);
    unsure.lease = Some(LeaseView {
        deadline: NOW + Duration::from_secs(20),
        renewed_at: earlier - Duration::from_millis(200),
        attempted_at: earlier,
    });
    let memory = Memory { release_sent: Some(earlier), ..standby_memory() };
    assert_eq!(expect(&unsure, memory.clone(), 825), Action::Store(StoreCall::Acquire));

    let mut crashed = unsure.clone();
    stopped(&mut crashed, ControlState::InProduction);
    crashed.server.recovery_signal = false;
    let role = |memory: Memory| Memory { role: Role::Primary, ..memory };
    assert_eq!(expect(&crashed, role(memory.clone()), 725), Action::Store(StoreCall::Acquire));

    let mut due = view(Some("a"));
    due.lease = unsure.lease.map(|lease| LeaseView { renewed_at: NOW - Duration::from_secs(30), ..lease });
    assert_eq!(expect(&due, Memory { role: Role::Primary, ..memory.clone() }, 210), Action::Store(StoreCall::Acquire));

    unsure.lease = unsure.lease.map(|lease| LeaseView { renewed_at: NOW, ..lease });
    assert_eq!(expect(&unsure, memory, 825), Action::Begin(Task::Promote));
}
