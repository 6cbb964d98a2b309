//! Asks one Exhibitor for the servers of its ensemble.

use regent_plugin_sdk::{DcsError, ErrorKind, Result};
use regent_zookeeper::Server;
use reqwest::Client;
use serde::Deserialize;
use std::sync::Arc;

/// An ensemble of hundreds of servers, and more.
const ANSWER_MAX: usize = 1 << 20;

/// Asks.
pub(crate) struct Http(Client);

/// The answer.
#[derive(Deserialize)]
struct List {
    servers: Vec<String>,
    port: u16,
}

impl Http {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn new() -> Result<Http> {
        let internal = |why: String| DcsError::new(ErrorKind::Internal, format!("exhibitor: {why}"));
        // Nothing is encrypted: the client merely wants to know how it would be.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| internal(error.to_string()))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .use_preconfigured_tls(tls)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| internal(error.to_string()))?;
        Ok(Http(client))
    }

    /// The servers, sorted.
    pub async fn list(&self, exhibitor: &Server) -> std::result::Result<Vec<Server>, String> {
        let url = format!("http://{exhibitor}/exhibitor/v1/cluster/list");
        let request = self.0.get(url).header("Accept", "application/json");
        let mut answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("answers {}", answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_MAX {
                return Err("the answer has no end".to_owned());
            }
        }
        read(&body)
    }
}

fn read(body: &[u8]) -> std::result::Result<Vec<Server>, String> {
    let list: List = serde_json::from_slice(body).map_err(|_| "the answer is no list of servers".to_owned())?;
    let named = list.servers.into_iter().map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
    let mut servers: Vec<_> = named.map(|host| Server { host, port: list.port }).collect();
    servers.sort();
    servers.dedup();
    if servers.is_empty() || list.port == 0 { Err("the list is empty".to_owned()) } else { Ok(servers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ZK-02.
    #[test]
    fn lists_are_read() {
        let check = |body: &str, expected: &str| {
            let found = match read(body.as_bytes()) {
                Ok(servers) => servers.iter().map(Server::to_string).collect::<Vec<_>>().join(" "),
                Err(why) => why,
            };
            assert_eq!(found, expected, "{body}");
        };
        check(r#"{"servers":["b","a","b"],"port":2181,"more":1}"#, "a:2181 b:2181");
        check(r#"{"servers":[""],"port":2181}"#, "the list is empty");
        check(r#"{"servers":["a"],"port":0}"#, "the list is empty");
        check(r#"{"servers":5}"#, "the answer is no list of servers");
        check("", "the answer is no list of servers");
    }
}
