//! Keys that no session locks: one transaction each, which tells the version or that it was not as expected.

use crate::backend::Consul;
use crate::call::Repeat;
use crate::http::{Request, encoded};
use crate::kv::{Op, odd};
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Expect, Key, Result};

impl Consul {
    /// Writes a key if what is there is as expected; gives the new version.
    pub(crate) async fn write(&self, cx: &Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let path = self.keys.path(key);
        // Sent once where it asks for a version: a second try could fail because of the first.
        let (op, repeat) = match expect {
            Expect::Any => (Op::Set(&path, value), Repeat::Write),
            Expect::Absent => (Op::Cas(&path, value, 0), Repeat::Once),
            Expect::Is(version) => match version_of(version) {
                Some(index) => (Op::Cas(&path, value, index), Repeat::Once),
                None => return Ok(None),
            },
        };
        let txn = self.agent.txn(cx, repeat, &[op]).await?;
        let Some(index) = txn.index(&path) else {
            return Ok(None);
        };
        self.memory().wrote(&path, value, "", index);
        Ok(Some(index.to_string()))
    }

    /// Removes a key if what is there is as expected. `false`: it is not, or nothing is there.
    pub(crate) async fn remove(&self, cx: &Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let path = self.keys.path(key);
        let (look, repeat) = match expect {
            Expect::Any => (Op::Get(&path), Repeat::Write),
            Expect::Absent => return Ok(false),
            Expect::Is(version) => match version_of(version) {
                Some(index) => (Op::CheckIndex(&path, index), Repeat::Once),
                None => return Ok(false),
            },
        };
        let txn = self.agent.txn(cx, repeat, &[look, Op::Delete(&path)]).await?;
        if txn.written.is_none() {
            // Nothing is there; perhaps because of an earlier try of ours.
            return Ok(txn.unsure);
        }
        self.memory().gone(&path);
        Ok(true)
    }

    /// Removes every key of the cluster. A second try could remove what was begun anew after the first.
    pub(crate) async fn remove_all(&self, cx: &Cx) -> Result<()> {
        let request = Request::delete(format!("kv/{}", encoded(self.keys.prefix().as_bytes()))).with("recurse", "");
        let reply = self.agent.run(cx, Repeat::Once, &request).await?.reply;
        match reply.status {
            200 if reply.text() == "true" => Ok(()),
            200 => Err(DcsError::new(ErrorKind::Unavailable, "consul: the keys were not removed")),
            _ => Err(odd(&reply)),
        }
    }
}

fn version_of(version: &str) -> Option<u64> {
    version.parse().ok().filter(|index| *index > 0)
}
