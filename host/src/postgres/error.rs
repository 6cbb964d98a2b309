//! What can go wrong with the local server and with servers that it follows.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a deed at the local server failed.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The system refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A binary is not where it was looked for.
    #[error("{name} was not found in {place}")]
    NoBinary {
        /// Its name.
        name: String,
        /// Where it was looked for.
        place: String,
    },
    /// A server that does not say in its `postmaster.pid` when it is ready, which came with 10.
    #[error("PostgreSQL {0} is too old: the oldest that is supported is 10")]
    TooOld(String),
    /// A deed took longer than it was given.
    #[error("{what} did not end within {limit:?}")]
    TimedOut {
        /// The deed.
        what: String,
        /// What it was given.
        limit: Duration,
    },
    /// A program ended with a failure.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// Its name.
        program: String,
        /// `exited with code=N` or `was killed by signal N`.
        status: String,
        /// The end of what it wrote.
        output: String,
    },
    /// An answer could not be understood.
    #[error("{0}")]
    Unreadable(String),
    /// The server could not be reached.
    #[error("could not connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// The driver's answer.
        source: Box<tokio_postgres::Error>,
    },
    /// A statement failed, or the connection broke under it.
    #[error("{what} failed{}", sql_detail(.source))]
    Sql {
        /// Which statement.
        what: String,
        /// The driver's answer.
        source: Box<tokio_postgres::Error>,
    },
    /// The server refused a replication command or a login with this SQLSTATE.
    #[error("the server at {address} said {message} (SQLSTATE {code})")]
    Refused {
        /// Where.
        address: String,
        /// Its SQLSTATE.
        code: String,
        /// Its words.
        message: String,
    },
    /// TLS was asked for and cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server does not run.
    #[error("the server does not run")]
    NotRunning,
    /// A server runs already on this data directory.
    #[error("a server with pid {0} runs on this data directory")]
    Running(i32),
    /// The server ended while it was being started.
    #[error("the server ended while it was starting ({0})")]
    EndedAtStart(String),
    /// pg_rewind was cut off here: no server can run on what it left.
    #[error("pg_rewind from {0} was cut off half way in this data directory: no server can run on it")]
    HalfRewound(String),
    /// Settings ask for something that is not allowed.
    #[error("{0}")]
    NotAllowed(String),
}

/// What the server said, if it was the server that said something: SQLSTATE and message are not secret and tell more
/// than "db error" does.
fn sql_detail(source: &tokio_postgres::Error) -> String {
    source
        .as_db_error()
        .map(|error| format!(": {} (SQLSTATE {})", error.message(), error.code().code()))
        .unwrap_or_default()
}

impl From<crate::tls::TlsError> for PgError {
    fn from(error: crate::tls::TlsError) -> PgError {
        PgError::Tls(error.0)
    }
}

impl PgError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> PgError {
        move |source| PgError::Io { what: what.into(), source }
    }

    pub(crate) fn io_at(deed: &str, path: &Path) -> impl FnOnce(io::Error) -> PgError {
        PgError::io(format!("could not {deed} {}", path.display()))
    }

    pub(crate) fn errno(what: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> PgError {
        move |errno| PgError::Io { what: what.into(), source: errno.into() }
    }

    pub(crate) fn sql(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> PgError {
        move |source| PgError::Sql { what: what.into(), source: Box::new(source) }
    }

    /// The SQLSTATE that the server gave, if it was the server that refused.
    pub fn sql_state(&self) -> Option<&str> {
        match self {
            PgError::Connect { source, .. } | PgError::Sql { source, .. } => source.code().map(|state| state.code()),
            PgError::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// Runs `deed` for at most `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    what: impl Into<String>,
    deed: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    match tokio::time::timeout(limit, deed).await {
        Ok(result) => result,
        Err(_) => Err(PgError::TimedOut { what: what.into(), limit }),
    }
}

/// Runs `work`, which may block for long, on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PgError> + Send + 'static,
) -> Result<T, PgError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PgError::Io { what: "a worker thread ended".into(), source: io::Error::other(error) }),
    }
}
