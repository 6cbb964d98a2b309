//! Keys that hang on no session. A version is the number of the change that wrote a node; the server compares its own
//! count, which is looked up for it.

use crate::Ensemble;
use crate::backend::ZooKeeper;
use crate::call::{Repeat, failed};
use crate::leader::busy;
use crate::message::{Body, Code, Op, Stat};
use crate::path::above;
use crate::tree::odd;
use regent_plugin_sdk::{Cx, ErrorKind, Expect, Key, KeyKind, Result};

/// How often it is tried again with what turned out to be there.
const LOOKS: usize = 8;

/// What stands for no synchronous standby, where peers never remove the key.
const NO_SYNC: &[u8] = b"{}";

impl<E: Ensemble> ZooKeeper<E> {
    /// Writes a key if what is there is as expected; gives the new version.
    pub(crate) async fn write(&self, cx: &Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let path = self.paths.of(key);
        let stat = match expect {
            Expect::Any => Some(self.put_any(cx, &path, value).await?),
            Expect::Absent => self.create(cx, &path, value, Repeat::Once).await?,
            Expect::Is(version) => self.put_over(cx, &path, value, version).await?,
        };
        let Some(stat) = stat else { return Ok(None) };
        self.memory().wrote(&path, value, stat);
        Ok(Some(stat.modified.to_string()))
    }

    async fn put_any(&self, cx: &Cx, path: &str, value: &[u8]) -> Result<Stat> {
        let mut is_there = self.memory().seen(path).is_some();
        for _ in 0..LOOKS {
            if is_there {
                let answer = self.ask(cx, Repeat::Write, &[Op::Set(path, value, -1)]).await?;
                match answer.body(0) {
                    Ok(Body::Stat(stat)) => return Ok(*stat),
                    Err(Code::NO_NODE) => {}
                    other => return Err(odd(other)),
                }
            }
            if let Some(stat) = self.create(cx, path, value, Repeat::Write).await? {
                return Ok(stat);
            }
            is_there = true;
        }
        Err(busy())
    }

    /// Makes a node; `None` if it is there.
    async fn create(&self, cx: &Cx, path: &str, value: &[u8], repeat: Repeat) -> Result<Option<Stat>> {
        // Of a new cluster there is nothing yet.
        let above = if self.memory().known().is_empty() { above(path) } else { Vec::new() };
        for _ in 0..LOOKS {
            let mut ops: Vec<_> = above.iter().map(|path| Op::Folder(path)).collect();
            let first = ops.len();
            ops.extend([Op::Create(path, value, false), Op::Exists(path, false)]);
            let answer = self.ask(cx, repeat, &ops).await?;
            match (answer.body(first), answer.body(first + 1)) {
                (Ok(_), Ok(Body::Stat(stat))) => return Ok(Some(*stat)),
                // Somebody removed it at once.
                (Ok(_), _) => return Ok(Some(Stat { modified: answer.replies[first].zxid, ..Stat::default() })),
                (Err(Code::NODE_EXISTS), _) => return Ok(None),
                (Err(Code::NO_NODE), _) => self.make_above(cx, path).await?,
                (other, _) => return Err(odd(other)),
            }
        }
        Err(busy())
    }

    async fn put_over(&self, cx: &Cx, path: &str, value: &[u8], version: &str) -> Result<Option<Stat>> {
        let Some(count) = self.count_of(cx, path, version).await? else { return Ok(None) };
        let answer = self.ask(cx, Repeat::Once, &[Op::Set(path, value, count)]).await?;
        match answer.body(0) {
            Ok(Body::Stat(stat)) => Ok(Some(*stat)),
            Err(Code::BAD_VERSION | Code::NO_NODE) => Ok(None),
            other => Err(odd(other)),
        }
    }

    /// Removes a key if what is there is as expected. `false`: it is not, or nothing is there.
    pub(crate) async fn remove(&self, cx: &Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let path = self.paths.of(key);
        let (count, repeat) = match expect {
            Expect::Any => (-1, Repeat::Write),
            Expect::Absent => return Ok(false),
            Expect::Is(version) => match self.count_of(cx, &path, version).await? {
                Some(count) => (count, Repeat::Once),
                None => return Ok(false),
            },
        };
        let op = match key.kind {
            KeyKind::Sync => Op::Set(&path, NO_SYNC, count),
            _ => Op::Delete(&path, count),
        };
        let answer = self.ask(cx, repeat, &[op]).await?;
        match answer.body(0) {
            Ok(Body::Stat(stat)) => self.memory().wrote(&path, NO_SYNC, *stat),
            Ok(_) => self.memory().gone(&path),
            Err(Code::BAD_VERSION) => return Ok(false),
            // Perhaps because of an earlier try of ours.
            Err(Code::NO_NODE) => return Ok(answer.unsure),
            Err(Code::NOT_EMPTY) => return Err(failed(ErrorKind::Invalid, "other keys lie below that one")),
            other => return Err(odd(other)),
        }
        Ok(true)
    }

    /// The server's count for the value of that version; `None` if there is another by now.
    async fn count_of(&self, cx: &Cx, path: &str, version: &str) -> Result<Option<i32>> {
        let Ok(version) = version.parse::<i64>() else { return Ok(None) };
        let answer = self.ask(cx, Repeat::Read, &[Op::Exists(path, false)]).await?;
        match answer.body(0) {
            Ok(Body::Stat(stat)) => Ok((stat.modified == version).then_some(stat.version)),
            Err(Code::NO_NODE) => Ok(None),
            other => Err(odd(other)),
        }
    }

    /// Removes every key of the cluster, all at once.
    pub(crate) async fn remove_all(&self, cx: &Cx) -> Result<()> {
        let root = self.paths.root();
        while !cx.left().is_zero() {
            let Some(nodes) = self.survey(cx, true).await?.and_then(|reading| reading.at_one_moment()) else {
                continue;
            };
            // Those below before those above.
            let mut ops: Vec<_> = nodes.keys().rev().map(|path| Op::Delete(path, -1)).collect();
            ops.push(Op::Delete(root, -1));
            let empty = nodes.is_empty();
            let answer = self.ask(cx, Repeat::Once, &[Op::Multi(ops)]).await?;
            match answer.body(0) {
                Ok(Body::All(_)) => {}
                Ok(Body::Refused(_, Code::NO_NODE)) if empty => {}
                Ok(Body::Refused(..)) => continue,
                other => return Err(odd(other)),
            }
            self.memory().read(&Default::default());
            return Ok(());
        }
        Err(busy())
    }

    /// Makes the nodes above one. Those at the top may be there, and not for us to make.
    pub(crate) async fn make_above(&self, cx: &Cx, path: &str) -> Result<()> {
        let above = above(path);
        let ops: Vec<_> = above.iter().map(|path| Op::Folder(path)).collect();
        let answer = self.ask(cx, Repeat::Write, &ops).await?;
        let refused = answer.replies.iter().any(|reply| reply.body == Err(Code::NO_AUTH));
        match answer.replies.last().map(|reply| &reply.body) {
            Some(Err(Code::NO_NODE | Code::NO_AUTH)) if refused => {
                Err(failed(ErrorKind::Auth, "the nodes above the cluster's may not be made"))
            }
            _ => Ok(()),
        }
    }
}
