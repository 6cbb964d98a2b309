//! The one question that the loop asks the server (HA-31): everything that decisions need, in one statement.

use super::connection::Connection;
use super::error::PgError;
use regent_core::model::{CommitPoint, Lsn, Monitoring, ReplicationRow, SlotRow, Timeline, WallTime};
use serde_json::Value;
use std::time::Duration;
use tokio_postgres::SimpleQueryRow;

/// The server cancels the statement after two seconds; a little more, so that its own word is heard.
const MONITOR_LIMIT: Duration = Duration::from_millis(2500);

/// What the startup process waits for when it has come to the end of archive and pg_wal: for a walreceiver to bring
/// more, or to look again later. Until 12 the names were others, one of them for the other wait.
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#WAIT-EVENT-TABLE>
const LOG_IS_READ: &str = "'RecoveryWalAll', 'RecoveryWalStream', 'RecoveryRetrieveRetryInterval'";

/// Asks the monitoring question. `version` decides its shape (10 and later are understood). `log_was_read`: of this
/// postmaster it is known that it has replayed all of its pg_wal, which is asked until it has.
pub async fn monitor(connection: &mut Connection, version: u32, log_was_read: bool) -> Result<Monitoring, PgError> {
    let rows = connection.rows("the monitoring query", &statement(version, log_was_read), MONITOR_LIMIT).await?;
    let row = rows.first().ok_or_else(|| PgError::Unreadable("the monitoring query gave no row".into()))?;
    Answer(row).read()
}

/// The functions of the other role are not called: on a primary the replay functions fail, on a replica those for
/// writing do.
fn statement(version: u32, log_was_read: bool) -> String {
    // The sender's address is known since 11; flushed rather than written counts since 13, under a new name.
    let sender =
        if version >= 110_000 { "sender_host, sender_port" } else { "NULL AS sender_host, NULL AS sender_port" };
    // Lost slots are known since 13, those that the server itself keeps on standbys since 17.
    let slots = match version {
        ..130_000 => "false, false, false",
        130_000..170_000 => "wal_status = 'lost', false, false",
        _ => "wal_status = 'lost', failover, synced",
    };
    // A walreceiver is only started at the end of the local log.
    let read = match log_was_read {
        true => "true".to_owned(),
        false => format!(
            "CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_receive_lsn() IS NOT NULL OR EXISTS (SELECT FROM \
             pg_catalog.pg_stat_get_activity(NULL) WHERE backend_type = 'startup' AND wait_event IN ({LOG_IS_READ})) \
             ELSE true END"
        ),
    };
    format!(
        "SELECT r.in_recovery, pg_catalog.current_setting('server_version_num') AS version, \
         (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint AS postmaster_start, \
         CASE WHEN r.in_recovery THEN NULL ELSE pg_catalog.pg_current_wal_flush_lsn() END AS current_lsn, \
         CASE WHEN r.in_recovery THEN NULL ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(\
         pg_catalog.pg_current_wal_flush_lsn()), 1, 8))::bit(32)::bigint END AS timeline, \
         CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_receive_lsn() END AS received_lsn, \
         CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_replay_lsn() END AS replayed_lsn, \
         CASE WHEN r.in_recovery THEN (extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::bigint \
         END AS replayed_at, \
         CASE WHEN r.in_recovery THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END AS replay_paused, \
         {read} AS log_was_read, w.status AS receiver_status, w.received_tli, w.latest_end_lsn, w.sender_host, w.sender_port, \
         pg_catalog.current_setting('synchronous_standby_names') AS synchronous_standby_names, \
         pg_catalog.current_setting('synchronous_commit') AS synchronous_commit, \
         (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(usename, application_name, client_addr, state, \
         sync_state, sync_priority, sent_lsn, write_lsn, flush_lsn, replay_lsn)) \
         FROM pg_catalog.pg_stat_replication) AS replication, \
         (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(slot_name, slot_type, active, restart_lsn, temporary, \
         plugin, (SELECT datname FROM pg_catalog.pg_database AS d WHERE d.oid = s.datoid), confirmed_flush_lsn, \
         xmin IS NOT NULL OR catalog_xmin IS NOT NULL, {slots})) \
         FROM pg_catalog.pg_get_replication_slots() AS s) AS slots \
         FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery) AS r \
         LEFT JOIN (SELECT status, received_tli, latest_end_lsn, {sender} \
         FROM pg_catalog.pg_stat_get_wal_receiver() WHERE pid IS NOT NULL) AS w ON true"
    )
}

/// One row of the answer, every column as text.
struct Answer<'a>(&'a SimpleQueryRow);

