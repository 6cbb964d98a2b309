//! The connection: made when it is needed, thrown away when anything about it is odd; and what an error means.

use crate::config::Config;
use redis::{Client, Connection, ConnectionAddr, ConnectionInfo, RedisConnectionInfo, RedisError, Script, Value};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result};
use std::time::Duration;

/// With less left there is no use in trying.
const TRY_MIN: Duration = Duration::from_millis(20);

/// What it means that a request was sent and not answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changes nothing: it may be asked again.
    Read,
    /// It may have been applied.
    Write,
}

/// At most one connection.
pub struct Link {
    config: Config,
    script: Script,
    connection: Option<Connection>,
}

impl Link {
    pub fn new(config: Config) -> Link {
        Link { config, script: Script::new(include_str!("store.lua")), connection: None }
    }

    pub fn change(&mut self, config: Config) {
        if self.config != config {
            *self = Link::new(config);
        }
    }

    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// A new connection, on which nothing takes longer than that.
    pub fn connect(&self, patience: Duration) -> Result<Connection> {
        let config = &self.config;
        let info = ConnectionInfo {
            addr: ConnectionAddr::Tcp(config.host.clone(), config.port),
            redis: RedisConnectionInfo {
                db: config.database,
                username: config.username.clone(),
                password: config.password.clone(),
                ..RedisConnectionInfo::default()
            },
        };
        let connection = Client::open(info).and_then(|client| client.get_connection_with_timeout(patience));
        // Nothing was asked for yet.
        let connection = connection.map_err(|error| failed(Outcome::Read, &error))?;
        let timeouts = connection.set_read_timeout(Some(patience)).and(connection.set_write_timeout(Some(patience)));
        timeouts.map_err(|error| failed(Outcome::Read, &error))?;
        Ok(connection)
    }

    /// Runs one operation within the call's budget. A reading is tried again on a new connection: the old one may have
    /// died of old age.
    pub fn run(
        &mut self,
        cx: &Cx,
        outcome: Outcome,
        prefix: &str,
        operation: &str,
        member: &str,
        arguments: &[Vec<u8>],
    ) -> Result<Value> {
        loop {
            let left = cx.left();
            if left < TRY_MIN {
                return Err(DcsError::new(ErrorKind::Unavailable, "redis: there was no time to ask"));
            }
            let is_old = self.connection.is_some();
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect(left)?,
            };
            // Connecting may have taken all of it, and no time at all would mean no limit.
            let left = cx.left().max(TRY_MIN);
            let timeouts = connection.set_read_timeout(Some(left)).and(connection.set_write_timeout(Some(left)));
            timeouts.map_err(|error| failed(Outcome::Read, &error))?;
            let mut call = self.script.key(prefix);
            call.arg(operation).arg(member);
            for argument in arguments {
                call.arg(argument.as_slice());
            }
            match call.invoke::<Value>(&mut connection) {
                Ok(answer) => {
                    self.connection = Some(connection);
                    return Ok(answer);
                }
                Err(error) if is_old && outcome == Outcome::Read && !error.is_timeout() && error.is_io_error() => {}
                Err(error) => {
                    // A server that said no goes on listening; whatever else it was, the connection is not trusted.
                    if !error.is_io_error() {
                        self.connection = Some(connection);
                    }
                    return Err(failed(outcome, &error));
                }
            }
        }
    }
}

/// What an error means to the host. Texts of the server hold no secret; ours would.
pub fn failed(outcome: Outcome, error: &RedisError) -> DcsError {
    let lost = if outcome == Outcome::Read { ErrorKind::Unavailable } else { ErrorKind::Indeterminate };
    let kind = match (error.kind(), error.code()) {
        (redis::ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => ErrorKind::Auth,
        // It said so before it did anything.
        (_, Some("READONLY" | "LOADING" | "BUSY" | "MASTERDOWN" | "NOREPLICAS" | "OOM" | "MISCONF")) => {
            ErrorKind::Unavailable
        }
        (_, Some("NOSCRIPT" | "ERR" | "WRONGTYPE")) => ErrorKind::Invalid,
        _ => lost,
    };
    DcsError::new(kind, format!("redis: {error}"))
}
