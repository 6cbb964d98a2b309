//! The API's requests and answers: what is asked below `/v2/keys`, and what an answer means.

use regent_dcs_common::http::{self, Fault, Reply, encoded, pair};
use regent_plugin_sdk::{DcsError, ErrorKind};
use reqwest::Method;
use serde::Deserialize;

/// The key is not there.
pub(crate) const NOT_FOUND: u32 = 100;
/// What is there is not as expected.
pub(crate) const COMPARE_FAILED: u32 = 101;
/// The key is there already.
pub(crate) const EXISTS: u32 = 105;
/// The watch was ended by the server.
const WATCHER_CLEARED: u32 = 400;
/// What the watch asked for is forgotten.
const INDEX_CLEARED: u32 = 401;

/// Answers that were given before anything was proposed to the others.
const NOT_PROPOSED: [&str; 3] = ["no leader", "server stopped", "too many requests"];

/// A request about keys.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    /// In the URL for all but writes, in the body for those.
    fields: Vec<(&'static str, String)>,
}

impl Request {
    /// All keys below a path, as most of the servers know them now.
    pub fn read(path: &str) -> Request {
        Request::of(Method::GET, path).with("recursive", "true").with("quorum", "true")
    }

    /// The next change below a path.
    pub fn wait(path: &str, from: u64) -> Request {
        Request::of(Method::GET, path).with("recursive", "true").with("wait", "true").with("waitIndex", from)
    }

    /// Writes a key.
    pub fn write(path: &str, text: &str) -> Request {
        Request::of(Method::PUT, path).with("value", text)
    }

    /// Gives a key another time to live, without telling those who watch.
    pub fn refresh(path: &str) -> Request {
        Request::of(Method::PUT, path).with("refresh", "true").with("prevExist", "true")
    }

    /// Removes a key.
    pub fn remove(path: &str) -> Request {
        Request::of(Method::DELETE, path)
    }

    fn of(method: Method, path: &str) -> Request {
        Request { method, path: format!("/v2/keys{}", encoded(path.as_bytes())), fields: Vec::new() }
    }

    /// One more word to it.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Request {
        self.fields.push((name, value.to_string()));
        self
    }

    /// The request for that server.
    pub fn to(&self, server: &str, authorization: Option<&String>) -> http::Request {
        let fields: Vec<String> = self.fields.iter().map(|(name, value)| field(name, value)).collect();
        let fields = fields.join("&");
        let (query, body) = if self.method == Method::PUT {
            (String::new(), Some(("application/x-www-form-urlencoded", fields.into_bytes())))
        } else if fields.is_empty() {
            (String::new(), None)
        } else {
            (format!("?{fields}"), None)
        };
        http::Request {
            method: self.method.clone(),
            url: format!("{server}{}{query}", self.path),
            headers: authorization.iter().map(|value| ("Authorization", (*value).clone())).collect(),
            body,
        }
    }
}

/// An empty value is a value here, and must be told from none.
fn field(name: &str, value: &str) -> String {
    if value.is_empty() { format!("{name}=") } else { pair(name, value) }
}

/// A key, or a folder of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Node {
    /// Its whole path.
    pub key: String,
    /// Its text.
    pub value: Option<String>,
    /// It is a folder.
    pub dir: bool,
    /// What is in it.
    pub nodes: Vec<Node>,
    /// Seconds that are left.
    pub ttl: Option<i64>,
    /// Its version.
    #[serde(rename = "modifiedIndex")]
    pub index: u64,
    /// The version in which it came into being; a write that names what it expects keeps it.
    #[serde(rename = "createdIndex")]
    pub created: u64,
}

impl Node {
    /// All keys in it, or itself.
    pub fn keys(self) -> Vec<Node> {
        let (mut found, mut open) = (Vec::new(), vec![self]);
        while let Some(mut node) = open.pop() {
            if node.dir {
                open.append(&mut node.nodes);
            } else if !node.key.is_empty() {
                found.push(node);
            }
        }
        found
    }

