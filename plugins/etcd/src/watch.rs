//! Hears of changes: a request that waits for the next one below the prefix, and begins again behind it. What is
//! nothing but the figures of others is told late, what this member wrote is not told. What the servers have forgotten
//! counts as a change (ETCD-09).

use crate::api::{self, Event, Meaning, Place, Request, Said, failed};
use crate::backend::Etcd;
use crate::memory::Weight;
use regent_dcs_common::clock;
use regent_dcs_common::endpoint::Endpoint;
use regent_dcs_common::http::Fault;
use regent_plugin_sdk::{Cx, ErrorKind, Result, WatchEnd};
use std::time::Duration;

/// How long a server may take to say that it listens.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a watch rests after a failure that took no time (ETCD-10).
const REST: Duration = Duration::from_millis(400);

/// What one such request came to.
enum Heard {
    /// The next change.
    Event(Event),
    /// The past that was asked for is gone, or is another cluster's.
    Lost,
    /// There was none in time.
    Nothing,
    /// Another server must be asked.
    Moved,
}

/// What is to be told some time, unless it is read before.
struct Late {
    index: u64,
    due: Duration,
}

impl Etcd {
    /// Waits for something after the cursor.
    pub(crate) async fn listen(&self, cx: &Cx, cursor: &str) -> Result<WatchEnd> {
        let Some(cursor) = Place::read(cursor).filter(|cursor| *cursor == *self.memory().place()) else {
            return Ok(WatchEnd::Changed);
        };
        let (mut from, mut late) = (cursor.index + 1, None::<Late>);
        loop {
            let read = self.memory().place().index;
            late.take_if(|late| late.index <= read);
            let left = cx.left();
            if left.is_zero() {
                return Ok(WatchEnd::Deadline);
            }
            let due = late.as_ref().map(|late| late.due.saturating_sub(clock::now()));
            if due.is_some_and(|due| due.is_zero()) {
                return Ok(WatchEnd::Changed);
            }
            // What was read meanwhile need not be heard.
            from = from.max(read + 1);
            match self.next(cx, &cursor, from, due.map_or(left, |due| due.min(left))).await? {
                Heard::Lost => return Ok(WatchEnd::Changed),
                Heard::Nothing | Heard::Moved => {}
                Heard::Event(event) => {
                    let index = event.node.index;
                    from = index + 1;
                    let weight = self.memory().weigh(&event);
                    match (weight, &mut late) {
                        (Weight::None, _) => {}
                        (Weight::Now, _) => return Ok(WatchEnd::Changed),
                        (Weight::Late, Some(late)) => late.index = index,
                        (Weight::Late, none) => *none = Some(Late { index, due: clock::now() + self.loop_wait }),
                    }
                }
            }
        }
    }

    /// The next change, from that index on, within `limit`.
    async fn next(&self, cx: &Cx, cursor: &Place, from: u64, limit: Duration) -> Result<Heard> {
        let begun = clock::now();
        let Some(server) = self.servers.candidates(cx).await.into_iter().next() else {
            return self.rested(begun, limit, "no server is known").await;
        };
        let mut failures = self.servers.failures();
        let asking = self.ask_for_next(&server, cursor, from, limit);
        tokio::pin!(asking);
        let fault = loop {
            tokio::select! {
                heard = &mut asking => match heard {
                    Ok(heard) => return Ok(heard),
                    Err(fault) => break fault,
                },
                changed = failures.changed() => {
                    if changed.is_ok() && !self.servers.is_best(&server) {
                        return Ok(Heard::Moved);
                    }
                }
            }
        };
        let (Fault::Unsent(why) | Fault::Unsure(why)) = fault;
        self.servers.failed(&server);
        self.rested(begun, limit, &format!("{server}: {why}")).await
    }

    async fn ask_for_next(
        &self,
        server: &Endpoint,
        cursor: &Place,
        from: u64,
        limit: Duration,
    ) -> std::result::Result<Heard, Fault> {
        let begun = clock::now();
        let request = Request::wait(self.keys.prefix(), from);
        let reply = match tokio::time::timeout(PATIENCE.min(limit), self.servers.begin(server, &request)).await {
            Ok(answer) => answer?,
            Err(_) if limit <= PATIENCE => return Ok(Heard::Nothing),
            Err(_) => return Err(Fault::Unsure("no answer in time".to_owned())),
        };
        self.servers.succeeded(server);
        let left = limit.saturating_sub(clock::now().saturating_sub(begun));
        let Ok(reply) = tokio::time::timeout(left, reply.whole()).await else {
            return Ok(Heard::Nothing);
        };
        let reply = reply?;
        self.servers.check_term(&reply)?;
        if api::cluster_of(&reply).is_some_and(|cluster| cluster != cursor.cluster) {
            return Ok(Heard::Lost);
        }
        if reply.status == 200 && reply.body.is_empty() {
            // The server ends what waits too long.
            return Ok(Heard::Moved);
        }
        match api::meaning(&reply) {
            Meaning::Final(Said::Done(event)) => Ok(Heard::Event(event)),
            Meaning::Final(Said::Cleared | Said::No(_)) => Ok(Heard::Lost),
            Meaning::Again(fault) => Err(fault),
            Meaning::Refused(_, why) => Err(Fault::Unsure(why)),
        }
    }

    /// The host calls again at once: not sooner than after a moment.
    async fn rested(&self, begun: Duration, limit: Duration, why: &str) -> Result<Heard> {
        let spent = clock::now().saturating_sub(begun);
        if spent >= limit {
            return Ok(Heard::Nothing);
        }
        if spent < REST {
            rest(REST.min(limit - spent)).await;
        }
        Err(failed(ErrorKind::Unavailable, &format!("the watch: {why}")))
    }
}

#[allow(clippy::disallowed_methods, reason = "a failing watch is called again at once")]
async fn rest(time: Duration) {
    // pace: the next watch
    tokio::time::sleep(time).await;
}
