//! Small questions and orders to the running server: reload, pending restarts, checkpoints, replay.

use super::Server;
use super::binaries::Tool;
use super::connection::{Address, Connection, Purpose, literal, local_address};
use super::error::PgError;
use super::files::{self, PendingRestart, command_line};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a question on a local connection may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(3);

/// How long a reload may take to reach a session.
const RELOAD_LIMIT: Duration = Duration::from_secs(1);

/// How often that is looked at: the server gives no event for it.
const RELOAD_LOOK: Duration = Duration::from_millis(10);

/// Asking a binary for a parameter reads two files.
const PARAMETER_LIMIT: Duration = Duration::from_secs(10);

impl Server {
    /// Tells the server to read its configuration again, and waits until this connection has seen it (so that what is
    /// asked next is answered with the new settings), at most a second.
    pub async fn reload(&self, connection: &mut Connection) -> Result<(), PgError> {
        let loaded = "SELECT pg_catalog.pg_conf_load_time()";
        let load_time = |rows: Vec<tokio_postgres::SimpleQueryRow>| {
            rows.first().and_then(|row| row.try_get(0).ok().flatten().map(str::to_owned))
        };
        let before = load_time(connection.rows("the load time", loaded, QUESTION_LIMIT).await?);
        connection.execute("the reload", "SELECT pg_catalog.pg_reload_conf()", QUESTION_LIMIT).await?;
        let seen = async {
            let mut pace = tokio::time::interval(RELOAD_LOOK);
            while load_time(connection.rows("the load time", loaded, QUESTION_LIMIT).await?) == before {
                pace.tick().await;
            }
            Ok(())
        };
        // The load time has a resolution of a microsecond and a session may be slow; neither is a failure.
        tokio::time::timeout(RELOAD_LIMIT, seen).await.unwrap_or(Ok(()))
    }

    /// Lets a standby that lost its stream try at once to connect again: a reload, though nothing changed, wakes the
    /// process that otherwise sleeps for `wal_retrieve_retry_interval` between two attempts.
    pub async fn wake_receiver(&self, connection: &mut Connection) -> Result<(), PgError> {
        connection.execute("the reload", "SELECT pg_catalog.pg_reload_conf()", QUESTION_LIMIT).await
    }

    /// The parameters that wait for a restart, with the values that they have and would get.
    pub async fn pending_restart(&self, connection: &mut Connection) -> Result<Vec<PendingRestart>, PgError> {
        let skipped: Vec<String> =
            files::RECOVERY_PARAMETERS.iter().chain(&["hot_standby"]).map(|name| literal(name)).collect();
        let sql = format!(
            "SELECT name, pg_catalog.current_setting(name), unit, vartype FROM pg_catalog.pg_settings \
             WHERE pending_restart AND name NOT IN ({})",
            skipped.join(", ")
        );
        let mut pending = Vec::new();
        for row in connection.rows("the pending restarts", &sql, QUESTION_LIMIT).await? {
            let column = |at: usize| row.try_get(at).ok().flatten().unwrap_or_default();
            let new = self.parameter_after_restart(column(0)).await;
            let new = new.map_or_else(|| "?".to_owned(), |new| human(&new, column(2), column(3)));
            pending.push(PendingRestart { name: column(0).to_owned(), old: column(1).to_owned(), new });
        }
        Ok(pending)
    }

    /// What the server's program would take for `name` now.
    pub(super) async fn parameter_after_restart(&self, name: &str) -> Option<String> {
        let program = self.binaries.program(Tool::Postgres).ok()?;
        let config_file = format!("--config-file={}", files::main_file(&self.settings).display());
        let program = program.args(["-C", name]).arg("-D").arg(&self.settings.data_dir).arg(config_file);
        // Old majors look for parameters that only the command line sets.
        let parameters = command_line(&BTreeMap::new());
        let program = program.args(parameters.into_iter().map(|(name, value)| format!("--{name}={value}")));
        let output = program.succeed(PARAMETER_LIMIT).await.ok()?;
        Some(output.stdout.trim_end_matches('\n').to_owned())
    }

    /// The values of these parameters, as `current_setting` shows them.
    pub async fn parameters(
        &self,
        connection: &mut Connection,
        names: &[&str],
    ) -> Result<BTreeMap<String, String>, PgError> {
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        let sql = format!(
            "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE name IN ({})",
            names.join(", ")
        );
        let rows = connection.rows("the parameters", &sql, QUESTION_LIMIT).await?;
        let column = |row: &tokio_postgres::SimpleQueryRow, at: usize| -> String {
            row.try_get(at).ok().flatten().unwrap_or_default().to_owned()
        };
        Ok(rows.iter().map(|row| (column(row, 0), column(row, 1))).collect())
    }

    /// Writes a checkpoint, for at most `limit`.
    pub async fn checkpoint(&self, limit: Duration) -> Result<(), PgError> {
        Connection::new(self, Purpose::Work).execute("the checkpoint", "CHECKPOINT", limit).await
    }

    /// Where the running server takes local connections: host or socket folder, and port.
    pub fn local_endpoint(&self) -> (String, u16) {
        match local_address(&self.settings, self.settings.use_unix_socket) {
            Address::Tcp(host, port) => (host, port),
            Address::Socket(folder, port) => (folder.to_string_lossy().into_owned(), port),
        }
    }
}

impl Connection {
    /// Goes on with a replay that was paused.
    pub async fn resume_replay(&mut self) -> Result<(), PgError> {
        self.execute("the resumption of replay", "SELECT pg_catalog.pg_wal_replay_resume()", QUESTION_LIMIT).await
    }
}

/// A number in its base unit as people write it: the largest unit that divides it.
fn human(value: &str, unit: &str, kind: &str) -> String {
    let (Ok(number), "integer") = (value.parse::<i64>(), kind) else {
        return value.to_owned();
    };
    let digits = unit.find(|c: char| !c.is_ascii_digit()).unwrap_or(unit.len());
    let factor: i64 = unit[..digits].parse().unwrap_or(1);
    let scales: &[(&str, i64)] = match &unit[digits..] {
        "kB" | "B" | "MB" => &[("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)],
        "ms" | "s" | "min" => &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)],
        _ => return value.to_owned(),
    };
    let base = scales.iter().find(|(name, _)| *name == &unit[digits..]).map_or(1, |(_, size)| *size);
    match number.checked_mul(factor).and_then(|number| number.checked_mul(base)) {
        Some(total) if total > 0 => match scales.iter().find(|(_, size)| total % size == 0) {
            Some((name, size)) => format!("{}{name}", total / size),
            None => value.to_owned(),
        },
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_the_largest_unit_that_divides_them() {
        let check = |value, unit, expected: &str| assert_eq!(human(value, unit, "integer"), expected, "{value} {unit}");
        check("16384", "8kB", "128MB");
        check("200", "", "200");
        check("131072", "kB", "128MB");
        check("90", "s", "90s");
        check("120000", "ms", "2min");
        check("-1", "8kB", "-1");
        check("0", "ms", "0");
        assert_eq!(human("on", "", "bool"), "on");
    }
}
