//! The moments of a gap, seen from outside and alike for every system: the leader's key in the store, and the old
//! leader's server. They cut a gap into its phases.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regent_harness::os::process;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How often a process is looked at, and a store that is away is tried again.
const LOOK: Duration = Duration::from_millis(2);
const AGAIN: Duration = Duration::from_millis(50);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The leader's key names this node, which it did not before.
    KeyTaken(String),
    /// Nobody has the leader's key.
    KeyGone,
    /// The leader wrote to the store, as it does once a loop while there are writes.
    Renewed,
    /// A postmaster ended.
    ServerGone(i32),
}

/// When what happened.
type Seen = Arc<Mutex<Vec<(Instant, Moment)>>>;

/// Those who look. Dropping it ends them.
pub struct Moments {
    seen: Seen,
    watchers: Mutex<JoinSet<()>>,
    /// Whether the store can be watched at all.
    pub sees_store: bool,
}

impl Moments {
    /// Begins to watch a cluster's keys in the etcd at that port, if it is on one.
    pub fn watch(etcd: Option<u16>, scope: &str) -> Self {
        let seen = Seen::default();
        let mut watchers = JoinSet::new();
        if let Some(port) = etcd {
            watchers.spawn(watch_keys(port, format!("/service/{scope}/"), Arc::clone(&seen)));
        }
        Self { seen, watchers: Mutex::new(watchers), sees_store: etcd.is_some() }
    }

    /// Also watches for the end of a postmaster.
    pub fn follow(&self, pid: i32) {
        let seen = Arc::clone(&self.seen);
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            while process::is_alive(pid) {
                // pace: the precision of this moment
                tokio::time::sleep(LOOK).await;
            }
            note(&seen, Moment::ServerGone(pid));
        });
    }

    /// The first such moment since then.
    pub fn first(&self, since: Instant, fits: impl Fn(&Moment) -> bool) -> Option<Instant> {
        lock(&self.seen).iter().find(|(at, moment)| *at >= since && fits(moment)).map(|(at, _)| *at)
    }
}

fn lock(seen: &Seen) -> MutexGuard<'_, Vec<(Instant, Moment)>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(seen: &Seen, moment: Moment) {
    lock(seen).push((Instant::now(), moment));
}

/// Watches the keys below a prefix for ever, whatever becomes of the store meanwhile.
async fn watch_keys(port: u16, prefix: String, seen: Seen) {
    let mut holder = String::new();
    loop {
        // A store that is away is a scenario, no fault.
        let _ = watch_once(port, &prefix, &seen, &mut holder).await;
        // pace: until the store is back
        tokio::time::sleep(AGAIN).await;
    }
}

async fn watch_once(port: u16, prefix: &str, seen: &Seen, holder: &mut String) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let body =
        json!({"create_request": {"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end)}}).to_string();
    // Without chunks, so that each line of the answer is an event.
    let head = format!("POST /v3/watch HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        for moment in read_events(&line, prefix, holder) {
            note(seen, moment);
        }
    }
    Ok(())
}

fn read_events(line: &str, prefix: &str, holder: &mut String) -> Vec<Moment> {
    let Ok(message) = serde_json::from_str::<Value>(line) else { return Vec::new() };
    let events = message["result"]["events"].as_array().cloned().unwrap_or_default();
    events.iter().filter_map(|event| read_event(event, prefix, holder)).collect()
}

fn read_event(event: &Value, prefix: &str, holder: &mut String) -> Option<Moment> {
    let text = |field: &str| {
        let bytes = STANDARD.decode(event["kv"][field].as_str().unwrap_or_default()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    match text("key").strip_prefix(prefix)? {
        "leader" if event["type"] == "DELETE" => {
            holder.clear();
            Some(Moment::KeyGone)
        }
        "leader" if text("value") == *holder => Some(Moment::Renewed),
        "leader" => {
            *holder = text("value");
            Some(Moment::KeyTaken(holder.clone()))
        }
        "status" => Some(Moment::Renewed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_store_are_read() {
        let mut holder = String::new();
        let mut check = |key: &str, value: Option<&str>, expected: &[Moment]| {
            let key = STANDARD.encode(key);
            let event = match value {
                Some(value) => json!({"kv": {"key": key, "value": STANDARD.encode(value)}}),
                None => json!({"type": "DELETE", "kv": {"key": key}}),
            };
            let line = json!({"result": {"events": [event]}}).to_string();
            assert_eq!(read_events(&line, "/service/x/", &mut holder), expected, "{line}");
        };
        check("/service/x/leader", Some("node1"), &[Moment::KeyTaken("node1".to_owned())]);
        check("/service/x/leader", Some("node1"), &[Moment::Renewed]);
        check("/service/x/status", Some("{}"), &[Moment::Renewed]);
        check("/service/x/members/node1", Some("{}"), &[]);
        check("/service/x/leader", None, &[Moment::KeyGone]);
        check("/service/x/leader", Some("node1"), &[Moment::KeyTaken("node1".to_owned())]);
        assert_eq!(read_events("HTTP/1.0 200 OK", "/service/x/", &mut holder), []);
    }
}
