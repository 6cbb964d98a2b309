//! A small HTTP client: one request on one connection, as health checks come, every byte of the
//! answer visible to the test.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, empty if there is none.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {:?}", self.body))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request to a port of this machine.
///
/// # Errors
/// When nobody listens, the answer is no HTTP, or the deadline passes.
pub async fn request(port: u16, method: &str, path: &str, body: Option<&Value>, deadline: Duration) -> Result<Answer> {
    send("HTTP/1.0", port, method, path, body, deadline).await
}

/// The same to a server that answers nothing older than HTTP/1.1.
///
/// # Errors
/// As above.
pub async fn request_newer(
    port: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
    deadline: Duration,
) -> Result<Answer> {
    send("HTTP/1.1", port, method, path, body, deadline).await
}

async fn send(
    version: &str,
    port: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
    deadline: Duration,
) -> Result<Answer> {
    let body = body.map(Value::to_string);
    let length = body.as_ref().map_or(0, String::len);
    let mut text = format!("{method} {path} {version}\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    if body.is_some() {
        text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body.as_deref().unwrap_or(""));
    let answer = timeout(deadline, exchange(port, text.as_bytes()));
    let bytes = answer
        .await
        .with_context(|| format!("{method} {path} on port {port}: no answer in {deadline:?}"))?
        .with_context(|| format!("{method} {path} on port {port}"))?;
    parse(&bytes).with_context(|| format!("{method} {path} on port {port}: not an HTTP answer"))
}

/// Sends bytes and reads until the other side closes.
async fn exchange(port: u16, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    // Not every server closes the connection when it is asked to.
    while stream.read_buf(&mut answer).await? > 0 && !is_whole(&answer) {}
    Ok(answer)
}

/// Whether it says how long it is, and is so long.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse::<usize>().ok()).is_some_and(|length| answer.len() >= end + 4 + length)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Answer { status, headers, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = parse(b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: x\r\nA: b: c\r\n\r\n{\"a\": 1}")
            .expect("it is HTTP");
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("content-type"), Some("x"));
        assert_eq!(answer.header("a"), Some("b: c"));
        assert_eq!(answer.json().expect("it is JSON")["a"], 1);
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\n").expect("it is HTTP").body, "");
        assert_eq!(parse(b"hello"), None);
    }

    #[test]
    fn an_answer_that_says_its_length_is_whole_then() {
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"));
        assert!(!is_whole(b"HTTP/1.0 200 OK\r\n\r\n{}"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"));
    }

    #[tokio::test]
    async fn a_silent_server_is_not_waited_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let error = request(port, "GET", "/", None, Duration::from_millis(50)).await;
        assert!(error.expect_err("nobody answers").to_string().contains("no answer"));
    }
}
