//! CB: what operators' scripts hear, and in which role.

use crate::situation::{expect, primary_memory, standby_memory, stopped, view};
use crate::testing::NOW;
use regent_core::decide::{Action, Handover, Memory, decide};
use regent_core::model::*;

/// What scripts hear from now on, in order.
fn heard(view: &View, memory: &mut Memory) -> Vec<(Callback, Role)> {
    let mut view = view.clone();
    let mut heard = Vec::new();
    for _ in 0..8 {
        match decide(&view, memory).action {
            Action::Run(Errand::Callback(event, role)) => heard.push((event, role)),
            _ => break,
        }
        view.finished = None;
    }
    heard
}

fn ended(mut view: View, task: Task, outcome: TaskOutcome) -> View {
    view.finished = Some(FinishedTask { number: 1, task, outcome, at: NOW });
    view
}

fn fast_stop() -> Task {
    Task::Stop { mode: StopMode::Fast, checkpoint_first: true }
}

fn down(leader: Option<&str>) -> View {
    let mut view = view(leader);
    stopped(&mut view, ControlState::ShutDown);
    view
}

/// CB-01, CB-02: the first time a server is seen up; scripts hear of it once.
#[test]
fn a_server_that_is_up_is_told_once() {
    let mut fresh = Memory { announced: None, ..primary_memory() };
    assert_eq!(heard(&view(Some("a")), &mut fresh), [(Callback::OnStart, Role::Primary)]);
    assert_eq!(heard(&view(Some("a")), &mut fresh), []);
    let mut standby = Memory { announced: None, ..standby_memory() };
    assert_eq!(heard(&view(Some("b")), &mut standby), [(Callback::OnStart, Role::Replica)]);
}

/// CB-05: a change of role is told as that and as nothing else.
#[test]
fn a_change_of_role_is_told_alone() {
    let mut promoted = standby_memory();
    assert_eq!(heard(&view(Some("a")), &mut promoted), [(Callback::OnRoleChange, Role::Primary)]);
    let mut demoted = Memory { role: Role::Demoted, down: true, ..primary_memory() };
    assert_eq!(heard(&view(Some("b")), &mut demoted), [(Callback::OnRoleChange, Role::Replica)]);
    let mut restarted = Memory { down: true, ..primary_memory() };
    let restart = ended(view(Some("a")), Task::Restart(StartMode::Primary), TaskOutcome::Done);
    assert_eq!(heard(&restart, &mut restarted)[0], (Callback::OnRestart, Role::Primary));
}

/// CB-06: scripts hear of a stop in the role that the server had until then; demoted where another may lead already,
/// uninitialized where nothing is left of it.
#[test]
fn a_stop_is_told_in_the_role_that_ends() {
    let mut leader = primary_memory();
    let stop = |view| ended(view, fast_stop(), TaskOutcome::Done);
    assert_eq!(heard(&stop(down(None)), &mut leader)[0], (Callback::OnStop, Role::Primary));
    assert_eq!(heard(&stop(down(Some("b"))), &mut standby_memory())[0], (Callback::OnStop, Role::Replica));

    let handover = Handover { request: None, begun_at: NOW, stopping: true, probe_again_at: NOW };
    let mut released = Memory { handover: Some(handover), ..primary_memory() };
    let mut gave_it_up = down(Some("b"));
    gave_it_up.lease = None;
    assert_eq!(heard(&stop(gave_it_up), &mut released)[0], (Callback::OnStop, Role::Demoted));

    let mut vanished = stop(down(Some("b")));
    vanished.server.data_directory = DataDirectory::Empty;
    assert_eq!(heard(&vanished, &mut standby_memory())[0], (Callback::OnStop, Role::Uninitialized));
    let mut wiped = ended(down(Some("b")), Task::Wipe, TaskOutcome::Done);
    wiped.server.data_directory = DataDirectory::Empty;
    assert_eq!(heard(&wiped, &mut standby_memory())[0], (Callback::OnStop, Role::Uninitialized));
}

/// CB-09: a primary that does not come up again is told as demoted.
#[test]
fn a_primary_that_can_not_be_started_is_told_as_demoted() {
    let failed = TaskOutcome::Failed("it ended".into());
    let start = ended(down(Some("a")), Task::Start(StartMode::Primary), failed);
    let mut memory = Memory { restarting_in_place: true, ..primary_memory() };
    assert_eq!(heard(&start, &mut memory), [(Callback::OnRoleChange, Role::Demoted)]);
    let mut replica = memory.clone();
    assert_eq!(heard(&view(Some("b")), &mut replica), [(Callback::OnRoleChange, Role::Replica)]);
}

/// CB-03: the next script is told when the one before it was handed over, not before.
#[test]
fn scripts_are_told_one_after_the_other() {
    let mut busy = view(Some("a"));
    busy.errands.insert(ErrandKind::Callback);
    let mut memory = Memory { announced: None, ..primary_memory() };
    expect(&busy, memory.clone(), 870);
    decide(&busy, &mut memory);
    busy.errands.clear();
    assert_eq!(heard(&busy, &mut memory), [(Callback::OnStart, Role::Primary)]);
}
