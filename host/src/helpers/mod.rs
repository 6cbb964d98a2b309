//! What the peer ships as scripts beside its daemon, as commands: the same options, the same exit codes. They are called
//! as methods and callbacks, and know nothing of the daemon.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers on the terminal")]

mod arguments;
mod aws;
mod barman;
mod signature;
mod wale;

use arguments::Arguments;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Which one.
#[derive(Debug, clap::Subcommand)]
pub enum Helper {
    /// A replica method: restore the latest backup of WAL-E or WAL-G, unless that takes longer than copying the primary
    #[command(disable_help_flag = true)]
    WaleRestore {
        /// As the peer's script takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A replica method and a callback: have Barman restore a backup, or switch its configuration
    #[command(disable_help_flag = true)]
    Barman {
        /// As the peer's script takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A callback: tag this machine and its volumes on AWS with the role
    #[command(disable_help_flag = true)]
    Aws {
        /// As the peer's script takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// The peer's names: a link with one of them to our program is that helper.
pub fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let arguments = || arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let helper = match name.as_str() {
        "patroni_wale_restore" => Helper::WaleRestore { arguments: arguments() },
        "patroni_barman" => Helper::Barman { arguments: arguments() },
        "patroni_aws" => Helper::Aws { arguments: arguments() },
        _ => return None,
    };
    Some(run(helper))
}

/// Runs it.
pub fn run(helper: Helper) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match helper {
        Helper::WaleRestore { arguments } => runtime.block_on(wale::run(&Arguments::read(arguments))),
        Helper::Barman { arguments } => runtime.block_on(barman::run(&Arguments::read(arguments))),
        Helper::Aws { arguments } => runtime.block_on(aws::run(&Arguments::read(arguments))),
    };
    ExitCode::from(code)
}

#[allow(clippy::disallowed_methods, reason = "paces the retries of a command")]
async fn pause(pause: Duration) {
    // pace: a server that did not answer, and an operation that is under way, are asked again; neither tells by itself.
    tokio::time::sleep(pause).await;
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
