//! Which command does what: from words to calls.

use super::configuration::{self, Edit};
use super::context::{Context, Surroundings};
use super::members::Choice;
use super::restart::{self, RestartOptions};
use super::usage::{self, Command, Given, Wrong};
use super::watch::Pace;
use super::{
    CtlError, Result, doctor, dsn, explain, flush, history, list, output, pause, query, reinit, remove, standby, switch,
};
use super::{scaffold, version, why};
use crate::telemetry::logging::{self, Look};
use std::ffi::OsString;
use std::process::ExitCode;

/// Exit code for a command line that makes no sense.
const USAGE: u8 = 2;

/// Runs the command that the words name, the first of which is the program itself. What goes wrong is told as
/// `Error: ...`, with exit code 1.
pub async fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    start_log();
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    let program = called.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("regentctl").to_owned();
    let words: Vec<String> = words.collect();
    if words.first().is_some_and(|word| word == "--version") {
        output::line(&version::own(&program));
        return ExitCode::SUCCESS;
    }
    if words.is_empty() {
        output::complain(&usage::program_help(&program));
        return ExitCode::from(USAGE);
    }
    let (given, rest) = match usage::globals(&words) {
        Ok(words) => words,
        Err(wrong) => return refuse(&program, None, &wrong),
    };
    let command = match usage::find(&rest.0) {
        Ok(command) => command,
        Err(wrong) => return refuse(&program, None, &wrong),
    };
    let surroundings = match Surroundings::open(&given) {
        Ok(surroundings) => surroundings,
        Err(error) => return failed(&error),
    };
    let given = match usage::read(command, &rest.1) {
        Ok(given) => given,
        Err(wrong) => return refuse(&program, Some(command), &wrong),
    };
    let call = Call { program, surroundings, given };
    match call.run(command.name).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &CtlError) -> ExitCode {
    let text = if error.0 == CtlError::aborted().0 { error.0.clone() } else { format!("Error: {error}") };
    output::complain(&text);
    ExitCode::FAILURE
}

fn refuse(program: &str, command: Option<&Command>, wrong: &Wrong) -> ExitCode {
    match wrong {
        Wrong::Help => {
            let help =
                command.map_or_else(|| usage::program_help(program), |command| usage::command_help(program, command));
            output::line(&help);
            return ExitCode::SUCCESS;
        }
        Wrong::Usage(why) => output::complain(&usage::told(program, command, why)),
        Wrong::Bare(why) => output::complain(&format!("Error: {why}")),
    }
    ExitCode::from(USAGE)
}

/// Warnings go to standard error in the form that operators know.
fn start_log() {
    let variables = crate::ports::environment();
    let level = ["PATRONI_LOG_LEVEL", "PATRONI_LOGLEVEL", "LOGLEVEL"].iter().find_map(|name| {
        let (_, level) = variables.iter().find(|(variable, _)| variable == name)?;
        level.to_str().map(str::to_owned)
    });
    let options = logging::Options {
        look: Look::Plain("%(asctime)s - %(levelname)s - %(message)s".to_owned()),
        dateformat: None,
        level: level.unwrap_or_else(|| "WARNING".to_owned()),
        loggers: std::collections::BTreeMap::new(),
        queue: 1000,
        file: None,
    };
    // Without a file there is nothing that could fail to open.
    let _always = logging::start().apply(&options).is_ok();
}

/// One call of a command.
struct Call {
    program: String,
    surroundings: Surroundings,
    given: Given,
}

