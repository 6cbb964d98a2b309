//! The log: one line a record in the peer's default form, on standard error, unbuffered; its level changes at run time.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The level in force: 1 errors only, to 5 everything.
static LEVEL: AtomicU8 = AtomicU8::new(3);

/// Records of this target are `CRITICAL`: a person must act.
pub const CRITICAL: &str = "regent::critical";

/// Changes the log at run time.
#[derive(Clone, Copy, Debug)]
pub struct Control(());

impl Control {
    /// Sets the level by the names that configurations use; an unknown name changes nothing.
    pub fn set_level(self, name: &str) {
        let level = match name.to_ascii_uppercase().as_str() {
            "CRITICAL" | "FATAL" | "ERROR" => 1,
            "WARNING" | "WARN" => 2,
            "INFO" => 3,
            "DEBUG" => 4,
            "NOTSET" | "TRACE" => 5,
            _ => return,
        };
        if LEVEL.swap(level, Ordering::Relaxed) != level {
            tracing::callsite::rebuild_interest_cache();
        }
    }
}

/// Starts the log. Only the first call counts.
pub fn start() -> Control {
    // A second subscriber is refused; the first goes on.
    let _first = tracing::subscriber::set_global_default(Lines).is_ok();
    Control(())
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Crates whose own debugging nobody asked for.
const QUIET: [&str; 6] = ["hyper", "reqwest", "rustls", "tokio_postgres", "h2", "mio"];

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = number(*metadata.level());
        let ours = !QUIET.iter().any(|name| metadata.target().starts_with(name));
        metadata.is_event() && level <= LEVEL.load(Ordering::Relaxed) && (ours || level <= 2)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut text = Text(line_start(*metadata.level(), metadata.target()));
        event.record(&mut text);
        text.0.push('\n');
        // Whoever closed standard error does not want to hear of it.
        let _closed = std::io::stderr().lock().write_all(text.0.as_bytes()).is_err();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// `YYYY-MM-DD HH:MM:SS,mmm LEVEL: `, in local time.
fn line_start(level: Level, target: &str) -> String {
    let now = jiff::Timestamp::from_microsecond(crate::ports::wall_now().0).unwrap_or_default();
    let now = now.to_zoned(jiff::tz::TimeZone::system());
    let level = match level {
        Level::ERROR if target == CRITICAL => "CRITICAL",
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    };
    let millis = now.subsec_nanosecond() / 1_000_000;
    let mut line = String::with_capacity(160);
    // Writing into a string can not fail.
    let _ = write!(line, "{},{millis:03} {level}: ", now.strftime("%Y-%m-%d %H:%M:%S"));
    line
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_starts_at_column_24() {
        let line = line_start(Level::WARN, "x");
        assert_eq!(&line[24..], "WARNING: ");
        assert_eq!(&line[19..20], ",");
        assert!(line_start(Level::ERROR, CRITICAL).ends_with("CRITICAL: "));
    }
}
