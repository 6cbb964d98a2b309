//! Sends one request to the agent and reads the answer; tells a request that never left from one that may have.

use crate::config::{Consistency, Fixed, Soft};
use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use reqwest::{Client, Method};
use std::error::Error;
use std::time::Duration;

/// A large cluster's keys, and more.
const ANSWER_MAX: usize = 64 << 20;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: Method,
    /// Below `/v1/`, encoded.
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub fn get(path: impl Into<String>) -> Request {
        Request { method: Method::GET, path: path.into(), query: Vec::new(), body: None }
    }

    pub fn put(path: impl Into<String>) -> Request {
        Request { method: Method::PUT, ..Request::get(path) }
    }

    pub fn delete(path: impl Into<String>) -> Request {
        Request { method: Method::DELETE, ..Request::get(path) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.query.push((name, value.into()));
        self
    }

    pub fn json(mut self, value: &serde_json::Value) -> Request {
        self.body = Some(value.to_string().into_bytes());
        self
    }

    /// How the answer to a reading is made.
    pub fn consistency(self, consistency: Consistency) -> Request {
        match consistency {
            Consistency::Default => self,
            Consistency::Consistent => self.with("consistent", ""),
            Consistency::Stale => self.with("stale", ""),
        }
    }
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    /// `X-Consul-Index`: up to where in the store's history it tells.
    pub index: Option<u64>,
    pub body: Vec<u8>,
}

impl Reply {
    /// What the agent says about a failure: one line.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.lines().next().unwrap_or_default().trim().chars().take(200).collect()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request never left.
    Unsent(String),
    /// It may have reached the agent.
    Unsure(String),
}

/// A client of one agent.
pub(crate) struct Http {
    client: Client,
    base: String,
}

impl Http {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// `Invalid` where the certificates can not be used.
    pub fn new(fixed: &Fixed, patience: Duration) -> Result<Http> {
        let invalid = |why: String| DcsError::new(ErrorKind::Invalid, format!("consul: {why}"));
        // Without encryption nobody's certificate will be seen: the system need not have authorities.
        let tls = fixed.tls.https(fixed.verify && fixed.agent.tls).map_err(invalid)?;
        let client = Client::builder()
            .no_proxy()
            .user_agent(concat!("Regent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .use_preconfigured_tls(tls)
            .connect_timeout(patience)
            .tcp_nodelay(true)
            .tcp_keepalive(patience.max(Duration::from_secs(1)))
            .build()
            .map_err(|error| invalid(chain(&error)))?;
        Ok(Http { client, base: format!("{}/v1/", fixed.agent) })
    }

    /// One try. The token goes in a header only (CONS-03).
    pub async fn send(&self, request: &Request, soft: &Soft) -> std::result::Result<Reply, Fault> {
        let mut query: Vec<String> = request.query.iter().map(|(name, value)| pair(name, value)).collect();
        query.extend(soft.dc.iter().map(|dc| pair("dc", dc)));
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{separator}{}", self.base, request.path, query.join("&"));
        let mut builder = self.client.request(request.method.clone(), url);
        if let Some(token) = &soft.token {
            builder = builder.header("X-Consul-Token", token);
        }
        if let Some(body) = &request.body {
            builder = builder.header("Content-Type", "application/json").body(body.clone());
        }
        let answer = builder.send().await.map_err(|error| {
            // A request that can not be built is never sent either.
            let unsent = error.is_connect() || error.is_builder();
            let why = chain(&error.without_url());
            if unsent { Fault::Unsent(why) } else { Fault::Unsure(why) }
        });
        let mut answer = answer?;
        let status = answer.status().as_u16();
        let index = answer.headers().get("X-Consul-Index").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| Fault::Unsure(chain(&error.without_url())))? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_MAX {
                return Err(Fault::Unsure("the answer has no end".to_owned()));
            }
        }
        Ok(Reply { status, index, body })
    }
}

fn pair(name: &str, value: &str) -> String {
    if value.is_empty() { name.to_owned() } else { format!("{name}={}", encoded(value)) }
}

/// A text as part of a URL's path or query; slashes stay.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// An error with all that it was caused by.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encoded("service/de mo?/ü"), "service/de%20mo%3F/%C3%BC");
        assert_eq!((pair("recurse", ""), pair("dc", "a b")), ("recurse".to_owned(), "dc=a%20b".to_owned()));
    }
}
