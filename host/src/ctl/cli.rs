//! The command line, and which command does what.

use super::configuration::{self, Edit};
use super::context::Context;
use super::members::{self, Choice, RestartOptions};
use super::{CtlError, Result, list, output, pause, switch, why};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Command-line interface for interacting with Regent.
#[derive(Debug, Parser)]
#[command(name = "regentctl", version, max_term_width = 100)]
pub struct Arguments {
    /// Configuration file
    #[arg(short = 'c', long = "config-file", env = "PATRONICTL_CONFIG_FILE", global = true)]
    config_file: Option<PathBuf>,
    /// Allow connections to SSL sites without certs
    #[arg(short = 'k', long, global = true)]
    insecure: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Members {
    /// The cluster
    cluster: Option<String>,
    /// Its members; all where none is named
    members: Vec<String>,
    /// Only members with this role
    #[arg(short, long)]
    role: Option<String>,
    /// Do not ask for confirmation at any point
    #[arg(long)]
    force: bool,
}

impl Members {
    fn choice(&self) -> Choice {
        Choice { names: self.members.clone(), role: self.role.clone(), force: self.force }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Edit cluster configuration
    EditConfig {
        cluster: Option<String>,
        /// Do not show changes
        #[arg(short, long)]
        quiet: bool,
        /// Set a value: key.path=value; null removes
        #[arg(short, long = "set", value_name = "CONFIG=VALUE")]
        set: Vec<String>,
        /// Set a PostgreSQL parameter: name=value
        #[arg(short, long, value_name = "PARAMETER=VALUE")]
        pg: Vec<String>,
        /// Merge a YAML file; - for standard input
        #[arg(long, value_name = "FILE")]
        apply: Option<String>,
        /// Replace everything by a YAML file; - for standard input
        #[arg(long, value_name = "FILE")]
        replace: Option<String>,
        /// Do not ask for confirmation at any point
        #[arg(long)]
        force: bool,
    },
    /// Failover to a replica
    Failover {
        cluster: Option<String>,
        /// The name of the candidate
        #[arg(long)]
        candidate: Option<String>,
        /// Do not ask for confirmation at any point
        #[arg(long)]
        force: bool,
    },
    /// Show the history of failovers/switchovers
    History {
        cluster: Option<String>,
        #[arg(short, long, default_value = "pretty")]
        format: String,
    },
    /// List the members of a cluster
    List {
        cluster: Option<String>,
        /// Show some extra information
        #[arg(short, long)]
        extended: bool,
        /// Print timestamp
        #[arg(short, long)]
        timestamp: bool,
        /// Output format
        #[arg(short, long, default_value = "pretty", value_parser = ["pretty", "tsv", "json", "yaml", "yml"])]
        format: String,
    },
    /// Disable auto failover
    Pause {
        cluster: Option<String>,
        /// Wait until pause is applied on all nodes
        #[arg(long)]
        wait: bool,
    },
    /// Reinitialize cluster member
    Reinit {
        #[command(flatten)]
        members: Members,
        /// Clone from the leader, whatever else is configured
        #[arg(long)]
        from_leader: bool,
    },
    /// Reload cluster member configuration
    Reload {
        #[command(flatten)]
        members: Members,
    },
    /// Restart cluster member
    Restart {
        #[command(flatten)]
        members: Members,
        /// Restart a single member only
        #[arg(long)]
        any: bool,
        /// When, in an unambiguous format (e.g. ISO 8601)
        #[arg(long)]
        scheduled: Option<String>,
        /// Restart if the PostgreSQL version is less than provided (e.g. 9.5.2)
        #[arg(long)]
        pg_version: Option<String>,
        /// Restart if pending
        #[arg(long)]
        pending: bool,
        /// Return error and fail over if necessary when restarting takes longer than this
        #[arg(long)]
        timeout: Option<String>,
    },
    /// Resume auto failover
    Resume {
        cluster: Option<String>,
        /// Wait until pause is cleared on all nodes
        #[arg(long)]
        wait: bool,
    },
    /// Show cluster configuration
    ShowConfig { cluster: Option<String> },
    /// Switchover to a replica
    Switchover {
        cluster: Option<String>,
        /// The name of the current leader
        #[arg(long, visible_alias = "primary", alias = "master")]
        leader: Option<String>,
        /// The name of the candidate
        #[arg(long)]
        candidate: Option<String>,
        /// When, in an unambiguous format (e.g. ISO 8601)
        #[arg(long)]
        scheduled: Option<String>,
        /// Do not ask for confirmation at any point
        #[arg(long)]
        force: bool,
    },
    /// Say what the members decided lately, by which rule and why
    Why {
        cluster: Option<String>,
        member: Option<String>,
        /// How many decisions of each member
        #[arg(short = 'n', long, default_value_t = 10)]
        last: usize,
        #[arg(short, long, default_value = "pretty")]
        format: String,
    },
}

impl Command {
    fn cluster(&self) -> Option<&str> {
        match self {
            Command::EditConfig { cluster, .. }
            | Command::Failover { cluster, .. }
            | Command::History { cluster, .. }
            | Command::List { cluster, .. }
            | Command::Pause { cluster, .. }
            | Command::Resume { cluster, .. }
            | Command::ShowConfig { cluster }
            | Command::Switchover { cluster, .. }
            | Command::Why { cluster, .. } => cluster.as_deref(),
            Command::Reinit { members, .. } | Command::Reload { members } | Command::Restart { members, .. } => {
                members.cluster.as_deref()
            }
        }
    }
}

/// Runs a command; what goes wrong is told as `Error: ...`, with exit code 1.
pub async fn run(arguments: Arguments) -> ExitCode {
    match command(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "errors of a command go to standard error")]
fn complain(error: &CtlError) {
    if error.0 == "Aborted!" { eprintln!("{error}") } else { eprintln!("Error: {error}") }
}

async fn command(arguments: Arguments) -> Result<()> {
    let context = Context::open(arguments.config_file, arguments.insecure, arguments.command.cluster())?;
    match arguments.command {
        Command::List { extended, timestamp, format, .. } => {
            if timestamp {
                output::line(output::timestamp().get(..19).unwrap_or_default());
            }
            list::list(&context, &format, extended).await
        }
        Command::Switchover { leader, candidate, scheduled, force, .. } => {
            let wish = switch::Wish { action: "switchover", leader, candidate, scheduled, force };
            switch::switch(&context, wish).await
        }
        Command::Failover { candidate, force, .. } => {
            let wish = switch::Wish { action: "failover", leader: None, candidate, scheduled: None, force };
            switch::switch(&context, wish).await
        }
        Command::Restart { members, any, scheduled, pg_version, pending, timeout } => {
            let options = RestartOptions { any, scheduled, version: pg_version, pending, timeout };
            members::restart(&context, &members.choice(), &options).await
        }
        Command::Reinit { members, from_leader } => members::reinit(&context, &members.choice(), from_leader).await,
        Command::Reload { members } => members::reload(&context, &members.choice()).await,
        Command::ShowConfig { .. } => configuration::show(&context).await,
        Command::EditConfig { quiet, set, pg, apply, replace, force, .. } => {
            configuration::edit(&context, &Edit { quiet, set, pg, apply, replace, force }).await
        }
        Command::Pause { wait, .. } => pause::pause(&context, true, wait).await,
        Command::Resume { wait, .. } => pause::pause(&context, false, wait).await,
        Command::History { format, .. } => why::history(&context, &format).await,
        Command::Why { member, last, format, .. } => why::why(&context, member.as_deref(), last, &format).await,
    }
}
