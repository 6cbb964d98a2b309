//! Which of the server's processes serve clients: once they are gone from a server that stops, nobody can be told of a
//! commit any more, although the server may still write its last checkpoint.

use super::error::{PgError, blocking, within};
use super::process;
use regent_core::model::Postmaster;
use std::time::Duration;

/// How titles of processes begin that serve no client, after `postgres: ` and the cluster's name.
const OWN_PROCESSES: [&str; 15] = [
    "archiver",
    "autovacuum",
    "background writer",
    "bgwriter",
    "checkpointer",
    "io worker",
    "logger",
    "logical replication",
    "slotsync worker",
    "startup",
    "stats collector",
    "walreceiver",
    "walsender",
    "walsummarizer",
    "walwriter",
];

/// Waits until a server that was told to stop serves no client any more, for at most `limit`.
pub async fn clients_gone(postmaster: Postmaster, cluster_name: &str, limit: Duration) -> Result<(), PgError> {
    let cluster_name = cluster_name.to_owned();
    within(limit, "the end of the clients' processes", async move {
        loop {
            let name = cluster_name.clone();
            let backends = blocking(move || Ok(backends(postmaster.pid, &name))).await?;
            let Some(backend) = backends.first() else {
                return Ok(());
            };
            process::ended(*backend).await?;
        }
    })
    .await
}

fn backends(postmaster: i32, cluster_name: &str) -> Vec<Postmaster> {
    process::children(postmaster)
        .into_iter()
        .filter(|pid| {
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            serves_client(&String::from_utf8_lossy(&title), cluster_name)
        })
        .filter_map(process::identify)
        .collect()
}

fn serves_client(title: &str, cluster_name: &str) -> bool {
    let Some(rest) = title.strip_prefix("postgres: ") else {
        // A child that has not said yet what it is: it was only just forked.
        return false;
    };
    let rest = rest.strip_prefix(cluster_name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(rest);
    // A background worker of an extension is nobody's session.
    !OWN_PROCESSES.iter().any(|own| rest.starts_with(own)) && (rest.contains('(') || rest.contains("[local]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_from_the_servers_own_processes() {
        let check = |title, expected| assert_eq!(serves_client(title, "demo"), expected, "{title}");
        check("postgres: demo: admin postgres 127.0.0.1(4711) idle", true);
        check("postgres: demo: admin postgres [local] COMMIT", true);
        check("postgres: demo: checkpointer performing shutdown checkpoint", false);
        check("postgres: demo: walsender rep 127.0.0.1(4712) streaming 0/3000000", false);
        check("postgres: checkpointer ", false);
        check("postgres: demo: pg_cron launcher ", false);
        check("/usr/lib/postgresql/15/bin/postgres\0-D\0/data", false);
    }
}
