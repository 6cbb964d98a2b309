//! What is done to a running replica: promotion, following somebody else, letting go of whom it follows.

use super::Server;
use super::connection::{Connection, literal};
use super::error::{PgError, blocking, within};
use super::files::{self, FollowTarget, Recovery, Wanted, is_true};
use super::process;
use super::watch::StatusWatch;
use regent_core::model::{ControlState, Postmaster};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a question on a local connection may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(3);

/// How often the walreceiver's absence is looked at again, while a reload that should end it is under way: there is no
/// event for a reload. Nothing waits this long once the walreceiver is known, its end is an event.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What following somebody else took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It follows that already.
    Unchanged,
    /// It was told.
    Reloaded,
    /// These settings only change with a restart; nothing was written.
    RestartNeeded(Vec<String>),
}

impl Server {
    /// Ends recovery: asks and waits until the server takes writes, for at most `limit`.
    pub async fn promote(&self, postmaster: Postmaster, limit: Duration) -> Result<(), PgError> {
        let mut watch = StatusWatch::open(&self.settings.data_dir)?;
        let data_dir = self.settings.data_dir.clone();
        blocking(move || files::touch(&data_dir, "promote")).await?;
        process::signal(postmaster, Signal::USR1)?;
        // The control file says so at the very instant at which writes are accepted; the pid file is written later.
        within(limit, "the promotion", watch.until_control(postmaster, &[ControlState::InProduction])).await
    }

    /// Makes a running replica follow what is wanted, by a reload where its version can, and tells when it cannot.
    pub async fn follow(&self, connection: &mut Connection, wanted: &Wanted) -> Result<Followed, PgError> {
        if self.binaries.version() < 120_000 {
            return self.follow_by_file(wanted).await;
        }
        let differing = self.differing_recovery(connection, wanted).await?;
        let restart: Vec<String> =
            differing.iter().filter(|(_, kind)| **kind == Change::Restart).map(|(n, _)| n.clone()).collect();
        if !restart.is_empty() {
            return Ok(Followed::RestartNeeded(restart));
        }
        let written = self.configure(wanted).await?;
        if differing.is_empty() && !written.changed() {
            return Ok(Followed::Unchanged);
        }
        self.reload(connection).await?;
        Ok(Followed::Reloaded)
    }

    /// Until 11, recovery.conf is read at start only.
    async fn follow_by_file(&self, wanted: &Wanted) -> Result<Followed, PgError> {
        let written = self.configure(wanted).await?;
        Ok(if written.recovery { Followed::RestartNeeded(vec!["recovery.conf".into()]) } else { Followed::Unchanged })
    }

    /// The recovery settings whose values in the server are not the wanted ones, and what it takes to change them.
    async fn differing_recovery(
        &self,
        connection: &mut Connection,
        wanted: &Wanted,
    ) -> Result<BTreeMap<String, Change>, PgError> {
        let mut differing = BTreeMap::new();
        let Some(values) = files::wanted_recovery(&self.settings, self.binaries.version(), &wanted.recovery) else {
            return Ok(differing);
        };
        let signal = self.settings.data_dir.join("standby.signal");
        if matches!(wanted.recovery, Recovery::Standby { .. }) && !signal.exists() {
            differing.insert("standby.signal".into(), Change::Restart);
        }
        let names: Vec<String> = files::RECOVERY_PARAMETERS.iter().map(|name| literal(name)).collect();
        let sql = format!(
            "SELECT name, setting, context, vartype FROM pg_catalog.pg_settings WHERE name IN ({})",
            names.join(", ")
        );
        for row in connection.rows("the recovery settings", &sql, QUESTION_LIMIT).await? {
            let column = |at: usize| row.try_get(at).ok().flatten().unwrap_or_default();
            let (name, present, context, kind) = (column(0), column(1), column(2), column(3));
            if !same(name, present, values.get(name).map(String::as_str), kind) {
                let change = if context == "postmaster" { Change::Restart } else { Change::Reload };
                differing.insert(name.to_owned(), change);
            }
        }
        Ok(differing)
    }

    /// Makes a running replica let go of its sender at once and not come back: from then on its position stands still.
    /// `false` where the version needs a restart for that.
    pub async fn stop_receiving(&self, connection: &mut Connection, limit: Duration) -> Result<bool, PgError> {
        if self.binaries.version() < 130_000 {
            return Ok(false);
        }
        let nobody = Wanted::replica(FollowTarget::None);
        within(limit, "the end of the walreceiver", async {
            self.configure(&nobody).await?;
            self.reload(connection).await?;
            self.wait_for_no_walreceiver(connection).await
        })
        .await?;
        Ok(true)
    }

    async fn wait_for_no_walreceiver(&self, connection: &mut Connection) -> Result<(), PgError> {
        let sql = "SELECT pid FROM pg_catalog.pg_stat_get_wal_receiver() WHERE pid IS NOT NULL \
                   UNION ALL SELECT -1 WHERE pg_catalog.current_setting('primary_conninfo') <> ''";
        let mut pace = tokio::time::interval(LOOK_AGAIN);
        loop {
            let rows = connection.rows("the walreceiver", sql, QUESTION_LIMIT).await?;
            let Some(row) = rows.first() else {
                return Ok(());
            };
            let pid = row.try_get(0).ok().flatten().and_then(|pid| pid.parse().ok()).unwrap_or(-1);
            match process::identify(pid) {
                Some(walreceiver) => process::ended(walreceiver).await.map(|_| ())?,
                None => drop(pace.tick().await),
            }
        }
    }
}

/// What it takes to change a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Reload,
    Restart,
}

fn same(name: &str, present: &str, wanted: Option<&str>, kind: &str) -> bool {
    match (name, wanted, kind) {
        // The defaults of those that are not wanted.
        ("recovery_target_timeline", None, _) => present == "latest",
        ("recovery_target_action", None, _) => present == "pause",
        ("recovery_target_inclusive", None, _) => present == "on",
        ("recovery_min_apply_delay", wanted, _) => present == milliseconds(wanted.unwrap_or("0")).unwrap_or_default(),
        (_, Some(wanted), "bool") => is_true(wanted) == is_true(present),
        (_, wanted, _) => wanted.unwrap_or_default() == present,
    }
}

/// A time as PostgreSQL reads `recovery_min_apply_delay`, in milliseconds, the way pg_settings shows it.
fn milliseconds(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    Some(format!("{:.0}", number * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_compared_as_the_server_shows_them() {
        let check = |name, present, wanted, kind, expected| {
            assert_eq!(same(name, present, wanted, kind), expected, "{name} {present} {wanted:?}");
        };
        check("primary_conninfo", "", None, "string", true);
        check("primary_conninfo", "host=a", Some("host=b"), "string", false);
        check("recovery_min_apply_delay", "300000", Some("5min"), "integer", true);
        check("recovery_min_apply_delay", "0", None, "integer", true);
        check("recovery_target_timeline", "latest", None, "string", true);
        check("recovery_target_inclusive", "on", Some("true"), "bool", true);
    }
}
