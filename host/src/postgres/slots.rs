//! Replication slots of the local server: made, dropped and moved; and logical ones brought over from another server,
//! for a standby cannot make them itself (SLOT-10). Which ones is not decided here.

use super::Server;
use super::connection::{Connection, literal};
use super::error::{PgError, blocking};
use regent_core::model::{Lsn, SlotSpec, Source};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;
use tokio_postgres::SimpleQueryRow;
use tokio_postgres::error::SqlState;

/// How long a question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(3);

/// A logical slot begins where no older transaction runs, and is moved by reading the log.
const LOGICAL_LIMIT: Duration = Duration::from_secs(15);

/// The file of a slot has some hundred bytes; more is none.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The file of a slot, as another server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotCopy {
    name: String,
    state: Vec<u8>,
}

impl PgError {
    /// A slot needs a part of the log that was removed: 58P01, or that it is known to be invalid: 55000.
    pub fn says_log_is_gone(&self) -> bool {
        let codes = [SqlState::UNDEFINED_FILE, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
        matches!(self, PgError::Sql { source, .. } if source.code().is_some_and(|code| codes.contains(code)))
    }
}

impl Connection {
    /// Makes a slot that keeps the log from now on (SLOT-07); no error where it exists. A logical one is made in the
    /// database of this connection.
    pub async fn create_slot(&mut self, slot: &SlotSpec) -> Result<(), PgError> {
        let name = literal(&slot.name);
        let (call, limit) = match &slot.logical {
            None => (format!("pg_create_physical_replication_slot({name}, true)"), QUESTION_LIMIT),
            Some(logical) => {
                (format!("pg_create_logical_replication_slot({name}, {})", literal(&logical.plugin)), LOGICAL_LIMIT)
            }
        };
        let sql = format!(
            "SELECT pg_catalog.{call} WHERE NOT EXISTS \
             (SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = {name})"
        );
        self.execute(&format!("the creation of the slot {slot}"), &sql, limit).await
    }

    /// Drops a slot that is not in use (SLOT-04); tells whether it is gone.
    pub async fn drop_slot(&mut self, name: &str) -> Result<bool, PgError> {
        let sql = format!(
            "WITH slot AS (SELECT slot_name, active FROM pg_catalog.pg_replication_slots WHERE slot_name = {}), \
             dropped AS (SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM slot WHERE NOT active) \
             SELECT (SELECT count(*) FROM slot) - (SELECT count(*) FROM dropped)",
            literal(name)
        );
        let rows = self.rows("the removal of a slot", &sql, QUESTION_LIMIT).await?;
        Ok(rows.first().and_then(|row| row.try_get(0).ok().flatten()) == Some("0"))
    }

    /// Moves a slot forward to `lsn`, never back and not past what the server has; from 11 on. A logical one is moved
    /// in its own database.
    pub async fn advance_slot(&mut self, name: &str, lsn: Lsn) -> Result<(), PgError> {
        let sql = format!("SELECT pg_catalog.pg_replication_slot_advance({}, '{lsn}')", literal(name));
        self.execute("the advance of a slot", &sql, LOGICAL_LIMIT).await
    }
}

impl Server {
    /// The files of these logical slots at `source`, as far as it has them and is a primary.
    pub async fn fetch_slots(&self, slots: &[SlotSpec], source: &Source) -> Result<Vec<SlotCopy>, PgError> {
        let names: Vec<String> = slots.iter().map(|slot| literal(&slot.name)).collect();
        let sql = format!(
            "SELECT slot_name, pg_catalog.encode(pg_catalog.pg_read_binary_file('pg_replslot/' || slot_name || \
             '/state', 0, {FILE_BYTES_MAX}, true), 'hex') FROM pg_catalog.pg_get_replication_slots() \
             WHERE NOT pg_catalog.pg_is_in_recovery() AND slot_type = 'logical' AND slot_name IN ({})",
            names.join(", ")
        );
        let rows = self.ask_source(source, self.rewind_account(), &sql, QUESTION_LIMIT).await?;
        let copy = |row: &SimpleQueryRow| {
            let name = row.try_get(0).ok().flatten()?;
            let state = from_hex(row.try_get(1).ok().flatten()?)?;
            // What comes from elsewhere becomes a path: only what was asked for.
            slots.iter().any(|slot| slot.name == name).then(|| SlotCopy { name: name.to_owned(), state })
        };
        Ok(rows.iter().filter_map(copy).collect())
    }

    /// Puts the copies into the stopped server's data directory, over what it had under these names.
    pub async fn store_slots(&self, copies: Vec<SlotCopy>) -> Result<(), PgError> {
        self.refuse_if_running().await?;
        let data_dir = self.settings.data_dir.clone();
        blocking(move || copies.iter().try_for_each(|copy| store(&data_dir, copy))).await
    }
}

/// The folder appears complete or not at all: the server reads nothing whose name ends in `.tmp`, and removes it.
fn store(data_dir: &Path, copy: &SlotCopy) -> Result<(), PgError> {
    let slots = data_dir.join("pg_replslot");
    let (folder, temporary) = (slots.join(&copy.name), slots.join(format!("{}.tmp", copy.name)));
    for old in [&temporary, &folder] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(PgError::io_at("remove", old))?;
        }
    }
    DirBuilder::new().mode(0o700).create(&temporary).map_err(PgError::io_at("create", &temporary))?;
    let state = temporary.join("state");
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&state);
    let written = file.and_then(|mut file| file.write_all(&copy.state).and_then(|()| file.sync_all()));
    written.map_err(PgError::io_at("write", &state))?;
    let sync = |folder: &Path| fs::File::open(folder).and_then(|folder| folder.sync_all());
    sync(&temporary).map_err(PgError::io_at("write", &temporary))?;
    fs::rename(&temporary, &folder).map_err(PgError::io_at("rename", &temporary))?;
    sync(&slots).map_err(PgError::io_at("write", &slots))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SLOT-10: what was there before under that name is replaced, and nothing half done is left.
    #[test]
    fn a_copy_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let slots = folder.path().join("pg_replslot");
        for left in ["cdc", "cdc.tmp"] {
            fs::create_dir_all(slots.join(left)).unwrap();
            fs::write(slots.join(left).join("snap"), b"old").unwrap();
        }
        store(folder.path(), &SlotCopy { name: "cdc".into(), state: vec![1, 2] }).unwrap();
        assert_eq!(fs::read(slots.join("cdc/state")).unwrap(), [1, 2]);
        assert!(!slots.join("cdc/snap").exists() && !slots.join("cdc.tmp").exists());
    }

    #[test]
    fn hexadecimal_digits_are_read() {
        let check = |text, expected: Option<Vec<u8>>| assert_eq!(from_hex(text), expected, "{text}");
        check("", Some(vec![]));
        check("00fFa1", Some(vec![0, 255, 161]));
        check("0", None);
        check("0x", None);
    }
}
