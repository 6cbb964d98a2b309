//! What a command line may say: commands, their options and arguments as data. Parsing, help and errors are drawn from
//! it. It knows nothing of what the commands do.

mod commands;
mod help;
mod parse;
mod similar;

pub(super) use commands::{COMMANDS, GLOBAL};
pub(super) use help::{command_help, program_help};
pub(super) use parse::{Given, Wrong, find, globals, read, told};

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    Text,
    Integer,
    Float,
    /// A file that can be read; `-` is standard input.
    File,
    OneOf(&'static [&'static str]),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Its names in the order in which errors tell them. The first long one is what the code asks for.
    pub names: &'static [&'static str],
    /// Names from before that still work and are not told.
    pub former: &'static [&'static str],
    pub takes: Takes,
    pub about: &'static str,
}

impl Setting {
    /// The name that the code asks for: the first long one, or the only one.
    fn key(&self) -> &'static str {
        let long = self.names.iter().find(|name| name.starts_with("--"));
        long.or(self.names.first()).copied().unwrap_or_default().trim_start_matches('-')
    }

    fn is_called(&self, name: &str) -> bool {
        self.names.contains(&name) || self.former.contains(&name)
    }
}

/// How often an argument stands there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Count {
    One,
    AtMostOne,
    Any,
}

/// One argument by position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    /// What the code asks for.
    pub key: &'static str,
    pub count: Count,
    /// What it may be; empty for anything.
    pub choices: &'static [&'static str],
}

impl Argument {
    /// How it is told: `CLUSTER_NAME`, `{restart|switchover}`.
    fn shown(&self) -> String {
        if self.choices.is_empty() { self.key.to_owned() } else { format!("{{{}}}", self.choices.join("|")) }
    }
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub name: &'static str,
    pub about: &'static str,
    pub arguments: &'static [Argument],
    pub settings: &'static [Setting],
}

/// Every command line takes it.
const HELP: Setting =
    Setting { names: &["--help"], former: &[], takes: Takes::Nothing, about: "Show this message and exit." };
