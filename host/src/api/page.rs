//! Answers: JSON as the peer spells it, plain text, and its error pages.

use super::python_json;
use axum::body::Body;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use serde_json::Value;

/// An answer of the router.
pub(super) type Answer = Response<Body>;

fn build(code: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Body::from(body).into_response();
    *answer.status_mut() = axum::http::StatusCode::from_u16(code).unwrap_or_default();
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    answer
}

/// A JSON document.
pub(super) fn json(code: u16, value: &Value) -> Answer {
    build(code, "application/json", python_json::to_bytes(value))
}

/// A JSON document that is rendered already.
pub(super) fn rendered(code: u16, body: &[u8]) -> Answer {
    build(code, "application/json", body.to_vec())
}

/// A status and nothing else.
pub(super) fn empty(code: u16) -> Answer {
    let mut answer = Body::empty().into_response();
    *answer.status_mut() = axum::http::StatusCode::from_u16(code).unwrap_or_default();
    answer
}

/// Plain text, under the type that the peer gives it.
pub(super) fn text(code: u16, text: &str) -> Answer {
    build(code, "text/html", text.as_bytes().to_vec())
}

/// Metrics.
pub(super) fn metrics(text: String) -> Answer {
    build(200, "text/plain", text.into_bytes())
}

/// A part of a page that was built in.
pub(super) fn asset(content_type: &'static str, text: &'static str) -> Answer {
    build(200, content_type, text.as_bytes().to_vec())
}

/// An error page.
pub(super) fn error(code: u16) -> Answer {
    let (message, body) = error_page(code);
    finish(code, message.to_owned(), body)
}

/// The error page for a method that nothing answers to; the peer's CLI looks at its wording.
pub(super) fn unsupported(method: &str) -> Answer {
    let message = format!("Unsupported method ('{method}')");
    let body = html(501, &message, "Server does not support this operation");
    finish(501, message, body)
}

fn finish(code: u16, message: String, body: String) -> Answer {
    let mut answer = build(code, "text/html;charset=utf-8", body.into_bytes());
    if let Ok(reason) = hyper::ext::ReasonPhrase::try_from(message) {
        answer.extensions_mut().insert(reason);
    }
    answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

/// Reason phrase and body of an error page.
pub(super) fn error_page(code: u16) -> (&'static str, String) {
    let (message, explanation) = match code {
        400 => ("Bad Request", "Bad request syntax or unsupported method"),
        404 => ("Not Found", "Nothing matches the given URI"),
        408 => ("Request Timeout", "Request timed out; try again later"),
        409 => ("Conflict", "Request conflict"),
        411 => ("Length Required", "Client must specify Content-Length"),
        413 => ("Request Entity Too Large", "Entity is too large"),
        431 => ("Request Header Fields Too Large", "The header fields are too many or too large"),
        500 => ("Internal Server Error", "Server got itself in trouble"),
        502 => ("Bad Gateway", "Invalid responses from another server/proxy"),
        503 => ("Service Unavailable", "The server cannot process the request due to a high load"),
        _ => ("Error", "The request failed"),
    };
    (message, html(code, message, explanation))
}

/// The peer's page, with what comes from outside escaped.
fn html(code: u16, message: &str, explanation: &str) -> String {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<!DOCTYPE HTML>\n<html lang=\"en\">\n    <head>\n        <meta charset=\"utf-8\">\n        \
         <title>Error response</title>\n    </head>\n    <body>\n        <h1>Error response</h1>\n        \
         <p>Error code: {code}</p>\n        <p>Message: {message}.</p>\n        \
         <p>Error code explanation: {code} - {explanation}.</p>\n    </body>\n</html>\n"
    )
}
