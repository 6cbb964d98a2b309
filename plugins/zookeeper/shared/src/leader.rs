//! The lock: a node that ends with our session. Whose it is, is asked through the ensemble's leader; what goes along is
//! written in one transaction with what it depends on.

use crate::Ensemble;
use crate::backend::{ZooKeeper, session_text};
use crate::call::{Repeat, failed};
use crate::message::{Body, Code, Op, Stat};
use crate::session::Held;
use crate::tree::odd;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Lease, Result, Write, log};
use std::sync::atomic::Ordering;

/// How often a transaction is tried again with what turned out to be there.
const LOOKS: usize = 6;

/// A write that goes along with something.
struct Along {
    path: String,
    value: Vec<u8>,
    /// As far as is known the node is there.
    is_there: bool,
}

impl Along {
    fn op(&self) -> Op<'_> {
        match self.is_there {
            true => Op::Set(&self.path, &self.value, -1),
            false => Op::Create(&self.path, &self.value, false),
        }
    }
}

impl<E: Ensemble> ZooKeeper<E> {
    /// Takes the lock if it is free or carries our name already.
    pub(crate) async fn acquire(&self, cx: &Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let leader = self.paths.leader();
        let mut along = self.along(also);
        for _ in 0..LOOKS {
            self.holds.store(true, Ordering::Release);
            let ops = [Op::Create(leader, value, true)].into_iter().chain(along.iter().map(Along::op)).collect();
            let answer = self.ask(cx, Repeat::Write, &[Op::Multi(ops), Op::Get(leader, false)]).await?;
            match (answer.body(0), answer.body(1)) {
                (Ok(Body::All(results)), found) => {
                    self.note(&along, &results[1..], answer.replies[0].zxid);
                    if let Ok(Body::Value(value, stat)) = found
                        && stat.owner == answer.held.id
                    {
                        self.memory().wrote(leader, value, *stat);
                        return Ok(Some(self.lease(&answer.held, stat.modified)));
                    }
                    // Somebody removed it at once.
                }
                (Ok(Body::Refused(0, Code::NODE_EXISTS)), Ok(Body::Value(found, stat))) => {
                    if stat.owner == answer.held.id {
                        return self.confirm(cx, &answer.held, *stat, along).await;
                    }
                    if found == value {
                        return self.move_here(cx, along).await;
                    }
                    log::debug("another member has the lock");
                    return Ok(None);
                }
                (Ok(Body::Refused(0, Code::NODE_EXISTS)), _) => {}
                (Ok(Body::Refused(0, Code::NO_NODE)), _) => self.make_above(cx, leader).await?,
                (Ok(Body::Refused(place, code)), _) => self.correct(cx, &mut along, *place - 1, *code).await?,
                (other, _) => return Err(odd(other)),
            }
        }
        Err(busy())
    }

    /// Keeps the lock, if it is ours.
    pub(crate) async fn renew(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let leader = self.paths.leader();
        let answer = self.ask(cx, Repeat::Read, &[Op::Sync(leader), Op::Get(leader, false)]).await?;
        let (value, stat) = match answer.body(1) {
            Ok(Body::Value(value, stat)) => (value, *stat),
            Err(Code::NO_NODE) => return Ok(None),
            other => return Err(odd(other)),
        };
        if stat.owner == answer.held.id {
            self.memory().wrote(leader, value, stat);
            let news = self.news(also);
            return self.confirm(cx, &answer.held, stat, news).await;
        }
        if session_text(stat.owner) == lease.session && value == self.paths.name().as_bytes() {
            return self.move_here(cx, self.along(also)).await;
        }
        Ok(None)
    }

    /// Our session has the lock: what is to be written along is written while it does.
    async fn confirm(&self, cx: &Cx, held: &Held, stat: Stat, mut along: Vec<Along>) -> Result<Option<Lease>> {
        let leader = self.paths.leader();
        for _ in 0..LOOKS {
            if along.is_empty() {
                return Ok(Some(self.lease(held, stat.modified)));
            }
            let check = Op::Check(leader, stat.version);
            let ops = [check].into_iter().chain(along.iter().map(Along::op)).collect();
            let answer = self.ask(cx, Repeat::Write, &[Op::Multi(ops)]).await?;
            // With the session went the lock.
            if answer.held.id != held.id {
                return Ok(None);
            }
            match answer.body(0) {
                Ok(Body::All(results)) => {
                    self.note(&along, &results[1..], answer.replies[0].zxid);
                    along.clear();
                }
                Ok(Body::Refused(0, _)) => return Ok(None),
                Ok(Body::Refused(place, code)) => self.correct(cx, &mut along, *place - 1, *code).await?,
                other => return Err(odd(other)),
            }
        }
        Err(busy())
    }

