//! The lock: a key that ends by itself, taken where it is absent and kept only over our own name (ETCD-13).

use crate::api::{Event, Request, failed};
use crate::backend::Etcd;
use crate::value;
use crate::write::Came;
use regent_dcs_common::retry::Repeat;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Lease, Result, Write, log};

/// How often a request is tried again with what turned out to be there.
const LOOKS: usize = 4;

impl Etcd {
    /// Takes the lock if it is free or carries our name already.
    pub(crate) async fn acquire(&self, cx: &Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let (path, name) = (self.keys.leader(), value::written(value));
        let write = || Request::write(&path, &name).with("ttl", self.ttl().as_secs());
        self.memory().intend(&path, &name);
        for _ in 0..LOOKS {
            let free = write().with("prevExist", false);
            if let Came::Done(event) = self.ask(cx, Repeat::Write, &free).await? {
                return Ok(Some(self.taken(cx, &event, &name, also).await));
            }
            self.look(cx, &path).await?;
            let Some(lock) = self.memory().seen(&path).cloned() else {
                // It ended in between.
                continue;
            };
            if lock.text != name {
                log::info("Could not take out TTL lock");
                return Ok(None);
            }
            // Ours, of an earlier life or by a request that went unanswered.
            let ours = write().with("prevValue", &name).with("prevIndex", lock.index);
            if let Came::Done(event) = self.ask(cx, Repeat::Write, &ours).await? {
                return Ok(Some(self.taken(cx, &event, &name, also).await));
            }
        }
        Err(busy())
    }

    /// Keeps the lock, as long as it carries our name. It is written over the version that is known: a renewal that went
    /// unanswered and arrives late, after the ttl was changed, would let the lock end sooner than its holder believes.
    pub(crate) async fn renew(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let (path, name) = (self.keys.leader(), value::written(self.keys.member().as_bytes()));
        self.memory().intend(&path, &name);
        let mut index = lease.version.clone();
        for _ in 0..LOOKS {
            let ttl = self.ttl().as_secs();
            let request = Request::write(&path, &name).with("ttl", ttl).with("prevValue", &name);
            match self.ask(cx, Repeat::Write, &request.with("prevIndex", &index)).await? {
                Came::Done(event) if event.node.created.to_string() != lease.session => {
                    // It was lost and is ours again, by a request that nobody waited for: what was promised meanwhile?
                    log::info("the lock was lost in between");
                    self.memory().wrote(&path, &name, event.node.index);
                    return Ok(None);
                }
                Came::Done(event) => return Ok(Some(self.taken(cx, &event, &name, also).await)),
                Came::No { code, .. } => {
                    self.look(cx, &path).await?;
                    match self.memory().seen(&path).filter(|lock| lock.text == name && lock.index.to_string() != index)
                    {
                        // Ours, in another version: an earlier renewal went unanswered and was applied.
                        Some(lock) => index = lock.index.to_string(),
                        None => {
                            log::info(&format!("the lock is lost: the store says {code}"));
                            return Ok(None);
                        }
                    }
                }
            }
        }
        Err(busy())
    }

    /// Gives the lock back, in the version that is there: a late request must not remove one that was taken again.
    pub(crate) async fn release(&self, cx: &Cx, lease: &Lease, also: &[Write]) -> Result<bool> {
        let (path, name) = (self.keys.leader(), value::written(self.keys.member().as_bytes()));
        let mut unsure = false;
        for _ in 0..LOOKS {
            let answer = self.ask(cx, Repeat::Read, &Request::read(&path)).await?;
            let lock = match answer {
                Came::Done(event) => Some(event.node),
                Came::No { .. } => None,
            };
            let ours = lock.filter(|lock| {
                lock.value.as_deref() == Some(name.as_str()) && lock.created.to_string() == lease.session
            });
            let Some(lock) = ours else {
                // It is not ours any more; if an earlier try went unanswered, that one gave it back.
                return Ok(unsure);
            };
            self.write_along(cx, also).await;
            let request = Request::remove(&path).with("prevIndex", lock.index);
            match self.ask(cx, Repeat::Write, &request).await? {
                Came::Done(_) => {
                    self.memory().gone(&path);
                    return Ok(true);
                }
                Came::No { unsure: tried, .. } => unsure |= tried,
            }
        }
        Err(busy())
    }

    /// It is ours; now what goes with it.
    async fn taken(&self, cx: &Cx, event: &Event, name: &str, also: &[Write]) -> Lease {
        self.memory().wrote(&self.keys.leader(), name, event.node.index);
        let lease =
            Lease { session: event.node.created.to_string(), version: event.node.index.to_string(), ttl: self.ttl() };
        self.write_along(cx, also).await;
        lease
    }
}

/// Somebody writes the key all the time: nothing of ours was applied.
fn busy() -> DcsError {
    failed(ErrorKind::Indeterminate, "the lock changed each time")
}
