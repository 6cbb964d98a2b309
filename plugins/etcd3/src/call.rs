//! Sends each request to a server that answers: the good one first, the next when it fails, each for its share of the
//! budget; and tells at the end whether the request may have been applied.

use crate::fault::Fault;
use crate::transport::{Connection, Transport};
use etcd_client::ResponseHeader;
use regent_dcs_common::endpoint::Endpoint;
use regent_dcs_common::etcd::{SHARE_MIN, Topology, Way, discovery, share, tries_for};
use regent_dcs_common::retry::{PAUSE, TRY_MIN, rest};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, log};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long members may take to say who they are.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) use regent_dcs_common::retry::Repeat;

/// An answer, and whether an earlier try of the same request may have been applied too.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// What the server said.
    pub value: T,
    /// An earlier try went unanswered.
    pub unsure: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The lease in the request does not exist: another is needed.
    LeaseGone,
    /// Anything else.
    Error(DcsError),
}

/// What came of a request.
pub(crate) type Tried<T> = Result<T, Trouble>;

impl From<DcsError> for Trouble {
    fn from(error: DcsError) -> Trouble {
        Trouble::Error(error)
    }
}

impl From<Trouble> for DcsError {
    fn from(trouble: Trouble) -> DcsError {
        match trouble {
            Trouble::LeaseGone => DcsError::new(ErrorKind::Unavailable, "the lease ends as soon as it is granted"),
            Trouble::Error(error) => error,
        }
    }
}

/// Answers that say which cluster gave them, and in which term.
pub(crate) trait Headed {
    /// The header, where there is one.
    fn head(&self) -> Option<&ResponseHeader>;
}

macro_rules! headed {
    ($($answer:ident),+) => {
        $(impl Headed for etcd_client::$answer {
            fn head(&self) -> Option<&ResponseHeader> {
                self.header()
            }
        })+
    };
}
headed!(GetResponse, PutResponse, TxnResponse, DeleteResponse, LeaseGrantResponse, LeaseRevokeResponse);

/// All servers of the store.
pub(crate) struct Servers {
    transport: Arc<Transport>,
    topology: Mutex<Topology>,
    current: Mutex<Option<Arc<Connection>>>,
    /// Told whenever requests go to another server than before.
    moved: watch::Sender<()>,
    discovery_period: Duration,
}

impl Servers {
    /// Nothing is reached yet.
    pub fn new(transport: Transport, ttl: Duration) -> Servers {
        let topology = Topology::new(transport.config.named.clone());
        Servers {
            transport: Arc::new(transport),
            topology: Mutex::new(topology),
            current: Mutex::new(None),
            moved: watch::Sender::new(()),
            discovery_period: ttl * 10,
        }
    }

