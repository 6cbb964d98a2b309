//! Hands a restart or a reinitialization on to the member that it is for.
//!
//! It goes with the caller's credentials, not with this node's: the other member decides by its own rules what they
//! are worth, and nobody can do there through this node what he could not do himself.

use super::gather::{base, read};
use crate::api::Shared;
use crate::api::page::{self, Answer};
use crate::api::restart;
use crate::api::router::Asked;
use axum::http::{HeaderMap, header};
use std::time::Duration;

/// A restart may wait for a server to come up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Longer than any answer to an action is.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Does it here, if it is for this node, or lets the member do it.
pub(super) async fn forward(shared: &Shared, member: &str, action: &str, headers: &HeaderMap, asked: Asked) -> Answer {
    let Some(member) = decoded(member) else { return page::error(400) };
    let published = shared.published();
    let own = published.settings.name == member;
    match action {
        "restart" if own => return restart::restart(shared, &asked).await,
        "reinitialize" if own => return restart::reinitialize(shared, &asked).await,
        "restart" | "reinitialize" => {}
        _ => return page::error(404),
    }
    let known = published.cluster.as_ref().and_then(|cluster| cluster.view.member(&member));
    let Some(url) = known.and_then(|member| member.api_url.as_deref()).and_then(base) else {
        return page::text(404, "there is no such member, or nobody knows where its API is");
    };
    let mut call = shared.handle.client.post(format!("{url}/{action}")).timeout(PATIENCE);
    if let Some(credentials) = headers.get(header::AUTHORIZATION) {
        call = call.header(header::AUTHORIZATION, credentials.clone());
    }
    if !asked.body.is_empty() {
        call = call.header(header::CONTENT_TYPE, "application/json").body(asked.body);
    }
    match call.send().await {
        Ok(answer) => {
            let code = answer.status().as_u16();
            match read(answer, ANSWER_BYTES_MAX).await {
                Ok(body) => page::text(code, &String::from_utf8_lossy(&body)),
                Err(why) => page::text(502, &format!("of the member's answer: {why}")),
            }
        }
        Err(error) if error.is_timeout() => page::text(504, "the member has not answered yet; it may still be at it"),
        Err(_) => page::text(502, "the member can not be reached from here"),
    }
}

/// A path segment as it was before it was put into a URL.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut text = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_way_through_a_url() {
        let check = |segment: &str, expected: Option<&str>| assert_eq!(decoded(segment).as_deref(), expected);
        check("node1", Some("node1"));
        check("a%20b%2Fc%25", Some("a b/c%"));
        check("%C3%A4", Some("ä"));
        check("%3Cscript%3E", Some("<script>"));
        check("%C3", None);
        check("%4", None);
        check("%zz", None);
    }
}
