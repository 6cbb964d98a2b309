//! The operator's program. It answers to the peer's name as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(regent::ctl::run(std::env::args_os())),
        Err(_) => ExitCode::FAILURE,
    }
}
