//! `GET`, `PATCH` and `PUT /config` (rest-api §6).

use super::Shared;
use super::cluster::reading;
use super::page::{self, Answer};
use super::router::{Asked, Optional};
use crate::agent::handle::{Request, Written};
use crate::config::{deep_equal, merge_patch};
use serde_json::Value;
use tokio::sync::oneshot;

/// The dynamic configuration.
pub(super) async fn get(shared: &Shared) -> Answer {
    match reading(shared).await.as_ref().and_then(|cluster| cluster.config.as_ref()) {
        Some(config) => page::json(200, config),
        None => page::error(502),
    }
}

/// Merges: `null` removes a key, objects merge, anything else replaces.
pub(super) async fn patch(shared: &Shared, asked: &Asked) -> Answer {
    let patch = match asked.object(Optional::No) {
        Ok(patch) => Value::Object(patch),
        Err(page) => return page,
    };
    let Some(cluster) = reading(shared).await else { return page::error(503) };
    let (Some(config), Some(version)) = (cluster.config.clone(), cluster.view.config.clone()) else {
        return page::error(503);
    };
    let mut merged = config;
    if !merge_patch(&mut merged, &patch) {
        return page::json(200, &merged);
    }
    match write(shared, merged.clone(), Some(version)).await {
        Written::Done => page::json(200, &merged),
        // The peer makes no difference between a write that was overtaken and one that failed.
        Written::Conflict | Written::Failed(_) => page::error(409),
    }
}

/// Replaces.
pub(super) async fn put(shared: &Shared, asked: &Asked) -> Answer {
    let config = match asked.object(Optional::No) {
        Ok(config) => Value::Object(config),
        Err(page) => return page,
    };
    let cluster = reading(shared).await;
    let known = cluster.as_ref().and_then(|cluster| cluster.config.as_ref());
    if known.is_some_and(|known| deep_equal(known, &config)) {
        return page::json(200, &config);
    }
    match write(shared, config.clone(), None).await {
        Written::Done => page::json(200, &config),
        _ => page::error(502),
    }
}

async fn write(shared: &Shared, config: Value, expect: Option<regent_core::model::Version>) -> Written {
    let (reply, answer) = oneshot::channel();
    let gone = || Written::Failed("the daemon is ending".to_owned());
    if shared.handle.requests.send(Request::WriteConfig { config, expect, reply }).await.is_err() {
        return gone();
    }
    answer.await.unwrap_or_else(|_| gone())
}
