//! Repeating a request: what may be done about one that went unanswered, and how tries are paced.

use regent_plugin_sdk::Cx;
use std::time::Duration;

/// With less left, another try would tell nothing but that there was no time.
pub const TRY_MIN: Duration = Duration::from_millis(50);

/// Between two tries or rounds of tries, at first and at most.
pub const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// What may be done about a request of which nobody knows whether it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing: again, and if all fails, nothing was applied.
    Read,
    /// Doing it twice is doing it once, or shows: again.
    Write,
    /// A second try could take the first for somebody else's: never.
    Once,
}

/// Waits before the next try; `false` when the call's time is over.
#[allow(clippy::disallowed_methods, reason = "a retry is paced; the wait ends with the call")]
pub async fn rest(cx: &Cx, pause: Duration) -> bool {
    let left = cx.left();
    if left <= pause {
        return false;
    }
    // pace: all servers failed just now; members that elect a leader need a moment
    tokio::time::sleep(pause).await;
    true
}