impl Call {
    async fn run(self, name: &str) -> Result<()> {
        let given = &self.given;
        match name {
            "list" | "topology" => {
                let (names, look) = (given.arguments("CLUSTER_NAMES"), self.look(name == "topology"));
                list::list(&self.surroundings, &names, self.group(), look, self.pace()).await
            }
            "dsn" => dsn::dsn(&self.cluster()?, given.text("role").as_deref(), given.text("member").as_deref()).await,
            "query" => query::query(&self.cluster()?, self.query()?, self.pace()).await,
            "version" => {
                let cluster = given.argument("CLUSTER_NAME");
                let context = cluster.map(|name| self.surroundings.cluster(Some(&name), self.group())).transpose()?;
                version::version(&self.program, context.as_ref(), &given.arguments("MEMBER_NAMES")).await
            }
            "why" => {
                let last = given.number("last").unwrap_or(10);
                why::why(&self.cluster()?, &given.arguments("MEMBER_NAMES"), last, &self.format()).await
            }
            "completions" => {
                let shell = given.argument("SHELL").unwrap_or_default();
                output::line(usage::completions(&self.program, &shell).trim_end());
                Ok(())
            }
            "man" => self.manual(),
            "doctor" => doctor::doctor(&self.surroundings, &self.cluster_in_group()?).await,
            "config" => {
                let key = given.argument("KEY").unwrap_or_default();
                explain::key(self.surroundings.local(), self.shared().await, &key)
            }
            "show-config" => configuration::show(&self.cluster_in_group()?).await,
            "history" => history::history(&self.cluster_in_group()?, &self.format(), self.given.is("explain")).await,
            _ => self.act(name).await,
        }
    }

    /// The commands that change something.
    async fn act(self, name: &str) -> Result<()> {
        let given = &self.given;
        let force = given.is("force");
        match name {
            "edit-config" => configuration::edit(&self.cluster_in_group()?, &self.edit()).await,
            "pause" => pause::pause(&self.cluster_in_group()?, true, given.is("wait")).await,
            "resume" => pause::pause(&self.cluster_in_group()?, false, given.is("wait")).await,
            "restart" => restart::restart(&self.cluster()?, &self.choice(), &self.restart()).await,
            "reload" => super::members::reload(&self.cluster()?, &self.choice()).await,
            "reinit" => {
                let options = reinit::Options { from_leader: given.is("from-leader"), wait: given.is("wait") };
                reinit::reinit(&self.cluster()?, &self.replicas(), options).await
            }
            "flush" => match given.argument("TARGET").as_deref() {
                Some("switchover") => flush::switchover(&self.cluster()?).await,
                _ => flush::restart(&self.cluster()?, &self.choice()).await,
            },
            "remove" => remove::remove(&self.cluster()?, &self.format()).await,
            "switchover" | "failover" => switch::switch(self.in_some_group(force)?, self.wish(name)).await,
            "configure" => scaffold::configure(self.store_file()),
            "scaffold" => {
                let system_id = given.text("sysid").unwrap_or_default();
                scaffold::scaffold(&self.cluster()?, self.surroundings.local(), &system_id).await
            }
            "demote-cluster" => standby::demote(&self.cluster()?, &self.other(), force).await,
            _ => standby::promote(&self.cluster()?, force).await,
        }
    }

    fn manual(&self) -> Result<()> {
        let command = self.given.argument("COMMAND");
        if let Some(name) = &command
            && usage::find(name).is_err()
        {
            return Err(CtlError::new(format!("No such command '{name}'.")));
        }
        let page = usage::manual(&self.program, command.as_deref());
        output::line(page.map_err(|error| CtlError::new(error.to_string()))?.trim_end());
        Ok(())
    }

    /// The configuration that all members share.
    async fn shared(&self) -> Result<Option<serde_json::Value>> {
        let context = self.surroundings.cluster(None, self.group().or(self.surroundings.group()))?;
        Ok(context.read().await?.1.config)
    }

    fn group(&self) -> Option<u32> {
        self.given.number("group")
    }

    fn format(&self) -> String {
        self.given.text("format").unwrap_or_else(|| "pretty".to_owned())
    }

    fn pace(&self) -> Pace {
        let seconds = self.given.number::<f64>("watch");
        Pace::new(seconds.or(self.given.is("W").then_some(2.0)))
    }

