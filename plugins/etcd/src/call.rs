//! Sends each request to a server that answers: the good one first, the next when it fails, each for its share of the
//! budget; and tells at the end whether the request may have been applied.

use crate::api::{self, Meaning, Place, Request, Said, failed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regent_dcs_common::Dns;
use regent_dcs_common::endpoint::Endpoint;
use regent_dcs_common::etcd::{Config, SHARE_MIN, Topology, Way, discovery, share, tries_for};
use regent_dcs_common::http::{self, Fault, Http, Reply};
use regent_dcs_common::retry::{PAUSE, Repeat, TRY_MIN, rest};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, OpenArgs, Result, log};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long members may take to say who they are.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(3);

/// An answer, where it was given, and whether an earlier try of the same request may have been applied too.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the server said.
    pub said: Said,
    /// Up to where it knew.
    pub place: Place,
    /// An earlier try went unanswered.
    pub unsure: bool,
}

/// All servers of the store.
pub(crate) struct Servers {
    state: Mutex<Arc<State>>,
    dns: Dns,
    topology: Mutex<Topology>,
    /// Told whenever a server failed.
    failures: watch::Sender<()>,
    discovery_period: Duration,
    /// How long a connection may take.
    patience: Duration,
}

/// What a new section replaces.
struct State {
    config: Config,
    plain: Http,
    /// Where servers encrypt; the reason, where certificates can not be looked at. Made when such a server is met: it
    /// reads all authorities that the system trusts.
    secure: OnceLock<std::result::Result<Http, String>>,
    authorization: Option<String>,
    dns: Dns,
    patience: Duration,
}

impl State {
    fn new(config: Config, dns: &Dns, patience: Duration) -> Result<State> {
        let invalid = |why: &str| failed(ErrorKind::Invalid, why);
        // Nobody's certificate is seen by this one.
        let plain = config.tls.https(false).and_then(|tls| Http::new(tls, patience, Some(dns.clone())));
        let plain = plain.map_err(|why| invalid(&why))?;
        let authorization = config.credentials.as_ref().map(|who| {
            let pair = format!("{}:{}", who.username, who.password);
            format!("Basic {}", STANDARD.encode(pair))
        });
        let must = config.named.iter().any(|server| server.tls);
        let secure = OnceLock::new();
        let state = State { config, plain, secure, authorization, dns: dns.clone(), patience };
        if must {
            state.secure().map_err(invalid)?;
        }
        Ok(state)
    }

    fn secure(&self) -> std::result::Result<&Http, &str> {
        let made = self.secure.get_or_init(|| {
            let tls = self.config.tls.https(true)?;
            Http::new(tls, self.patience, Some(self.dns.clone()))
        });
        made.as_ref().map_err(String::as_str)
    }

    fn http(&self, server: &Endpoint) -> std::result::Result<&Http, Fault> {
        if server.tls { self.secure().map_err(|why| Fault::Unsent(why.to_owned())) } else { Ok(&self.plain) }
    }
}

impl Servers {
    /// Nothing is reached yet.
    pub fn new(config: Config, args: &OpenArgs) -> Result<Servers> {
        let patience = (args.retry_timeout / 6).max(SHARE_MIN);
        let (dns, topology) = (Dns::default(), Topology::new(config.named.clone()));
        Ok(Servers {
            state: Mutex::new(Arc::new(State::new(config, &dns, patience)?)),
            dns,
            topology: Mutex::new(topology),
            failures: watch::Sender::new(()),
            discovery_period: args.ttl * 10,
            patience,
        })
    }

