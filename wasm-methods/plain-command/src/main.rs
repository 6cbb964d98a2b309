//! A method that is a plain WASI command: it is called like any command, and its exit says how it went. This one writes
//! down how it was called.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("called with {arguments:?}");
    let value = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name)).map(str::to_owned);
    if value("--fail=").is_some() {
        return ExitCode::from(3);
    }
    let Some(folder) = value("--datadir=") else {
        return ExitCode::from(2);
    };
    let written = std::fs::write(format!("{folder}/PG_VERSION"), "15\n")
        .and_then(|()| std::fs::write(format!("{folder}/arguments"), arguments.join("\n")));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
