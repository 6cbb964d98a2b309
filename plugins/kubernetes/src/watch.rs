//! Hears of changes: two watches, of the objects and of the pods, which stay open from call to call. What is nothing
//! but the figures of others is told late, what this member wrote is not told.

use crate::backend::Kubernetes;
use crate::call::failed;
use crate::http::{self, Fault, Request};
use crate::memory::Weight;
use crate::object::Object;
use ::http::StatusCode;
use http_body_util::BodyExt;
use kube_client::client::Body;
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, ErrorKind, Result, WatchEnd};
use serde_json::Value;
use std::time::Duration;

/// A watch that was silent for so long is opened anew: the server sends a mark every minute.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// How long a watch rests after a failure.
const REST: Duration = Duration::from_millis(400);

/// An event longer than that is none.
const LINE_MAX: usize = 8 << 20;

/// The watches that are open.
#[derive(Default)]
pub(crate) struct Streams {
    objects: Option<Stream>,
    pods: Option<Stream>,
}

/// A watch, as far as it was read.
struct Stream {
    body: Body,
    buffer: Vec<u8>,
    heard: Duration,
}

/// What a watch tells.
enum Event {
    /// This object is now so, or is gone.
    Change(Box<Object>, bool),
    /// Nothing; or of something that is none of ours.
    Mark,
    /// From where it began is forgotten: everything has to be read again.
    Forgotten,
    /// It has ended.
    Over(String),
}

impl Kubernetes {
    /// Waits for something after the cursor.
    pub(crate) async fn listen(&self, cx: &Cx, cursor: &str) -> Result<WatchEnd> {
        let mut streams = self.streams.lock().await;
        loop {
            let now = clock::now();
            let due = {
                let memory = self.memory();
                let late = memory.late;
                if memory.changed || memory.cursor() != cursor || late.is_some_and(|due| due <= now) {
                    return Ok(WatchEnd::Changed);
                }
                // The end of another's lock comes from no server. What ended before the reading is no change.
                let end =
                    memory.end_of_lock(self.ttl()).filter(|end| memory.held.is_none() && *end > memory.loaded_at());
                if end.is_some_and(|end| end <= now) {
                    return Ok(WatchEnd::Changed);
                }
                late.into_iter().chain(end).min()
            };
            let left = cx.left();
            if left.is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            self.open_both(cx, &mut streams, cursor).await?;
            let limit = due.map_or(left, |due| due.saturating_sub(now).min(left));
            let (of_pods, event) = match streams.next(limit).await {
                Some(event) => event,
                None => continue,
            };
            self.heard(&mut streams, of_pods, event).await?;
        }
    }

    async fn heard(&self, streams: &mut Streams, of_pods: bool, event: Event) -> Result<()> {
        let weight = match event {
            Event::Mark => Weight::None,
            Event::Change(pod, gone) if of_pods => {
                if pod.name == self.member {
                    Weight::None
                } else {
                    self.memory().weigh_pod(&pod, gone)
                }
            }
            Event::Change(object, gone) => match self.place(&object.name) {
                Some(place) => {
                    let mut memory = self.memory();
                    if place == crate::place::Place::Leader && !gone {
                        memory.observe(&object, clock::now());
                    }
                    memory.weigh(place, &object, gone)
                }
                None => Weight::None,
            },
            Event::Forgotten => {
                streams.close(of_pods);
                Weight::Now
            }
            Event::Over(why) => {
                streams.close(of_pods);
                regent_plugin_sdk::log::debug(&format!("the watch ended: {why}"));
                Weight::None
            }
        };
        let mut memory = self.memory();
        match weight {
            Weight::Now => memory.changed = true,
            Weight::Late => memory.late = memory.late.or(Some(clock::now() + self.loop_wait)),
            Weight::None => {}
        }
        Ok(())
    }

    /// Whatever is not open begins where the last reading ended.
    async fn open_both(&self, cx: &Cx, streams: &mut Streams, cursor: &str) -> Result<()> {
        let (objects, pods) = cursor.split_once(' ').unwrap_or((cursor, cursor));
        if streams.objects.is_none() {
            streams.objects = self.open(cx, self.fixed.keeper.resource(), objects).await?;
        }
        if streams.pods.is_none() {
            streams.pods = self.open(cx, "pods", pods).await?;
        }
        Ok(())
    }

