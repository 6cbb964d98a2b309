//! One record: what happened, when and where in the program.

use super::CRITICAL;
use crate::ports;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// When the log began, in microseconds since 1970.
static BEGAN: LazyLock<i64> = LazyLock::new(|| ports::wall_now().0);

/// A record.
pub(super) struct Record {
    /// Microseconds since 1970.
    pub(super) at: i64,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) message: String,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Record {
        let metadata = event.metadata();
        let mut message = Text(String::with_capacity(120));
        event.record(&mut message);
        Record {
            at: ports::wall_now().0.max(*BEGAN),
            level: *metadata.level(),
            target: metadata.target(),
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
            message: message.0,
        }
    }

    /// The level, by the names that the peer's log has.
    pub(super) fn level_name(&self) -> &'static str {
        match self.level {
            Level::ERROR if self.target == CRITICAL => "CRITICAL",
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        }
    }

    /// The level as the number that goes with its name.
    pub(super) fn level_number(&self) -> u32 {
        match self.level_name() {
            "CRITICAL" => 50,
            "ERROR" => 40,
            "WARNING" => 30,
            "INFO" => 20,
            _ => 10,
        }
    }

    /// Milliseconds since the log began.
    pub(super) fn since_start(&self) -> f64 {
        (self.at - *BEGAN) as f64 / 1000.0
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string can not fail.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
