//! The command: runs the kit against a library and prints what it found.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a command")]

use regent_dcs_conformance::{HOLD, Options, Prepare, Report, Status, hold, names, run};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: regent-dcs-conformance --plugin FILE --config JSON [--upstream HOST:PORT] [--ttl SECONDS] \
                     [--only CHECK]... [--skip CHECK]... [--soak DURATION] [--prepare COMMAND] [--json] | --list";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--list"] {
        names().iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    if arguments == [HOLD] {
        return if hold(std::io::stdin().lock(), std::io::stdout()).is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
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
        print(&report);
    }
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(report: &Report) {
    for outcome in &report.outcomes {
        let status = match outcome.status {
            Status::Ok => "ok  ",
            Status::Fail => "FAIL",
            Status::Skip => "skip",
        };
        let seconds = Duration::from_millis(outcome.millis).as_secs_f64();
        println!("{status} {:<22} {} [{seconds:.1}s]", outcome.check, outcome.detail);
    }
    if report.rounds > 1 {
        println!("{} rounds", report.rounds);
    }
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
        command: std::env::current_exe().ok(),
        soak: Duration::ZERO,
        prepare: None,
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
            "--ttl" => options.ttl = duration(&value()?)?,
            "--soak" => options.soak = duration(&value()?)?,
            "--only" => options.only.push(value()?),
            "--prepare" => options.prepare = Some(Prepare::command(value()?.into())),
            "--skip" => options.skip.push(value()?),
            other => return Err(format!("{other} is not known")),
        }
    }
    options.plugin = plugin.ok_or("--plugin is missing")?.into();
    Ok((options, json))
}

/// Seconds, or with one of the units `ms`, `s`, `m`, `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration");
    let end = text.find(|one: char| !one.is_ascii_digit() && one != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        };
        check("2", Some(2000));
        check("2.5s", Some(2500));
        check("400ms", Some(400));
        check("10m", Some(600_000));
        check("1h", Some(3_600_000));
        for text in ["", "s", "1d", "-1s", "1.2.3", "1 s", "1e99h"] {
            check(text, None);
        }
    }

    #[test]
    fn every_option_is_read() {
        let text = "--plugin x.so --config {} --upstream a:1 --ttl 1s --only cas --skip watch --soak 10m --json";
        let (options, json) = parse(text.split(' ').map(str::to_owned).collect()).expect("it is complete");
        assert!(json && options.command.is_some());
        assert_eq!((options.ttl, options.soak), (Duration::from_secs(1), Duration::from_secs(600)));
        for wrong in
            [vec![], vec!["--plugin"], vec!["--plugin", "x", "--soak", "long"], vec!["--plugin", "x", "--what"]]
        {
            assert!(parse(wrong.into_iter().map(str::to_owned).collect()).is_err());
        }
    }
}
