//! The lease on which this member's keys hang: granted when it is needed, kept alive by messages on a standing stream.

use crate::call::{Headed, Repeat, Servers, Trouble};
use crate::fault::Fault;
use crate::transport::Connection;
use etcd_client::{LeaseKeepAliveStream, LeaseKeeper, ResponseHeader};
use regent_dcs_common::clock;
use regent_plugin_sdk::Cx;
use std::sync::Arc;
use std::time::Duration;

/// The lease as the server granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Its number.
    pub id: i64,
    /// How long it lives after each message.
    pub ttl: Duration,
}

/// How often this member is heard of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two heartbeats.
    pub loop_wait: Duration,
    /// How long a heartbeat may take to get through.
    pub retry_timeout: Duration,
}

impl Pace {
    /// How long after a message to the lease a heartbeat needs none: a loop and a half, so that loops that were woken,
    /// and every other one of the rest, go without. The heartbeat that comes a loop after one that went without must
    /// still find all of its retries before the lease ends. Where the ttl has no room for that: a little less than a
    /// loop, so that a heartbeat that comes early does not skip its turn.
    fn counts_for(self, ttl: Duration) -> Duration {
        let room = ttl.saturating_sub(self.loop_wait + self.retry_timeout);
        (self.loop_wait * 3 / 2).min(room).max((self.loop_wait * 9 / 10).min(ttl / 2))
    }
}

/// Our lease, if there is one.
pub(crate) struct Session {
    servers: Arc<Servers>,
    pace: Pace,
    current: Option<Current>,
    standing: Option<Standing>,
}

struct Current {
    granted: Granted,
    /// The time that was asked for.
    wanted: Duration,
    /// When the last message was sent that the server answered.
    kept_at: Duration,
}

/// A stream that takes messages one after the other.
struct Standing {
    connection: Arc<Connection>,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

/// An answer to a message.
struct Kept(Option<ResponseHeader>);

impl Headed for Kept {
    fn head(&self) -> Option<&ResponseHeader> {
        self.0.as_ref()
    }
}

impl Session {
    /// No lease yet.
    pub fn new(servers: Arc<Servers>, pace: Pace) -> Session {
        Session { servers, pace, current: None, standing: None }
    }

    /// The lease's number, while it is for that time.
    pub fn id(&self, wanted: Duration) -> Option<i64> {
        self.current.as_ref().filter(|current| current.wanted == wanted).map(|current| current.granted.id)
    }

    /// Forgets the lease: it is gone.
    pub fn forget(&mut self) {
        self.current = None;
        self.standing = None;
    }

    /// A lease that lives for `wanted` from now on: kept alive, or a new one where there is none or it is gone.
    pub async fn fresh(&mut self, cx: &Cx, wanted: Duration) -> Result<Granted, Trouble> {
        match self.keep(cx, wanted).await? {
            Some(granted) => Ok(granted),
            None => self.grant(cx, wanted).await,
        }
    }

    /// A lease that was kept alive lately, or is now. For this member's own key: the lock is kept by [`Session::keep`],
    /// which always asks.
    pub async fn alive(&mut self, cx: &Cx, wanted: Duration) -> Result<Granted, Trouble> {
        let recently = self.current.as_ref().filter(|current| {
            let counts = self.pace.counts_for(current.granted.ttl);
            current.wanted == wanted && clock::now() < current.kept_at + counts
        });
        match recently {
            Some(current) => Ok(current.granted),
            None => self.fresh(cx, wanted).await,
        }
    }

    /// Keeps the lease alive; `None` if there is none for that time, or it is gone.
    pub async fn keep(&mut self, cx: &Cx, wanted: Duration) -> Result<Option<Granted>, Trouble> {
        let Some(id) = self.id(wanted) else {
            return Ok(None);
        };
        let sent_at = clock::now();
        let standing = &mut self.standing;
        let kept = self.servers.run(cx, Repeat::Write, async |connection| keep_alive(standing, connection, id).await);
        match kept.await {
            Ok(_) => {}
            Err(Trouble::LeaseGone) => {
                self.forget();
                return Ok(None);
            }
            Err(other) => return Err(other),
        }
        Ok(self.current.as_mut().map(|current| {
            current.kept_at = sent_at;
            current.granted
        }))
    }

    async fn grant(&mut self, cx: &Cx, wanted: Duration) -> Result<Granted, Trouble> {
        self.forget();
        let sent_at = clock::now();
        let seconds = i64::try_from(wanted.as_millis().div_ceil(1000).max(1)).unwrap_or(i64::MAX);
        let answer = self.servers.run(cx, Repeat::Write, async |connection| {
            Ok(connection.client().lease_client().grant(seconds, None).await?)
        });
        let lease = answer.await?.value;
        let ttl = Duration::from_secs(u64::try_from(lease.ttl()).unwrap_or(0));
        let granted = Granted { id: lease.id(), ttl };
        self.current = Some(Current { granted, wanted, kept_at: sent_at });
        Ok(granted)
    }
}

/// One message and its answer: over the standing stream if it is of this connection and works, else over a new one.
async fn keep_alive(standing: &mut Option<Standing>, connection: &Arc<Connection>, id: i64) -> Result<Kept, Fault> {
    // Taken out: whatever goes wrong, a stream with an answer outstanding is not used again.
    let old = standing.take().filter(|old| Arc::ptr_eq(&old.connection, connection) && old.keeper.id() == id);
    if let Some(mut old) = old
        && old.keeper.keep_alive().await.is_ok()
        && let Ok(Some(answer)) = old.answers.message().await
    {
        if answer.ttl() <= 0 {
            return Err(Fault::LeaseGone);
        }
        *standing = Some(old);
        return Ok(Kept(answer.header().cloned()));
    }
    let (keeper, answers) = connection.client().lease_client().keep_alive(id).await?;
    *standing = Some(Standing { connection: Arc::clone(connection), keeper, answers });
    Ok(Kept(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_for_as_long_as_the_ttl_allows() {
        let check = |[ttl, loop_wait, retry_timeout]: [u64; 3], expected_ms: u64| {
            let pace =
                Pace { loop_wait: Duration::from_secs(loop_wait), retry_timeout: Duration::from_secs(retry_timeout) };
            let ttl = Duration::from_secs(ttl);
            let counts = pace.counts_for(ttl);
            assert_eq!(counts, Duration::from_millis(expected_ms), "{ttl:?} {pace:?}");
            let skipped = counts > pace.loop_wait * 9 / 10;
            assert!(
                !skipped || counts + pace.loop_wait + pace.retry_timeout <= ttl,
                "no room to retry: {ttl:?} {pace:?}"
            );
        };
        check([20, 2, 3], 3000);
        check([60, 10, 10], 15_000);
        check([40, 10, 10], 15_000);
        check([35, 10, 10], 15_000);
        // All that is left after a loop and its retries, which is a loop.
        check([30, 10, 10], 10_000);
        check([29, 10, 10], 9000);
        check([5, 1, 2], 1500);
        check([4, 1, 2], 1000);
        check([3, 1, 2], 900);
        check([2, 10, 10], 1000);
        check([2, 1, 3], 900);
    }
}
