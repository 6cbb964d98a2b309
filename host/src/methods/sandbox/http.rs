//! Requests of components to HTTP servers, with TLS done here: whom a component may ask is what `hosts` grants, by name
//! and port. It never gets at keys or connections.

use super::child::Refused;
use super::message::{Level, Order};
use super::network::Network;
use super::output::Reporter;
use http::uri::Scheme;
use http_body_util::{BodyExt, Limited};
use std::time::Duration;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The largest body of a request. Components ask for things; they have nowhere to take large ones to.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// How long connecting may take, and how long an answer may pause, where the component says nothing shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for components.
pub(super) struct Sender {
    network: Network,
    reporter: Reporter,
    client: reqwest::Client,
}

impl Sender {
    pub(super) fn new(network: &Network, reporter: &Reporter, order: &Order) -> Result<Sender, Refused> {
        // It may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Where a server sends us on to is for the component to see, and to ask for.
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE);
        for certificate in certificates(order)? {
            client = client.add_root_certificate(certificate);
        }
        let client = client.build().map_err(|error| Refused(format!("no HTTP client: {error}")))?;
        Ok(Sender { network: network.clone(), reporter: reporter.clone(), client })
    }

    fn allows(&self, uri: &http::Uri) -> bool {
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 });
        let host = uri.host().unwrap_or_default();
        let allowed = self.network.may_ask(host, port);
        if !allowed {
            let text = format!("refused: a request to {host}:{port}; `hosts` of the method would allow it");
            self.reporter.log(Level::Warn, &text);
        }
        allowed
    }
}

fn certificates(order: &Order) -> Result<Vec<reqwest::Certificate>, Refused> {
    let Some(path) = &order.certificates else {
        return Ok(Vec::new());
    };
    let unusable = |error: &dyn std::fmt::Display| {
        Refused(format!("`cacert` of the method, {}, cannot be used: {error}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| unusable(&error))?;
    let found = reqwest::Certificate::from_pem_bundle(&bytes).map_err(|error| unusable(&error))?;
    if found.is_empty() { Err(unusable(&"it holds none")) } else { Ok(found) }
}

type Ended = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Sender {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Ended,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Ended), Error>> + Send> {
        let allowed = self.allows(request.uri());
        let (client, reporter) = (self.client.clone(), self.reporter.clone());
        Box::new(async move {
            if !allowed {
                return Err(Error::HttpRequestDenied);
            }
            let to = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let patience = options.and_then(|options| options.first_byte_timeout).unwrap_or(PATIENCE).min(PATIENCE);
            let answer = tokio::time::timeout(patience, send(&client, request)).await;
            let answer = answer.map_err(|_| Error::ConnectionReadTimeout)?.inspect_err(|error| {
                reporter.log(Level::Warn, &format!("a request to {to} failed: {error}"));
            });
            Ok((answer.map_err(SendError::into_error)?, Box::new(async { Ok(()) }) as Ended))
        })
    }
}

/// Why a request has no answer.
#[derive(Debug)]
enum SendError {
    Body,
    Client(reqwest::Error),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut error: Option<&dyn std::error::Error> = match self {
            SendError::Body => return write!(f, "its body is larger than {REQUEST_BYTES_MAX} bytes"),
            SendError::Client(error) => std::error::Error::source(error).or(Some(error)),
        };
        let mut first = true;
        while let Some(cause) = error {
            write!(f, "{}{cause}", if first { "" } else { ": " })?;
            (first, error) = (false, cause.source());
        }
        Ok(())
    }
}

impl SendError {
    fn into_error(self) -> Error {
        match self {
            SendError::Body => Error::HttpRequestBodySize(None),
            SendError::Client(error) if error.is_timeout() => Error::ConnectionTimeout,
            SendError::Client(error) if error.is_connect() => Error::ConnectionRefused,
            SendError::Client(_) => Error::HttpProtocolError,
        }
    }
}

async fn send(
    client: &reqwest::Client,
    request: http::Request<WasiBody>,
) -> Result<http::Response<WasiBody>, SendError> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map_err(|_| SendError::Body)?.to_bytes();
    let request = http::Request::from_parts(parts, reqwest::Body::from(body));
    let request = reqwest::Request::try_from(request).map_err(SendError::Client)?;
    let answer = client.execute(request).await.map_err(SendError::Client)?;
    let answer: http::Response<reqwest::Body> = answer.into();
    Ok(answer.map(|body| WasiBody::new(body.map_err(|_| Error::ConnectionTerminated))))
}
