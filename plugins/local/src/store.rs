//! The backend itself: keys as rows, leases as expiries, every call one immediate transaction.

use crate::patience;
use crate::schema::{next_revision, now, open, sync, unapplied, uncertain};
use crate::wake::Wake;
use regent_plugin_sdk::{
    Backend, Cancellations, Capabilities, Cx, DcsError, Entry, ErrorKind, Expect, Key, KeyKind, Lease, OpenArgs,
    Result, Snapshot, WatchEnd, Write, log,
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The section `local:` of the configuration.
#[derive(Deserialize)]
struct Section {
    /// The file.
    path: PathBuf,
}

/// One member's object.
pub struct Local {
    path: PathBuf,
    base: String,
    member: String,
    session: String,
    ttl_ms: AtomicI64,
    connection: Mutex<Option<Connection>>,
    watching: Mutex<Option<Connection>>,
    wake: Wake,
}

impl Backend for Local {
    fn open(args: &OpenArgs, cancellations: Cancellations) -> Result<Self> {
        let section = section(&args.config_json)?;
        let base = base(&args.namespace, &args.scope);
        if let Some(folder) = section.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| {
                DcsError::new(ErrorKind::Invalid, format!("local.path {}: {error}", section.path.display()))
            })?;
        }
        let wake = Wake::open(&section.path).map_err(|error| {
            DcsError::new(
                ErrorKind::Invalid,
                format!("local.path {} can not be watched: {error}", section.path.display()),
            )
        })?;
        let bell = wake.bell();
        cancellations.on_cancel(move |_| {
            let _full = bell.write(1).is_err();
        });
        log::info(&format!("the store is the file {}: for the nodes of this one machine only", section.path.display()));
        Ok(Local {
            session: format!("{}-{}-{}", args.member, std::process::id(), now()),
            path: section.path,
            base,
            member: args.member.clone(),
            ttl_ms: AtomicI64::new(millis(args.ttl)),
            connection: Mutex::new(None),
            watching: Mutex::new(None),
            wake,
        })
    }

    fn capabilities() -> Capabilities {
        Capabilities {
            native_watch: true,
            atomic_multi_write: true,
            server_side_ttl: true,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(24 * 3600),
            max_value_bytes: 100 << 20,
        }
    }

    fn settings() -> &'static [&'static str] {
        &["path"]
    }

    fn check_config(config_json: &str) -> Result<()> {
        section(config_json).map(drop)
    }

    fn load(&self, cx: Cx) -> Result<Snapshot> {
        self.with(&cx, |connection| {
            let transaction = connection.transaction().map_err(unapplied)?;
            let snapshot = self.read(&transaction).map_err(unapplied)?;
            transaction.finish().map_err(unapplied)?;
            Ok(snapshot)
        })
    }

    fn acquire_leader(&self, cx: Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        self.write_with(&cx, also, |transaction| {
            let path = self.path_of(&Key::of(KeyKind::Leader));
            let holder = live_value(transaction, &path)?;
            if holder.is_some_and(|holder| holder.0 != value) {
                return Ok(None);
            }
            self.hold(transaction, &path, value, also).map(Some)
        })
    }

    fn renew_leader(&self, cx: Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        self.write_with(&cx, also, |transaction| {
            let path = self.path_of(&Key::of(KeyKind::Leader));
            match live_value(transaction, &path)? {
                // The lock keeps its session, also where another object of this member took it.
                Some((_, session)) if session == lease.session => {
                    let revision = self.extend(transaction, &path)?;
                    self.put_all(transaction, also)?;
                    Ok(Some(Lease { session, ..self.lease(revision) }))
                }
                _ => Ok(None),
            }
        })
    }

    fn release_leader(&self, cx: Cx, _lease: &Lease, also: &[Write]) -> Result<bool> {
        self.write_with(&cx, also, |transaction| {
            let path = self.path_of(&Key::of(KeyKind::Leader));
            match live_value(transaction, &path)? {
                Some((value, _)) if value == self.member.as_bytes() => {
                    self.put_all(transaction, also)?;
                    transaction.execute("DELETE FROM entry WHERE path = ?1", [&path])?;
                    next_revision(transaction)?;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    }

    fn touch_member(&self, cx: Cx, value: &[u8]) -> Result<String> {
        self.write_lease(&cx, |transaction| {
            let path = self.path_of(&Key { kind: KeyKind::Member, name: self.member.clone() });
            let revision = match live_value(transaction, &path)? {
                Some((old, session)) if old == value && session == self.session => self.extend(transaction, &path)?,
                _ => self.upsert(transaction, &path, value, true)?,
            };
            Ok(revision.to_string())
        })
    }

    fn put(&self, cx: Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        self.write(&cx, |transaction| {
            let path = self.path_of(key);
            if !as_expected(transaction, &path, expect)? {
                return Ok(None);
            }
            Ok(Some(self.upsert(transaction, &path, value, false)?.to_string()))
        })
    }

    fn delete(&self, cx: Cx, key: &Key, expect: &Expect) -> Result<bool> {
        self.write(&cx, |transaction| {
            let path = self.path_of(key);
            if !as_expected(transaction, &path, expect)? {
                return Ok(false);
            }
            let deleted = transaction.execute("DELETE FROM entry WHERE path = ?1", [&path])?;
            if deleted > 0 {
                next_revision(transaction)?;
            }
            Ok(deleted > 0)
        })
    }

    fn watch(&self, cx: Cx, cursor: &str) -> Result<WatchEnd> {
        let mut guard = lock(&self.watching);
        loop {
            if cx.cancelled() {
                return Ok(WatchEnd::Cancelled);
            }
            let left = cx.left();
            if left.is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            self.wake.quiet();
            let (now_at, nearest) = patience::during(&cx, || self.position(&mut guard))?;
            if now_at != cursor {
                return Ok(WatchEnd::Changed);
            }
            // One millisecond past the nearest expiry, so that it is over when we look.
            let until_expiry = nearest.map(|at| Duration::from_millis(u64::try_from(at - now() + 1).unwrap_or(1)));
            self.wake.wait(until_expiry.map_or(left, |expiry| expiry.min(left)));
        }
    }

    fn set_ttl(&self, ttl: Duration) -> Result<Duration> {
        self.ttl_ms.store(millis(ttl), Ordering::Release);
        Ok(ttl)
    }

    fn reload(&self, config_json: &str) -> Result<bool> {
        Ok(section(config_json)?.path == self.path)
    }

    fn delete_cluster(&self, cx: Cx) -> Result<()> {
        self.write(&cx, |transaction| {
            let prefix = format!("{}/", self.base);
            transaction.execute("DELETE FROM entry WHERE substr(path, 1, length(?1)) = ?1", [&prefix])?;
            next_revision(transaction)?;
            Ok(())
        })
    }

    fn close(&self, _cx: Cx) -> Result<()> {
        lock(&self.connection).take();
        let _full = self.wake.bell().write(1).is_err();
        Ok(())
    }
}

impl Local {
    /// Runs `work` on the connection, which is opened when it is needed and dropped when the file fails.
    fn with<T>(&self, cx: &Cx, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let mut guard = lock(&self.connection);
        patience::during(cx, || {
            let mut connection = match guard.take() {
                Some(connection) => connection,
                None => open(&self.path)?,
            };
            let answer = work(&mut connection);
            if answer.is_ok() {
                *guard = Some(connection);
            }
            answer
        })
    }

    /// A write that outlives a power cut once it is acknowledged.
    fn write<T>(&self, cx: &Cx, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let value = self.write_lease(cx, work)?;
        sync(&self.path).map_err(|error| {
            DcsError::new(ErrorKind::Indeterminate, format!("the local store can not be synced: {error}"))
        })?;
        Ok(value)
    }

    /// The same with what else goes with a lease, which itself ends with the machine.
    fn write_with<T>(
        &self,
        cx: &Cx,
        also: &[Write],
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if also.is_empty() { self.write_lease(cx, work) } else { self.write(cx, work) }
    }

    fn write_lease<T>(&self, cx: &Cx, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let value = self.with(cx, |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unapplied)?;
            expire(&transaction).map_err(unapplied)?;
            let value = work(&transaction).map_err(unapplied)?;
            transaction.commit().map_err(uncertain)?;
            Ok(value)
        })?;
        self.wake.tell();
        Ok(value)
    }

    fn read(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Snapshot> {
        let prefix = format!("{}/", self.base);
        let mut statement = transaction.prepare_cached(
            "SELECT path, value, revision, session FROM entry
             WHERE substr(path, 1, length(?1)) = ?1 AND (expires IS NULL OR expires > ?2) ORDER BY path",
        )?;
        let rows = statement.query_map(params![prefix, now()], |row| {
            let path: String = row.get(0)?;
            Ok(Entry {
                key: key_of(&path[prefix.len()..]),
                value: row.get(1)?,
                version: row.get::<_, i64>(2)?.to_string(),
                session: row.get(3)?,
            })
        })?;
        let entries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let cursor = cursor(transaction, &prefix)?.0;
        Ok(Snapshot { entries, cursor })
    }

    /// Where the store stands, and when the next key of this cluster expires.
    fn position(&self, connection: &mut Option<Connection>) -> Result<(String, Option<i64>)> {
        let mut open_one = match connection.take() {
            Some(connection) => connection,
            None => open(&self.path)?,
        };
        let transaction = open_one.transaction().map_err(unapplied)?;
        let found = cursor(&transaction, &format!("{}/", self.base)).map_err(unapplied)?;
        transaction.finish().map_err(unapplied)?;
        *connection = Some(open_one);
        Ok(found)
    }

    fn hold(&self, transaction: &Transaction<'_>, path: &str, value: &[u8], also: &[Write]) -> rusqlite::Result<Lease> {
        let revision = self.upsert(transaction, path, value, true)?;
        self.put_all(transaction, also)?;
        Ok(self.lease(revision))
    }

    fn lease(&self, revision: i64) -> Lease {
        Lease { session: self.session.clone(), version: revision.to_string(), ttl: self.ttl() }
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.ttl_ms.load(Ordering::Acquire)).unwrap_or(0))
    }

    fn put_all(&self, transaction: &Transaction<'_>, writes: &[Write]) -> rusqlite::Result<()> {
        for write in writes {
            self.upsert(transaction, &self.path_of(&write.key), &write.value, false)?;
        }
        Ok(())
    }

    fn upsert(&self, transaction: &Transaction<'_>, path: &str, value: &[u8], mortal: bool) -> rusqlite::Result<i64> {
        let revision = next_revision(transaction)?;
        let expires = mortal.then(|| now() + self.ttl_ms.load(Ordering::Acquire));
        let session = if mortal { self.session.as_str() } else { "" };
        transaction.execute(
            "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (path) DO UPDATE
             SET value = excluded.value, revision = excluded.revision, session = excluded.session,
                 expires = excluded.expires",
            params![path, value, revision, session, expires],
        )?;
        Ok(revision)
    }

    /// Lets a key live on. That is no change that anybody must be woken for.
    fn extend(&self, transaction: &Transaction<'_>, path: &str) -> rusqlite::Result<i64> {
        transaction.query_row(
            "UPDATE entry SET expires = ?2 WHERE path = ?1 RETURNING revision",
            params![path, now() + self.ttl_ms.load(Ordering::Acquire)],
            |row| row.get(0),
        )
    }

    fn path_of(&self, key: &Key) -> String {
        let relative = match key.kind {
            KeyKind::Initialize => "initialize".to_owned(),
            KeyKind::Config => "config".to_owned(),
            KeyKind::Leader => "leader".to_owned(),
            KeyKind::Member => format!("members/{}", key.name),
            KeyKind::Status => "status".to_owned(),
            KeyKind::Sync => "sync".to_owned(),
            KeyKind::Failover => "failover".to_owned(),
            KeyKind::History => "history".to_owned(),
            KeyKind::Failsafe => "failsafe".to_owned(),
            KeyKind::Other(number) => format!("kind-{number}/{}", key.name),
        };
        format!("{}/{relative}", self.base)
    }
}

