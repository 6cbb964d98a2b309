//! What was made of the options once, so that a request finds it ready: header lines, credentials, networks, TLS.

use super::access::Network;
use super::server::ApiError;
use super::{Options, access, tls};
use crate::agent::handle::PEER_VERSION;
use base64::Engine;
use regent_core::model::Secret;
use std::fmt::Write;

/// The options in force.
pub(super) struct InForce {
    /// As they were given.
    pub options: Options,
    /// What the `Server` header says.
    pub server: String,
    /// The configured headers, each ended by a line break.
    pub extra_lines: String,
    /// The only `Authorization` header that is let through, where one is needed.
    pub authorization: Option<Secret>,
    /// Who may change something, by address; empty: everybody, unless members are to be included.
    pub networks: Vec<Network>,
    /// Turns connections into encrypted ones, where TLS is configured.
    pub acceptor: Option<tls::Acceptor>,
    /// What TLS asks of clients.
    pub verify_client: tls::VerifyClient,
}

impl InForce {
    /// Reads certificates and looks up host names.
    ///
    /// # Errors
    /// When the certificate is not usable.
    pub async fn make(options: Options) -> Result<InForce, ApiError> {
        let verify_client = tls::VerifyClient::read(&options.verify_client);
        let acceptor = tls::acceptor(&options, verify_client)?;
        let networks = access::networks(&options.allowlist).await;
        let authorization = options.authentication.as_ref().map(|(name, password)| {
            let key = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{}", password.0));
            Secret(format!("Basic {key}"))
        });
        let server = server(&options.server_tokens);
        let extra_lines = extra_lines(&options.extra_headers);
        Ok(InForce { options, server, extra_lines, authorization, networks, acceptor, verify_client })
    }
}

fn server(tokens: &str) -> String {
    let original = || format!("Regent/{}", env!("CARGO_PKG_VERSION"));
    match tokens.to_ascii_lowercase().as_str() {
        "" | "original" => original(),
        // Those who ask for these two compare them with what the peer sends.
        "minimal" => format!("Patroni/{PEER_VERSION}"),
        "productonly" => "Patroni".to_owned(),
        _ => {
            tracing::warn!(
                "restapi.server_tokens {tokens:?} is none of original, minimal, productonly: original it is"
            );
            original()
        }
    }
}

/// A header that could break the answer's form is left out.
fn extra_lines(headers: &[(String, String)]) -> String {
    let mut lines = String::new();
    for (name, value) in headers {
        let parsed = (axum::http::HeaderName::try_from(name), axum::http::HeaderValue::try_from(value));
        if let (Ok(_), Ok(_)) = parsed {
            // Writing into a string can not fail.
            let _ = write!(lines, "{name}: {value}\r\n");
        } else {
            tracing::warn!("the extra header {name:?} is no HTTP header and is left out");
        }
    }
    lines
}
