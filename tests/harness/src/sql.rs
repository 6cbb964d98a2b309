//! SQL from the outside: over TCP, with the superuser's password, every step under a deadline.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::config::SUPERUSER;

/// The rows of an answer: text, or `None` for null.
pub type Rows = Vec<Vec<Option<String>>>;

/// Connects to a server of this machine as its superuser.
///
/// # Errors
/// When it refuses, or does not answer before the deadline (a frozen server accepts and is silent).
pub async fn connect(port: u16, deadline: Duration) -> Result<Client> {
    let (user, password) = SUPERUSER;
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(user)
        .password(password)
        .dbname("postgres")
        .application_name("regent-harness");
    let (client, connection) = timeout(deadline, config.connect(NoTls))
        .await
        .with_context(|| format!("PostgreSQL on port {port}: no answer in {deadline:?}"))?
        .map_err(|error| anyhow!("PostgreSQL on port {port}: {}", describe(&error)))?;
    tokio::spawn(async move {
        // Its end is seen by whoever uses the client.
        let _ = connection.await;
    });
    Ok(client)
}

/// Runs statements and gives the rows of all of them.
///
/// # Errors
/// When the server refuses one, or the deadline passes.
pub async fn query(client: &Client, statements: &str, deadline: Duration) -> Result<Rows> {
    let messages = timeout(deadline, client.simple_query(statements))
        .await
        .with_context(|| format!("no answer in {deadline:?}: {statements}"))?
        .map_err(|error| anyhow!("{}: {statements}", describe(&error)))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

/// Whether the server takes writes.
///
/// # Errors
/// When it does not answer before the deadline.
pub async fn is_writable(client: &Client, deadline: Duration) -> Result<bool> {
    let statement = "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool";
    let rows = query(client, statement, deadline).await?;
    Ok(rows.first().and_then(|row| row.first()).is_some_and(|cell| cell.as_deref() == Some("t")))
}

/// What the server said, or what happened to the connection.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refusal) => format!("{}: {} ({})", refusal.severity(), refusal.message(), refusal.code().code()),
        None => {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}
