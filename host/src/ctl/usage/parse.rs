//! Reads a command line: options anywhere among the arguments, until `--`.

use super::help::usage;
use super::similar::{alike, suggestion};
use super::{Argument, COMMANDS, Command, Count, GLOBAL, HELP, Setting, Takes};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What was given.
#[derive(Debug, Default, PartialEq)]
pub(in crate::ctl) struct Given {
    flags: BTreeSet<&'static str>,
    values: Vec<(&'static str, String)>,
    arguments: BTreeMap<&'static str, Vec<String>>,
}

impl Given {
    /// The option is there.
    pub fn is(&self, key: &str) -> bool {
        self.flags.contains(key)
    }

    /// The option's value; the last one counts.
    pub fn text(&self, key: &str) -> Option<String> {
        self.texts(key).pop()
    }

    /// Every value of the option.
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.values.iter().filter(|(name, _)| *name == key).map(|(_, value)| value.clone()).collect()
    }

    /// The option's value as a number; it was seen to be one.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.trim().parse().ok()
    }

    /// The only argument of that name.
    pub fn argument(&self, key: &str) -> Option<String> {
        self.arguments(key).into_iter().next()
    }

    /// Every argument of that name.
    pub fn arguments(&self, key: &str) -> Vec<String> {
        self.arguments.get(key).cloned().unwrap_or_default()
    }
}

/// Why a command line was not taken. All of it ends with exit code 2, help with 0.
#[derive(Debug, PartialEq)]
pub(in crate::ctl) enum Wrong {
    /// It asks for help.
    Help,
    /// It is told beneath the usage.
    Usage(String),
    /// It is told alone.
    Bare(String),
}

/// What follows the program's own options: a command's name and the rest.
type Rest = (String, Vec<String>);

/// Reads the program's own options, up to the command's name.
pub(in crate::ctl) fn globals(words: &[String]) -> Result<(Given, Rest), Wrong> {
    let mut given = Given::default();
    let (words, _) = options(GLOBAL, words, &mut given, Stop::AtFirstArgument)?;
    check(GLOBAL, &given)?;
    let mut words = words.into_iter();
    let name = words.next().ok_or_else(|| Wrong::Usage("Missing command.".to_owned()))?;
    Ok((given, (name, words.collect())))
}

/// The command of that name.
pub(in crate::ctl) fn find(name: &str) -> Result<&'static Command, Wrong> {
    let command = COMMANDS.iter().find(|command| command.name == name);
    command.ok_or_else(|| {
        let alike = alike(name, COMMANDS.iter().map(|command| command.name));
        Wrong::Usage(format!("No such command '{name}'.{}", suggestion(&alike)))
    })
}

/// Reads what follows the command's name.
pub(in crate::ctl) fn read(command: &Command, words: &[String]) -> Result<Given, Wrong> {
    let mut given = Given::default();
    let (words, help) = options(command.settings, words, &mut given, Stop::Never)?;
    if help {
        return Err(Wrong::Help);
    }
    // What a primary was called before.
    given.values.iter_mut().filter(|(key, value)| *key == "role" && value == "master").for_each(|(_, value)| {
        "primary".clone_into(value);
    });
    check(command.settings, &given)?;
    arguments(command, words, &mut given)?;
    Ok(given)
}

/// The error as it is told.
pub(in crate::ctl) fn told(program: &str, command: Option<&Command>, why: &str) -> String {
    let called = command.map_or_else(|| program.to_owned(), |command| format!("{program} {}", command.name));
    format!("{}\nTry '{called} --help' for help.\n\nError: {why}", usage(program, command))
}

#[derive(PartialEq)]
enum Stop {
    AtFirstArgument,
    Never,
}

/// Takes the options out; what is left are arguments. The second value tells whether help is asked for.
fn options(
    settings: &[Setting],
    words: &[String],
    given: &mut Given,
    stop: Stop,
) -> Result<(Vec<String>, bool), Wrong> {
    let mut left = Vec::new();
    let mut help = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            left.extend(words.cloned());
            break;
        }
        if !word.starts_with('-') || word == "-" {
            left.push(word.clone());
            if stop == Stop::AtFirstArgument {
                left.extend(words.cloned());
                break;
            }
        } else if word.starts_with("--") {
            help |= long(settings, word, &mut words, given)?;
        } else {
            short(settings, word, &mut words, given)?;
        }
        if help && stop == Stop::AtFirstArgument {
            return Err(Wrong::Help);
        }
    }
    Ok((left, help))
}

fn long<'a>(
    settings: &[Setting],
    word: &str,
    words: &mut impl Iterator<Item = &'a String>,
    given: &mut Given,
) -> Result<bool, Wrong> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let setting = settings.iter().chain([&HELP]).find(|setting| setting.is_called(name));
    let setting = setting.ok_or_else(|| {
        let known = settings.iter().chain([&HELP]).flat_map(|setting| setting.names).copied();
        Wrong::Usage(format!("No such option '{name}'.{}", suggestion(&alike(name, known))))
    })?;
    match (setting.takes, value) {
        (Takes::Nothing, Some(_)) => Err(Wrong::Bare(format!("Option '{name}' does not take a value."))),
        (Takes::Nothing, None) if name == "--help" => Ok(true),
        (Takes::Nothing, None) => {
            given.flags.insert(setting.key());
            Ok(false)
        }
        (_, value) => {
            let value = value.map(str::to_owned).or_else(|| words.next().cloned());
            given.values.push((setting.key(), value.ok_or_else(|| lacks_value(name))?));
            Ok(false)
        }
    }
}