    /// From now on so.
    pub fn change(&self, config: Config) -> Result<()> {
        let state = Arc::new(State::new(config, &self.dns, self.patience)?);
        if self.state().config != state.config {
            *lock(&self.topology) = Topology::new(state.config.named.clone());
            *lock(&self.state) = state;
            self.failures.send_replace(());
        }
        Ok(())
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&lock(&self.state))
    }

    /// Performs one request within the call's budget.
    pub async fn run(self: &Arc<Self>, cx: &Cx, repeat: Repeat, request: &Request) -> Result<Answer> {
        let (mut unsure, mut tried, mut pause) = (false, false, PAUSE.0);
        let mut last = "there was no time to ask".to_owned();
        let mut tries = None;
        loop {
            let candidates = self.candidates(cx).await;
            let tries = tries.get_or_insert_with(|| tries_for(candidates.len()));
            if candidates.is_empty() {
                last = "no server is known".to_owned();
            }
            for server in &candidates {
                let share = share(cx.left(), *tries);
                if share.is_zero() || (tried && share < TRY_MIN) {
                    return Err(over(unsure, &last));
                }
                tried = true;
                *tries = tries.saturating_sub(1);
                match self.attempt(server, share, repeat, request).await {
                    (Meaning::Final(said), place) => return Ok(Answer { said, place, unsure }),
                    (Meaning::Refused(_, why), _) if unsure => return Err(over(true, &why)),
                    (Meaning::Refused(kind, why), _) => return Err(failed(kind, &format!("{server}: {why}"))),
                    (Meaning::Again(Fault::Unsent(why)), _) => last = format!("{server}: {why}"),
                    (Meaning::Again(Fault::Unsure(why)), _) => {
                        last = format!("{server}: {why}");
                        unsure |= repeat != Repeat::Read;
                        if repeat == Repeat::Once {
                            return Err(over(true, &last));
                        }
                    }
                }
                log::debug(&format!("no answer from {last}"));
            }
            if !rest(cx, pause).await {
                return Err(over(unsure, &last));
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// One try with one server.
    async fn attempt(
        self: &Arc<Self>,
        server: &Endpoint,
        share: Duration,
        repeat: Repeat,
        request: &Request,
    ) -> (Meaning, Place) {
        let answer = tokio::time::timeout(share, self.send(server, request)).await;
        let answer = answer.unwrap_or_else(|_| {
            // Whether it was connected in that time is not known.
            Err(Fault::Unsure(format!("no answer within {} ms", share.as_millis())))
        });
        let (meaning, place) = match answer {
            Ok(reply) => {
                // A write that was done was agreed on: whoever tells so need not know the newest term yet.
                let current = if repeat == Repeat::Read { self.check_term(&reply) } else { Ok(()) };
                let meaning = current.map_or_else(Meaning::Again, |()| api::meaning(&reply));
                (meaning, Place::of(&reply))
            }
            Err(fault) => (Meaning::Again(fault), Place::default()),
        };
        match &meaning {
            Meaning::Again(_) => self.failed(server),
            // It answered, even if not with what was wanted.
            _ => self.succeeded(server),
        }
        (meaning, place)
    }

    async fn send(&self, server: &Endpoint, request: &Request) -> std::result::Result<Reply, Fault> {
        let state = self.state();
        state.http(server)?.send(request.to(&server.to_string(), state.authorization.as_ref())).await
    }

    /// Begins a request whose answer takes its time.
    pub async fn begin(&self, server: &Endpoint, request: &Request) -> std::result::Result<http::Begun, Fault> {
        let state = self.state();
        state.http(server)?.begin(request.to(&server.to_string(), state.authorization.as_ref())).await
    }

    /// Whom to ask, best first. SRV records are looked up when there is nobody to ask, or nobody answered.
    pub async fn candidates(&self, cx: &Cx) -> Vec<Endpoint> {
        let state = self.state();
        let Some(srv) = state.config.srv.as_ref().filter(|_| lock(&self.topology).srv_is_due()) else {
            return lock(&self.topology).candidates();
        };
        let patience = (cx.left() / 3).min(DISCOVERY_PATIENCE);
        let way = Way { dns: &self.dns, tls: &state.config.tls, patience };
        let looked_up = tokio::time::timeout(patience, discovery::by_srv(srv, way)).await;
        let mut found = looked_up.unwrap_or_default();
        let mut topology = lock(&self.topology);
        if !found.is_empty() {
            found.extend(state.config.named.iter().cloned());
            topology.configure(found);
        }
        topology.candidates()
    }

    /// A server answered.
    pub fn succeeded(self: &Arc<Self>, server: &Endpoint) {
        let due = lock(&self.topology).succeeded(server, self.discovery_period);
        if due && !self.state().config.use_proxies {
            let (servers, server) = (Arc::clone(self), server.clone());
            // It ends by itself, or with the runtime.
            drop(tokio::spawn(async move { servers.discover(&server).await }));
        }
    }

    /// A server did not answer, or not as it should: it goes to the end of the line.
    pub fn failed(&self, server: &Endpoint) {
        self.dns.doubt(&server.host);
        lock(&self.topology).failed(server);
        self.failures.send_replace(());
    }

    /// Tells of servers that fail.
    pub fn failures(&self) -> watch::Receiver<()> {
        self.failures.subscribe()
    }

    /// Whether that server would be asked first.
    pub fn is_best(&self, server: &Endpoint) -> bool {
        lock(&self.topology).candidates().first() == Some(server)
    }

    /// Refuses an answer out of the past.
    pub fn check_term(&self, reply: &Reply) -> std::result::Result<(), Fault> {
        let (Some(cluster), Some(term)) = (api::cluster_of(reply), reply.header("X-Raft-Term")) else {
            return Ok(());
        };
        lock(&self.topology).check_term(cluster, term).map_err(|known| {
            let why = format!("it answers in term {term}, when term {known} was seen already");
            log::warn(&format!("an etcd server lives in the past: {why}; another is asked"));
            Fault::Unsure(why)
        })
    }

    /// Asks a member about the others.
    async fn discover(self: Arc<Self>, server: &Endpoint) {
        let state = self.state();
        let Ok(http) = state.http(server) else {
            return;
        };
        let headers = state.authorization.iter().map(|value| ("Authorization", value.clone())).collect();
        let url = format!("{server}/v2/machines");
        let request = http::Request { method: reqwest::Method::GET, url, headers, body: None };
        if let Ok(Ok(reply)) = tokio::time::timeout(DISCOVERY_PATIENCE, http.send(request)).await
            && reply.status == 200
        {
            let text = String::from_utf8_lossy(&reply.body);
            let members = discovery::of_urls(text.split(',').map(str::trim).filter(|url| url.contains("://")));
            lock(&self.topology).discover(members);
        }
    }
}

/// The end without an answer.
fn over(unsure: bool, last: &str) -> DcsError {
    let kind = if unsure { ErrorKind::Indeterminate } else { ErrorKind::Unavailable };
    failed(kind, &format!("no server answered, at last {last}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
