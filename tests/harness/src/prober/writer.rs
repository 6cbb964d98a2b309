//! The writer of one node: connects, looks whether the server takes writes, writes; for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Statement};

use super::{Ack, Shared, TABLE};
use crate::sql;

/// What became of one write.
enum Outcome {
    Acknowledged(u64),
    /// The server said no.
    Refused,
    /// No answer: it may have happened.
    Unknown,
}

pub(super) async fn run(shared: Arc<Shared>, node: String, port: u16) {
    while !shared.stop.load(Ordering::Relaxed) {
        if let Ok(client) = sql::connect(port, shared.options.patience).await {
            while_connected(&shared, &node, &client).await;
        }
        sleep(shared.options.pace).await;
    }
}

/// Returns when the connection is of no more use.
async fn while_connected(shared: &Shared, node: &str, client: &Client) {
    let statement = format!(
        "INSERT INTO {TABLE} VALUES ($1, $2) RETURNING \
         ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint"
    );
    // Asked until the answer is yes once: a standby must not be sent writes, it would log each refusal.
    let mut writable = false;
    let mut prepared = None;
    while !shared.stop.load(Ordering::Relaxed) {
        if !writable {
            match sql::is_writable(client, shared.options.patience).await {
                Ok(answer) => writable = answer,
                Err(_) => return,
            }
        }
        if writable {
            let insert = match &prepared {
                Some(insert) => insert,
                None => match timeout(shared.options.patience, client.prepare(&statement)).await {
                    Ok(Ok(insert)) => prepared.insert(insert),
                    _ => return,
                },
            };
            match write(shared, node, client, insert).await {
                Outcome::Acknowledged(_) => {}
                Outcome::Refused => writable = false,
                Outcome::Unknown => return,
            }
        }
        sleep(shared.options.pace).await;
    }
}

async fn write(shared: &Shared, node: &str, client: &Client, insert: &Statement) -> Outcome {
    let sequence = shared.next.fetch_add(1, Ordering::Relaxed);
    let sent = shared.now();
    let number = i64::try_from(sequence).unwrap_or(i64::MAX);
    let answer = timeout(shared.options.patience, client.query_one(insert, &[&number, &node])).await;
    let acknowledged = shared.now();
    let outcome = match answer {
        Ok(Ok(row)) => Outcome::Acknowledged(row.get::<_, i64>(0).unsigned_abs()),
        Ok(Err(error)) if error.as_db_error().is_some_and(is_plain_refusal) => Outcome::Refused,
        _ => Outcome::Unknown,
    };
    let mut record = shared.record();
    match outcome {
        Outcome::Acknowledged(timeline) => {
            record.acks.push(Ack { sequence, node: node.to_owned(), timeline, sent, acknowledged });
        }
        Outcome::Refused => record.refused += 1,
        Outcome::Unknown => record.unknown.push(sequence),
    }
    outcome
}

/// A refusal leaves the connection usable. What ends it (shutdown, crash of a neighbour) may have
/// come after the commit.
fn is_plain_refusal(error: &tokio_postgres::error::DbError) -> bool {
    !matches!(error.severity(), "FATAL" | "PANIC") && !error.code().code().starts_with("57P")
}
