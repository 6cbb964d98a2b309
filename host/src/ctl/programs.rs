//! Programs of the operator's own: the editor for a configuration, the pager for its changes.

use super::output::is_terminal;
use super::{CtlError, Result};
use crate::ports;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// Lets the operator change a text; the result.
pub(super) fn edited(text: &str, scope: &str) -> Result<String> {
    let wrong = |error: std::io::Error| CtlError::new(error.to_string());
    let prefix = format!("{}-config-", scope.replace('/', "_"));
    let file = tempfile::Builder::new().prefix(&prefix).suffix(".yaml").tempfile().map_err(wrong)?;
    std::fs::write(file.path(), text).map_err(wrong)?;
    for editor in programs("EDITOR", &["editor", "vi"]) {
        match command(&editor).arg(file.path()).status() {
            Ok(status) if status.success() => return std::fs::read_to_string(file.path()).map_err(wrong),
            Ok(status) => {
                let code = status.code().unwrap_or(-1);
                return Err(CtlError::new(format!("Editor exited with return code {code}")));
            }
            Err(_) => {}
        }
    }
    Err(CtlError::new("EDITOR environment variable is not set. editor or vi are not available"))
}

/// Shows a difference in colours through a pager where there is a terminal; false where there is none.
pub(super) fn paged(difference: &str) -> Result<bool> {
    if !is_terminal() {
        return Ok(false);
    }
    for pager in programs("PAGER", &["less", "more"]) {
        let child = command(&pager).env("LESS", "FRX").stdin(Stdio::piped()).spawn();
        if let Ok(child) = child {
            feed(child, &coloured(difference));
            return Ok(true);
        }
    }
    Err(CtlError::new("No pager was found: set the environment variable PAGER, or install less or more"))
}

/// Whoever leaves the pager early has read enough.
fn feed(mut child: Child, text: &str) {
    if let Some(mut input) = child.stdin.take() {
        let _left = writeln!(input, "{text}").is_err();
    }
    let _ended = child.wait().is_err();
}

/// The program that the variable names, and those that are usual.
fn programs(variable: &str, usual: &[&str]) -> Vec<String> {
    let named = ports::environment().into_iter().find(|(name, _)| name == variable);
    let named = named.and_then(|(_, value)| value.into_string().ok()).filter(|value| !value.trim().is_empty());
    named.into_iter().chain(usual.iter().map(|name| (*name).to_owned())).collect()
}

/// The program may have arguments.
fn command(program: &str) -> Command {
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn coloured(difference: &str) -> String {
    let colour = |line: &str| {
        let code = match line.chars().next() {
            Some('+') => "32",
            Some('-') => "31",
            Some('@') => "36",
            _ => return line.to_owned(),
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    };
    difference.lines().map(colour).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_coloured() {
        let text = coloured("@@ -1 +1 @@\n-a\n+b\n c");
        assert_eq!(text, "\x1b[36m@@ -1 +1 @@\x1b[0m\n\x1b[31m-a\x1b[0m\n\x1b[32m+b\x1b[0m\n c");
    }
}
