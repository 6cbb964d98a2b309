//! What the service manager is told: that the daemon is up, reads its configuration again, or ends (OPS-28).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is told. PostgreSQL and its programs never see that variable.

use sd_notify::NotifyState;

/// The daemon runs, with the present configuration.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again; [`ready`] has to follow.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the service manager is not told of the reload: {error}"),
    }
}

/// It ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager can not be told: {error}");
    }
}