fn key_of(relative: &str) -> Key {
    let kind = match relative {
        "initialize" => KeyKind::Initialize,
        "config" => KeyKind::Config,
        "leader" => KeyKind::Leader,
        "status" => KeyKind::Status,
        "sync" => KeyKind::Sync,
        "failover" => KeyKind::Failover,
        "history" => KeyKind::History,
        "failsafe" => KeyKind::Failsafe,
        other => {
            if let Some(name) = other.strip_prefix("members/") {
                return Key { kind: KeyKind::Member, name: name.to_owned() };
            }
            let unknown = other.strip_prefix("kind-").and_then(|rest| rest.split_once('/'));
            let (number, name) = unknown.unwrap_or(("0", other));
            return Key { kind: KeyKind::Other(number.parse().unwrap_or(0)), name: name.to_owned() };
        }
    };
    Key::of(kind)
}

/// Removes what has expired; that is a change.
fn expire(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let gone = transaction.execute("DELETE FROM entry WHERE expires <= ?1", [now()])?;
    if gone > 0 {
        next_revision(transaction)?;
    }
    Ok(())
}

/// The cursor counts changes of values, and live keys with an end: one that expires unremoved changes it too.
fn cursor(transaction: &Transaction<'_>, prefix: &str) -> rusqlite::Result<(String, Option<i64>)> {
    let now = now();
    transaction
        .prepare_cached(
            "SELECT COALESCE(MAX(revision), 0), COUNT(*), COALESCE(SUM(revision), 0), MIN(expires) FROM entry
             WHERE substr(path, 1, length(?1)) = ?1 AND (expires IS NULL OR expires > ?2)",
        )?
        .query_row(params![prefix, now], |row| {
            let (newest, count, sum): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((format!("{newest}.{count}.{sum}"), row.get(3)?))
        })
}

