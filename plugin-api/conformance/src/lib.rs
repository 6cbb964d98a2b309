//! Proves that a DCS backend keeps the contract: loads its library, calls its objects, and says which rule it breaks.
//!
//! It knows the boundary only: nothing of any store, and nothing of the daemon.

mod checks;
mod context;
mod holder;
mod object;
mod prepare;
mod proxy;

pub use checks::names;
use context::{Baseline, Context, Stop, now};
pub use holder::{HOLD, hold};
pub use prepare::Prepare;
use regent_plugin_api::host::Plugin;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What is to be proved, and of what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The backend's shared library.
    pub plugin: PathBuf,
    /// Its configuration section: `{proxy}` stands for the address of the kit's proxy, `{dir}` for a new folder, `{scope}` for
    /// the cluster's name, which is another for each check.
    pub config: String,
    /// Where the proxy leads to, as `host:port`; without it the checks that need a proxy are skipped.
    pub upstream: Option<String>,
    /// The time to live of locks.
    pub ttl: Duration,
    /// Only these checks; all if empty.
    pub only: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
    /// The kit's own command, for members in processes of their own; without it the checks that need one are skipped.
    pub command: Option<PathBuf>,
    /// All over again until this much time has passed, or something fails; once if zero.
    pub soak: Duration,
    /// What has to be there before a member is opened, in stores that do not make it themselves.
    pub prepare: Option<Prepare>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The backend keeps the rule.
    Ok,
    /// It does not.
    Fail,
    /// It could not be tried.
    Skip,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The check's name.
    pub check: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What all checks found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order of the checks; of the last round.
    pub outcomes: Vec<Outcome>,
    /// How often all of them ran.
    pub rounds: u64,
}

impl Report {
    /// Something ran, and nothing failed.
    pub fn passed(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.status == Status::Ok)
            && self.outcomes.iter().all(|outcome| outcome.status != Status::Fail)
    }
}

/// Why nothing could be proved.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The library can not be used.
    #[error("{0}")]
    Load(String),
    /// There is no check of that name.
    #[error("there is no check {0:?}")]
    UnknownCheck(String),
    /// The folder or the proxy could not be made.
    #[error("the kit can not prepare its folder or its proxy")]
    Prepare(#[source] std::io::Error),
}

/// Runs the checks, one after the other, each in a cluster of its own.
///
/// # Errors
/// When the plugin can not be loaded, or the options make no sense.
pub fn run(options: &Options) -> Result<Report, SetupError> {
    if let Some(name) = options.only.iter().chain(&options.skip).find(|name| !names().contains(&name.as_str())) {
        return Err(SetupError::UnknownCheck(name.clone()));
    }
    let baseline = Baseline::take();
    let plugin = Plugin::load(&options.plugin, None).map_err(|error| SetupError::Load(error.to_string()))?;
    let mut context = Context::new(plugin, options, baseline).map_err(SetupError::Prepare)?;
    let start = now();
    let mut report = Report { outcomes: Vec::new(), rounds: 0 };
    loop {
        report.outcomes = round(options, &mut context);
        report.rounds += 1;
        if !report.passed() || now().duration_since(start) >= options.soak {
            return Ok(report);
        }
    }
}

fn round(options: &Options, context: &mut Context) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (name, check) in checks::ALL {
        let wanted = options.only.is_empty() || options.only.iter().any(|only| only == name);
        if !wanted || options.skip.iter().any(|skip| skip == name) {
            continue;
        }
        context.enter(name);
        let start = now();
        let (status, detail) = match check(context) {
            Ok(detail) => (Status::Ok, detail),
            Err(Stop::Fail(detail)) => (Status::Fail, detail),
            Err(Stop::Skip(detail)) => (Status::Skip, detail),
        };
        let millis = regent_plugin_api::millis(now().duration_since(start));
        outcomes.push(Outcome { check: name, status, detail, millis });
    }
    outcomes
}
