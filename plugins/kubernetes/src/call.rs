//! Repeats a request until there is an answer or the budget ends, and says at the end what its fate means.

use crate::access;
use crate::config::{Fixed, Soft};
use crate::http::{self, Fault, Reply, Request};
use kube_client::Client;
use kube_client::config::Config;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result, log};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// With less left, another try would tell nothing but that there was no time.
const TRY_MIN: Duration = Duration::from_millis(50);

/// Between two tries, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// The service of the API servers, whose endpoints are asked directly where the configuration wants that.
const SERVERS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";

/// What may be done about a request of which nobody knows whether it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing: again, and if all fails, nothing was applied.
    Read,
    /// Doing it twice is doing it once, or shows: again.
    Write,
    /// A second try could take the first for somebody else's: never.
    Once,
}

/// An answer that says something.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Below 300, or 404, 409, 410 or 422.
    pub reply: Reply,
    /// An earlier try of the same request may have been applied too.
    pub unsure: bool,
}

/// What an answer means for its request.
enum Meaning {
    Final,
    Again(Fault),
    Refused(ErrorKind),
}

/// The API server, and how it is asked.
pub(crate) struct Server {
    config: Config,
    bypass: bool,
    clients: tokio::sync::Mutex<Clients>,
    soft: Mutex<Arc<Soft>>,
    /// What a single try may take.
    patience: Duration,
}

/// Made when they are first needed, within the runtime that they live on.
#[derive(Default)]
struct Clients {
    /// By the configured address.
    main: Option<Client>,
    /// Of the servers behind it.
    direct: Vec<Client>,
    /// Those were asked for.
    looked: bool,
    /// We may not know them.
    refused: bool,
}

impl Server {
    /// Nothing is connected yet.
    pub fn new(fixed: &Fixed, soft: Soft, retry_timeout: Duration) -> Result<Server> {
        let patience = retry_timeout / 3;
        Ok(Server {
            config: access::find(&fixed.access, patience)?,
            bypass: fixed.access.bypass,
            clients: tokio::sync::Mutex::default(),
            soft: Mutex::new(Arc::new(soft)),
            patience,
        })
    }

