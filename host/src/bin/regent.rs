//! The daemon's binary: the daemon itself, its lease guard, and what belongs beside them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers on the terminal")]

use clap::{Parser, Subcommand};
use regent::config::{LocalConfig, Source};
use regent::{daemon, demo, fence, ports};
use std::path::PathBuf;
use std::process::ExitCode;

/// High availability for PostgreSQL: runs beside each server, elects one primary, keeps the cluster up.
#[derive(Debug, Parser)]
#[command(name = "regent", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Configuration file or folder; without one, the PATRONI_* variables configure the daemon
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground (what happens without a command, too)
    Run {
        /// Configuration file or folder
        config: Option<PathBuf>,
    },
    /// Show a cluster at work: real servers on this machine, keys to kill and freeze them; nothing is left behind
    Demo {
        /// How many nodes
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// The store: the embedded one, or an etcd of the demo's own
        #[arg(long, default_value = "local", value_parser = ["local", "etcd3"])]
        dcs: String,
        /// End by itself after this many seconds
        #[arg(long)]
        duration: Option<u64>,
    },
    /// Check a configuration: everything that is wrong or odd, and exit code 1 if it can not be used
    Validate {
        /// Configuration file or folder
        config: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    // The guard comes before anything else: it must stay small.
    if let Some(code) = fence::guard::dispatch(std::env::args_os()) {
        return ExitCode::from(code);
    }
    let arguments = Arguments::parse();
    if matches!(arguments.command, None | Some(Command::Run { .. })) && daemon::init::is_first() {
        return daemon::init::run();
    }
    match arguments.command {
        None => daemon::run(arguments.config),
        Some(Command::Run { config }) => daemon::run(config),
        Some(Command::Demo { nodes, dcs, duration }) => {
            demo::run(&demo::Options { nodes, dcs, duration: duration.map(std::time::Duration::from_secs) })
        }
        Some(Command::Validate { config }) => validate(config),
    }
}

fn validate(config: Option<PathBuf>) -> ExitCode {
    let local = match LocalConfig::load(&Source::new(config, ports::patroni_variables())) {
        Ok(local) => local,
        Err(errors) => {
            errors.0.iter().for_each(|error| println!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    local.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let missing = local.missing();
    missing.iter().for_each(|line| println!("{line}"));
    if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
