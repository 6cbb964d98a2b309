//! Replication slots: those that a server has and those that it should have.

use super::Lsn;
use std::fmt;

/// A replication slot of the local server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotRow {
    /// The slot's name.
    pub name: String,
    /// Physical, else logical.
    pub physical: bool,
    /// In use by a walsender or a session.
    pub active: bool,
    /// It keeps the log from here on.
    pub restart_lsn: Option<Lsn>,
    /// Made for one session only; never ours.
    pub temporary: bool,
    /// Logical: its database.
    pub database: Option<String>,
    /// Logical: its output plugin.
    pub plugin: Option<String>,
    /// Logical: its consumer has everything up to here.
    pub confirmed_lsn: Option<Lsn>,
    /// It keeps old rows for a standby.
    pub keeps_rows: bool,
    /// The log that it needs is gone (`wal_status`, from 13 on).
    pub lost: bool,
    /// PostgreSQL itself keeps it on standbys (from 17 on).
    pub failover: bool,
    /// It was made by PostgreSQL's own synchronization (from 17 on).
    pub synced: bool,
}

impl SlotRow {
    /// How far its consumer has come: what the other members' slots of that name are moved to.
    pub fn position(&self) -> Option<Lsn> {
        if self.physical { self.restart_lsn } else { self.confirmed_lsn }
    }
}

/// A slot that a server should have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotSpec {
    /// Its name.
    pub name: String,
    /// Of a logical slot what only that has; `None`: physical.
    pub logical: Option<LogicalSlot>,
}

impl SlotSpec {
    /// A physical slot.
    pub fn physical(name: impl Into<String>) -> SlotSpec {
        SlotSpec { name: name.into(), logical: None }
    }

    /// The slot of that name is of another kind, or for something else.
    pub fn differs_from(&self, row: &SlotRow) -> bool {
        match &self.logical {
            None => !row.physical,
            Some(logical) => {
                row.physical
                    || row.database.as_ref() != Some(&logical.database)
                    || row.plugin.as_ref() != Some(&logical.plugin)
            }
        }
    }
}

/// What a logical slot decodes, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogicalSlot {
    /// The database whose changes it gives.
    pub database: String,
    /// The output plugin that writes them.
    pub plugin: String,
}

impl fmt::Display for SlotSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