    /// What may change meanwhile.
    pub fn soft(&self) -> Arc<Soft> {
        Arc::clone(&self.soft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on so.
    pub fn change(&self, soft: Soft) {
        *self.soft.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(soft);
    }

    /// A client of some server that answered lately, as far as is known.
    pub async fn client(&self) -> Result<Client> {
        let mut clients = self.clients.lock().await;
        let main = match &clients.main {
            Some(main) => main.clone(),
            None => {
                let main = access::client(&self.config)?;
                clients.main = Some(main.clone());
                main
            }
        };
        if self.bypass && !clients.looked && !clients.refused {
            clients.looked = true;
            self.look(&main, &mut clients).await;
        }
        Ok(clients.direct.first().cloned().unwrap_or(main))
    }

    /// Asks for the servers behind the service (K8S-06).
    async fn look(&self, main: &Client, clients: &mut Clients) {
        let request = Request::get(SERVERS.to_owned());
        let answer = tokio::time::timeout(self.patience, http::send(main, &request)).await;
        match answer {
            Ok(Ok(reply)) if reply.status == 200 => {
                let addresses = addresses(&reply.body);
                let made = addresses.iter().map(|address| access::direct(&self.config, address));
                clients.direct = made.filter_map(|client| client.ok()).collect();
            }
            Ok(Ok(reply)) if reply.status == 403 => {
                log::warn(
                    "kubernetes: bypass_api_service is not used: the role may not read default/endpoints/kubernetes",
                );
                clients.refused = true;
            }
            Ok(Ok(reply)) => log::debug(&format!("kubernetes: the servers behind the service: {}", reply.text())),
            Ok(Err(Fault::Unsent(why) | Fault::Unsure(why))) => log::debug(&format!("kubernetes: {why}")),
            Err(_) => log::debug("kubernetes: the servers behind the service were not told in time"),
        }
    }

    /// A server did not answer: the next one, and who is there at all.
    async fn turn(&self) {
        let mut clients = self.clients.lock().await;
        if !clients.direct.is_empty() {
            clients.direct.remove(0);
            clients.looked = !clients.direct.is_empty();
        }
    }

    /// One try, for as long as is given.
    pub async fn once(&self, request: &Request, patience: Duration) -> std::result::Result<Reply, Fault> {
        let sending = async {
            let client = self.client().await.map_err(|error| Fault::Unsent(error.message))?;
            http::send(&client, request).await
        };
        let answer = tokio::time::timeout(patience, sending).await;
        let answer = answer.unwrap_or_else(|_| Err(Fault::Unsure("no answer in time".to_owned())));
        if answer.is_err() {
            self.turn().await;
        }
        answer
    }

    /// What a single try may take.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Tries until there is an answer. Statuses in `more` are tried again as well.
    pub async fn run(&self, cx: &Cx, repeat: Repeat, request: &Request, more: &[u16]) -> Result<Answer> {
        let (mut unsure, mut pause) = (false, PAUSE.0);
        let mut last = "there was no time to ask".to_owned();
        while cx.left() >= TRY_MIN {
            let mut wait = pause;
            let fault = match self.once(request, self.patience.min(cx.left())).await {
                Ok(reply) => match self.meaning(&reply, more) {
                    Meaning::Final => return Ok(Answer { reply, unsure }),
                    Meaning::Again(fault) => {
                        wait = reply.retry_after.unwrap_or(pause);
                        fault
                    }
                    Meaning::Refused(kind) if !unsure || repeat == Repeat::Read => {
                        return Err(failed(kind, &reply.text()));
                    }
                    Meaning::Refused(_) => return Err(failed(ErrorKind::Indeterminate, &reply.text())),
                },
                Err(fault) => fault,
            };
            match fault {
                Fault::Unsent(why) => last = why,
                Fault::Unsure(why) if repeat == Repeat::Once => return Err(failed(ErrorKind::Indeterminate, &why)),
                Fault::Unsure(why) => {
                    unsure = true;
                    last = why;
                }
            }
            rest(wait.min(cx.left().saturating_sub(TRY_MIN))).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        let kind = if unsure && repeat != Repeat::Read { ErrorKind::Indeterminate } else { ErrorKind::Unavailable };
        Err(failed(kind, &last))
    }

    fn meaning(&self, reply: &Reply, more: &[u16]) -> Meaning {
        let status = reply.status;
        let told = more.contains(&status) || self.soft().retriable.contains(&status);
        // What the server refused for now was not applied.
        if status == 429 || (status == 403 && told) {
            return Meaning::Again(Fault::Unsent(reply.text()));
        }
        if told || (reply.retry_after.is_some() && status >= 400) {
            return Meaning::Again(Fault::Unsure(reply.text()));
        }
        match status {
            200..=299 | 404 | 409 | 410 | 422 => Meaning::Final,
            401 | 403 => {
                log::warn(&format!("kubernetes: Permission denied: {}", reply.text()));
                Meaning::Refused(ErrorKind::Auth)
            }
            400..=499 => Meaning::Refused(ErrorKind::Invalid),
            _ => Meaning::Again(Fault::Unsure(reply.text())),
        }
    }
}

/// The addresses that Endpoints tell, of the port for TLS.
fn addresses(endpoints: &Value) -> Vec<String> {
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for subset in list(endpoints, "subsets") {
        let port =
            list(&subset, "ports").iter().find(|port| port.get("name").is_none_or(|name| name == "https")).cloned();
        let Some(port) = port.and_then(|port| port.get("port")?.as_u64()) else { continue };
        for address in list(&subset, "addresses") {
            if let Some(ip) = address.get("ip").and_then(Value::as_str) {
                let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
                found.push(format!("https://{host}:{port}"));
            }
        }
    }
    found
}

pub(crate) fn failed(kind: ErrorKind, why: &str) -> DcsError {
    DcsError::new(kind, format!("kubernetes: {why}"))
}

#[allow(clippy::disallowed_methods, reason = "between two tries, within the call's budget")]
async fn rest(time: Duration) {
    // pace: the next try
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// K8S-06.
    #[test]
    fn the_servers_behind_the_service_are_told() {
        let endpoints = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                                            "ports": [{"name": "https", "port": 6443}]}]});
        assert_eq!(addresses(&endpoints), ["https://10.0.0.1:6443", "https://[fd00::1]:6443"]);
        assert!(addresses(&json!({"subsets": null})).is_empty());
    }
}