    /// Opens a watch. `None` where its beginning is forgotten, which a watch has to say.
    async fn open(&self, cx: &Cx, resource: &str, from: &str) -> Result<Option<Stream>> {
        let more = "watch=true&allowWatchBookmarks=true";
        let path = format!("{}&{more}&resourceVersion={}", self.selection(resource), http::encoded(from));
        let request = Request::get(path);
        let opening = async {
            let client = self.server.client().await.map_err(|error| Fault::Unsent(error.message))?;
            http::begin(&client, &request).await
        };
        let why = match tokio::time::timeout(self.server.patience().min(cx.left()), opening).await {
            Ok(Ok(answer)) if answer.status() == StatusCode::OK => {
                return Ok(Some(Stream { body: answer.into_body(), buffer: Vec::new(), heard: clock::now() }));
            }
            Ok(Ok(answer)) if answer.status() == StatusCode::GONE => {
                self.memory().changed = true;
                return Ok(None);
            }
            Ok(Ok(answer)) if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status()) => {
                rest(REST.min(cx.left())).await;
                return Err(failed(ErrorKind::Auth, &format!("the watch of {resource}: Permission denied")));
            }
            Ok(Ok(answer)) => format!("status {}", answer.status().as_u16()),
            Ok(Err(Fault::Unsent(why) | Fault::Unsure(why))) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        rest(REST.min(cx.left())).await;
        Err(failed(ErrorKind::Unavailable, &format!("the watch of {resource}: {why}")))
    }
}

impl Streams {
    /// The next event of either, of the pods if the flag says so; `None` once `limit` is over.
    async fn next(&mut self, limit: Duration) -> Option<(bool, Event)> {
        let (Some(objects), Some(pods)) = (&mut self.objects, &mut self.pods) else {
            return None;
        };
        tokio::select! {
            event = objects.next() => Some((false, event)),
            event = pods.next() => Some((true, event)),
            () = rest(limit) => None,
        }
    }

    fn close(&mut self, of_pods: bool) {
        if of_pods {
            self.pods = None;
        } else {
            self.objects = None;
        }
    }
}

impl Stream {
    /// The next event. Given up in the middle, it loses nothing.
    async fn next(&mut self) -> Event {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return event(&line);
            }
            let silent = clock::now().saturating_sub(self.heard);
            let frame = tokio::time::timeout(SILENCE_MAX.saturating_sub(silent), self.body.frame()).await;
            match frame {
                Err(_) => return Event::Over("it was silent".to_owned()),
                Ok(None) => return Event::Over("the server ended it".to_owned()),
                Ok(Some(Err(error))) => return Event::Over(http::chain(&error)),
                Ok(Some(Ok(frame))) => {
                    self.heard = clock::now();
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
                }
            }
            if self.buffer.len() > LINE_MAX {
                return Event::Over("an event has no end".to_owned());
            }
        }
    }
}

/// What a line says.
fn event(line: &[u8]) -> Event {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return Event::Over("an event that makes no sense".to_owned());
    };
    let object = value.get("object").unwrap_or(&Value::Null);
    match value.get("type").and_then(Value::as_str) {
        Some("BOOKMARK") => Event::Mark,
        Some("ERROR") if object.get("code").and_then(Value::as_u64) == Some(410) => Event::Forgotten,
        Some("ERROR") => Event::Over(object.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()),
        Some(kind @ ("ADDED" | "MODIFIED" | "DELETED")) => match Object::read(object) {
            Some(object) => Event::Change(Box::new(object), kind == "DELETED"),
            None => Event::Mark,
        },
        _ => Event::Mark,
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "ends a wait for events, or keeps a failing watch from being called at once"
)]
async fn rest(time: Duration) {
    // pace: the next watch
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K8S-06.
    #[test]
    fn lines_are_events() {
        let check = |line: &str, expected: &str| {
            let found = match event(line.as_bytes()) {
                Event::Change(object, gone) => format!("{} {gone}", object.name),
                Event::Mark => "mark".to_owned(),
                Event::Forgotten => "forgotten".to_owned(),
                Event::Over(why) => why,
            };
            assert_eq!(found, expected, "{line}");
        };
        let object = r#""object": {"metadata": {"name": "a", "resourceVersion": "1"}}"#;
        check(&format!(r#"{{"type": "ADDED", {object}}}"#), "a false");
        check(&format!(r#"{{"type": "DELETED", {object}}}"#), "a true");
        check(&format!(r#"{{"type": "BOOKMARK", {object}}}"#), "mark");
        check(r#"{"type": "ERROR", "object": {"code": 410}}"#, "forgotten");
        check(r#"{"type": "ERROR", "object": {"code": 500, "message": "no"}}"#, "no");
        check("{", "an event that makes no sense");
    }
}
