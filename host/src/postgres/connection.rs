//! SQL connections to the local server: one per purpose, kept open, opened again when broken; every statement has a
//! limit.

use super::Server;
use super::error::{PgError, within};
use super::process::PidFile;
use crate::tls::{Encryption, encryption};
use regent_core::model::{Account, Secret, ServerSettings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connection to the local server may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Where builds of PostgreSQL put their socket when nobody says where.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What a connection is for. The names are what administrators look for in pg_stat_activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The loop's questions.
    Heartbeat,
    /// Requests' questions.
    RestApi,
    /// Metadata of a distributed database.
    Citus,
    /// One piece of work that may take long.
    Work,
}

impl Purpose {
    fn application_name(self) -> &'static str {
        match self {
            Purpose::Heartbeat => "Patroni heartbeat",
            Purpose::RestApi => "Patroni restapi",
            Purpose::Citus => "Patroni citus",
            Purpose::Work => "Regent",
        }
    }

    fn options(self) -> &'static str {
        match self {
            Purpose::Work => "-c statement_timeout=0 -c pg_stat_statements.track=none -c search_path=pg_catalog",
            _ => "-c statement_timeout=2000 -c pg_stat_statements.track=none -c search_path=pg_catalog",
        }
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// The folder of a socket file, and a port.
    Socket(PathBuf, u16),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Socket(folder, port) => write!(f, "{}:{port}", folder.display()),
        }
    }
}

/// The host that our local connections go to.
pub(super) fn tcp_host(settings: &ServerSettings) -> String {
    let listens: Vec<&str> = settings.listen_addresses.split(',').map(str::trim).collect();
    let anywhere = ["*", "localhost", "0.0.0.0", "127.0.0.1", "::"];
    match listens.first() {
        Some(first) if !first.is_empty() && !listens.iter().any(|address| anywhere.contains(address)) => {
            (*first).to_owned()
        }
        _ => "localhost".to_owned(),
    }
}

/// Where the local server can be reached. What the running server says of itself wins: changed settings count from the
/// next restart on.
pub(super) fn local_address(settings: &ServerSettings, by_socket: bool) -> Address {
    let running = PidFile::read(&settings.data_dir);
    let port = running.as_ref().and_then(|file| file.port).unwrap_or(settings.port);
    if !by_socket {
        return Address::Tcp(tcp_host(settings), port);
    }
    let configured = || {
        let folders = settings.parameters.get("unix_socket_directories")?;
        folders.split(',').map(|folder| PathBuf::from(folder.trim())).find(|folder| folder.is_absolute())
    };
    let usual = || SOCKET_FOLDERS.iter().map(PathBuf::from).find(|folder| folder.is_dir());
    match running.and_then(|file| file.socket_dir).or_else(configured).or_else(usual) {
        Some(folder) => Address::Socket(folder, port),
        None => Address::Tcp(tcp_host(settings), port),
    }
}

/// A connection to the local server as superuser.
pub struct Connection {
    settings: Arc<ServerSettings>,
    purpose: Purpose,
    database: Option<String>,
    open: Option<Open>,
    sessions: u64,
}

struct Open {
    client: Client,
    driver: AbortHandle,
}

impl Connection {
    /// Not open yet: the first statement opens it.
    pub fn new(server: &Server, purpose: Purpose) -> Connection {
        Connection { settings: server.settings.clone(), purpose, database: None, open: None, sessions: 0 }
    }

    /// The same to another database than the one for administration.
    pub fn to_database(self, name: &str) -> Connection {
        Connection { database: Some(name.to_owned()), open: None, ..self }
    }

    /// How often it was opened so far. What a session was told is not known to hold in the next one: a server that
    /// recovers from the crash of a backend ends them all, and is the same postmaster still.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Closes it; the next statement opens it again.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// The rows that `sql` gives. It only reads: on a connection that turns out to be broken it is asked once more.
    pub async fn rows(&mut self, what: &str, sql: &str, limit: Duration) -> Result<Vec<SimpleQueryRow>, PgError> {
        let reused = self.open.as_ref().is_some_and(|open| !open.client.is_closed());
        match self.query(what, sql, limit).await {
            Err(PgError::Sql { source, .. }) if reused && source.is_closed() => self.query(what, sql, limit).await,
            other => other,
        }
    }

    /// Executes `sql`, which may change something. An error may mean that it was done nevertheless.
    pub async fn execute(&mut self, what: &str, sql: &str, limit: Duration) -> Result<(), PgError> {
        self.query(what, sql, limit).await.map(|_| ())
    }

