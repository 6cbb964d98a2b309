//! This member's own key, which hangs on the same session as the lock.

use crate::Ensemble;
use crate::backend::ZooKeeper;
use crate::call::Repeat;
use crate::leader::busy;
use crate::message::{Body, Code, Op, Stat};
use crate::tree::odd;
use regent_plugin_sdk::{Cx, Result};
use std::sync::atomic::Ordering;

/// How often it is tried again with what turned out to be there.
const LOOKS: usize = 8;

impl<E: Ensemble> ZooKeeper<E> {
    /// Writes our key, unless it says so already; either way the session lives on.
    pub(crate) async fn touch(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let path = self.paths.member();
        let mut is_there = self.memory().seen(path).is_some();
        for _ in 0..LOOKS {
            let known = self.memory().seen(path).filter(|node| node.value == value).map(|node| node.stat.modified);
            let ops = match (is_there, known) {
                (true, Some(_)) => vec![Op::Exists(path, false)],
                (true, None) => vec![Op::Set(path, value, -1)],
                (false, _) => vec![Op::Create(path, value, true), Op::Exists(path, false)],
            };
            if !is_there {
                self.holds.store(true, Ordering::Release);
            }
            let answer = self.ask(cx, Repeat::Write, &ops).await?;
            let stat = match (answer.body(0), answer.body(1)) {
                (Ok(Body::Stat(stat)), _) if known.is_none_or(|known| known == stat.modified) => *stat,
                // Somebody else wrote it.
                (Ok(Body::Stat(_)), _) => {
                    self.memory().gone(path);
                    continue;
                }
                (Ok(Body::Nothing), Ok(Body::Stat(stat))) => *stat,
                (Ok(Body::Nothing), _) => continue,
                (Err(Code::NODE_EXISTS), _) => {
                    is_there = true;
                    continue;
                }
                (Err(Code::NO_NODE), _) if is_there => {
                    self.memory().gone(path);
                    is_there = false;
                    continue;
                }
                (Err(Code::NO_NODE), _) => {
                    self.make_above(cx, path).await?;
                    continue;
                }
                (other, _) => return Err(odd(other)),
            };
            if stat.owner == answer.held.id || self.is_bound(cx, &stat).await? {
                self.memory().wrote(path, value, stat);
                return Ok(stat.modified.to_string());
            }
            if let Some(stat) = self.hang_up(cx, value, &stat).await? {
                self.memory().wrote(path, value, stat);
                return Ok(stat.modified.to_string());
            }
        }
        Err(busy())
    }

    /// The key hangs on an earlier session, and so does the lock under our name: only together can they be moved, which
    /// is done when the lock is taken or renewed.
    async fn is_bound(&self, cx: &Cx, own: &Stat) -> Result<bool> {
        let answer = self.ask(cx, Repeat::Read, &[Op::Get(self.paths.leader(), false)]).await?;
        match answer.body(0) {
            Ok(Body::Value(name, lock)) => Ok(lock.owner == own.owner && name == self.paths.name().as_bytes()),
            Err(Code::NO_NODE) => Ok(false),
            other => Err(odd(other)),
        }
    }

    /// The key hangs on an earlier session: it is made anew on ours. `None` where it changed meanwhile.
    async fn hang_up(&self, cx: &Cx, value: &[u8], own: &Stat) -> Result<Option<Stat>> {
        let path = self.paths.member();
        self.holds.store(true, Ordering::Release);
        let ops = vec![Op::Delete(path, own.version), Op::Create(path, value, true)];
        let answer = self.ask(cx, Repeat::Write, &[Op::Multi(ops), Op::Exists(path, false)]).await?;
        match (answer.body(0), answer.body(1)) {
            (Ok(Body::All(_)), Ok(Body::Stat(stat))) if stat.owner == answer.held.id => Ok(Some(*stat)),
            (Ok(Body::All(_) | Body::Refused(..)), _) => Ok(None),
            (other, _) => Err(odd(other)),
        }
    }
}
