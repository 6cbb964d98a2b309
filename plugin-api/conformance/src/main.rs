//! The command: runs the kit against a library and prints what it found.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a command")]

use regent_dcs_conformance::{Options, Status, names, run};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: regent-dcs-conformance --plugin FILE --config JSON [--upstream HOST:PORT] [--ttl SECONDS] \
                     [--only CHECK]... [--skip CHECK]... [--json] | --list";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--list"] {
        names().iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let (options, json) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(message) => return usage(&message),
    };
    let report = match run(&options) {
        Ok(report) => report,
        Err(error) => return usage(&error.to_string()),
    };
    if json {
        println!("{}", serde_json::json!(report));
    } else {
        for outcome in &report.outcomes {
            let status = match outcome.status {
                Status::Ok => "ok  ",
                Status::Fail => "FAIL",
                Status::Skip => "skip",
            };
            let seconds = Duration::from_millis(outcome.millis).as_secs_f64();
            println!("{status} {:<22} {} [{seconds:.1}s]", outcome.check, outcome.detail);
        }
    }
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("regent-dcs-conformance: {message}\n{USAGE}");
    ExitCode::from(2)
}

fn parse(arguments: Vec<String>) -> Result<(Options, bool), String> {
    let (mut plugin, mut json) = (None, false);
    let mut options = Options {
        plugin: Default::default(),
        config: "{}".to_owned(),
        upstream: None,
        ttl: Duration::from_secs(2),
        only: Vec::new(),
        skip: Vec::new(),
    };
    let mut rest = arguments.into_iter();
    while let Some(name) = rest.next() {
        if name == "--json" {
            json = true;
            continue;
        }
        let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--plugin" => plugin = Some(value()?),
            "--config" => options.config = value()?,
            "--upstream" => options.upstream = Some(value()?),
            "--ttl" => options.ttl = seconds(&value()?)?,
            "--only" => options.only.push(value()?),
            "--skip" => options.skip.push(value()?),
            other => return Err(format!("{other} is not known")),
        }
    }
    options.plugin = plugin.ok_or("--plugin is missing")?.into();
    Ok((options, json))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches('s').parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|_| format!("{text:?} is no number of seconds"))
}
