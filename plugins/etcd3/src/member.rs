//! This member's own key, which hangs on the same lease as the lock; and how both get rid of a lease that must not be
//! used any more.

use crate::backend::{Etcd3, TTL_MAX};
use crate::call::{Repeat, Trouble};
use crate::session::Session;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result, log};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long cleaning up may take, at the end of a call that has its answer.
const SETTLING: Duration = Duration::from_secs(1);

impl Etcd3 {
    /// Writes our key, unless it says so already on the lease that we have.
    pub(crate) async fn touch(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let mut session = self.session.lock().await;
        if session.id(self.ttl()).is_some_and(|id| !self.memory().lock_is(id, TTL_MAX)) {
            self.settle_lock(cx, &mut session).await;
        }
        let path = self.keys.own_member();
        for last in [false, true] {
            let granted = session.alive(cx, self.ttl()).await?;
            self.memory().use_lease(granted.id);
            if let Some(revision) = self.memory().revision_if(path.as_bytes(), value, granted.id) {
                return Ok(revision.to_string());
            }
            match self.overwrite(cx, &path, value, granted.id).await {
                Err(Trouble::LeaseGone) if !last => session.forget(),
                other => return Ok(other?.to_string()),
            }
        }
        Err(DcsError::new(ErrorKind::Unavailable, "the lease ends as soon as it is granted"))
    }

    /// We do not have the lock. If some request for it went unanswered, that could still take it, or remove it, when
    /// its server wakes up: not with a lease that is gone. Our member key moves to another one first.
    pub(crate) async fn settle_lock(&self, cx: &Cx, session: &mut Session) {
        if !self.lock_unsure.swap(false, Ordering::AcqRel) {
            return;
        }
        let Some(old) = session.id(self.ttl()) else {
            return;
        };
        log::info("a request for the lock went unanswered: its lease is ended");
        session.forget();
        let settling = async {
            let path = self.keys.own_member();
            let member = self.memory().value_on(path.as_bytes(), old);
            if let Some(value) = member {
                let granted = session.fresh(cx, self.ttl()).await?;
                self.memory().use_lease(granted.id);
                self.overwrite(cx, &path, &value, granted.id).await?;
            }
            let revoked = self
                .servers
                .run(cx, Repeat::Write, async |connection| Ok(connection.client().lease_client().revoke(old).await?));
            revoked.await.map(drop)
        };
        match tokio::time::timeout(SETTLING, settling).await {
            Ok(Ok(()) | Err(Trouble::LeaseGone)) => {}
            // Nobody keeps it alive any more: it ends by itself.
            Ok(Err(Trouble::Error(error))) => log::debug(&format!("the lease is left to end: {error}")),
            Err(_) => log::debug("the lease is left to end"),
        }
    }
}