    fn cluster(&self) -> Result<Context> {
        self.surroundings.cluster(self.given.argument("CLUSTER_NAME").as_deref(), self.group())
    }

    /// Where no group is given, the configured one counts.
    fn cluster_in_group(&self) -> Result<Context> {
        let group = self.group().or(self.surroundings.group());
        self.surroundings.cluster(self.given.argument("CLUSTER_NAME").as_deref(), group)
    }

    /// Where there are groups, one must be named.
    fn in_some_group(&self, force: bool) -> Result<Context> {
        let context = self.cluster()?;
        if self.group().is_some() || self.surroundings.group().is_none() {
            return Ok(context);
        }
        if force {
            return Err(CtlError::new("For Citus clusters the --group must me specified"));
        }
        loop {
            match output::ask("Citus group", None)?.trim().parse() {
                Ok(group) => {
                    return self.surroundings.cluster(self.given.argument("CLUSTER_NAME").as_deref(), Some(group));
                }
                Err(_) => output::line("Error: it is no number"),
            }
        }
    }

    fn choice(&self) -> Choice {
        let given = &self.given;
        Choice {
            names: given.arguments("MEMBER_NAMES"),
            role: given.text("role").unwrap_or_else(|| "any".to_owned()),
            force: given.is("force"),
        }
    }

    fn replicas(&self) -> Choice {
        Choice { role: "replica".to_owned(), ..self.choice() }
    }

    fn look(&self, topology: bool) -> list::Look {
        let given = &self.given;
        let (extended, timestamp) = (given.is("extended"), given.is("timestamp"));
        let format = if topology { "topology".to_owned() } else { self.format() };
        list::Look { format, extended, timestamp, topology }
    }

    fn wish(&self, name: &str) -> switch::Wish {
        let given = &self.given;
        switch::Wish {
            action: if name == "failover" { switch::Action::Failover } else { switch::Action::Switchover },
            leader: given.text("leader"),
            candidate: given.text("candidate"),
            scheduled: given.text("scheduled"),
            force: given.is("force"),
        }
    }

    fn other(&self) -> standby::Other {
        let given = &self.given;
        standby::Other {
            host: given.text("host"),
            port: given.number("port"),
            restore_command: given.text("restore-command"),
            primary_slot_name: given.text("primary-slot-name"),
        }
    }

    fn store_file(&self) -> scaffold::Wish {
        let given = &self.given;
        scaffold::Wish { file: given.text("config-file"), url: given.text("dcs"), namespace: given.text("namespace") }
    }

    fn edit(&self) -> Edit {
        let given = &self.given;
        Edit {
            quiet: given.is("quiet"),
            set: given.texts("set"),
            pg: given.texts("pg"),
            apply: given.text("apply"),
            replace: given.text("replace"),
            force: given.is("force"),
        }
    }

    fn restart(&self) -> RestartOptions {
        let given = &self.given;
        RestartOptions {
            any: given.is("any"),
            rolling: given.is("rolling"),
            scheduled: given.text("scheduled"),
            version: given.text("pg-version"),
            pending: given.is("pending"),
            timeout: given.text("timeout"),
        }
    }

    fn query(&self) -> Result<query::Question> {
        let given = &self.given;
        let sql = match (given.text("command"), given.text("file")) {
            (Some(_), Some(_)) => return Err(CtlError::new("--file and --command are mutually exclusive options")),
            (None, None) => return Err(CtlError::new("You need to specify either --command or --file")),
            (Some(sql), None) => sql,
            (None, Some(file)) => configuration::text_of(&file)?,
        };
        Ok(query::Question {
            sql,
            format: given.text("format").unwrap_or_else(|| "tsv".to_owned()),
            delimiter: given.text("delimiter").unwrap_or_else(|| "\t".to_owned()),
            role: given.text("role"),
            member: given.text("member"),
            user: given.text("username"),
            ask_password: given.is("password"),
            database: given.text("dbname"),
        })
    }
}

#[cfg(test)]
mod tests;
