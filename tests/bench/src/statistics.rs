//! How many transactions a server has run in the database that the daemons use, read from another database so that the
//! question is not counted.

use anyhow::{Context, Result};
use regent_harness::Node;
use regent_harness::config::SUPERUSER;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls};

const DEADLINE: Duration = Duration::from_secs(5);
const QUESTION: &str = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";

/// The server's count. A session reports its own at most once a second.
///
/// # Errors
/// When the server does not answer.
pub async fn transactions(node: &Node) -> Result<f64> {
    let (user, password) = SUPERUSER;
    let mut config = Config::new();
    config.host("127.0.0.1").port(node.layout.pg_port).user(user).password(password).dbname("template1");
    let (client, connection) = timeout(DEADLINE, config.connect(NoTls)).await??;
    let ended = tokio::spawn(connection);
    let rows = timeout(DEADLINE, client.query_one(QUESTION, &[])).await?;
    let count: i64 = rows.context("the server has no statistics")?.get(0);
    drop(client);
    // The connection ends because its client is gone.
    let _ = timeout(DEADLINE, ended).await;
    Ok(count as f64)
}
