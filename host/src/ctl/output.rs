//! The only place that writes to the terminal, and asks there.
#![allow(clippy::print_stdout, reason = "this is the command's output")]

use super::{CtlError, Result};
use std::io::{BufRead, Write};

/// Writes a line.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe has read enough.
    let _closed = writeln!(out, "{text}").is_err();
}

/// Asks; the default is taken for an empty answer. The end of input aborts.
pub(super) fn ask(question: &str, default: &str) -> Result<String> {
    let mut out = std::io::stdout().lock();
    let _closed = write!(out, "{}", prompt(question, default)).and_then(|()| out.flush()).is_err();
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(count) if count > 0 => {
            let answer = answer.trim();
            Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
        }
        _ => Err(CtlError::new("Aborted!")),
    }
}

/// Asks for consent; no is the default.
pub(super) fn confirm(question: &str) -> Result<bool> {
    let answer = ask(&format!("{question} [y/N]"), "").map(|answer| answer.to_lowercase());
    answer.map(|answer| matches!(answer.as_str(), "y" | "yes"))
}

/// `YYYY-MM-DD HH:MM:SS.fffff`, local time with five digits.
pub(super) fn timestamp() -> String {
    let now = jiff::Timestamp::from_microsecond(crate::ports::wall_now().0).unwrap_or_default();
    let now = now.to_zoned(jiff::tz::TimeZone::system());
    format!("{}.{:05}", now.strftime("%Y-%m-%d %H:%M:%S"), now.subsec_nanosecond() / 10_000)
}

/// A question for consent carries its choices already.
fn prompt(question: &str, default: &str) -> String {
    if question.ends_with(']') { format!("{question}: ") } else { format!("{question} [{default}]: ") }
}