impl Answer<'_> {
    fn read(&self) -> Result<Monitoring, PgError> {
        let is_primary = self.text("in_recovery") == Some("f");
        let streaming = self.text("receiver_status") == Some("streaming");
        let replication_state = match (is_primary, streaming) {
            (true, _) => None,
            (false, true) => Some("streaming".to_owned()),
            (false, false) => Some("in archive recovery".to_owned()),
        };
        let timeline =
            if is_primary { self.number("timeline")? } else { self.number("received_tli")?.filter(|_| streaming) };
        let sender = self.text("sender_host").filter(|host| !host.is_empty()).map(str::to_owned);
        let sender_port = self.number("sender_port")?.and_then(|port| u16::try_from(port).ok());
        Ok(Monitoring {
            is_primary,
            server_version: self.number("version")?.and_then(|version| u32::try_from(version).ok()).unwrap_or(0),
            postmaster_start: WallTime(self.number("postmaster_start")?.unwrap_or(0)),
            timeline: timeline.and_then(|timeline| u32::try_from(timeline).ok()).map(Timeline),
            current_lsn: self.lsn("current_lsn")?,
            received_lsn: self.lsn("received_lsn")?,
            replayed_lsn: self.lsn("replayed_lsn")?,
            replayed_at: self.number("replayed_at")?.map(WallTime),
            latest_end_lsn: self.lsn("latest_end_lsn")?,
            replay_paused: self.text("replay_paused") == Some("t"),
            log_was_read: self.text("log_was_read") == Some("t"),
            replication_state,
            streaming_from: sender.zip(sender_port).filter(|_| streaming),
            replication: self
                .items("replication")?
                .iter()
                .map(replication_row)
                .collect::<Option<_>>()
                .ok_or_else(odd)?,
            slots: self.items("slots")?.iter().map(slot_row).collect::<Option<_>>().ok_or_else(odd)?,
            synchronous_standby_names: self.text("synchronous_standby_names").unwrap_or_default().to_owned(),
            synchronous_commit: CommitPoint::of(self.text("synchronous_commit").unwrap_or_default()),
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.try_get(name).ok().flatten()
    }

    fn number(&self, name: &str) -> Result<Option<i64>, PgError> {
        self.text(name).map(|text| text.parse().map_err(|_| odd())).transpose()
    }

    fn lsn(&self, name: &str) -> Result<Option<Lsn>, PgError> {
        self.text(name).map(|text| text.parse().map_err(|_| odd())).transpose()
    }

    fn items(&self, name: &str) -> Result<Vec<Value>, PgError> {
        match self.text(name) {
            None => Ok(Vec::new()),
            Some(text) => serde_json::from_str(text).map_err(|_| odd()),
        }
    }
}

fn odd() -> PgError {
    PgError::Unreadable("the monitoring query gave something that is not understood".into())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn lsn(value: &Value) -> Option<Lsn> {
    value.as_str()?.parse().ok()
}

fn replication_row(row: &Value) -> Option<ReplicationRow> {
    let row = row.as_array().filter(|row| row.len() == 10)?;
    Some(ReplicationRow {
        usename: text(&row[0]),
        application_name: text(&row[1]),
        client_addr: row[2].as_str().map(str::to_owned),
        state: text(&row[3]),
        sync_state: text(&row[4]),
        sync_priority: row[5].as_i64().and_then(|rank| i32::try_from(rank).ok()).unwrap_or(0),
        sent_lsn: lsn(&row[6]),
        write_lsn: lsn(&row[7]),
        flush_lsn: lsn(&row[8]),
        replay_lsn: lsn(&row[9]),
    })
}

fn slot_row(row: &Value) -> Option<SlotRow> {
    let row = row.as_array().filter(|row| row.len() == 12)?;
    let yes = |at: usize| row[at].as_bool().unwrap_or(false);
    Some(SlotRow {
        name: row[0].as_str()?.to_owned(),
        physical: row[1].as_str()? == "physical",
        active: yes(2),
        restart_lsn: lsn(&row[3]),
        temporary: yes(4),
        plugin: row[5].as_str().map(str::to_owned),
        database: row[6].as_str().map(str::to_owned),
        confirmed_lsn: lsn(&row[7]),
        keeps_rows: yes(8),
        lost: yes(9),
        failover: yes(10),
        synced: yes(11),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_rows_are_read() {
        let row = json!(["rep", "node2", "10.0.0.2", "streaming", "sync", 1, "0/3", "0/2", null, "0/1"]);
        let read = replication_row(&row).unwrap();
        assert_eq!((read.application_name.as_str(), read.sync_priority), ("node2", 1));
        assert_eq!((read.sent_lsn, read.flush_lsn), (Some(Lsn(3)), None));
        assert_eq!(replication_row(&json!(["rep"])), None);
        let slot =
            slot_row(&json!(["node2", "physical", true, "1/0", false, null, null, null, true, null, false, false]))
                .unwrap();
        assert!(
            slot.physical && slot.active && slot.keeps_rows && !slot.lost && slot.restart_lsn == Some(Lsn(1 << 32))
        );
    }
}
