//! Completions for shells, and manual pages: drawn from the table of commands.

use super::{Argument, COMMANDS, Command, Count, GLOBAL, HELP, Setting, Takes};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ValueHint};
use clap_complete::Shell;

/// The shells that are known.
pub(in crate::ctl) const SHELLS: &[&str] = &["bash", "elvish", "fish", "powershell", "zsh"];

/// The program's completions for a shell.
pub(in crate::ctl) fn completions(program: &str, shell: &str) -> String {
    let shell: Shell = shell.parse().unwrap_or(Shell::Bash);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole(program), program, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the program, or of a command.
pub(in crate::ctl) fn manual(program: &str, name: Option<&str>) -> std::io::Result<String> {
    let mut page = Vec::new();
    let command = match name.and_then(|name| COMMANDS.iter().find(|command| command.name == name)) {
        Some(command) => {
            let name = format!("{program}-{}", command.name);
            one(command).name(name.clone()).display_name(name).bin_name(format!("{program} {}", command.name))
        }
        None => whole(program),
    };
    clap_mangen::Man::new(command.version(env!("CARGO_PKG_VERSION"))).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn whole(program: &str) -> clap::Command {
    clap::Command::new(program.to_owned())
        .about("Shows and changes clusters: reads the store, asks their members to act")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .disable_help_flag(true)
        .arg(Arg::new("version").long("version").help("Print our version").action(ArgAction::Version))
        .arg(help())
        .subcommand_required(true)
        .args(GLOBAL.iter().map(option))
        .subcommands(COMMANDS.iter().map(one))
}

fn one(command: &Command) -> clap::Command {
    clap::Command::new(command.name)
        .about(command.about)
        .disable_version_flag(true)
        .disable_help_flag(true)
        .arg(help())
        .args(command.settings.iter().map(option))
        .args(
            command
                .arguments
                .iter()
                .enumerate()
                .map(|(index, one)| argument(one, index + 1 == command.arguments.len())),
        )
}

/// There is no short one: `-h` is free for options.
fn help() -> Arg {
    Arg::new("help").long("help").help(HELP.about).action(ArgAction::Help)
}

fn option(setting: &Setting) -> Arg {
    let mut long = setting.names.iter().filter_map(|name| name.strip_prefix("--"));
    let short = setting.names.iter().find(|name| !name.starts_with("--")).and_then(|name| name.chars().nth(1));
    let arg = Arg::new(setting.key()).help(setting.about).short(short);
    let arg = match long.next() {
        Some(name) => arg.long(name).visible_aliases(long.collect::<Vec<_>>()),
        None => arg,
    };
    match setting.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::Text => arg.value_name("TEXT"),
        Takes::Integer => arg.value_name("INTEGER"),
        Takes::Float => arg.value_name("FLOAT"),
        Takes::File => arg.value_name("FILENAME").value_hint(ValueHint::FilePath),
        Takes::OneOf(words) => arg.value_parser(PossibleValuesParser::new(words)),
    }
}

fn argument(argument: &Argument, is_last: bool) -> Arg {
    let arg = Arg::new(argument.key).value_name(argument.key);
    // Only the last one may be repeated here.
    let arg = if argument.count == Count::Any && is_last { arg.num_args(0..) } else { arg };
    if argument.choices.is_empty() { arg } else { arg.value_parser(PossibleValuesParser::new(argument.choices)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_there() {
        for shell in SHELLS {
            let script = completions("regentctl", shell);
            for command in COMMANDS {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
            }
            assert!(script.contains("scheduled"), "{shell}");
        }
        for command in COMMANDS {
            let page = manual("regentctl", Some(command.name)).unwrap();
            for setting in command.settings {
                let name = setting.key().replace('-', "\\-");
                assert!(page.contains(&name), "{}: {name}\n{page}", command.name);
            }
        }
        assert!(manual("regentctl", None).unwrap().contains("SUBCOMMANDS"));
    }

    #[test]
    fn the_drawing_is_sound() {
        whole("regentctl").debug_assert();
    }
}
