//! The agent's HTTP API: requests below `/v1/`, with the token and the datacenter that they need.

use crate::config::{Consistency, Fixed, Soft};
use regent_dcs_common::http;
use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use reqwest::Method;
use std::time::Duration;

pub(crate) use http::{Fault, encoded};

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

/// A client of one agent.
pub(crate) struct Http {
    client: http::Http,
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
        let client = http::Http::new(tls, patience, None).map_err(invalid)?;
        Ok(Http { client, base: format!("{}/v1/", fixed.agent) })
    }

    /// One try. The token goes in a header only (CONS-03).
    pub async fn send(&self, request: &Request, soft: &Soft) -> std::result::Result<Reply, Fault> {
        let mut query: Vec<String> = request.query.iter().map(|(name, value)| http::pair(name, value)).collect();
        query.extend(soft.dc.iter().map(|dc| http::pair("dc", dc)));
        let separator = if query.is_empty() { "" } else { "?" };
        let request = http::Request {
            method: request.method.clone(),
            url: format!("{}{}{separator}{}", self.base, request.path, query.join("&")),
            headers: soft.token.iter().map(|token| ("X-Consul-Token", token.clone())).collect(),
            body: request.body.clone().map(|body| ("application/json", body)),
        };
        let reply = self.client.send(request).await?;
        Ok(Reply { status: reply.status, index: reply.header("X-Consul-Index"), body: reply.body })
    }
}
