//! The only place that writes to the terminal, and asks there.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's output")]

use super::{CtlError, Result};
use jiff::Zoned;
use jiff::tz::TimeZone;
use std::io::{IsTerminal, Write};

/// Writes a line.
pub(super) fn line(text: &str) {
    console::write(&format!("{text}\n"));
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
    console::write(prompt);
    let answer = console::read().ok_or_else(CtlError::aborted)?;
    Ok(answer.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(not(test))]
mod console {
    use std::io::{BufRead, Write};

    pub(super) fn write(text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever closed the pipe has read enough.
        let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
    }

    pub(super) fn read() -> Option<String> {
        let mut answer = String::new();
        let count = std::io::stdin().lock().read_line(&mut answer).ok()?;
        (count > 0).then_some(answer)
    }
}

/// Asks for a secret beside the output, so that the output can go into a file; nothing said is an empty one.
pub(super) fn ask_secret(prompt: &str) -> String {
    eprint!("{prompt}");
    let said = without_echo(|| console::read().unwrap_or_default());
    said.trim_end_matches(['\n', '\r']).to_owned()
}

/// Asks for a password; a terminal does not show it.
pub(super) fn ask_password() -> Result<String> {
    let said = without_echo(|| answer("Password: "));
    if std::io::stdin().is_terminal() {
        line("");
    }
    said
}

/// What a terminal takes meanwhile it does not show.
fn without_echo<T>(scene: impl FnOnce() -> T) -> T {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        let _shown = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden).is_err();
    }
    let said = scene();
    if let Some(before) = &before {
        let _still_hidden = tcsetattr(&stdin, SetArg::TCSAFLUSH, before).is_err();
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

/// Tests write what the operator answers, and read what was told, in one text.
#[cfg(test)]
pub(in crate::ctl) mod console {
    use std::cell::RefCell;

    thread_local! {
        static ANSWERS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
        static TOLD: RefCell<String> = const { RefCell::new(String::new()) };
    }

    pub(super) fn write(text: &str) {
        TOLD.with_borrow_mut(|told| told.push_str(text));
    }

    pub(super) fn read() -> Option<String> {
        ANSWERS.with_borrow_mut(|answers| if answers.is_empty() { None } else { Some(answers.remove(0)) })
    }

    /// What is told from now on, with these answers.
    pub(in crate::ctl) fn play(answers: &[&str], scene: impl FnOnce()) -> String {
        ANSWERS.set(answers.iter().map(|answer| (*answer).to_owned()).collect());
        TOLD.take();
        scene();
        TOLD.take()
    }
}
