//! How a call waits while another process has the file: until its own deadline, whatever number of locks it needs, and
//! with looks so short and irregular that a writer who never rests can not shut it out.

use regent_plugin_sdk::Cx;
use rusqlite::Connection;
use std::cell::RefCell;
use std::time::Duration;

/// The longest pause between two looks. A writer without pause leaves the file free for a moment between two commits
/// only, every few milliseconds: the more looks, the sooner one falls into it.
const LOOK_MAX: Duration = Duration::from_millis(3);

thread_local! {
    /// The call that this thread performs.
    static CALL: RefCell<Option<Cx>> = const { RefCell::new(None) };
    /// What the next pause is drawn from.
    static SEED: RefCell<u32> = RefCell::new(std::process::id());
}

/// Performs a call: its locks are waited for until its deadline.
pub(crate) fn during<T>(cx: &Cx, work: impl FnOnce() -> T) -> T {
    /// Also where the work panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            CALL.with_borrow_mut(Option::take);
        }
    }
    CALL.replace(Some(cx.clone()));
    let _end = End;
    work()
}

/// Lets a connection wait as the call that uses it.
pub(crate) fn give(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(look_again))
}

/// Asked by SQLite whenever a lock is not free: waits a little, or gives up.
fn look_again(_looks: i32) -> bool {
    let left = CALL.with_borrow(|call| call.as_ref().filter(|cx| !cx.cancelled()).map_or(Duration::ZERO, Cx::left));
    if left.is_zero() {
        return false;
    }
    pause(next_pause().min(left));
    true
}

/// Between a tenth and the whole of the longest.
fn next_pause() -> Duration {
    let drawn = SEED.with_borrow_mut(|seed| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *seed >> 24
    });
    LOOK_MAX / 10 + LOOK_MAX * drawn * 9 / 2560
}

#[allow(clippy::disallowed_methods, reason = "a lock of SQLite can not be waited for; the wait ends with the call")]
fn pause(duration: Duration) {
    // pace: the next look at a lock that another process has
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_short_and_differ() {
        let pauses: Vec<_> = (0..100).map(|_| next_pause()).collect();
        assert!(pauses.iter().all(|pause| (LOOK_MAX / 10..=LOOK_MAX).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().collect::<std::collections::BTreeSet<_>>().len() > 20, "{pauses:?}");
    }

    #[test]
    fn nobody_waits_without_a_call() {
        assert!(!look_again(0));
    }
}
