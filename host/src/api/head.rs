//! The head of a request, read from the raw stream, and the answers that need no more: health checks.
//!
//! They are the bulk of all requests; answered here they cost a fraction of what a web framework takes, and HEAD and
//! OPTIONS can be answered with the bare status line that load balancers of the peer expect.

use super::health::{self, Question};
use super::{Shared, python_json, routes, status};
use crate::agent::handle::Published;
use crate::ports;
use std::sync::Arc;

/// The largest head that is read.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What the bytes read so far are.
pub(super) enum Head {
    /// Not complete yet.
    Partial,
    /// No HTTP.
    Malformed,
    /// A health check: the answer's bytes, and whether the connection stays open. `usize` bytes were used.
    Answer(Vec<u8>, bool, usize),
    /// Something for the router.
    Other,
}

/// Reads a head, and answers it if it is a health check.
pub(super) fn read(bytes: &[u8], shared: &Shared) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let used = match request.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(_) => return Head::Malformed,
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Head::Malformed;
    };
    let has_body = request.headers.iter().any(|header| {
        let name = header.name;
        (name.eq_ignore_ascii_case("content-length") && header.value != b"0")
            || name.eq_ignore_ascii_case("transfer-encoding")
            || name.eq_ignore_ascii_case("expect")
    });
    let connection = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("connection"));
    let said = |word: &[u8]| connection.is_some_and(|header| header.value.eq_ignore_ascii_case(word));
    let keep = if version == 1 { !said(b"close") } else { said(b"keep-alive") };
    // HEAD and OPTIONS are never more than a status line, and close the connection with whatever else was sent.
    if has_body && !matches!(method, "HEAD" | "OPTIONS") {
        return Head::Other;
    }
    match answer(method, target, shared, keep) {
        Some((answer, keep)) => Head::Answer(answer, keep, used),
        None => Head::Other,
    }
}

fn answer(method: &str, target: &str, shared: &Shared, keep: bool) -> Option<(Vec<u8>, bool)> {
    let published = Arc::clone(&shared.handle.published.borrow());
    let now = ports::now();
    let question = Question::new(target);
    match method {
        "HEAD" | "OPTIONS" => Some((bare(health::verdict(&published, now, &question)), false)),
        "GET" => {
            let segment = question.path.trim_start_matches('/').split('/').next().unwrap_or_default();
            if routes::route(method, segment).is_some() {
                return None;
            }
            match health(&published, segment, &question) {
                (code, Form::Bare) => Some((bare(code), false)),
                (code, Form::Full) => Some((full(code, &shared.status(&published), shared, keep), keep)),
            }
        }
        _ => None,
    }
}

/// How a health check is answered.
pub(super) enum Form {
    /// By its status line alone.
    Bare,
    /// With the status document.
    Full,
}

/// The answer to `GET` of a path whose first segment nothing else answers.
pub(super) fn health(published: &Published, segment: &str, question: &Question<'_>) -> (u16, Form) {
    let now = ports::now();
    match segment {
        "liveness" => (health::liveness(published, now), Form::Bare),
        "readiness" => (health::readiness(published, now, question), Form::Bare),
        _ => (health::verdict(published, now, question), Form::Full),
    }
}

fn reason(code: u16) -> &'static str {
    if code == 200 { "OK" } else { "Service Unavailable" }
}

/// A status line and nothing else.
fn bare(code: u16) -> Vec<u8> {
    format!("HTTP/1.0 {code} {}\r\n\r\n", reason(code)).into_bytes()
}

fn full(code: u16, body: &[u8], shared: &Shared, keep: bool) -> Vec<u8> {
    let version = if keep { "1.1" } else { "1.0" };
    let in_force = shared.in_force();
    let (server, date, extra) = (&in_force.server, shared.date(), &in_force.extra_lines);
    let head = format!(
        "HTTP/{version} {code} {}\r\nServer: {server}\r\nDate: {date}\r\nContent-Type: application/json\r\n\
         {extra}Content-Length: {}\r\n\r\n",
        reason(code),
        body.len(),
    );
    let mut answer = head.into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// The status document rendered once for each published state.
pub(super) fn render(published: &Published) -> Arc<[u8]> {
    python_json::to_bytes(&status::document(published)).into()
}
