//! The session that our nodes end with: made when it is needed, kept by whatever is asked in it, taken along from one
//! connection and server to the next. Nothing keeps it but the daemon's own calls.

use crate::Ensemble;
use crate::config::{Common, Pace};
use crate::connection::{Connection, Shared};
use crate::jute::next_frame;
use crate::message::{AUTH_NUMBER, Acl, Code, Heading, Hello, Op, Welcome, credentials, heading};
use crate::server::Server;
use crate::transport::{Connector, Stream};
use regent_plugin_sdk::{DcsError, ErrorKind, log};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// Another try may find one.
    Yet(String),
    /// None will.
    Ever(DcsError),
}

/// The session as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its number.
    pub id: i64,
    /// How long it lives after each message.
    pub ttl: Duration,
}

/// Our session, and how it is reached.
pub(crate) struct Session<E> {
    ensemble: E,
    connector: Connector,
    common: Common,
    /// What its connections share.
    pub shared: Arc<Shared>,
    connect_ms: AtomicU64,
    /// The connection that was made last.
    current: std::sync::Mutex<Option<Arc<Connection>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: u64,
    /// Where the next try begins.
    turn: usize,
    session: Option<Known>,
}

struct Known {
    id: i64,
    password: Vec<u8>,
    /// What was asked for when it was made, or last.
    wanted: Duration,
    /// What it was granted when it was made: a new leader of the ensemble counts it so, until it hears from us.
    made_for: Duration,
    granted: Duration,
}

impl Known {
    fn held(&self) -> Held {
        Held { id: self.id, ttl: self.granted.min(self.made_for) }
    }
}

/// What came of asking for a session.
enum Greeting {
    Granted(Welcome, Vec<u8>),
    /// The session that was to go on is gone.
    Gone,
}

impl<E: Ensemble> Session<E> {
    /// Nothing is connected yet; `turn` is the server to begin with.
    pub fn new(ensemble: E, connector: Connector, common: Common, pace: Pace, turn: usize) -> Session<E> {
        let shared = Shared { news: watch::Sender::new(0), seen: AtomicI64::new(0), silence_ms: AtomicU64::new(0) };
        let state = Mutex::new(State { turn, ..State::default() });
        let session = Session {
            ensemble,
            connector,
            common,
            shared: Arc::new(shared),
            connect_ms: AtomicU64::new(0),
            current: std::sync::Mutex::default(),
            state,
        };
        session.set_pace(pace);
        session
    }

