//! A WebAssembly component as a method. The daemon starts a process of its own for it, grants what the configuration
//! grants, and believes nothing: what the component made is looked over before it becomes the data directory.

mod cache;
mod child;
mod describe;
mod guest;
mod http;
mod message;
mod network;
mod output;
mod place;
mod refusals;
mod wall;

pub use child::dispatch;
pub use describe::{Description, Kind, describe};
pub use message::{Level, Purpose};

use super::{Outcome, Progress, Request};
use crate::postgres::{self, Conversation, Dsn, PgError, Program};
use message::{Directory, LINE_BYTES_MAX, Order, Report, tame};
use place::Place;
use regent_core::model::{MethodSettings, SandboxSettings, Secret};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// The words that start the process that runs a component.
const EXECUTE: [&str; 2] = ["method", "execute"];

/// Where a component sees the data directory.
const DATA_DIRECTORY: &str = "/pgdata";

/// How much longer than the component the process may take, to say that the time is up.
const EXTRA: Duration = Duration::from_secs(5);

/// How long the process may take to end when it has said how it went.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How much of the log the process may fill, in bytes, should it not keep to its own bound.
const LOG_BYTES_MAX: usize = 4 << 20;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which program runs components, where it is not the one that is running: a test's case.
pub fn use_program(path: PathBuf) {
    // The first word counts.
    let _ = PROGRAM.set(path);
}

/// A component that is to run, with all that it may know.
pub struct Trial<'a> {
    /// The method's name and its own keys.
    pub method: &'a MethodSettings,
    /// What it is granted.
    pub settings: &'a SandboxSettings,
    /// What is to be made.
    pub purpose: Purpose,
    /// The cluster's name.
    pub scope: &'a str,
    /// Where the data directory will be.
    pub data_dir: &'a Path,
    /// How to reach the server to copy.
    pub connection: Option<String>,
}

/// Runs it. Dropping the future ends it with its process.
pub(super) async fn run(
    method: &MethodSettings,
    settings: &SandboxSettings,
    request: &Request,
    purpose: Purpose,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Outcome, PgError> {
    let server = &request.server.settings;
    let connection = request.source.as_ref().map(|source| {
        let account = &server.accounts.replication;
        let dsn = Dsn::to_source(server, request.server.binaries.version(), account, source);
        match &account.password {
            Some(Secret(password)) if settings.with_password => dsn.with("password", password).to_string(),
            _ => dsn.to_string(),
        }
    });
    tracing::info!("running the component {} in a sandbox", settings.component.display());
    let (scope, data_dir) = (server.scope.as_str(), server.data_dir.as_path());
    let trial = Trial { method, settings, purpose, scope, data_dir, connection };
    trial
        .run(progress, &|level, text| {
            let method = &method.name;
            match level {
                Level::Debug => tracing::debug!("{method}: {text}"),
                Level::Info => tracing::info!("{method}: {text}"),
                Level::Warn => tracing::warn!("{method}: {text}"),
                Level::Error => tracing::error!("{method}: {text}"),
            }
        })
        .await
}

impl Trial<'_> {
    /// Runs the component, looks its work over, and makes it the data directory. Dropping the future ends it.
    ///
    /// # Errors
    /// When folders or processes fail; what the component does wrong is an outcome.
    pub async fn run(
        &self,
        progress: &(dyn Fn(Progress) + Send + Sync),
        log: &(dyn Fn(Level, &str) + Send + Sync),
    ) -> Result<Outcome, PgError> {
        let place = match Place::prepare(self.data_dir, self.settings).await? {
            Ok(place) => place,
            Err(wrong) => return Ok(Outcome::TryNext(wrong)),
        };
        let order = self.order(&place);
        let listener = Listener { method: &self.method.name, progress, log, log_bytes_left: LOG_BYTES_MAX };
        let limit = self.settings.timeout.map_or(crate::postgres::NO_LIMIT, |limit| limit + EXTRA);
        let outcome = match tokio::time::timeout(limit, listener.converse(&order)).await {
            Ok(outcome) => outcome?,
            Err(_) => Outcome::TryNext(guest::too_late(self.settings.timeout.unwrap_or(limit))),
        };
        if outcome != Outcome::Done {
            // The process may still be ending: it must not write any more when its work is removed.
            crate::postgres::settled().await;
            place.discard().await?;
            return Ok(outcome);
        }
        Ok(match place.adopt().await? {
            Ok(()) => Outcome::Done,
            Err(wrong) => Outcome::TryNext(format!("its work was refused: {wrong}")),
        })
    }

    fn order(&self, place: &Place) -> Order {
        let settings = self.settings;
        let data = Directory { path: place.staging.clone(), seen_as: DATA_DIRECTORY.into(), writable: true };
        let granted = settings.directories.iter().map(|granted| Directory {
            path: granted.path.clone(),
            seen_as: granted.seen_as.clone(),
            writable: granted.writable,
        });
        let places =
            settings.directories.iter().filter_map(|granted| Some((granted.link.clone()?, granted.seen_as.clone())));
        Order {
            component: settings.component.clone(),
            sha256: settings.sha256.clone(),
            purpose: self.purpose,
            scope: self.scope.to_owned(),
            arguments: arguments(self.method, self.scope, self.purpose, self.connection.as_deref()),
            connection: self.connection.clone(),
            parameters: self.method.arguments.clone(),
            directories: std::iter::once(data).chain(granted).collect(),
            places: places.collect(),
            hosts: settings.hosts.clone(),
            certificates: settings.certificates.clone(),
            environment: settings.environment.clone(),
            memory_bytes_max: settings.memory_bytes_max,
            limit: settings.timeout.and_then(|limit| u64::try_from(limit.as_millis()).ok()),
            cache: cache::folder(),
        }
    }
}

