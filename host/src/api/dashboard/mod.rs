//! The page for people at `/dashboard`, and what it reads and does beyond the API.
//!
//! The page speaks with the node that it came from and with nobody else: a browser may not read other members' answers
//! (they come from elsewhere), and often cannot even reach them, through a tunnel or a forwarded port. So this node
//! asks the others (`/dashboard/node`) and shows one view of all (`/dashboard/state`), and hands on what is to be done
//! to one of them, with the caller's own credentials.

mod forward;
mod gather;
mod guarantee;
mod node;
#[cfg(test)]
mod tests;
mod view;

pub(super) use gather::Gathered;

use super::Shared;
use super::page::{self, Answer};
use super::router::Asked;
use crate::ports;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("assets/index.html");
const STYLE: &str = include_str!("assets/style.css");
const SCRIPTS: [(&str, &str); 3] = [
    ("/dashboard/draw.js", include_str!("assets/draw.js")),
    ("/dashboard/actions.js", include_str!("assets/actions.js")),
    ("/dashboard/script.js", include_str!("assets/script.js")),
];

/// What is there to be read.
pub(super) async fn get(shared: &Shared, path: &str) -> Answer {
    let answer = match path {
        "/dashboard" => page::asset("text/html; charset=utf-8", PAGE),
        "/dashboard/style.css" => page::asset("text/css; charset=utf-8", STYLE),
        "/dashboard/node" => {
            let published = shared.published();
            page::json(200, &node::document(&published, &shared.handle.journal, ports::now()))
        }
        "/dashboard/state" => page::rendered(200, &gather::state(shared).await),
        script => match SCRIPTS.iter().find(|(path, _)| *path == script) {
            Some((_, text)) => page::asset("text/javascript; charset=utf-8", text),
            None => page::error(404),
        },
    };
    guarded(answer)
}

/// What may be done: only after the request was let through as any that changes something.
pub(super) async fn act(shared: &Shared, path: &str, headers: &HeaderMap, asked: Asked) -> Answer {
    let rest = path.strip_prefix("/dashboard/").unwrap_or_default();
    let words: Vec<&str> = rest.split('/').collect();
    let answer = match words.as_slice() {
        // Who got here is known.
        ["login"] => page::text(200, "welcome"),
        ["members", member, action] => forward::forward(shared, member, action, headers, asked).await,
        _ => page::error(404),
    };
    guarded(answer)
}

/// For browsers: what they may do with this, and that they keep none of it.
fn guarded(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
