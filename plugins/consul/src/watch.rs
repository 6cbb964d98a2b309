//! Hears of changes: a blocking query of the whole prefix, which the agent answers when something changed. What is
//! nothing but the figures of others is told late, what this member wrote is not told.

use crate::backend::Consul;
use crate::http::{Fault, Reply};
use crate::kv::read_kvs;
use crate::memory::Weight;
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result, WatchEnd};
use std::time::Duration;

/// Shorter queries would only tell that nothing changed.
const WAIT_MIN: Duration = Duration::from_millis(20);

/// An agent answers up to that much later than it is told to, beside its sixteenth.
const MARGIN: Duration = Duration::from_millis(50);

/// How long a watch rests after a failure that took no time.
const REST: Duration = Duration::from_millis(400);

impl Consul {
    /// Waits for something after the cursor.
    pub(crate) async fn listen(&self, cx: &Cx, cursor: &str) -> Result<WatchEnd> {
        let Some(cursor) = cursor.parse::<u64>().ok().filter(|cursor| *cursor > 0) else {
            return Ok(WatchEnd::Changed);
        };
        let mut from = cursor;
        let mut late: Option<Duration> = None;
        loop {
            let left = cx.left();
            if left.is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            let due = late.map(|due| due.saturating_sub(clock::now()));
            if due.is_some_and(|due| due.is_zero()) {
                return Ok(WatchEnd::Changed);
            }
            let limit = due.map_or(left, |due| due.min(left));
            let Some(reply) = self.query(from, limit).await? else { continue };
            let (kvs, index) = read_kvs(&reply)?;
            match self.memory().weigh(cursor, &kvs, index) {
                Weight::Now => return Ok(WatchEnd::Changed),
                Weight::Late => late = late.or(Some(clock::now() + self.loop_wait)),
                Weight::None => {}
            }
            from = index;
        }
    }

    /// One query of at most `limit`; `None` if that is over.
    async fn query(&self, from: u64, limit: Duration) -> Result<Option<Reply>> {
        // The agent adds up to a sixteenth, lest all queries end at once. An answer that comes in time leaves the
        // connection to the next query.
        let wait = (limit.saturating_sub(MARGIN) * 15 / 16).max(WAIT_MIN);
        let request = self.agent.reading(self.keys.prefix());
        let request = request.with("index", from.to_string()).with("wait", format!("{}ms", wait.as_millis()));
        let begun = clock::now();
        let why = match self.agent.once(&request, limit).await {
            Ok(reply) if [200, 404].contains(&reply.status) => return Ok(Some(reply)),
            Ok(reply) if [401, 403].contains(&reply.status) => {
                return Err(DcsError::new(ErrorKind::Auth, format!("consul: the watch: {}", reply.text())));
            }
            Ok(reply) => reply.text(),
            Err(Fault::Unsent(why) | Fault::Unsure(why)) => why,
        };
        let spent = clock::now().saturating_sub(begun);
        if spent >= limit {
            return Ok(None);
        }
        if spent < REST {
            rest(REST.min(limit - spent)).await;
        }
        Err(DcsError::new(ErrorKind::Unavailable, format!("consul: the watch: {why}")))
    }
}

#[allow(clippy::disallowed_methods, reason = "a failing watch is called again at once")]
async fn rest(time: Duration) {
    // pace: the next watch
    tokio::time::sleep(time).await;
}
