//! The server: a store in memory behind a TCP port, one thread for each connection.

use crate::wire::{Condition, Found, Place, Request, Response, Written};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A running server; it lives as long as the process.
pub struct Server {
    address: String,
}

struct Value {
    text: String,
    version: u64,
    session: String,
    end: Option<Instant>,
}

/// All clusters; the first part of a place is the scope.
#[derive(Default)]
struct Keys {
    values: BTreeMap<(String, Place), Value>,
    changes: u64,
}

impl Server {
    /// Starts on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port, or no thread.
    pub fn start() -> std::io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let keys = Arc::<Mutex<Keys>>::default();
        std::thread::Builder::new().name("server".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let keys = Arc::clone(&keys);
                // A client that can not be served sees its connection end.
                drop(std::thread::Builder::new().name("server".to_owned()).spawn(move || serve(&keys, stream)));
            }
        })?;
        Ok(Server { address })
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Answers until the connection ends or makes no sense.
fn serve(keys: &Mutex<Keys>, stream: TcpStream) {
    let (Ok(mut answers), Ok(())) = (stream.try_clone(), stream.set_nodelay(true)) else { return };
    for line in BufReader::new(stream).lines() {
        let Ok(Ok(request)) = line.map(|line| serde_json::from_str::<Request>(&line)) else { return };
        let response = keys.lock().unwrap_or_else(PoisonError::into_inner).answer(request);
        let Ok(mut text) = serde_json::to_string(&response) else { return };
        text.push('\n');
        if answers.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

impl Keys {
    fn answer(&mut self, request: Request) -> Response {
        self.expire();
        match request {
            Request::Read { scope } => Response::State { found: self.of(&scope), changes: self.changes },
            Request::Clear { scope, and_longer } => {
                self.values.retain(|(name, _), _| *name != scope && !(and_longer && name.starts_with(&scope)));
                self.changes += 1;
                Response::Done(self.changes)
            }
            Request::Change { scope, key, when, write, also } => {
                let place = (scope.clone(), key);
                if !self.holds(&place, &when) || (write.is_none() && !self.values.contains_key(&place)) {
                    return Response::Refused;
                }
                for (key, text) in also {
                    let written = Written { text, session: String::new(), lives_ms: None };
                    self.write((scope.clone(), key), written);
                }
                match write {
                    Some(written) => self.write(place, written),
                    None => {
                        self.values.remove(&place);
                        self.changes += 1;
                    }
                }
                Response::Done(self.changes)
            }
        }
    }

    /// Removes what ended; that is a change.
    fn expire(&mut self) {
        let (before, now) = (self.values.len(), now());
        self.values.retain(|_, value| value.end.is_none_or(|end| end > now));
        self.changes += u64::from(self.values.len() != before);
    }

    fn of(&self, scope: &str) -> Vec<Found> {
        let own = self.values.iter().filter(|((name, _), _)| name == scope);
        let found = own.map(|((_, key), value)| Found {
            key: key.clone(),
            text: value.text.clone(),
            version: value.version,
            session: value.session.clone(),
        });
        found.collect()
    }

    fn holds(&self, place: &(String, Place), when: &Condition) -> bool {
        let there = self.values.get(place);
        match when {
            Condition::Any => true,
            Condition::Absent => there.is_none(),
            Condition::Version(version) => there.is_some_and(|value| value.version.to_string() == *version),
            Condition::Session(session) => there.is_some_and(|value| value.session == *session),
            Condition::AbsentOrValue(text) => there.is_none_or(|value| value.text == *text),
            Condition::AbsentOrSession(session) => there.is_none_or(|value| value.session == *session),
        }
    }

    fn write(&mut self, place: (String, Place), written: Written) {
        self.changes += 1;
        let end = written.lives_ms.map(|lives| now() + Duration::from_millis(lives));
        let value = Value { text: written.text, version: self.changes, session: written.session, end };
        self.values.insert(place, value);
    }
}

#[allow(clippy::disallowed_methods, reason = "a server has its own clock")]
fn now() -> Instant {
    Instant::now()
}
