//! The loop's orders to the Linux watchdog: given when they change, answered by an event.

use super::event::Event;
use super::{Agent, perform};
use crate::fence::WatchdogOptions;
use regent_core::decide::{WatchdogOrder, watchdog_order};
use regent_core::model::{FenceMode, Settings, WatchdogState, WatchdogView};

/// What the watchdog was last told.
#[derive(Default)]
pub(super) struct Told {
    /// The order, its settings, and for a closed device in which loop it was looked at.
    last: Option<(WatchdogOrder, WatchdogOptions, u64)>,
    /// How many orders there were.
    number: u64,
}

/// Before it was looked at: nobody leads on a watchdog that must be there and may not be.
pub(super) fn unchecked(settings: &Settings) -> WatchdogView {
    WatchdogView { state: WatchdogState::Closed, usable: settings.watchdog != FenceMode::Required }
}

impl Agent {
    /// Tells the watchdog what to do, if that changed. Where it must be there, a closed one is looked at once a loop.
    pub(super) fn tell_watchdog(&mut self) {
        let order = watchdog_order(&self.view, &self.memory);
        let options = self.watchdog_options();
        let required = options.mode == FenceMode::Required && order == WatchdogOrder::Close;
        let loops = self.view.now.0 / u64::try_from(options.loop_wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let turn = (order, options, if required { loops } else { 0 });
        if order == WatchdogOrder::Leave || self.watchdog.last.as_ref() == Some(&turn) {
            return;
        }
        if order == WatchdogOrder::Close {
            self.view.watchdog.state = WatchdogState::Closed;
        }
        self.watchdog.number += 1;
        let number = self.watchdog.number;
        let answer = self.parts.watchdog.tell(order, &turn.1);
        self.watchdog.last = Some(turn);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let view = answer.await;
            perform::send(&sender, Event::Watchdog { number, view }).await;
        });
    }

    /// Takes in what came of the last order.
    pub(super) fn fold_watchdog(&mut self, number: u64, view: WatchdogView) {
        if number == self.watchdog.number {
            self.view.watchdog = view;
        }
    }

    /// Closes the watchdog before the daemon ends, unless a server that may take writes is left behind.
    pub(super) async fn leave_watchdog(&self) {
        if watchdog_order(&self.view, &self.memory) == WatchdogOrder::Close {
            self.parts.watchdog.tell(WatchdogOrder::Close, &self.watchdog_options()).await;
        }
    }

    fn watchdog_options(&self) -> WatchdogOptions {
        let configured = &self.parts.configuration.effective.watchdog;
        WatchdogOptions {
            mode: configured.mode,
            device: configured.device.clone(),
            safety_margin: configured.safety_margin,
            ttl: self.view.settings.ttl,
            loop_wait: self.view.settings.loop_wait,
        }
    }
}
