//! The only place that writes to the terminal, and asks there.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's output")]

use super::{CtlError, Result};
use jiff::Zoned;
use jiff::tz::TimeZone;
use std::io::{BufRead, IsTerminal, Write};

/// Writes a line.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe has read enough.
    let _closed = writeln!(out, "{text}").is_err();
}

/// Writes a line to standard error.
pub(super) fn complain(text: &str) {
    eprintln!("{text}");
}

/// Asks until there is an answer; an empty one takes the default, where there is one. The end of input aborts.
pub(super) fn ask(question: &str, default: Option<&str>) -> Result<String> {
    let prompt = default.map_or_else(|| format!("{question}: "), |default| format!("{question} [{default}]: "));
    loop {
        let answer = answer(&prompt)?;
        match default {
            Some(default) if answer.is_empty() => return Ok(default.to_owned()),
            None if answer.is_empty() => {}
            _ => return Ok(answer),
        }
    }
}

/// Asks for consent; no is the default.
pub(super) fn confirm(question: &str) -> Result<bool> {
    loop {
        match answer(&format!("{question} [y/N]: "))?.trim().to_lowercase().as_str() {
            "y" | "yes" | "1" | "t" | "true" | "on" => return Ok(true),
            "" | "n" | "no" | "0" | "f" | "false" | "off" => return Ok(false),
            _ => line("Error: invalid input"),
        }
    }
}

fn answer(prompt: &str) -> Result<String> {
    let mut out = std::io::stdout().lock();
    let _closed = write!(out, "{prompt}").and_then(|()| out.flush()).is_err();
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(count) if count > 0 => Ok(answer.trim_end_matches(['\n', '\r']).to_owned()),
        _ => Err(CtlError::aborted()),
    }
}

/// Asks for a password; a terminal does not show it.
pub(super) fn ask_password() -> Result<String> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        let _shown = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden).is_err();
    }
    let said = answer("Password: ");
    if let Some(before) = &before {
        let _still_hidden = tcsetattr(&stdin, SetArg::TCSAFLUSH, before).is_err();
        line("");
    }
    said
}

/// Somebody looks at what is written.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Empties the screen, where there is one.
pub(super) fn clear() {
    if is_terminal() {
        let mut out = std::io::stdout().lock();
        let _closed = write!(out, "\x1b[2J\x1b[1;1H").and_then(|()| out.flush()).is_err();
    }
}

/// Now, in local time.
pub(super) fn now() -> Zoned {
    let now = jiff::Timestamp::from_microsecond(crate::ports::wall_now().0).unwrap_or_default();
    now.to_zoned(TimeZone::system())
}

/// `YYYY-MM-DD HH:MM:SS`, local time.
pub(super) fn seconds() -> String {
    now().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `YYYY-MM-DD HH:MM:SS.fffff`, local time with five digits.
pub(super) fn timestamp() -> String {
    let now = now();
    format!("{}.{:05}", now.strftime("%Y-%m-%d %H:%M:%S"), now.subsec_nanosecond() / 10_000)
}
