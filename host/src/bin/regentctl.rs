//! The operator's program. It answers to the peer's name as well.

use clap::Parser;
use regent::ctl::{Arguments, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    regent::telemetry::logging::start().set_level("WARNING");
    let arguments = Arguments::parse();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(_) => ExitCode::FAILURE,
    }
}
