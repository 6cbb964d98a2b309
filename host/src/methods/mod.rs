//! Ways to make a data directory: bootstrap methods make the first one of a cluster, replica methods copy one. A method
//! knows the server's settings and a server to copy from; it decides nothing and knows nothing of the cluster.

mod basebackup;
mod bootstrap;
mod command;
mod create;
mod inspect;
mod post_bootstrap;
mod sandbox;

pub use bootstrap::{bootstrap_custom, bootstrap_initdb};
pub use create::create_replica;
pub use post_bootstrap::post_bootstrap;
pub use sandbox::{Description, Kind, Level, Purpose, Trial, describe, dispatch, use_program};

use crate::postgres::{PgError, Server, SplitError};
use regent_core::model::{MethodSettings, SandboxSettings, Source};
use serde_json::{Map, Value, json};

/// What a method is given.
#[derive(Clone, Debug)]
pub struct Request {
    /// The server whose data directory is to be made.
    pub server: Server,
    /// Whom to copy; `None` where there is nobody.
    pub source: Option<Source>,
}

/// How far a method is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The method's name.
    pub method: String,
    /// How many bytes are there.
    pub bytes: u64,
    /// How many there will be, where that is known.
    pub bytes_total: Option<u64>,
    /// How many files are there, where the method says so.
    pub files: Option<u64>,
    /// What it is at, in its own words.
    pub message: String,
}

impl Progress {
    /// How much of it is there, where the whole is known. What was thought to be the whole may have been too little.
    pub fn percent(&self) -> Option<u64> {
        let total = self.bytes_total.filter(|total| *total > 0)?;
        Some((u128::from(self.bytes) * 100 / u128::from(total)).min(100) as u64)
    }

    /// As others read it; what is not known is left out.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("method".into(), json!(self.method));
        map.insert("bytes".into(), json!(self.bytes));
        let numbers = [("bytes_total", self.bytes_total), ("percent", self.percent()), ("files", self.files)];
        map.extend(numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), json!(number?)))));
        if !self.message.is_empty() {
            map.insert("message".into(), json!(self.message));
        }
        Value::Object(map)
    }
}

/// How a method ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The data directory is there.
    Done,
    /// It did not work; the next method may be tried. The text says why.
    TryNext(String),
    /// It did not work, and no other method may be tried. The text says why.
    Fatal(String),
}

/// One way to make a data directory.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// pg_basebackup.
    Basebackup,
    /// The operator's command.
    Command(MethodSettings),
    /// The operator's component, in its sandbox.
    Sandboxed(MethodSettings, SandboxSettings),
}

impl Method {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Method::Basebackup => "basebackup",
            Method::Command(settings) | Method::Sandboxed(settings, _) => &settings.name,
        }
    }

    /// It can work without a server to copy from.
    pub fn works_without_source(&self) -> bool {
        matches!(self, Method::Command(settings) | Method::Sandboxed(settings, _) if settings.no_leader)
    }

    /// It wants the data directory as it is, before and after. A component never gets what was there before.
    pub fn keeps_data(&self) -> bool {
        matches!(self, Method::Command(settings) if settings.keep_data)
    }

    /// Runs it. Dropping the future ends it with its whole process group.
    pub async fn run(
        &self,
        request: &Request,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Outcome, PgError> {
        match self {
            Method::Basebackup => basebackup::run(request).await,
            Method::Command(settings) => command::run(settings, request).await,
            Method::Sandboxed(settings, sandbox) => {
                sandbox::run(settings, sandbox, request, sandbox::Purpose::Replica, progress).await
            }
        }
    }
}

/// Why a bootstrap or a clone failed.
#[derive(Debug, thiserror::Error)]
pub enum MethodError {
    /// The server or one of its programs failed.
    #[error(transparent)]
    Postgres(#[from] PgError),
    /// An option that is not the operator's to give, or that cannot be read.
    #[error("{0}")]
    Option(String),
    /// A command cannot be split into words.
    #[error("the command of {name} cannot be read")]
    Command {
        /// Whose.
        name: String,
        /// Why.
        source: SplitError,
    },
    /// The operator's script failed.
    #[error("{name} {status}")]
    Script {
        /// Which.
        name: String,
        /// `exited with code=N` and its like.
        status: String,
    },
    /// What a method made is no data directory that a server may be started on.
    #[error("the work of {name} was refused: {wrong}")]
    Refused {
        /// Which.
        name: String,
        /// Why.
        wrong: String,
    },
    /// No method worked; the last one's reason.
    #[error("no replica method worked: {0}")]
    NoneWorked(String),
}