    /// The lock carries our name and hangs on another session: one of an earlier life, or of an object that was closed.
    /// As long as that session lives our member key hangs on it too; both are moved, or neither.
    async fn move_here(&self, cx: &Cx, mut along: Vec<Along>) -> Result<Option<Lease>> {
        let (leader, member) = (self.paths.leader(), self.paths.member());
        for _ in 0..LOOKS {
            let look = [Op::Sync(leader), Op::Get(leader, false), Op::Get(member, false)];
            let seen = self.ask(cx, Repeat::Read, &look).await?;
            let (Ok(Body::Value(name, lock)), Ok(Body::Value(value, own))) = (seen.body(1), seen.body(2)) else {
                log::debug("the lock carries our name, and hangs on a session that can not be told to be ours");
                return Ok(None);
            };
            if name != self.paths.name().as_bytes() {
                return Ok(None);
            }
            if lock.owner == seen.held.id {
                return self.confirm(cx, &seen.held, *lock, along).await;
            }
            if lock.owner != own.owner {
                log::debug("the lock carries our name, and hangs on a session that can not be told to be ours");
                return Ok(None);
            }
            log::info("the lock hangs on an earlier session of ours: it is moved to this one");
            self.holds.store(true, Ordering::Release);
            let mut ops = vec![Op::Delete(member, own.version), Op::Delete(leader, lock.version)];
            ops.extend([Op::Create(leader, name, true), Op::Create(member, value, true)]);
            let first = ops.len();
            ops.extend(along.iter().map(Along::op));
            let asked = [Op::Multi(ops), Op::Get(leader, false), Op::Exists(member, false)];
            let answer = self.ask(cx, Repeat::Write, &asked).await?;
            match answer.body(0) {
                Ok(Body::All(results)) => {
                    self.note(&along, &results[first..], answer.replies[0].zxid);
                    along.clear();
                    if let Ok(Body::Stat(stat)) = answer.body(2) {
                        self.memory().wrote(member, value, *stat);
                    }
                    if let Ok(Body::Value(name, stat)) = answer.body(1)
                        && stat.owner == answer.held.id
                    {
                        self.memory().wrote(leader, name, *stat);
                        return Ok(Some(self.lease(&answer.held, stat.modified)));
                    }
                }
                Ok(Body::Refused(place, code)) if *place >= first => {
                    self.correct(cx, &mut along, *place - first, *code).await?;
                }
                // The session ended just now.
                Ok(Body::Refused(..)) => {}
                other => return Err(odd(other)),
            }
        }
        Err(busy())
    }

    /// Gives the lock back, if it is ours.
    pub(crate) async fn release(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        let (leader, member) = (self.paths.leader(), self.paths.member());
        let mut along = self.along(also);
        let mut unsure = false;
        for _ in 0..LOOKS {
            let look = [Op::Sync(leader), Op::Get(leader, false), Op::Exists(member, false)];
            let seen = self.ask(cx, Repeat::Read, &look).await?;
            let lock = match seen.body(1) {
                Ok(Body::Value(name, lock)) if name == self.paths.name().as_bytes() => *lock,
                // It is not ours any more; if an earlier try went unanswered, that one gave it back.
                Ok(Body::Value(..)) | Err(Code::NO_NODE) => return Ok(unsure),
                other => return Err(odd(other)),
            };
            // A lock of an earlier session is ours as long as our member key hangs on it too.
            let own = match seen.body(2) {
                Ok(Body::Stat(own)) if own.owner == lock.owner && session_text(lock.owner) == lease.session => {
                    Some(own)
                }
                _ => None,
            };
            let check = match (lock.owner == seen.held.id, own) {
                (true, _) => Op::Check(leader, lock.version),
                (false, Some(own)) => Op::Check(member, own.version),
                (false, None) => return Ok(unsure),
            };
            let mut ops = vec![check];
            ops.extend(along.iter().map(Along::op));
            let last = ops.len();
            ops.push(Op::Delete(leader, lock.version));
            let answer = self.ask(cx, Repeat::Write, &[Op::Multi(ops)]).await?;
            unsure |= answer.unsure;
            match answer.body(0) {
                Ok(Body::All(results)) => {
                    self.note(&along, &results[1..last], answer.replies[0].zxid);
                    self.memory().gone(leader);
                    return Ok(true);
                }
                Ok(Body::Refused(place, code)) if (1..last).contains(place) => {
                    self.correct(cx, &mut along, *place - 1, *code).await?;
                }
                Ok(Body::Refused(..)) => {}
                other => return Err(odd(other)),
            }
        }
        Err(busy())
    }

    /// What goes along. Its changes will be no news to us.
    fn along(&self, also: &[Write]) -> Vec<Along> {
        let mut memory = self.memory();
        let along = also.iter().map(|write| {
            let path = self.paths.of(&write.key);
            memory.intend(&path, &write.value);
            Along { is_there: memory.seen(&path).is_some(), value: write.value.clone(), path }
        });
        along.collect()
    }

    /// Those writes that the store does not hold already.
    fn news(&self, also: &[Write]) -> Vec<Along> {
        let mut along = self.along(also);
        let memory = self.memory();
        along.retain(|one| memory.seen(&one.path).is_none_or(|node| node.value != one.value));
        along
    }

    /// One of the writes found a node that was not known, or found none.
    async fn correct(&self, cx: &Cx, along: &mut [Along], place: usize, code: Code) -> Result<()> {
        let Some(one) = along.get_mut(place) else { return Ok(()) };
        match code {
            Code::NODE_EXISTS => one.is_there = true,
            Code::NO_NODE if one.is_there => one.is_there = false,
            Code::NO_NODE => self.make_above(cx, &one.path).await?,
            _ => {}
        }
        Ok(())
    }

    /// They were written by the change with that number.
    fn note(&self, along: &[Along], results: &[Body], zxid: i64) {
        let mut memory = self.memory();
        for (one, result) in along.iter().zip(results) {
            let created = Stat { modified: zxid, ..Stat::default() };
            let stat = if let Body::Stat(stat) = result { *stat } else { created };
            memory.wrote(&one.path, &one.value, stat);
        }
    }
}

/// Somebody writes the same nodes all the time.
pub(crate) fn busy() -> DcsError {
    failed(ErrorKind::Indeterminate, "the nodes changed each time")
}
