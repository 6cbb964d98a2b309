//! `log`: what is logged, how it looks and where it goes.

use super::judge::mode;
use super::reading::{at, file_at, integer_at, pairs, some_text_at, truth_at};
use super::units::text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// How a line looks.
    pub form: LogForm,
    /// The least important level that is written, in capitals.
    pub level: String,
    /// The level at which errors come with everything that is known about them.
    pub traceback_level: String,
    /// How the time looks, with the placeholders of `strftime`; `None` for the usual form.
    pub dateformat: Option<String>,
    /// Added to every line of JSON.
    pub static_fields: Vec<(String, Value)>,
    /// Lines that may wait to be written.
    pub max_queue_size: usize,
    /// The folder of the log file and of the decision journal; `None`: standard error, and a journal in memory only.
    pub dir: Option<PathBuf>,
    /// Permission bits of the log file; `None` for what the umask leaves.
    pub mode: Option<u32>,
    /// Bytes after which a new file is begun.
    pub file_size: u64,
    /// Files that are kept beside the one that is written.
    pub file_num: usize,
    /// Levels of single loggers.
    pub loggers: BTreeMap<String, String>,
    /// Heartbeats that say the same as the one before are left out.
    pub deduplicate_heartbeat_logs: bool,
}

/// How a line looks.
#[derive(Clone, Debug, PartialEq)]
pub enum LogForm {
    /// Text with placeholders of the form `%(name)s`.
    Plain(String),
    /// A JSON object: names of fields and what they are called.
    Json(Vec<(String, String)>),
}

const LEVELS: [&str; 7] = ["DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL"];
const FORMAT: &str = "%(asctime)s %(levelname)s: %(message)s";

/// `log`.
pub(super) fn build(local: &Value) -> LogSettings {
    let level = |key: &str, default: &str| {
        let said = some_text_at(local, key).map(|level| level.to_uppercase());
        let known = said.filter(|level| LEVELS.contains(&level.as_str()));
        known.unwrap_or_else(|| default.to_owned())
    };
    let number = |key: &str, default: i64| integer_at(local, key).filter(|number| *number >= 0).unwrap_or(default);
    let size = |key: &str, default: i64| usize::try_from(number(key, default)).unwrap_or(usize::MAX);
    let fields = at(local, "log.static_fields").and_then(Value::as_object);
    LogSettings {
        form: form(local),
        level: level("log.level", "INFO"),
        traceback_level: level("log.traceback_level", "ERROR"),
        dateformat: some_text_at(local, "log.dateformat"),
        static_fields: fields.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect(),
        max_queue_size: size("log.max_queue_size", 1000),
        dir: file_at(local, "log.dir"),
        mode: at(local, "log.mode").and_then(mode).filter(|mode| *mode <= 0o777),
        file_size: number("log.file_size", 25_000_000).unsigned_abs(),
        file_num: size("log.file_num", 4),
        loggers: pairs(at(local, "log.loggers")).map(|(name, level)| (name, level.to_uppercase())).collect(),
        deduplicate_heartbeat_logs: truth_at(local, "log.deduplicate_heartbeat_logs").unwrap_or(false),
    }
}

fn form(local: &Value) -> LogForm {
    let json = some_text_at(local, "log.type").is_some_and(|kind| kind.eq_ignore_ascii_case("json"));
    let format = at(local, "log.format");
    if !json {
        let format = format.and_then(Value::as_str).filter(|format| !format.is_empty());
        return LogForm::Plain(format.unwrap_or(FORMAT).to_owned());
    }
    match format {
        Some(Value::Array(items)) => LogForm::Json(items.iter().flat_map(fields).collect()),
        Some(Value::String(format)) => LogForm::Json(placeholders(format)),
        _ => LogForm::Json(placeholders(FORMAT)),
    }
}

/// A field under its own name, or renamed.
fn fields(item: &Value) -> Vec<(String, String)> {
    match item {
        Value::Object(_) => pairs(Some(item)).collect(),
        other => text(other).map(|name| (name.clone(), name)).into_iter().collect(),
    }
}

/// The fields that a text names as `%(name)`.
fn placeholders(format: &str) -> Vec<(String, String)> {
    let names = format.split("%(").skip(1).filter_map(|rest| rest.split_once(')'));
    names.map(|(name, _)| (name.to_owned(), name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(section: Value) -> LogSettings {
        build(&json!({ "log": section }))
    }

    #[test]
    fn the_form_is_text_or_json() {
        let check = |section: Value, expected: LogForm| assert_eq!(built(section).form, expected);
        let field = |name: &str, shown: &str| (name.to_owned(), shown.to_owned());
        check(json!({}), LogForm::Plain(FORMAT.to_owned()));
        check(json!({"format": "%(message)s"}), LogForm::Plain("%(message)s".to_owned()));
        check(
            json!({"type": "json", "format": ["message", {"asctime": "@timestamp"}]}),
            LogForm::Json(vec![field("message", "message"), field("asctime", "@timestamp")]),
        );
        check(
            json!({"type": "json", "format": "%(levelname)s: %(message)s"}),
            LogForm::Json(vec![field("levelname", "levelname"), field("message", "message")]),
        );
    }

    #[test]
    fn what_is_not_said_or_is_wrong_is_the_default() {
        let settings = built(json!({
            "level": "loud", "traceback_level": "debug", "mode": "0644", "file_size": "1000000", "file_num": -1,
            "loggers": {"urllib3": "warning"},
        }));
        assert_eq!((settings.level.as_str(), settings.traceback_level.as_str()), ("INFO", "DEBUG"));
        assert_eq!((settings.mode, settings.file_size, settings.file_num), (Some(0o644), 1_000_000, 4));
        assert_eq!(settings.loggers["urllib3"], "WARNING");
        assert_eq!(settings.max_queue_size, 1000);
    }
}