    /// What keeps it alive: nothing, or a life that began with a version.
    pub fn session(&self) -> String {
        self.ttl.map_or_else(String::new, |_| self.created.to_string())
    }
}

/// What was done, or happened.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    /// In one word.
    pub action: String,
    /// The key as it is now.
    pub node: Node,
}

/// What an answer says.
#[derive(Debug)]
pub(crate) enum Said {
    /// It was done.
    Done(Event),
    /// A definite no: the code.
    No(u32),
    /// A watch can not be continued.
    Cleared,
}

/// A place in the store's history: an index, and whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The cluster of etcd servers.
    pub cluster: u64,
    /// Its index.
    pub index: u64,
}

impl Place {
    /// Where an answer was given.
    pub fn of(reply: &Reply) -> Place {
        Place { cluster: cluster_of(reply).unwrap_or(0), index: reply.header("X-Etcd-Index").unwrap_or(0) }
    }

    /// As the host keeps it.
    pub fn text(&self) -> String {
        format!("{:x}:{}", self.cluster, self.index)
    }

    /// What it kept.
    pub fn read(text: &str) -> Option<Place> {
        let (cluster, index) = text.split_once(':')?;
        Some(Place { cluster: u64::from_str_radix(cluster, 16).ok()?, index: index.parse().ok()? })
    }
}

/// The cluster that a server belongs to.
pub(crate) fn cluster_of(reply: &Reply) -> Option<u64> {
    u64::from_str_radix(&reply.header::<String>("X-Etcd-Cluster-Id")?, 16).ok()
}

/// What an answer means for its request.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// It is the answer.
    Final(Said),
    /// Another server, or this one later, may do it.
    Again(Fault),
    /// Nobody will do it.
    Refused(ErrorKind, String),
}

#[derive(Deserialize)]
struct Failed {
    #[serde(rename = "errorCode")]
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    cause: String,
}

/// Reads an answer.
pub(crate) fn meaning(reply: &Reply) -> Meaning {
    if let Ok(failed) = serde_json::from_slice::<Failed>(&reply.body) {
        return of_code(&failed);
    }
    let line = line_of(reply);
    match reply.status {
        200..=299 => match serde_json::from_slice(&reply.body) {
            Ok(event) => Meaning::Final(Said::Done(event)),
            Err(_) => Meaning::Again(Fault::Unsure("an answer that makes no sense".to_owned())),
        },
        401 | 403 => Meaning::Refused(ErrorKind::Auth, line),
        404 => {
            let why = "the server does not offer the v2 API: it needs --enable-v2=true, or use etcd3 instead";
            Meaning::Refused(ErrorKind::Invalid, why.to_owned())
        }
        429 => Meaning::Again(Fault::Unsent(line)),
        400..=499 => Meaning::Refused(ErrorKind::Invalid, line),
        _ => Meaning::Again(Fault::Unsure(line)),
    }
}

fn of_code(failed: &Failed) -> Meaning {
    let text = format!("{} ({})", failed.message, failed.cause);
    match failed.code {
        NOT_FOUND | COMPARE_FAILED | EXISTS => Meaning::Final(Said::No(failed.code)),
        WATCHER_CLEARED | INDEX_CLEARED => Meaning::Final(Said::Cleared),
        110 => Meaning::Refused(ErrorKind::Auth, text),
        // They elect a leader, or could not agree in time: it may come to pass yet.
        300..=399 if NOT_PROPOSED.iter().any(|known| text.contains(known)) => Meaning::Again(Fault::Unsent(text)),
        300..=399 => Meaning::Again(Fault::Unsure(text)),
        _ => Meaning::Refused(ErrorKind::Invalid, text),
    }
}

/// One line of an answer that is none of the API's.
fn line_of(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body);
    let line: String = text.lines().next().unwrap_or_default().trim().chars().take(200).collect();
    format!("{} {line}", reply.status)
}

/// An error of this store.
pub(crate) fn failed(kind: ErrorKind, why: &str) -> DcsError {
    DcsError::new(kind, format!("etcd: {why}"))
}

#[cfg(test)]
mod tests;