/// Several short options may stand together; the last may have its value at once behind it.
fn short<'a>(
    settings: &[Setting],
    word: &str,
    words: &mut impl Iterator<Item = &'a String>,
    given: &mut Given,
) -> Result<(), Wrong> {
    for (at, letter) in word.char_indices().skip(1) {
        let name = format!("-{letter}");
        let setting = settings.iter().find(|setting| setting.is_called(&name));
        let setting = setting.ok_or_else(|| Wrong::Usage(format!("No such option '{name}'.")))?;
        if setting.takes == Takes::Nothing {
            given.flags.insert(setting.key());
            continue;
        }
        let behind = &word[at + letter.len_utf8()..];
        let value = if behind.is_empty() { words.next().cloned() } else { Some(behind.to_owned()) };
        given.values.push((setting.key(), value.ok_or_else(|| lacks_value(&name))?));
        return Ok(());
    }
    Ok(())
}

fn lacks_value(name: &str) -> Wrong {
    Wrong::Bare(format!("Option '{name}' requires an argument."))
}

/// Values must be of the kind that their option takes.
fn check(settings: &[Setting], given: &Given) -> Result<(), Wrong> {
    for (key, value) in &given.values {
        let Some(setting) = settings.iter().find(|setting| setting.key() == *key) else { continue };
        let trimmed = value.trim();
        let wrong = match setting.takes {
            Takes::Integer if trimmed.parse::<i64>().is_err() => Some(format!("'{value}' is not a valid integer.")),
            Takes::Float if trimmed.parse::<f64>().is_err() => Some(format!("'{value}' is not a valid float.")),
            Takes::OneOf(words) if !words.contains(&value.as_str()) => Some(none_of(value, words)),
            Takes::File => unreadable(value),
            _ => None,
        };
        if let Some(why) = wrong {
            let names: Vec<_> = setting.names.iter().map(|name| format!("'{name}'")).collect();
            return Err(Wrong::Usage(format!("Invalid value for {}: {why}", names.join(" / "))));
        }
    }
    Ok(())
}

fn none_of(value: &str, words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("'{value}' is not one of {}.", words.join(", "))
}

fn unreadable(value: &str) -> Option<String> {
    if value == "-" {
        return None;
    }
    let error = match std::fs::File::open(Path::new(value)).and_then(|file| file.metadata()) {
        Ok(about) if about.is_dir() => std::io::Error::from(nix::errno::Errno::EISDIR),
        Ok(_) => return None,
        Err(error) => error,
    };
    let why = error.to_string();
    let why = why.split(" (os error").next().unwrap_or_default().to_owned();
    Some(format!("'{value}': {why}"))
}

/// Gives the arguments their names: those before the repeated one from the left, those behind it from the right.
fn arguments(command: &Command, mut words: Vec<String>, given: &mut Given) -> Result<(), Wrong> {
    let many = command.arguments.iter().position(|argument| argument.count == Count::Any);
    let (before, behind) = command.arguments.split_at(many.unwrap_or(command.arguments.len()));
    for argument in before {
        let word = if words.is_empty() { None } else { Some(words.remove(0)) };
        put(argument, word.into_iter().collect(), given);
    }
    if let Some((repeated, last)) = behind.split_first() {
        for argument in last.iter().rev() {
            put(argument, words.pop().into_iter().collect(), given);
        }
        put(repeated, std::mem::take(&mut words), given);
    }
    command.arguments.iter().try_for_each(|argument| fits(argument, given))?;
    match words.as_slice() {
        [] => Ok(()),
        [word] => Err(Wrong::Usage(format!("Got unexpected extra argument ({word})"))),
        words => Err(Wrong::Usage(format!("Got unexpected extra arguments ({})", words.join(" ")))),
    }
}

fn put(argument: &Argument, words: Vec<String>, given: &mut Given) {
    given.arguments.insert(argument.key, words);
}

fn fits(argument: &Argument, given: &Given) -> Result<(), Wrong> {
    let words = given.arguments(argument.key);
    let shown = argument.shown();
    match words.first() {
        None if argument.count == Count::One && argument.choices.is_empty() => {
            Err(Wrong::Usage(format!("Missing argument '{shown}'.")))
        }
        None if argument.count == Count::One => {
            let choices = argument.choices.join(",\n\t");
            Err(Wrong::Usage(format!("Missing argument '{shown}'. Choose from:\n\t{choices}")))
        }
        Some(word) if !argument.choices.is_empty() && !argument.choices.contains(&word.as_str()) => {
            Err(Wrong::Usage(format!("Invalid value for '{shown}': {}", none_of(word, argument.choices))))
        }
        _ => Ok(()),
    }
}
