//! The daemon's binary: the daemon itself, its lease guard, and what belongs beside them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers on the terminal")]

use clap::{Parser, Subcommand};
use regent::config::{self, Failure, LocalConfig, Look, Source};
use regent::{ctl, daemon, demo, fence, helpers, plugin, ports, workshop};
use std::path::PathBuf;
use std::process::ExitCode;

/// High availability for PostgreSQL: runs beside each server, elects one primary, keeps the cluster up.
#[derive(Debug, Parser)]
#[command(name = "regent", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Configuration file or folder; without one, the PATRONI_* variables configure the daemon
    config: Option<PathBuf>,
    /// Check the configuration instead of running, as `validate` does
    #[arg(long, conflicts_with_all = ["generate_config", "generate_sample_config"])]
    validate_config: bool,
    /// Write a configuration made from a running server, as `generate --running` does
    #[arg(long, conflicts_with = "generate_sample_config")]
    generate_config: bool,
    /// Write a sample of a configuration, as `generate` does
    #[arg(long)]
    generate_sample_config: bool,
    /// How to reach the running server; libpq's variables say what it leaves open
    #[arg(long, requires = "generate_config")]
    dsn: Option<String>,
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
    /// Write a configuration to begin with: a sample, or one made from a running server
    Generate {
        /// The file to write; standard output where none is named
        output: Option<PathBuf>,
        /// From the running server that libpq's variables name
        #[arg(long)]
        running: bool,
        /// From the running server at this connection string
        #[arg(long)]
        dsn: Option<String>,
    },
    /// Write, look at and try methods: components that make data directories
    Method {
        #[command(subcommand)]
        task: workshop::Task,
    },
    /// What replaces the peer's own scripts: restores with WAL-E and Barman, tags on AWS
    Helper {
        #[command(subcommand)]
        helper: helpers::Helper,
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
    if let Some(code) = helpers::dispatch(std::env::args_os()) {
        return code;
    }
    let arguments = Arguments::parse();
    if arguments.validate_config {
        return validate(arguments.config, &arguments.checks, Failure::to_string);
    }
    if arguments.generate_config || arguments.generate_sample_config {
        return generate(arguments.config, arguments.generate_config, arguments.dsn);
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
        Some(Command::Generate { output, running, dsn }) => generate(output, running || dsn.is_some(), dsn),
        Some(Command::Validate { config, checks }) => validate(config, &checks, Failure::told),
        Some(Command::Method { task }) => workshop::run(task),
        Some(Command::Helper { helper }) => helpers::run(helper),
        Some(Command::Plugin { command }) => {
            let report = plugin::run(&command);
            print!("{}", report.text);
            if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn generate(output: Option<PathBuf>, running: bool, dsn: Option<String>) -> ExitCode {
    let model = if running { ctl::Model::Running(dsn) } else { ctl::Model::Sample };
    ctl::generate(&model, output.as_deref())
}

/// `told` says what is wrong: in the peer's words for its own option, and with places for ours.
fn validate(config: Option<PathBuf>, checks: &Checks, told: fn(&Failure) -> String) -> ExitCode {
    let source = Source::new(config, ports::patroni_variables());
    let look = if checks.ignore_listen_port { Look::AtFiles } else { Look::AtFilesAndPorts };
    let failures = match config::validate(&source, look) {
        Ok(failures) => failures,
        Err(errors) => {
            errors.0.iter().for_each(|error| println!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    failures.iter().for_each(|failure| println!("{}", told(failure)));
    config::remarks(&source).unwrap_or_default().iter().for_each(|remark| eprintln!("{remark}"));
    if checks.print
        && failures.is_empty()
        && let Ok(local) = LocalConfig::load(&source)
    {
        print!("{}", local.shown());
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
