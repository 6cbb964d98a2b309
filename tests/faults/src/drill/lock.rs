//! What the store says about the leader's lock, all the time: who holds it, and how long it would live unrenewed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use regent_harness::http;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Between two looks.
const PACE: Duration = Duration::from_millis(300);
/// How long the store may take to answer; one that hangs is looked at again.
const ANSWER: Duration = Duration::from_millis(1500);

/// The lock at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When the store was asked.
    pub at: Instant,
    /// Who holds it.
    pub holder: Option<String>,
    /// For how many whole seconds it would live if nobody renewed it.
    pub left: Option<i64>,
}

/// The watch over a cluster's lock. It ends when it is dropped.
#[derive(Debug)]
pub struct Lock {
    looks: Arc<Mutex<Vec<Look>>>,
    task: AbortHandle,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lock {
    /// Begins to look at the lock of a cluster in the etcd at this port.
    pub fn watch(port: u16, scope: &str) -> Self {
        let looks: Arc<Mutex<Vec<Look>>> = Arc::default();
        let (kept, key) = (Arc::clone(&looks), BASE64.encode(format!("/service/{scope}/leader")));
        let task = tokio::spawn(async move {
            loop {
                let at = Instant::now();
                // A silent store says nothing: there is no look then.
                if let Ok((holder, left)) = look(port, &key).await {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(Look { at, holder, left });
                }
                // pace: a renewal comes once a second
                sleep(PACE).await;
            }
        });
        Self { looks, task: task.abort_handle() }
    }

    /// Every look since a moment, oldest first. Those before it are forgotten.
    pub fn since(&self, moment: Instant) -> Vec<Look> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|look| look.at >= moment);
        looks.clone()
    }
}

async fn look(port: u16, key: &str) -> Result<(Option<String>, Option<i64>)> {
    let found = ask(port, "/v3/kv/range", &json!({ "key": key })).await?;
    let entry = &found["kvs"][0];
    let Some(value) = entry["value"].as_str() else { return Ok((None, None)) };
    let holder = String::from_utf8_lossy(&BASE64.decode(value)?).into_owned();
    let lease = entry["lease"].as_str().context("the lock has no lease")?;
    let lease = ask(port, "/v3/lease/timetolive", &json!({ "ID": lease })).await?;
    // A number that is zero is left out by etcd's encoding.
    let left = lease["TTL"].as_str().map_or(Some(0), |seconds| seconds.parse().ok());
    Ok((Some(holder), left))
}

async fn ask(port: u16, path: &str, body: &Value) -> Result<Value> {
    http::request(port, "POST", path, Some(body), ANSWER).await?.json()
}

/// The least that was left of the lock, in seconds, if one member held it all the time and never let it run down.
///
/// # Errors
/// With what was seen instead.
pub fn is_kept(looks: &[Look], holder: &str) -> Result<i64, String> {
    if let Some(other) = looks.iter().find(|look| look.holder.as_deref() != Some(holder)) {
        return Err(format!("the lock of {holder} was seen with {:?}", other.holder));
    }
    match looks.iter().filter_map(|look| look.left).min() {
        Some(left) if left > 0 => Ok(left),
        Some(left) => Err(format!("the lock of {holder} had {left} s left")),
        None => Err("nobody saw the lock".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_kept_by_one_holder_who_renews_it() {
        fn check(looks: &[(&str, i64)], expected: Result<i64, &str>) {
            let look = |(holder, left): &(&str, i64)| Look {
                at: Instant::now(),
                holder: Some((*holder).to_owned()).filter(|holder| !holder.is_empty()),
                left: Some(*left),
            };
            let looks: Vec<Look> = looks.iter().map(look).collect();
            match (is_kept(&looks, "a"), expected) {
                (Ok(left), Ok(expected)) => assert_eq!(left, expected, "{looks:?}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, expected) => panic!("{looks:?}: {found:?} and not {expected:?}"),
            }
        }
        check(&[("a", 7), ("a", 5), ("a", 7)], Ok(5));
        check(&[("a", 7), ("", 0), ("a", 7)], Err("with None"));
        check(&[("a", 7), ("b", 7)], Err("Some(\"b\")"));
        check(&[("a", 7), ("a", 0)], Err("0 s left"));
        check(&[], Err("nobody"));
    }
}
