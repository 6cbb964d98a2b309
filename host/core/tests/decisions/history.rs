//! The history of timelines: written once, also where a number was passed over.

use crate::situation::{primary_memory, view};
use crate::testing::{NOW, monitoring};
use regent_core::decide::{Action, Memory, decide};
use regent_core::model::*;
use std::sync::Arc;

fn row(timeline: u32) -> HistoryRow {
    let reason = "no recovery target specified".to_owned();
    HistoryRow { timeline: Timeline(timeline), switch_lsn: Lsn(50), reason, timestamp: None, new_leader: None }
}

/// A primary on that timeline, of whose history the key holds these rows.
fn primary(timeline: u32, rows: Vec<HistoryRow>) -> View {
    let mut view = view(Some("a"));
    let value = Monitoring { timeline: Some(Timeline(timeline)), ..monitoring(true) };
    view.server.monitoring = Observed::Seen { value, at: NOW };
    let (cluster, at) = view.store.snapshot.clone().expect("every view has one");
    let history = HistoryView { known: true, rows };
    view.store.snapshot = Some((Arc::new(ClusterView { history, ..(*cluster).clone() }), at));
    view
}

/// A primary on the first timeline has none: the key is that of a cluster that was before it, or of a later time.
#[test]
fn a_history_of_others_is_taken_back() {
    let emptied = Action::Store(StoreCall::WriteHistory { rows: Vec::new() });
    assert_eq!(decide(&primary(1, vec![row(1)]), &mut primary_memory()).action, emptied);
    assert_ne!(decide(&primary(1, Vec::new()), &mut primary_memory()).action, emptied);
}

/// HA-30: a promotion passes over numbers that others took. What the server then tells is written, once.
#[test]
fn a_history_with_a_gap_is_read_and_written_once() {
    let mut memory = primary_memory();
    let mut view = primary(4, vec![row(1)]);
    let next = |view: &View, memory: &mut Memory| decide(view, memory).action;
    assert_eq!(next(&view, &mut memory), Action::Run(Errand::ReadHistory));
    view.store.local_history = Some(vec![row(1), row(2)]);
    let written = Action::Store(StoreCall::WriteHistory { rows: vec![row(1), row(2)] });
    assert_eq!(next(&view, &mut memory), written);

    let mut written = primary(4, vec![row(1), row(2)]);
    assert_eq!(next(&written, &mut memory), Action::Run(Errand::ReadHistory));
    written.store.local_history = Some(vec![row(1), row(2)]);
    let about_it = |action: Action| matches!(action, Action::Run(Errand::ReadHistory) | Action::Store(_));
    assert!(!about_it(next(&written, &mut memory)));
    assert_eq!(memory.history_written, Some(Timeline(4)));

    let mut untold = primary(2, Vec::new());
    let mut memory = primary_memory();
    assert_eq!(next(&untold, &mut memory), Action::Run(Errand::ReadHistory));
    untold.store.local_history = Some(Vec::new());
    assert!(!about_it(next(&untold, &mut memory)), "a server without history files has none to tell");
}
