//! This member's own key, which the same session locks as the lock, and its entry in the catalogue of services.

use crate::backend::Consul;
use crate::call::Repeat;
use crate::kv::{Op, Tried, Trouble};
use crate::session::Held;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Result};

impl Consul {
    /// Writes our key, unless it says so already for the session that we have.
    pub(crate) async fn touch(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let version = self.touch_key(cx, value).await?;
        self.register(cx, value).await;
        Ok(version)
    }

    async fn touch_key(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let mut session = self.session.lock().await;
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
