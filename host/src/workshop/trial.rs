//! One run of a method with the grants of its section.

use crate::config::{self, LocalConfig, Source};
use crate::methods::{Level, Outcome, Progress, Purpose, Trial};
use regent_core::model::MethodSettings;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is to be run.
pub(super) struct Options {
    pub config: PathBuf,
    pub method: String,
    pub into: PathBuf,
    pub connection: Option<String>,
    pub bootstrap: bool,
}

/// The exit code of a method that wants no other to be tried, and of what cannot be run at all.
const FATAL: u8 = 2;

/// Runs it: 0 when the folder is a data directory, 1 when the next method would be tried, 2 when none would.
pub(super) fn run(options: &Options) -> ExitCode {
    let outcome = prepare(options).and_then(|(scope, method)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(attempt(options, &scope, &method))
    });
    match outcome {
        Ok(Outcome::Done) => {
            println!("{} is a data directory", options.into.display());
            ExitCode::SUCCESS
        }
        Ok(Outcome::TryNext(why)) => {
            eprintln!("the next method would be tried: {why}");
            ExitCode::FAILURE
        }
        Ok(Outcome::Fatal(why)) => {
            eprintln!("no other method would be tried: {why}");
            ExitCode::from(FATAL)
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(FATAL)
        }
    }
}

/// The cluster's name, and the method.
fn prepare(options: &Options) -> Result<(String, MethodSettings), String> {
    let local = LocalConfig::load(&Source::new(Some(options.config.clone()), Default::default()));
    let document = local.map_err(|errors| errors.to_string())?.document;
    let place = if options.bootstrap { "bootstrap" } else { "postgresql" };
    let section = document.get(place).and_then(|place| place.get(&options.method));
    let section = section.ok_or_else(|| format!("there is no section `{}` below `{place}`", options.method))?;
    let mut method = config::method(&options.method, section);
    let Some(sandbox) = &mut method.sandbox else {
        return Err(format!("the section `{}` names no component: `wasm` is missing", options.method));
    };
    // As whoever wrote the file sees it.
    if let Some(folder) = options.config.parent() {
        sandbox.component = folder.join(&sandbox.component);
    }
    let entries = std::fs::read_dir(&options.into).map_or(0, Iterator::count);
    if entries > 0 {
        return Err(format!("{} is not empty", options.into.display()));
    }
    let scope = document.get("scope").and_then(|scope| scope.as_str()).unwrap_or("trial");
    Ok((scope.to_owned(), method))
}

async fn attempt(options: &Options, scope: &str, method: &MethodSettings) -> Result<Outcome, String> {
    let Some(settings) = &method.sandbox else {
        return Err("it is no component".into());
    };
    let purpose = if options.bootstrap { Purpose::Bootstrap } else { Purpose::Replica };
    let trial =
        Trial { method, settings, purpose, scope, data_dir: &options.into, connection: options.connection.clone() };
    let log = |level: Level, text: &str| eprintln!("{:<5} {text}", format!("{level:?}").to_uppercase());
    trial.run(&show, &log).await.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

fn show(progress: Progress) {
    let total = progress.bytes_total.map(|total| format!(" of {total}")).unwrap_or_default();
    let files = progress.files.map(|files| format!(", {files} files")).unwrap_or_default();
    eprintln!("{}{total} bytes{files}  {}", progress.bytes, progress.message);
}
