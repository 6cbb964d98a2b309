//! The log: one record a line, in the peer's default form or as configured, on standard error or in rotated files.
//!
//! A record is put into words where it arises and written by a thread of its own, through a queue with an end: whoever
//! reads our log too slowly, or not at all, must not hold up the loop that renews the lock (LOG-07). Until the options
//! are known, records go straight to standard error.

mod form;
mod levels;
mod record;
mod sink;

use form::Form;
use levels::Levels;
use record::Record;
use sink::{Sink, Written};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;
use tracing::{Event, Metadata, Subscriber, span};

/// Records of this target are `CRITICAL`: a person must act.
pub const CRITICAL: &str = "regent::critical";

/// The form that the peer's log has, and with it every tool that reads it.
const DEFAULT_FORM: &str = "%(asctime)s %(levelname)s: %(message)s";

/// The file's name in its folder: that of the peer, so that what collects it goes on.
const FILE_NAME: &str = "patroni.log";

static LOG: LazyLock<RwLock<Log>> = LazyLock::new(|| {
    let form = Form::plain(DEFAULT_FORM, None);
    RwLock::new(Log { levels: Levels::default(), form, sink: Sink::Direct })
});

/// What the log is like now.
struct Log {
    levels: Levels,
    form: Form,
    sink: Sink,
}

/// How a record looks.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Text with placeholders of the form `%(name)s`.
    Plain(String),
    /// A JSON object: names of fields and what they are called; then fields that are always the same, as JSON texts.
    Json(Vec<(String, String)>, Vec<(String, serde_json::Value)>),
}

/// What the log shall be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How a record looks.
    pub look: Look,
    /// How its time looks (`strftime`); `None`: `YYYY-MM-DD HH:MM:SS,mmm`.
    pub dateformat: Option<String>,
    /// The least important level that is written.
    pub level: String,
    /// Levels of single loggers.
    pub loggers: BTreeMap<String, String>,
    /// Records that may wait to be written.
    pub queue: usize,
    /// Where the log file is; `None`: standard error.
    pub file: Option<FileOptions>,
}

/// The log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Its folder.
    pub dir: PathBuf,
    /// Its permission bits; `None` for what the umask leaves.
    pub mode: Option<u32>,
    /// Bytes after which a new one is begun; 0: never.
    pub size: u64,
    /// How many old ones are kept; 0: it is never begun anew.
    pub kept: usize,
}

/// Changes the log at run time.
#[derive(Clone, Copy, Debug)]
pub struct Control(());

impl Control {
    /// Sets the level by the names that configurations use; an unknown name changes nothing.
    pub fn set_level(self, name: &str) {
        change(|log| log.levels.set(name));
    }

    /// Brings the options into force. Records that wait are written first, to where they were meant to go.
    ///
    /// # Errors
    /// When the log file can not be opened; then the log goes on where it went before, with all else in force.
    pub fn apply(self, options: &Options) -> std::io::Result<()> {
        let form = match &options.look {
            Look::Plain(text) => Form::plain(text, options.dateformat.as_deref()),
            Look::Json(fields, fixed) => Form::json(fields, fixed, options.dateformat.as_deref()),
        };
        let mut moved = Ok(());
        change(|log| {
            log.levels = Levels::new(&options.level, &options.loggers);
            log.form = form;
            moved = log.sink.reconfigure(options.queue, options.file.as_ref());
        });
        moved
    }

    /// Waits until everything is written, and goes on straight to standard error.
    ///
    /// # Errors
    /// [`Unwritten`] when the reader of the log was too slow.
    pub fn finish(self, deadline: Duration) -> Result<(), Unwritten> {
        let mut sink = Sink::Direct;
        change(|log| std::mem::swap(&mut log.sink, &mut sink));
        match sink.finish(deadline) {
            Written::All => Ok(()),
            Written::NotAll => Err(Unwritten),
        }
    }
}

/// Records were still waiting when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritten;

fn change(alter: impl FnOnce(&mut Log)) {
    alter(&mut LOG.write().unwrap_or_else(PoisonError::into_inner));
    tracing::callsite::rebuild_interest_cache();
}

/// Starts the log. Only the first call counts.
pub fn start() -> Control {
    // A second subscriber is refused; the first goes on.
    let _first = tracing::subscriber::set_global_default(Lines).is_ok();
    Control(())
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let log = LOG.read().unwrap_or_else(PoisonError::into_inner);
        // Who only asks, as plugins do before they say something, has no event yet.
        !metadata.is_span() && log.levels.allow(metadata.target(), *metadata.level())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let record = Record::of(event);
        let log = LOG.read().unwrap_or_else(PoisonError::into_inner);
        log.sink.write(|| log.form.line(&record));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    /// Backends ask before they write.
    #[test]
    fn who_asks_is_told_what_would_be_written() {
        tracing::subscriber::with_default(Lines, || {
            assert!(tracing::enabled!(target: "dcs_plugin", Level::WARN));
            assert!(!tracing::enabled!(target: "dcs_plugin", Level::TRACE));
        });
    }
}
