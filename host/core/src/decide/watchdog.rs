//! What the Linux watchdog is told: it is opened before a promotion, fed at each renewal of the lock, and closed once no
//! session can write any more. It covers what the lease guard cannot: a host that hangs as a whole.

use super::Memory;
use super::case::{Case, Decision};
use super::{Action, Reason};
use crate::model::{FenceMode, LeaseView, Moment, StopMode, StoreCall, Task, View, WatchdogState};

/// The order in force for the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogOrder {
    /// Hold it open; feed it once for this renewal of the lock.
    Feed {
        /// When that renewal was sent.
        renewed_at: Moment,
    },
    /// Neither feed nor close it: a server that may take writes is without its lock.
    Leave,
    /// It shall not be open.
    Close,
}

/// What the watchdog should be told now.
///
/// Nobody opens it who has no lock. It is let go of in maintenance, on a server that is down or only follows, and in a
/// stop as soon as no session is left (WD-03, WD-05).
pub fn watchdog_order(view: &View, memory: &Memory) -> WatchdogOrder {
    let settings = &view.settings;
    let unwanted = settings.watchdog == FenceMode::Off || settings.paused || settings.standby_cluster.is_some();
    if unwanted || view.server.postmaster.is_none() || view.stop_is_past_sessions() {
        return WatchdogOrder::Close;
    }
    let promoting = matches!(&view.running, Some(running) if running.task == Task::Promote);
    let writing = view.server.may_take_writes() || promoting;
    match view.lease.filter(|lease| view.now < lease.deadline) {
        Some(lease) if writing => WatchdogOrder::Feed { renewed_at: last_kept(view, lease) },
        Some(_) if memory.release_wanted => WatchdogOrder::Close,
        Some(lease) if view.server.is_standby() => WatchdogOrder::Feed { renewed_at: last_kept(view, lease) },
        None if writing => WatchdogOrder::Leave,
        _ => WatchdogOrder::Close,
    }
}

/// When the lock was last renewed, or the members last let its leader go on without the store.
fn last_kept(view: &View, lease: LeaseView) -> Moment {
    view.failsafe.kept_at.map_or(lease.renewed_at, |kept| kept.max(lease.renewed_at))
}

/// The watchdog is required and was not to be had.
fn is_missing(case: &Case<'_>) -> bool {
    case.view.settings.watchdog == FenceMode::Required && case.view.watchdog.state == WatchdogState::Failed
}

pub(super) fn stop_unwatched(case: &mut Case<'_>) -> Decision {
    if !super::leader::leads(case) || case.paused() || !case.view.server.is_primary() || !is_missing(case) {
        return None;
    }
    case.memory.release_wanted = true;
    let stop = Task::Stop { mode: StopMode::Immediate, checkpoint_first: false };
    Some((Action::Preempt(stop), Reason::WatchdogMissing))
}

pub(super) fn release_unwatched(case: &mut Case<'_>) -> Decision {
    if !super::leader::leads(case) || case.paused() || super::site::is_in_office(case) || !is_missing(case) {
        return None;
    }
    case.call(StoreCall::Release { optime: None }, Reason::WatchdogMissing)
}

pub(super) fn wait_for_opening(case: &mut Case<'_>) -> Decision {
    let wanted = matches!(watchdog_order(case.view, case.memory), WatchdogOrder::Feed { .. });
    let opening = wanted && case.view.watchdog.state == WatchdogState::Closed;
    if !super::leader::leads(case) || case.view.server.is_primary() || !opening {
        return None;
    }
    case.wait(Reason::WatchdogOpening)
}
