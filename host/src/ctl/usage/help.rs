//! Help texts: two columns in a page of 80 characters.

use super::{Argument, COMMANDS, Command, Count, GLOBAL, HELP, Setting, Takes};

/// Characters in a line.
const WIDTH: usize = 78;

/// The first column ends here at the latest; what is longer has the second one below.
const FIRST_MAX: usize = 30;

/// `Usage: ...` of the program, or of a command, over as many lines as it needs.
pub(super) fn usage(program: &str, command: Option<&Command>) -> String {
    let (called, words) = match command {
        None => (program.to_owned(), vec!["[OPTIONS]".into(), "COMMAND".into(), "[ARGS]...".into()]),
        Some(command) => {
            let arguments = command.arguments.iter().map(argument);
            (format!("{program} {}", command.name), std::iter::once("[OPTIONS]".to_owned()).chain(arguments).collect())
        }
    };
    let prefix = format!("Usage: {called} ");
    let lines = wrap(&words, WIDTH - prefix.len());
    format!("{prefix}{}", lines.join(&format!("\n{}", " ".repeat(prefix.len()))))
}

fn argument(argument: &Argument) -> String {
    match argument.count {
        Count::One => argument.shown(),
        Count::AtMostOne => format!("[{}]", argument.key),
        Count::Any => format!("[{}]...", argument.key),
    }
}

/// The whole help of the program.
pub(in crate::ctl) fn program_help(program: &str) -> String {
    let widest = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0);
    let limit = WIDTH - 6 - widest;
    let commands: Vec<_> =
        COMMANDS.iter().map(|command| (command.name.to_owned(), shortened(command.about, limit))).collect();
    format!(
        "{}\n\n  Shows and changes clusters: reads the store, asks their members to act.\n\nOptions:\n{}\n\nCommands:\n{}",
        usage(program, None),
        options(GLOBAL),
        two_columns(&commands)
    )
}

/// The whole help of a command.
pub(in crate::ctl) fn command_help(program: &str, command: &Command) -> String {
    let about = command.about;
    format!("{}\n\n  {about}\n\nOptions:\n{}", usage(program, Some(command)), options(command.settings))
}

fn options(settings: &[Setting]) -> String {
    let row = |setting: &Setting| (names(setting), setting.about.to_owned());
    two_columns(&settings.iter().chain([&HELP]).map(row).collect::<Vec<_>>())
}

/// Short names first, then what it takes.
fn names(setting: &Setting) -> String {
    let (long, short): (Vec<&str>, Vec<&str>) = setting.names.iter().partition(|name| name.starts_with("--"));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    match setting.takes {
        Takes::Nothing => names,
        Takes::Text => format!("{names} TEXT"),
        Takes::Integer => format!("{names} INTEGER"),
        Takes::Float => format!("{names} FLOAT"),
        Takes::File => format!("{names} FILENAME"),
        Takes::OneOf(words) => format!("{names} [{}]", words.join("|")),
    }
}

fn two_columns(rows: &[(String, String)]) -> String {
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let first = widest.min(FIRST_MAX) + 2;
    let indent = " ".repeat(first + 2);
    let row = |(name, about): &(String, String)| {
        let words: Vec<String> = about.split_whitespace().map(str::to_owned).collect();
        let text = wrap(&words, WIDTH - first - 2).join(&format!("\n{indent}"));
        let gap = if name.len() + 2 <= first { " ".repeat(first - name.len()) } else { format!("\n{indent}") };
        if text.is_empty() { format!("  {name}") } else { format!("  {name}{gap}{text}") }
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn wrap(words: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words {
        let last = lines.last_mut().filter(|line| line.is_empty() || line.len() + 1 + word.len() <= width);
        match last {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.clone()),
        }
    }
    lines
}

/// As many whole words as fit, with dots for the rest.
fn shortened(about: &str, limit: usize) -> String {
    let about = about.trim_end_matches('.');
    if about.len() <= limit {
        return about.to_owned();
    }
    let mut text = String::new();
    for word in about.split_whitespace() {
        if text.len() + 1 + word.len() + 3 > limit {
            break;
        }
        text = if text.is_empty() { word.to_owned() } else { format!("{text} {word}") };
    }
    format!("{text}...")
}
