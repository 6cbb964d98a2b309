//! The guard around every call: a panic becomes an error and the object is of no more use, the process lives on.

use crate::{DcsError, ErrorKind, Result};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`; a panic in it poisons the object.
pub(crate) fn guarded<T>(poisoned: &AtomicBool, operation: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if poisoned.load(Ordering::Acquire) {
        return Err(DcsError::new(ErrorKind::Closed, "the backend object panicked earlier"));
    }
    match catch(work) {
        Ok(answer) => answer,
        Err(message) => {
            poisoned.store(true, Ordering::Release);
            Err(DcsError::new(ErrorKind::Panic, format!("panic in plugin, operation {operation}, {message}")))
        }
    }
}

/// Runs `work`; a panic gives its message and place.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    hook();
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        // Dropping the payload could panic again.
        std::mem::forget(payload);
        LAST_PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(|| "at an unknown place".to_owned())
    })
}

/// Replaces the plugin's own panic hook, so that nothing is printed and the place is kept.
fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map_or_else(String::new, |at| format!("at {}:{}", at.file(), at.line()));
            let payload = info.payload();
            let message = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            LAST_PANIC.with(|last| *last.borrow_mut() = Some(format!("{place}: {message}")));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_poisons_the_object() {
        let poisoned = AtomicBool::new(false);
        let error = guarded::<()>(&poisoned, "load", || panic!("out of {}", "cheese")).expect_err("it panicked");
        assert_eq!(error.kind, ErrorKind::Panic);
        assert!(error.message.contains("load") && error.message.contains("out of cheese"), "{error}");
        assert!(error.message.contains("guard.rs:"), "the place is told: {error}");
        let error = guarded(&poisoned, "load", || Ok(())).expect_err("it is of no more use");
        assert_eq!(error.kind, ErrorKind::Closed);
    }
}
