//! Routes by method and first path segment, as the peer does (rest-api §1); the rest of the path does not matter.

use super::access::Members;
use super::health::Question;
use super::page::{self, Answer};
use super::{Shared, access, cluster, configuration, failsafe, head, metrics, restart, switch};
use crate::ports;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) if !object.is_empty() || matches!(optional, Optional::Yes) => Ok(object),
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
    let segment = parts.uri.path().trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if parts.method == Method::GET {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        return get(shared, &segment, &query, &target).await;
    }
    if matches!(parts.method, Method::HEAD | Method::OPTIONS) {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let published = Arc::clone(&shared.handle.published.borrow());
        return page::empty(super::health::verdict(&published, ports::now(), &Question::new(target)));
    }
    let members = match (parts.method.as_str(), segment.as_str()) {
        ("PATCH" | "PUT", "config")
        | ("POST", "restart" | "reinitialize" | "reload" | "failover" | "switchover" | "sigterm" | "citus")
        | ("DELETE", "restart" | "switchover") => Members::AsConfigured,
        ("POST", "failsafe") => Members::LeftOut,
        // Workers of a distributed database tell what they are about to do; nobody here waits for that.
        ("POST", "mpp") => return page::text(200, "OK"),
        (method, _) => return page::unsupported(method),
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
    match (parts.method.as_str(), segment.as_str()) {
        ("PATCH", _) => configuration::patch(shared, &asked).await,
        ("PUT", _) => configuration::put(shared, &asked).await,
        ("DELETE", "restart") => restart::cancel(shared).await,
        ("DELETE", _) => switch::cancel(shared).await,
        (_, "restart") => restart::restart(shared, &asked).await,
        (_, "reinitialize") => restart::reinitialize(shared, &asked).await,
        (_, "reload") => restart::reload(shared).await,
        (_, "sigterm") => restart::terminate(shared).await,
        (_, "failsafe") => failsafe::answer(shared, &asked).await,
        (_, "citus") => page::text(200, "OK"),
        (_, action) => switch::switch(shared, action, &asked).await,
    }
}

async fn get(shared: &Shared, segment: &str, query: &str, target: &str) -> Answer {
    let published = Arc::clone(&shared.handle.published.borrow());
    match segment {
        "patroni" => page::rendered(200, &shared.status(&published)),
        "cluster" => cluster::cluster(shared).await,
        "history" => match &published.cluster {
            Some(cluster) => page::json(200, &cluster.history_raw),
            None => page::error(503),
        },
        "config" => configuration::get(shared).await,
        "metrics" => page::metrics(metrics::render(&published, ports::now())),
        "failsafe" => match published.cluster.as_ref().and_then(|cluster| cluster.view.failsafe.as_ref()) {
            Some(map) => page::json(200, &serde_json::json!(map)),
            None => page::error(502),
        },
        "journal" => {
            let target = format!("/?{query}");
            let wanted = Question::new(&target).get("last").and_then(|count| count.parse().ok());
            let entries = shared.handle.journal.last(wanted.unwrap_or(10));
            page::json(200, &serde_json::to_value(entries).unwrap_or_default())
        }
        // A connection that asked for something else before ends up here with its health checks, too.
        _ => match head::health(&published, segment, &Question::new(target)) {
            (code, head::Form::Full) => page::rendered(code, &shared.status(&published)),
            (code, head::Form::Bare) => page::empty(code),
        },
    }
}