    /// Performs one request within the call's budget.
    pub async fn run<T: Headed>(
        self: &Arc<Self>,
        cx: &Cx,
        repeat: Repeat,
        mut request: impl AsyncFnMut(&Arc<Connection>) -> Result<T, Fault>,
    ) -> Result<Answer<T>, Trouble> {
        let mut course = Course { repeat, tried: false, unsure: false, last: "there was no time".to_owned() };
        let mut pause = PAUSE.0;
        let mut tries = None;
        loop {
            let candidates = self.candidates(cx).await;
            let tries = tries.get_or_insert_with(|| tries_for(candidates.len()));
            for endpoint in &candidates {
                let share = share(cx.left(), *tries);
                if share.is_zero() || (course.tried && share < TRY_MIN) {
                    return Err(course.over());
                }
                course.tried = true;
                *tries = tries.saturating_sub(1);
                match self.attempt(endpoint, share, &mut request).await {
                    Ok(value) => return Ok(Answer { value, unsure: course.unsure }),
                    Err(fault) => course.take(endpoint, fault)?,
                }
            }
            if candidates.is_empty() {
                course.last = "no server is known".to_owned();
            }
            if !rest(cx, pause).await {
                return Err(course.over());
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// One try with one server.
    async fn attempt<T: Headed>(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        share: Duration,
        request: &mut impl AsyncFnMut(&Arc<Connection>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let sent = Cell::new(false);
        let attempt = async {
            // An address that swallows packets must leave time for the next.
            let patience = (share / 2).max(SHARE_MIN).min(share);
            let connection = self.connection(endpoint, patience).await?;
            sent.set(true);
            let value = match request(&connection).await {
                Err(Fault::Token(_)) if connection.has_credentials() => {
                    connection.authenticate().await?;
                    request(&connection).await?
                }
                other => other?,
            };
            self.check_header(value.head()).map(|()| value)
        };
        let outcome = match tokio::time::timeout(share, attempt).await {
            Ok(outcome) => outcome,
            Err(_) if sent.get() => Err(Fault::Unsure(format!("no answer within {} ms", share.as_millis()))),
            Err(_) => Err(Fault::Unsent(format!("no connection within {} ms", share.as_millis()))),
        };
        match &outcome {
            Ok(_) => self.succeeded(endpoint),
            Err(Fault::Unsent(_) | Fault::Unsure(_)) => self.failed(endpoint),
            // It answered, even if not with what was wanted.
            Err(_) => {}
        }
        outcome
    }

    /// The connection to a server, made if need be.
    pub async fn connection(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        patience: Duration,
    ) -> Result<Arc<Connection>, Fault> {
        let current = lock(&self.current).clone();
        if let Some(current) = current.filter(|current| current.endpoint == *endpoint) {
            return Ok(current);
        }
        let connection = Arc::new(self.transport.connect(endpoint, patience).await?);
        let mut current = lock(&self.current);
        if let Some(current) = current.as_ref().filter(|current| current.endpoint == *endpoint) {
            // The watch or an operation was quicker; one connection is enough.
            return Ok(Arc::clone(current));
        }
        *current = Some(Arc::clone(&connection));
        drop(current);
        log::info(&format!("connected to etcd at {endpoint}"));
        self.moved.send_replace(());
        Ok(connection)
    }

    /// Whether requests go over this connection still.
    pub fn is_current(&self, connection: &Arc<Connection>) -> bool {
        lock(&self.current).as_ref().is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    /// Tells when that may have changed.
    pub fn moves(&self) -> Moves {
        Moves(self.moved.subscribe())
    }

    /// Whom to ask, best first. SRV records are looked up when there is nobody to ask, or nobody answered.
    pub async fn candidates(self: &Arc<Self>, cx: &Cx) -> Vec<Endpoint> {
        let srv = self.transport.config.srv.clone();
        let Some(srv) = srv.filter(|_| lock(&self.topology).srv_is_due()) else {
            return lock(&self.topology).candidates();
        };
        let patience = (cx.left() / 3).min(DISCOVERY_PATIENCE);
        let way = Way { dns: &self.transport.dns, tls: &self.transport.config.tls, patience };
        let looked_up = tokio::time::timeout(patience, discovery::by_srv(&srv, way)).await;
        let mut found = looked_up.unwrap_or_default();
        let mut topology = lock(&self.topology);
        if !found.is_empty() {
            found.extend(self.transport.config.named.iter().cloned());
            topology.configure(found);
        }
        topology.candidates()
    }

    /// A server answered.
    pub fn succeeded(self: &Arc<Self>, endpoint: &Endpoint) {
        let due = lock(&self.topology).succeeded(endpoint, self.discovery_period);
        if due && !self.transport.config.use_proxies {
            let servers = Arc::clone(self);
            // It ends by itself, or with the runtime.
            drop(tokio::spawn(async move { servers.discover().await }));
        }
    }

    /// A server did not answer, or not as it should: it goes to the end of the line.
    pub fn failed(&self, endpoint: &Endpoint) {
        lock(&self.topology).failed(endpoint);
        if lock(&self.current).take_if(|current| current.endpoint == *endpoint).is_some() {
            self.moved.send_replace(());
        }
    }

    /// Refuses an answer out of the past.
    ///
    /// # Errors
    /// As if there had been none.
    pub fn check_header(&self, header: Option<&ResponseHeader>) -> Result<(), Fault> {
        let Some(header) = header else {
            return Ok(());
        };
        lock(&self.topology).check_term(header.cluster_id(), header.raft_term()).map_err(|known| {
            let why = format!("it answers in term {}, when term {known} was seen already", header.raft_term());
            log::warn(&format!("an etcd server lives in the past: {why}; another is asked"));
            Fault::Unsure(why)
        })
    }

    /// Asks the members about each other.
    async fn discover(self: Arc<Self>) {
        let Some(connection) = lock(&self.current).clone() else {
            return;
        };
        let mut client = connection.client().cluster_client();
        let asked = tokio::time::timeout(DISCOVERY_PATIENCE, client.member_list()).await;
        let Ok(Ok(answer)) = asked else {
            return;
        };
        let urls = answer.members().iter().flat_map(etcd_client::Member::client_urls);
        let members = discovery::of_urls(urls.map(String::as_str));
        lock(&self.topology).discover(members);
    }
}

/// Hears of requests that go to another server than before.
pub(crate) struct Moves(watch::Receiver<()>);

impl Moves {
    /// Comes back at the next such change.
    pub async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// How a request fares from try to try.
struct Course {
    repeat: Repeat,
    tried: bool,
    unsure: bool,
    last: String,
}

impl Course {
    /// Takes in why a try failed; an error ends the request.
    fn take(&mut self, endpoint: &Endpoint, fault: Fault) -> Result<(), Trouble> {
        let error = |kind, why: String| Err(Trouble::Error(DcsError::new(kind, format!("{endpoint}: {why}"))));
        match fault {
            Fault::Unsent(why) => {
                log::debug(&format!("{endpoint} can not be asked: {why}"));
                self.last = format!("{endpoint}: {why}");
                Ok(())
            }
            Fault::Unsure(why) => {
                log::debug(&format!("{endpoint} gave no answer: {why}"));
                self.last = format!("{endpoint}: {why}");
                self.unsure |= self.repeat != Repeat::Read;
                if self.repeat == Repeat::Once { Err(self.over()) } else { Ok(()) }
            }
            Fault::LeaseGone => Err(Trouble::LeaseGone),
            Fault::Token(why) | Fault::Denied(why) => error(ErrorKind::Auth, why),
            Fault::Refused(why) => error(ErrorKind::Invalid, why),
        }
    }

    /// The end without an answer.
    fn over(&self) -> Trouble {
        let kind = if self.unsure { ErrorKind::Indeterminate } else { ErrorKind::Unavailable };
        Trouble::Error(DcsError::new(kind, format!("no etcd server answered, at last {}", self.last)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
