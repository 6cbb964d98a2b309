//! Keys: written and removed where what is there is as expected, and this member's own, which ends by itself.

use crate::api::{COMPARE_FAILED, EXISTS, Event, NOT_FOUND, Request, Said};
use crate::backend::{Etcd, odd};
use crate::memory::path_of;
use crate::value;
use regent_dcs_common::retry::Repeat;
use regent_plugin_sdk::{Cx, Expect, Key, Result, Write, log};

/// A write that was done, or a definite no.
pub(crate) enum Came {
    Done(Event),
    No { code: u32, unsure: bool },
}

impl Etcd {
    /// Sends a request about one key.
    pub(crate) async fn ask(&self, cx: &Cx, repeat: Repeat, request: &Request) -> Result<Came> {
        let answer = self.servers.run(cx, repeat, request).await?;
        match answer.said {
            Said::Done(event) => Ok(Came::Done(event)),
            Said::No(code) => Ok(Came::No { code, unsure: answer.unsure }),
            Said::Cleared => Err(odd()),
        }
    }

    /// Writes a key if what is there is as expected; gives the new version.
    pub(crate) async fn write(&self, cx: &Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let (path, text) = (path_of(&self.keys, key), value::written(value));
        let request = Request::write(&path, &text);
        // Sent once where it asks for a version: a second try could fail because of the first.
        let (request, repeat) = match expect {
            Expect::Any => (request, Repeat::Write),
            Expect::Absent => (request.with("prevExist", false), Repeat::Once),
            Expect::Is(version) => match version_of(version) {
                Some(index) => (request.with("prevIndex", index), Repeat::Once),
                None => return Ok(None),
            },
        };
        match self.ask(cx, repeat, &request).await? {
            Came::Done(event) => {
                self.memory().wrote(&path, &text, event.node.index);
                Ok(Some(event.node.index.to_string()))
            }
            Came::No { .. } => Ok(None),
        }
    }

    /// Removes a key if what is there is as expected. `false`: it is not, or nothing is there.
    pub(crate) async fn remove(&self, cx: &Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let path = path_of(&self.keys, key);
        let request = Request::remove(&path);
        let (request, repeat) = match expect {
            Expect::Any => (request, Repeat::Write),
            Expect::Absent => return Ok(false),
            Expect::Is(version) => match version_of(version) {
                Some(index) => (request.with("prevIndex", index), Repeat::Once),
                None => return Ok(false),
            },
        };
        match self.ask(cx, repeat, &request).await? {
            Came::Done(_) => {
                self.memory().gone(&path);
                Ok(true)
            }
            // Nothing is there; perhaps because of an earlier try of ours.
            Came::No { code, unsure } => Ok(code == NOT_FOUND && unsure),
        }
    }

    /// Writes our key for another ttl; where it says so already, only the ttl, which wakes nobody.
    pub(crate) async fn touch(&self, cx: &Cx, value: &[u8]) -> Result<String> {
        let (path, text, ttl) = (self.keys.own_member(), value::written(value), self.ttl().as_secs());
        let is_there = self.memory().seen(&path).is_some_and(|seen| seen.text == text);
        let mut requests = vec![Request::write(&path, &text).with("ttl", ttl)];
        if is_there {
            requests.insert(0, Request::refresh(&path).with("ttl", ttl));
        }
        for request in requests {
            if let Came::Done(event) = self.ask(cx, Repeat::Write, &request).await? {
                self.memory().wrote(&path, &text, event.node.index);
                return Ok(event.node.index.to_string());
            }
            // It ended meanwhile.
            self.memory().gone(&path);
        }
        Err(odd())
    }

    /// Removes every key of the cluster. A second try could remove what was begun anew after the first.
    pub(crate) async fn remove_all(&self, cx: &Cx) -> Result<()> {
        let request = Request::remove(self.keys.prefix()).with("recursive", "true");
        match self.ask(cx, Repeat::Once, &request).await? {
            Came::Done(_) | Came::No { code: NOT_FOUND, .. } => Ok(()),
            Came::No { .. } => Err(odd()),
        }
    }

    /// Writes what goes with the lock, each over the version that is known, or was found instead. The lock's fate does
    /// not hang on it: what fails is told in the log, and comes again with the next renewal.
    pub(crate) async fn write_along(&self, cx: &Cx, also: &[Write]) {
        for write in also {
            let (path, text) = (path_of(&self.keys, &write.key), value::written(&write.value));
            match self.write_over(cx, &path, &text).await {
                Ok(true) => {}
                Ok(false) => log::warn(&format!("etcd: {path} was changed by somebody else, and not written")),
                Err(error) => log::warn(&format!("etcd: {path} was not written: {}", error.message)),
            }
        }
    }

    async fn write_over(&self, cx: &Cx, path: &str, text: &str) -> Result<bool> {
        self.memory().intend(path, text);
        for _ in 0..2 {
            let known = self.memory().seen(path).cloned();
            let request = match known {
                Some(known) if known.text == text => return Ok(true),
                Some(known) => Request::write(path, text).with("prevIndex", known.index),
                None => Request::write(path, text).with("prevExist", false),
            };
            match self.ask(cx, Repeat::Write, &request).await? {
                Came::Done(event) => {
                    self.memory().wrote(path, text, event.node.index);
                    return Ok(true);
                }
                Came::No { code: NOT_FOUND | COMPARE_FAILED | EXISTS, .. } => self.look(cx, path).await?,
                Came::No { .. } => return Err(odd()),
            }
        }
        Ok(false)
    }

    /// Learns what is there.
    pub(crate) async fn look(&self, cx: &Cx, path: &str) -> Result<()> {
        match self.ask(cx, Repeat::Read, &Request::read(path)).await? {
            Came::Done(event) => {
                self.memory().wrote(path, event.node.value.as_deref().unwrap_or_default(), event.node.index);
            }
            Came::No { .. } => self.memory().gone(path),
        }
        Ok(())
    }
}

/// Versions are numbers; others never come to pass.
fn version_of(version: &str) -> Option<u64> {
    version.parse().ok().filter(|index| *index > 0)
}