    /// The times of connections from now on.
    pub fn set_pace(&self, pace: Pace) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.shared.silence_ms.store(millis(pace.silence()), Ordering::Release);
        self.connect_ms.store(millis(pace.connect()), Ordering::Release);
    }

    /// Lets the session go on over another connection (ZK-04).
    pub fn reconnect(&self) {
        if let Some(connection) = self.current() {
            connection.end();
        }
    }

    /// The number of the connection, if there is one that works.
    pub fn connected(&self) -> Option<u64> {
        self.current().map(|connection| connection.serial)
    }

    fn current(&self) -> Option<Arc<Connection>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|connection| connection.is_alive())
    }

    fn replace(&self, connection: Option<Arc<Connection>>) {
        let before = std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), connection);
        if let Some(before) = before {
            before.end();
        }
    }

    /// Ends the session, if there is one: what hangs on it is gone at once.
    pub async fn close(&self) {
        let mut state = self.state.lock().await;
        state.session = None;
        if let Some(connection) = self.current() {
            drop(connection.ask(&[Op::Close], &[]).await);
        }
        self.replace(None);
    }

    /// Who may do what with the nodes that we create.
    pub fn acls(&self) -> &[Acl] {
        &self.common.acls
    }

    /// A connection of a session that lives for `wanted`.
    pub async fn ready(&self, wanted: Duration) -> Result<(Arc<Connection>, Held), NoConnection> {
        let mut state = self.state.lock().await;
        if let (Some(connection), Some(known)) = (self.current(), &state.session)
            && known.wanted == wanted
            && !self.ensemble.is_outdated(&connection.server)
        {
            return Ok((connection, known.held()));
        }
        // The time of a session is agreed upon when it is connected.
        self.replace(None);
        let patience = Duration::from_millis(self.connect_ms.load(Ordering::Acquire));
        let servers = self.ensemble.servers(patience).await.map_err(NoConnection::Yet)?;
        let mut last = "there are no servers".to_owned();
        for _ in 0..servers.len() {
            let server = &servers[state.turn % servers.len()];
            match tokio::time::timeout(patience, self.join(server, &mut state, wanted)).await {
                Ok(Ok(())) => break,
                Ok(Err(NoConnection::Yet(why))) => last = format!("{server}: {why}"),
                Ok(Err(error)) => return Err(error),
                Err(_) => last = format!("{server}: no answer in time"),
            }
            state.turn = state.turn.wrapping_add(1);
        }
        match (self.current(), &state.session) {
            (Some(connection), Some(known)) => Ok((connection, known.held())),
            _ => Err(NoConnection::Yet(last)),
        }
    }

    /// Goes on with the session at that server, or makes a new one where it is gone.
    async fn join(&self, server: &Server, state: &mut State, wanted: Duration) -> Result<(), NoConnection> {
        for _ in 0..2 {
            let mut stream = self.connector.connect(server).await.map_err(NoConnection::Yet)?;
            match self.greet(&mut stream, state.session.as_ref(), wanted).await? {
                Greeting::Gone => {
                    log::info("the session with ZooKeeper is gone: a new one is made");
                    state.session = None;
                }
                Greeting::Granted(welcome, mut arrived) => {
                    self.introduce(&mut stream, &mut arrived).await?;
                    let granted = Duration::from_millis(u64::try_from(welcome.timeout_ms).unwrap_or(0));
                    let before = state.session.take().filter(|known| known.id == welcome.session);
                    let made_for = before.map_or(granted, |known| known.made_for);
                    let (id, password) = (welcome.session, welcome.password);
                    state.session = Some(Known { id, password, wanted, made_for, granted });
                    state.connections += 1;
                    let shared = Arc::clone(&self.shared);
                    let connection = Connection::start(stream, arrived, (server.clone(), state.connections), shared);
                    self.replace(Some(Arc::new(connection)));
                    return Ok(());
                }
            }
        }
        Err(NoConnection::Yet("a session ends as soon as it is made".to_owned()))
    }

    async fn greet(
        &self,
        stream: &mut Box<dyn Stream>,
        known: Option<&Known>,
        wanted: Duration,
    ) -> Result<Greeting, NoConnection> {
        let hello = Hello {
            seen: self.shared.seen.load(Ordering::Acquire),
            timeout_ms: i32::try_from(wanted.as_millis()).unwrap_or(i32::MAX),
            session: known.map_or(0, |known| known.id),
            password: known.map_or(&[0; 16], |known| known.password.as_slice()),
        };
        send(stream, &hello.frame()).await?;
        let mut arrived = Vec::new();
        let frame = receive(stream, &mut arrived).await?;
        let welcome = Welcome::read(&frame).map_err(|_| NoConnection::Yet("it is no ZooKeeper".to_owned()))?;
        if welcome.timeout_ms > 0 {
            return Ok(Greeting::Granted(welcome, arrived));
        }
        Ok(Greeting::Gone)
    }

    /// Says who we are, as far as the configuration has it.
    async fn introduce(&self, stream: &mut Box<dyn Stream>, arrived: &mut Vec<u8>) -> Result<(), NoConnection> {
        for (scheme, credential) in &self.common.credentials {
            send(stream, &credentials(scheme, credential)).await?;
            let frame = receive(stream, arrived).await?;
            match heading(&frame) {
                Ok((Heading::Answer(AUTH_NUMBER, _, Code(0)), _)) => {}
                Ok((Heading::Answer(AUTH_NUMBER, _, _), _)) => {
                    let why = format!("zookeeper: the credential for {scheme} is refused");
                    return Err(NoConnection::Ever(DcsError::new(ErrorKind::Auth, why)));
                }
                _ => return Err(NoConnection::Yet("an unexpected answer to a credential".to_owned())),
            }
        }
        Ok(())
    }
}

async fn send(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> Result<(), NoConnection> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| NoConnection::Yet(error.to_string()))
}

async fn receive(stream: &mut Box<dyn Stream>, arrived: &mut Vec<u8>) -> Result<Vec<u8>, NoConnection> {
    loop {
        match next_frame(arrived) {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(_) => return Err(NoConnection::Yet("it is no ZooKeeper".to_owned())),
        }
        match stream.read_buf(arrived).await {
            Ok(1..) => {}
            Ok(_) => {
                return Err(NoConnection::Yet("the server closed the connection: it may not serve now".to_owned()));
            }
            Err(error) => return Err(NoConnection::Yet(error.to_string())),
        }
    }
}
