//! This member's own key, which the same session locks as the lock, and its entry in the catalogue of services; and how
//! both get rid of a session that must not be used any more.

use crate::backend::{Consul, TTL_MAX};
use crate::call::Repeat;
use crate::http::Request;
use crate::kv::{Op, Tried, Trouble};
use crate::session::{Held, Session};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result, log};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long cleaning up may take, at the end of a call that has its answer.
const SETTLING: Duration = Duration::from_secs(1);

impl Consul {
    /// Writes our key, unless it says so already for the session that we have.
    pub(crate) async fn touch(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let version = self.touch_key(cx, value).await?;
        self.register(cx, value).await;
        Ok(version)
    }

    async fn touch_key(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let mut session = self.session.lock().await;
        if session.held(self.ttl()).is_some_and(|held| self.memory().lock_of(&held.id, TTL_MAX).is_none()) {
            self.settle_lock(cx, &mut session).await;
        }
        let path = self.keys.own_member();
        for last in [false, true] {
            let held = session.alive(cx, self.ttl()).await?;
            if let Some(index) = self.memory().index_if(&path, value, &held.id) {
                return Ok(index.to_string());
            }
            match self.overwrite(cx, &path, value, &held).await {
                Err(Trouble::SessionGone) if !last => session.forget(),
                other => return Ok(other?.to_string()),
            }
        }
        Err(DcsError::new(ErrorKind::Unavailable, "consul: the session ends as soon as it is made"))
    }

    /// We do not have the lock. If some request for it went unanswered, that could still take it when its server wakes
    /// up: not for a session that is gone. Our member key moves to another one first.
    pub(crate) async fn settle_lock(&self, cx: &Cx, session: &mut Session) {
        if !self.lock_unsure.swap(false, Ordering::AcqRel) {
            return;
        }
        let Some(old) = session.held(self.ttl()).cloned() else {
            return;
        };
        log::info("a request for the lock went unanswered: its session is ended");
        session.forget();
        let settling = async {
            let path = self.keys.own_member();
            let member = self.memory().seen(&path).filter(|kv| kv.session == old.id).cloned();
            if let Some(member) = member {
                let held = session.fresh(cx, self.ttl()).await?;
                self.overwrite(cx, &path, &member.value, &held).await?;
            }
            let destroy = Request::put(format!("session/destroy/{}", old.id));
            self.agent.run(cx, Repeat::Write, &destroy).await.map(drop)
        };
        match tokio::time::timeout(SETTLING, settling).await {
            Ok(Ok(())) => {}
            // Nobody renews it any more: it ends by itself.
            Ok(Err(error)) => log::debug(&format!("the session is left to end: {error}")),
            Err(_) => log::debug("the session is left to end"),
        }
    }

    /// Nobody but this member writes the key: where another session has it, that is one of an earlier life.
    async fn overwrite(&self, cx: &Cx, path: &str, value: &[u8], held: &Held) -> Tried<u64> {
        let lock = Op::Lock(path, value, &held.id);
        let free = self.memory().seen(path).is_none_or(|kv| kv.session == held.id || kv.session.is_empty());
        let attempts = if free {
            vec![vec![lock.clone()], vec![Op::Delete(path), lock]]
        } else {
            vec![vec![Op::Delete(path), lock]]
        };
        for ops in attempts {
            let txn = self.agent.txn(cx, Repeat::Write, &ops).await?;
            if let Some(index) = txn.index(path) {
                self.memory().wrote(path, value, &held.id, index);
                return Ok(index);
            }
        }
        Err(Trouble::Error(DcsError::new(ErrorKind::Unavailable, "consul: the member's key is locked by another")))
    }
}
