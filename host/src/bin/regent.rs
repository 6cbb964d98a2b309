//! The daemon's binary: the daemon itself, its lease guard, and what belongs beside them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers on the terminal")]

use clap::{Parser, Subcommand};
use regent::config::{self, LocalConfig, Look, Source};
use regent::{daemon, demo, fence, plugin, ports};
use std::path::PathBuf;
use std::process::ExitCode;

/// High availability for PostgreSQL: runs beside each server, elects one primary, keeps the cluster up.
#[derive(Debug, Parser)]
#[command(name = "regent", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Configuration file or folder; without one, the PATRONI_* variables configure the daemon
    config: Option<PathBuf>,
    /// Check the configuration instead of running, as `validate` does
    #[arg(long)]
    validate_config: bool,
    #[command(flatten)]
    checks: Checks,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What a check of a configuration does besides.
#[derive(Debug, clap::Args)]
struct Checks {
    /// Do not look whether the ports to listen on are free
    #[arg(short, long)]
    ignore_listen_port: bool,
    /// Print the configuration of file and environment, with its secrets hidden, where it is good
    #[arg(short, long)]
    print: bool,
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
        #[command(flatten)]
        checks: Checks,
    },
    /// Look at backends, or begin one
    Plugin {
        #[command(subcommand)]
        command: plugin::Command,
    },
}

fn main() -> ExitCode {
    // The guard comes before anything else: it must stay small.
    if let Some(code) = fence::guard::dispatch(std::env::args_os()) {
        return ExitCode::from(code);
    }
    if let Some(code) = regent::methods::dispatch(std::env::args_os()) {
        return ExitCode::from(code);
    }
    let arguments = Arguments::parse();
    if arguments.validate_config {
        return validate(arguments.config, &arguments.checks);
    }
    if matches!(arguments.command, None | Some(Command::Run { .. })) && daemon::init::is_first() {
        return daemon::init::run();
    }
    match arguments.command {
        None => daemon::run(arguments.config),
        Some(Command::Run { config }) => daemon::run(config),
        Some(Command::Demo { nodes, dcs, duration }) => {
            demo::run(&demo::Options { nodes, dcs, duration: duration.map(std::time::Duration::from_secs) })
        }
        Some(Command::Validate { config, checks }) => validate(config, &checks),
        Some(Command::Plugin { command }) => {
            let report = plugin::run(&command);
            print!("{}", report.text);
            if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn validate(config: Option<PathBuf>, checks: &Checks) -> ExitCode {
    let source = Source::new(config, ports::patroni_variables());
    let look = if checks.ignore_listen_port { Look::AtFiles } else { Look::AtFilesAndPorts };
    let failures = match config::validate(&source, look) {
        Ok(failures) => failures,
        Err(errors) => {
            errors.0.iter().for_each(|error| println!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    failures.iter().for_each(|failure| println!("{failure}"));
    if let Ok(local) = LocalConfig::load(&source) {
        local.warnings.iter().for_each(|warning| eprintln!("{warning}"));
        if checks.print && failures.is_empty() {
            print!("{}", local.shown());
        }
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
