//! Routes by method and first path segment, as the peer does (rest-api §1); the rest of the path does not matter.

use super::access::Members;
use super::health::Question;
use super::page::{self, Answer};
use super::places::Seat;
use super::routes::{self, Route};
use super::{Shared, access, cluster, configuration, dashboard, failsafe, head, metrics, restart, switch};
use crate::{numbers, ports};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The description of this API.
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a client may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// From where.
    pub address: SocketAddr,
    /// With a certificate that was accepted.
    pub certified: bool,
    /// Over TLS.
    pub encrypted: bool,
}

/// The router; health checks were answered before it.
pub(super) fn build(shared: Arc<Shared>) -> Router {
    Router::new().fallback(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move {
            let mut answer = handle(&shared, request).await;
            let in_force = shared.in_force();
            let headers = answer.headers_mut();
            if let Ok(server) = HeaderValue::from_str(&in_force.server) {
                headers.insert(header::SERVER, server);
            }
            for (name, value) in &in_force.options.extra_headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                    headers.insert(name, value);
                }
            }
            answer
        }
    })
}

/// What a request asks for, taken apart.
pub(super) struct Asked {
    /// The body, as it stands.
    pub body: Vec<u8>,
    /// A length was given.
    pub sized: bool,
}

impl Asked {
    /// The body as a JSON object. Without one: an empty object where `optional`, else an error page.
    pub fn object(&self, optional: Optional) -> Result<serde_json::Map<String, Value>, Answer> {
        if self.body.is_empty() {
            return match optional {
                Optional::Yes => Ok(serde_json::Map::new()),
                Optional::No if self.sized => Err(page::error(400)),
                Optional::No => Err(page::error(411)),
            };
        }
        let document = numbers::read(&self.body).map_err(|_| page::error(400))?;
        if let Some(path) = document.long.first() {
            return Err(page::text(400, &numbers::refusal(path)));
        }
        match document.value {
            Value::Object(object) if !object.is_empty() || matches!(optional, Optional::Yes) => Ok(object),
            _ => Err(page::error(400)),
        }
    }
}

/// Whether a body may be left out.
#[derive(Clone, Copy)]
pub(super) enum Optional {
    /// It may.
    Yes,
    /// It may not.
    No,
}

async fn handle(shared: &Shared, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let segment = parts.uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    let found = routes::route(parts.method.as_str(), segment);
    if parts.method == Method::GET {
        return get(shared, found, &parts.uri).await;
    }
    if matches!(parts.method, Method::HEAD | Method::OPTIONS) {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let published = Arc::clone(&shared.handle.published.borrow());
        return page::empty(super::health::verdict(&published, ports::now(), &Question::new(target)));
    }
    let members = match found {
        // A leader that lost the store is let in by the list alone.
        Some(Route::Failsafe) => Members::LeftOut,
        // Workers of a distributed database tell what they are about to do; nobody here waits for that.
        Some(Route::AnyWorker) => return page::text(200, "OK"),
        Some(_) => Members::AsConfigured,
        None => return page::unsupported(parts.method.as_str()),
    };
    if let Some(peer) = parts.extensions.get::<Peer>()
        && let Some(refusal) = access::refuse(shared, peer, &parts.headers, members).await
    {
        return refusal;
    }
    let sized = parts.headers.contains_key(header::CONTENT_LENGTH);
    let body = match tokio::time::timeout(BODY_PATIENCE, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body.to_vec(),
        Ok(Err(_)) => return page::error(413),
        Err(_) => return page::error(400),
    };
    let asked = Asked { body, sized };
    if let Some(seat) = parts.extensions.get::<Arc<Seat>>() {
        seat.stay();
    }
    match found {
        Some(Route::DashboardAction) => dashboard::act(shared, parts.uri.path(), &parts.headers, asked).await,
        found => act(shared, found, &asked).await,
    }
}

async fn act(shared: &Shared, route: Option<Route>, asked: &Asked) -> Answer {
    match route {
        Some(Route::MergeConfiguration) => configuration::patch(shared, asked).await,
        Some(Route::ReplaceConfiguration) => configuration::put(shared, asked).await,
        Some(Route::Restart) => restart::restart(shared, asked).await,
        Some(Route::CancelRestart) => restart::cancel(shared).await,
        Some(Route::Reinitialize) => restart::reinitialize(shared, asked).await,
        Some(Route::Reload) => restart::reload(shared).await,
        Some(Route::Sigterm) => restart::terminate(shared).await,
        Some(Route::Failsafe) => failsafe::answer(shared, asked).await,
        Some(Route::Failover) => switch::switch(shared, "failover", asked).await,
        Some(Route::Switchover) => switch::switch(shared, "switchover", asked).await,
        Some(Route::CancelSwitchover) => switch::cancel(shared).await,
        Some(Route::Worker) => page::text(200, "OK"),
        _ => page::error(500),
    }
}

async fn get(shared: &Shared, route: Option<Route>, uri: &Uri) -> Answer {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let question = Question::new(target);
    let published = Arc::clone(&shared.handle.published.borrow());
    match route {
        Some(Route::Status) => page::rendered(200, &shared.status(&published)),
        Some(Route::Cluster) => cluster::cluster(shared).await,
        Some(Route::History) => match &published.cluster {
            Some(cluster) => page::json(200, &cluster.history_raw),
            None => page::error(503),
        },
        Some(Route::Configuration) => configuration::get(shared).await,
        Some(Route::Metrics) => page::metrics(metrics::render(&published, &shared.handle.metrics, ports::now())),
        Some(Route::FailsafeMembers) => {
            match published.cluster.as_ref().and_then(|cluster| cluster.view.failsafe.as_ref()) {
                Some(map) => page::json(200, &serde_json::json!(map)),
                None => page::error(502),
            }
        }
        Some(Route::Journal) => {
            let wanted = question.get("last").and_then(|count| count.parse().ok());
            let entries = shared.handle.journal.last(wanted.unwrap_or(10));
            page::json(200, &serde_json::to_value(entries).unwrap_or_default())
        }
        Some(Route::Description) => page::rendered(200, DESCRIPTION.as_bytes()),
        Some(Route::Dashboard) => dashboard::get(shared, uri.path()).await,
        // A connection that asked for something else before ends up here with its health checks, too.
        _ => {
            let segment = question.path.trim_start_matches('/').split('/').next().unwrap_or_default();
            match head::health(&published, segment, &question) {
                (code, head::Form::Full) => page::rendered(code, &shared.status(&published)),
                (code, head::Form::Bare) => page::empty(code),
            }
        }
    }
}