    async fn query(&mut self, what: &str, sql: &str, limit: Duration) -> Result<Vec<SimpleQueryRow>, PgError> {
        let client = self.client().await?;
        let answer = within(limit, what, async { client.simple_query(sql).await.map_err(PgError::sql(what)) }).await;
        match answer {
            Ok(messages) => Ok(messages
                .into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                })
                .collect()),
            Err(error) => {
                if matches!(error, PgError::TimedOut { .. }) {
                    // The answer may still come; nobody must take it for the answer to the next question.
                    self.abort();
                }
                Err(error)
            }
        }
    }

    async fn client(&mut self) -> Result<&Client, PgError> {
        if self.open.as_ref().is_some_and(|open| open.client.is_closed()) {
            self.open = None;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let address = local_address(&self.settings, self.settings.use_unix_socket);
                let account = &self.settings.accounts.superuser;
                // Boxed: connecting is rare, and its state is large.
                let database = self.database.as_ref().unwrap_or(&self.settings.database);
                let open = Box::pin(open(&address, account, database, self.purpose)).await?;
                self.sessions += 1;
                open
            }
        };
        Ok(&self.open.insert(open).client)
    }

    fn abort(&mut self) {
        if let Some(open) = self.open.take() {
            open.driver.abort();
        }
    }
}

async fn open(address: &Address, account: &Account, database: &str, purpose: Purpose) -> Result<Open, PgError> {
    let mut config = config(address, account, database);
    config.application_name(purpose.application_name()).options(purpose.options());
    connect(address, account, config).await
}

fn config(address: &Address, account: &Account, database: &str) -> Config {
    let mut config = Config::new();
    config.dbname(database).connect_timeout(CONNECT_LIMIT);
    if let Some(user) = &account.username {
        config.user(user);
    }
    if let Some(Secret(password)) = &account.password {
        config.password(password);
    }
    match address {
        Address::Tcp(host, port) => config.host(host).port(*port),
        Address::Socket(folder, port) => config.host_path(folder).port(*port),
    };
    config
}

async fn connect(address: &Address, account: &Account, mut config: Config) -> Result<Open, PgError> {
    let failed = |source| PgError::Connect { address: address.to_string(), source: Box::new(source) };
    let over_socket = matches!(address, Address::Socket(..));
    let what = format!("the connection to {address}");
    within(CONNECT_LIMIT, what, async {
        let tls = match encryption(account, over_socket)? {
            Encryption::None => {
                config.ssl_mode(SslMode::Disable);
                let (client, driver) = config.connect(NoTls).await.map_err(failed)?;
                return Ok(Open { client, driver: drive(driver) });
            }
            Encryption::Preferred(tls) => {
                config.ssl_mode(SslMode::Prefer);
                tls
            }
            Encryption::Required(tls) => {
                config.ssl_mode(SslMode::Require);
                tls
            }
        };
        let tls = MakeRustlsConnect::new(tls.as_ref().clone());
        let (client, driver) = config.connect(tls).await.map_err(failed)?;
        Ok(Open { client, driver: drive(driver) })
    })
    .await
}

fn drive(driver: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) -> AbortHandle {
    let task = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!("a local connection broke: {error}");
        }
    });
    task.abort_handle()
}

/// Asks the server of another member something, as superuser, on a connection of its own.
pub(super) async fn ask_remote(
    host: &str,
    port: u16,
    account: &Account,
    database: &str,
    sql: &str,
    limit: Duration,
) -> Result<Vec<SimpleQueryRow>, PgError> {
    let address = if host.starts_with('/') {
        Address::Socket(Path::new(host).to_owned(), port)
    } else {
        Address::Tcp(host.to_owned(), port)
    };
    let open = Box::pin(open(&address, account, database, Purpose::Work)).await?;
    let what = format!("the question to {address}");
    let answer = within(limit, what.clone(), async { open.client.simple_query(sql).await.map_err(PgError::sql(what)) });
    let rows = answer.await?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    enclosed(text, '\'')
}

/// A name as an SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    enclosed(name, '"')
}

fn enclosed(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    if quote == '\'' && text.contains('\\') {
        // Spelled so that it means the same whatever standard_conforming_strings says.
        return format!(" E'{}'", doubled.replace('\\', "\\\\"));
    }
    format!("{quote}{doubled}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::testing::settings;

    #[test]
    fn local_connections_go_where_the_server_listens() {
        // CFG-16
        let check = |listen: &str, expected: &str| {
            let mut settings = settings();
            settings.listen_addresses = listen.into();
            assert_eq!(tcp_host(&settings), expected, "{listen}");
        };
        check("*", "localhost");
        check("10.0.0.1,127.0.0.1", "localhost");
        check("10.0.0.1, 10.0.0.2", "10.0.0.1");
        check("", "localhost");
        let mut settings = settings();
        settings.parameters.insert("unix_socket_directories".into(), "., /run/x".into());
        assert_eq!(local_address(&settings, true), Address::Socket("/run/x".into(), 5432));
    }

    #[test]
    fn literals_and_identifiers_cannot_be_left() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