fn live_value(transaction: &Transaction<'_>, path: &str) -> rusqlite::Result<Option<(Vec<u8>, String)>> {
    transaction
        .query_row(
            "SELECT value, session FROM entry WHERE path = ?1 AND (expires IS NULL OR expires > ?2)",
            params![path, now()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

fn as_expected(transaction: &Transaction<'_>, path: &str, expect: &Expect) -> rusqlite::Result<bool> {
    let there: Option<i64> =
        transaction.query_row("SELECT revision FROM entry WHERE path = ?1", [path], |row| row.get(0)).optional()?;
    Ok(match expect {
        Expect::Any => true,
        Expect::Absent => there.is_none(),
        Expect::Is(token) => there.is_some_and(|revision| revision.to_string() == *token),
    })
}

fn section(config_json: &str) -> Result<Section> {
    let section: Section = serde_json::from_str(config_json)
        .map_err(|error| DcsError::new(ErrorKind::Invalid, format!("section local: {error}")))?;
    if !section.path.is_absolute() {
        let why = format!("local.path must be absolute, {} is not", section.path.display());
        return Err(DcsError::new(ErrorKind::Invalid, why));
    }
    Ok(section)
}

/// `/namespace/scope`, runs of slashes made one.
fn base(namespace: &str, scope: &str) -> String {
    let joined = format!("/{namespace}/{scope}");
    let mut path = String::with_capacity(joined.len());
    for part in joined.split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(part);
    }
    path
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
