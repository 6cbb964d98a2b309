//! A connection to a member's PostgreSQL, as libpq would open it.

use super::libpq::Login;
use super::rows;
use super::values::Kind;
use crate::ctl::sheet::Sheet;
use crate::tls::{Encryption, TlsError, encryption};
use serde_json::Value;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long it may take until a server lets us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a server may take to say whether it is a standby.
const ROLE_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no answer.
pub(in crate::ctl) enum Failure {
    /// The server refused the statement: its SQLSTATE.
    Refused(String),
    /// Anything else, in words.
    Told(String),
}

impl Failure {
    /// What stands behind `ERROR, SQLSTATE: `.
    pub fn code_or_text(self) -> String {
        match self {
            Failure::Refused(text) | Failure::Told(text) => text,
        }
    }
}

/// An open connection; dropping it closes it.
pub(in crate::ctl) struct Connection {
    client: Client,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Opens it.
    pub async fn open(host: &str, port: u16, login: &Login) -> Result<Connection, Failure> {
        let failed = |why: String| {
            let place = format!("connection to server at \"{host}\", port {port}");
            Failure::Told(format!("connection failed: {place} failed: {why}"))
        };
        let opened = tokio::time::timeout(CONNECT_LIMIT, Box::pin(connect(host, port, login))).await;
        opened.map_err(|_| failed("timeout expired".to_owned()))?.map_err(failed)
    }

    /// The server has the role; every server has one that is not about standbys.
    pub async fn fits(&mut self, role: Option<&str>) -> bool {
        let standby = match role {
            Some("primary" | "master") => false,
            Some("replica" | "standby" | "standby-leader") => true,
            _ => return true,
        };
        let question = self.client.simple_query("SELECT pg_catalog.pg_is_in_recovery()");
        let Ok(Ok(messages)) = tokio::time::timeout(ROLE_LIMIT, question).await else { return false };
        messages.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some(if standby { "t" } else { "f" }),
            _ => false,
        })
    }

    /// The rows of the first statement.
    pub async fn ask(&mut self, sql: &str) -> Result<Sheet, Failure> {
        let kinds = self.kinds(sql).await;
        let messages = self.client.simple_query(sql).await.map_err(|error| refused(&error))?;
        let mut columns = None;
        let mut answer = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(described) if columns.is_none() => {
                    columns = Some(described.iter().map(|column| column.name().to_owned()).collect());
                }
                SimpleQueryMessage::Row(row) => answer.push(cells(&row, &kinds)),
                // Statements behind the first one are done, but not shown.
                _ => break,
            }
        }
        match columns {
            Some(columns) => Ok(rows(Some(columns), answer)),
            None => Err(Failure::Told("the last operation didn't produce records".to_owned())),
        }
    }

    /// What kind of values the columns hold. Several statements at once do not tell; then all of them are text.
    async fn kinds(&mut self, sql: &str) -> Vec<Kind> {
        let statement = self.client.prepare(sql).await;
        statement
            .map(|statement| statement.columns().iter().map(|one| Kind::of(one.type_())).collect())
            .unwrap_or_default()
    }
}

fn cells(row: &SimpleQueryRow, kinds: &[Kind]) -> Vec<Value> {
    (0..row.len()).map(|index| kinds.get(index).copied().unwrap_or(Kind::Text).value(row.get(index))).collect()
}

async fn connect(host: &str, port: u16, login: &Login) -> Result<Connection, String> {
    let account = &login.account;
    let mut config = Config::new();
    config.port(port).dbname(&login.database).application_name(&login.application);
    config.user(account.username.as_deref().unwrap_or_default());
    if let Some(options) = &login.options {
        config.options(options);
    }
    if let Some(password) = login.password(host, port) {
        config.password(password);
    }
    let over_socket = host.starts_with('/');
    if over_socket {
        config.host_path(host)
    } else {
        config.host(host)
    };
    let (mode, tls) = match encryption(account, over_socket).map_err(|TlsError(why)| why)? {
        Encryption::None => {
            config.ssl_mode(SslMode::Disable);
            let (client, driver) = config.connect(NoTls).await.map_err(|error| reason(&error))?;
            return Ok(Connection { client, driver: drive(driver) });
        }
        Encryption::Preferred(tls) => (SslMode::Prefer, tls),
        Encryption::Required(tls) => (SslMode::Require, tls),
    };
    config.ssl_mode(mode);
    let tls = MakeRustlsConnect::new(tls.as_ref().clone());
    let (client, driver) = config.connect(tls).await.map_err(|error| reason(&error))?;
    Ok(Connection { client, driver: drive(driver) })
}

/// Messages of the server travel beside the answers; nobody reads them.
fn drive(driver: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) -> AbortHandle {
    let task = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!("the connection broke: {error}");
        }
    });
    task.abort_handle()
}

fn refused(error: &tokio_postgres::Error) -> Failure {
    match error.code() {
        Some(code) => Failure::Refused(code.code().to_owned()),
        None => Failure::Told(reason(error)),
    }
}

/// The server's words, or the system's.
fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{}:  {}", said.severity(), said.message());
    }
    let source = std::error::Error::source(error);
    let text = source.map_or_else(|| error.to_string(), |source| source.to_string());
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