/// What a plain command is called with: what any command is called with, seen from inside.
fn arguments(method: &MethodSettings, scope: &str, purpose: Purpose, connection: Option<&str>) -> Vec<String> {
    let mut arguments = vec![method.name.clone()];
    if !method.no_params {
        arguments.push(format!("--scope={scope}"));
        if purpose == Purpose::Replica {
            arguments.push("--role=replica".into());
        }
        arguments.push(format!("--datadir={DATA_DIRECTORY}"));
        if purpose == Purpose::Replica {
            arguments.push(format!("--connstring={}", connection.unwrap_or_default()));
        }
    }
    arguments.extend(method.arguments.iter().map(|(key, value)| format!("--{key}={value}")));
    arguments
}

/// Hears what the process says.
struct Listener<'a> {
    method: &'a str,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    log: &'a (dyn Fn(Level, &str) + Send + Sync),
    log_bytes_left: usize,
}

impl Listener<'_> {
    async fn converse(mut self, order: &Order) -> Result<Outcome, PgError> {
        let failed = PgError::io("could not speak to the process of a method");
        let program = match PROGRAM.get() {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(PgError::io("could not find our own program"))?,
        };
        let Conversation { mut group, mut input, output } = Program::new(program).args(EXECUTE).converse()?;
        let mut line = serde_json::to_vec(order).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // One that ends at once says why by its exit, not by this write.
        let _ = input.write_all(&line).await;
        let said = self.listen(BufReader::new(output)).await;
        let Some(outcome) = said else {
            let status = tokio::time::timeout(END_LIMIT, group.wait()).await;
            let status = status.map_or_else(
                |_| "said something odd".to_owned(),
                |status| status.map_or_else(|error| error.to_string(), postgres::describe),
            );
            return Ok(Outcome::TryNext(format!("the process of the method {status}")));
        };
        // It ends by itself, and when it hears no more of us.
        drop(input);
        let _ = tokio::time::timeout(END_LIMIT, group.wait()).await;
        Ok(outcome)
    }

    /// Its last word; `None` where it ended without one, or said what nobody understands.
    async fn listen(&mut self, mut output: BufReader<tokio::process::ChildStdout>) -> Option<Outcome> {
        loop {
            let mut line = Vec::new();
            (&mut output).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await.ok()?;
            match serde_json::from_slice(&line).ok()? {
                Report::Log { level, text } => self.log(level, &text),
                Report::Progress { bytes, bytes_total, files, message } => (self.progress)(Progress {
                    method: self.method.to_owned(),
                    bytes,
                    bytes_total,
                    files,
                    message: tame(&message, 200),
                }),
                Report::Done => return Some(Outcome::Done),
                Report::TryNext(why) => return Some(Outcome::TryNext(tame(&why, 2000))),
                Report::Fatal(why) => return Some(Outcome::Fatal(tame(&why, 2000))),
            }
        }
    }

    fn log(&mut self, level: Level, text: &str) {
        if self.log_bytes_left < text.len() {
            return;
        }
        self.log_bytes_left -= text.len();
        (self.log)(level, &tame(text, 4000));
    }
}
