//! Who waits for the end of a restart, and how long: the answer comes with the end, or earlier where the server that
//! was started takes longer than was asked for. The restart itself goes on: the rules say how long is too long for it.

use super::Agent;
use super::handle::Reply;
use regent_core::model::{Moment, Task, TaskOutcome};
use std::time::Duration;
use tokio::sync::oneshot;

/// One who asked for a restart.
pub(super) struct Waiter {
    reply: oneshot::Sender<Reply>,
    patience: Duration,
    until: Option<Moment>,
}

impl Waiter {
    /// Waits for the start of the server this long, once it was started.
    pub fn new(reply: oneshot::Sender<Reply>, patience: Duration) -> Waiter {
        Waiter { reply, patience, until: None }
    }

    fn tell(self, status: u16, text: &str) {
        if self.reply.send(Reply { status, text: text.to_owned() }).is_err() {
            tracing::debug!("nobody waits for the answer any more");
        }
    }
}

impl Agent {
    /// A server was started.
    pub(super) fn restart_has_started(&mut self) {
        let restarting = self.view.running.as_ref().is_some_and(|running| matches!(running.task, Task::Restart(_)));
        if let Some(waiter) = self.restart_waiter.as_mut().filter(|_| restarting) {
            waiter.until = Some(self.view.now + waiter.patience);
        }
    }

    /// When the patience of who waits for a restart ends.
    pub(super) fn restart_patience(&self) -> Option<Moment> {
        self.restart_waiter.as_ref()?.until
    }

    pub(super) fn check_restart_patience(&mut self) {
        let now = self.view.now;
        if let Some(waiter) = self.restart_waiter.take_if(|waiter| waiter.until.is_some_and(|until| now >= until)) {
            waiter.tell(503, "postgres is still starting");
        }
    }

    /// Answers a restart by what came of it.
    pub(super) fn answer_restart(&mut self, outcome: &TaskOutcome) {
        let Some(waiter) = self.restart_waiter.take() else { return };
        match outcome {
            TaskOutcome::Done => waiter.tell(200, "restarted successfully"),
            _ => waiter.tell(503, "restart failed"),
        }
    }
}
