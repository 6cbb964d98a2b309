//! Sends one request to an API server and reads the answer; tells a request that never left from one that may have.

use http::{Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube_client::Client;
use kube_client::client::Body;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// A large cluster's objects, and more.
const ANSWER_MAX: usize = 64 << 20;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: Method,
    /// The path with its query.
    pub path: String,
    body: Option<Value>,
}

impl Request {
    pub fn get(path: String) -> Request {
        Request { method: Method::GET, path, body: None }
    }

    pub fn create(path: String, body: Value) -> Request {
        Request { method: Method::POST, path, body: Some(body) }
    }

    /// A merge patch: what is null in it is removed.
    pub fn patch(path: String, body: Value) -> Request {
        Request { method: Method::PATCH, path, body: Some(body) }
    }

    pub fn delete(path: String) -> Request {
        Request { method: Method::DELETE, path, body: None }
    }

    fn build(&self) -> Result<http::Request<Body>, http::Error> {
        let kind = if self.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let builder = http::Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("regent/", env!("CARGO_PKG_VERSION")));
        match &self.body {
            Some(body) => builder.header(header::CONTENT_TYPE, kind).body(Body::from(body.to_string().into_bytes())),
            None => builder.body(Body::empty()),
        }
    }
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    /// When the server would like to be asked again.
    pub retry_after: Option<Duration>,
    pub body: Value,
}

impl Reply {
    /// What the server says about a failure: one line.
    pub fn text(&self) -> String {
        let text = match (self.body.get("message").and_then(Value::as_str), &self.body) {
            (Some(message), _) => message,
            (None, Value::String(text)) => text,
            (None, _) => "",
        };
        let text: String = text.lines().next().unwrap_or_default().trim().chars().take(200).collect();
        if text.is_empty() { format!("status {}", self.status) } else { text }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request never left.
    Unsent(String),
    /// It may have reached the server.
    Unsure(String),
}

/// Sends a request and waits for the beginning of the answer.
pub(crate) async fn begin(client: &Client, request: &Request) -> Result<Response<Body>, Fault> {
    let request = request.build().map_err(|error| Fault::Unsent(error.to_string()))?;
    client.send(request).await.map_err(|error| {
        let why = chain(&error);
        if is_unsent(&error) { Fault::Unsent(why) } else { Fault::Unsure(why) }
    })
}

/// One try.
pub(crate) async fn send(client: &Client, request: &Request) -> Result<Reply, Fault> {
    let answer = begin(client, request).await?;
    let status = answer.status();
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::Unsure(chain(&error)))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
        if bytes.len() > ANSWER_MAX {
            return Err(Fault::Unsure("the answer has no end".to_owned()));
        }
    }
    let body = match serde_json::from_slice(&bytes) {
        Ok(body) => body,
        // Half an answer is none: a proxy on the way may have cut it.
        Err(_) if status == StatusCode::OK => return Err(Fault::Unsure("an answer that makes no sense".to_owned())),
        Err(_) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
    };
    Ok(Reply { status: status.as_u16(), retry_after: retry_after.map(Duration::from_secs), body })
}

/// No connection was made, or we could not even say who we are.
fn is_unsent(error: &kube_client::Error) -> bool {
    if matches!(error, kube_client::Error::Auth(_) | kube_client::Error::HttpError(_)) {
        return true;
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        next = error.source();
    }
    false
}

/// A text as part of a URL's query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// An error with all that it was caused by.
pub(crate) fn chain(error: &dyn Error) -> String {
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
    use serde_json::json;

    #[test]
    fn failures_are_told_in_one_line() {
        let reply = |body: Value| Reply { status: 409, retry_after: None, body };
        assert_eq!(reply(json!({"message": "not so\nmore", "reason": "Conflict"})).text(), "not so");
        assert_eq!(reply(json!("gateway\n")).text(), "gateway");
        assert_eq!(reply(json!({})).text(), "status 409");
        assert_eq!(encoded("a=b,c/d"), "a%3Db%2Cc%2Fd");
    }
}
