//! The lock: annotations of one object, written over the version that was seen.

use crate::backend::Kubernetes;
use crate::call::{Repeat, failed};
use crate::fields::{self, Changes};
use crate::http::Request;
use crate::object::{Object, patch};
use crate::place::{Keeper, Place};
use regent_dcs_common::clock;
use regent_plugin_sdk::{Cx, DcsError, ErrorKind, Lease, Result, Write, log};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a write is tried again over what turned out to be there.
pub(crate) const LOOKS: usize = 4;

/// What came of writing into an object.
pub(crate) enum Stored {
    /// It is now so.
    Done(Box<Object>),
    /// It has another version than was thought, or is not there, or is there already; perhaps by an earlier try.
    Otherwise { unsure: bool },
}

impl Kubernetes {
    /// Takes the lock if it is free, has not changed for its ttl, or carries our name already.
    pub(crate) async fn acquire(&self, cx: &Cx, value: &[u8], also: &[Write]) -> Result<Option<Lease>> {
        let (name, along) = (fields::encoded(value), along(also)?);
        for _ in 0..LOOKS {
            let found = self.object_now(cx, Place::Leader).await?;
            let holder = found.as_ref().and_then(|object| object.said("leader"));
            if holder.is_some_and(|holder| holder != name) && !self.lock_ended() {
                log::debug("the lock is held by another");
                return Ok(None);
            }
            let mut changes = self.lock_changes(found.as_ref(), &name);
            changes.extend(along.clone());
            let begun = clock::now();
            if let Stored::Done(object) = self.store_lock(cx, &changes, found.as_ref(), true).await? {
                return Ok(Some(self.taken(&object, begun)));
            }
        }
        Err(busy())
    }

    /// Keeps the lock.
    pub(crate) async fn renew(&self, cx: &Cx, _lease: &Lease, also: &[Write]) -> Result<Option<Lease>> {
        let along = along(also)?;
        if self.memory().held.is_some_and(|end| end <= clock::now()) {
            log::info("the lock has ended before it was renewed");
            self.memory().held = None;
            return Ok(None);
        }
        let mut known = self.memory().place(Place::Leader).filter(|object| self.is_ours(object)).cloned();
        for _ in 0..LOOKS {
            let found = match known.take() {
                Some(object) => Some(object),
                None => self.object_now(cx, Place::Leader).await?,
            };
            let Some(object) = found.filter(|object| self.is_ours(object)) else {
                self.memory().held = None;
                return Ok(None);
            };
            let mut changes = self.lock_changes(Some(&object), &self.name());
            changes.extend(along.clone());
            let begun = clock::now();
            if let Stored::Done(object) = self.store_lock(cx, &changes, Some(&object), true).await? {
                return Ok(Some(self.taken(&object, begun)));
            }
        }
        Err(busy())
    }

    /// Gives the lock back, in the version that is there: a late request must not free a lock that was taken again.
    pub(crate) async fn release(&self, cx: &Cx, _lease: &Lease, also: &[Write]) -> Result<bool> {
        let mut changes = along(also)?;
        changes.insert("leader".to_owned(), None);
        let mut unsure = false;
        for _ in 0..LOOKS {
            let found = self.object_now(cx, Place::Leader).await?.filter(|object| self.is_ours(object));
            self.memory().held = None;
            let Some(object) = found else {
                // It is not ours any more; if an earlier try went unanswered, that one gave it back.
                return Ok(unsure);
            };
            match self.store_lock(cx, &changes, Some(&object), false).await? {
                Stored::Done(_) => return Ok(true),
                Stored::Otherwise { unsure: now } => unsure |= now,
            }
        }
        Err(busy())
    }

    /// This member holds the lock, as far as it knows.
    pub(crate) fn holds(&self) -> bool {
        self.memory().held.is_some_and(|end| end > clock::now())
    }

    fn name(&self) -> String {
        fields::encoded(self.member.as_bytes())
    }

    fn is_ours(&self, object: &Object) -> bool {
        object.said("leader") == Some(self.name().as_str())
    }

    fn lock_ended(&self) -> bool {
        self.memory().end_of_lock(self.ttl()).is_none_or(|end| end <= clock::now())
    }

    /// The annotations of a lock that is ours from now on, or still.
    fn lock_changes(&self, before: Option<&Object>, name: &str) -> Changes {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string();
        let said = |annotation: &str| before.and_then(|object| object.said(annotation)).map(str::to_owned);
        let ours = said("leader").as_deref() == Some(name);
        let since = said("acquireTime").filter(|_| ours).unwrap_or_else(|| now.clone());
        let transitions = said("transitions").and_then(|text| text.parse::<u64>().ok());
        let transitions = transitions.map_or(0, |count| count + u64::from(!ours));
        let texts = [
            ("leader", name.to_owned()),
            ("acquireTime", since),
            ("renewTime", now),
            ("ttl", self.ttl().as_secs().to_string()),
            ("transitions", transitions.to_string()),
        ];
        texts.into_iter().map(|(name, text)| (name.to_owned(), Some(text))).collect()
    }

    fn taken(&self, object: &Object, begun: Duration) -> Lease {
        let ttl = self.ttl();
        self.memory().held = Some(begun + ttl);
        let session = object.said("acquireTime").unwrap_or_default().to_owned();
        Lease { session, version: object.version.clone(), ttl }
    }

    /// Writes the lock, and whom the primary's service leads to.
    async fn store_lock(&self, cx: &Cx, changes: &Changes, over: Option<&Object>, ours: bool) -> Result<Stored> {
        let subsets = match self.fixed.keeper {
            Keeper::ConfigMaps => None,
            Keeper::Endpoints if ours => Some(self.behind_the_service(cx).await),
            Keeper::Endpoints => Some(json!([])),
        };
        let before = over.map(|object| &object.subsets);
        let more = subsets.filter(|subsets| before != Some(subsets)).map(|subsets| ("subsets", subsets));
        // A role that is lost for a moment must not cost the lock.
        self.store(cx, Place::Leader, changes, over, more, &[403]).await
    }

    /// This member, as the one that the primary's service leads to.
    async fn behind_the_service(&self, cx: &Cx) -> Value {
        let known = self.memory().pod(&self.member).cloned();
        let pod = match known.filter(|pod| pod.ip.is_some()) {
            Some(pod) => pod,
            None => self.pod_now(cx).await.unwrap_or_default(),
        };
        let soft = self.server.soft();
        let Some(ip) = soft.pod_ip.clone().or_else(|| pod.ip.clone()) else {
            log::warn("kubernetes: the pod has no address yet: the primary's service leads nowhere");
            return json!([]);
        };
        let target = json!({ "kind": "Pod", "namespace": self.fixed.namespace, "name": self.member, "uid": pod.uid });
        let mut address = json!({ "ip": ip, "hostname": self.member, "targetRef": target });
        if let Some(machine) = &pod.machine {
            address["nodeName"] = json!(machine);
        }
        json!([{ "addresses": [address], "ports": soft.ports }])
    }

    /// An object as it is.
    pub(crate) async fn object_now(&self, cx: &Cx, place: Place) -> Result<Option<Object>> {
        let reply = self.server.run(cx, Repeat::Read, &Request::get(self.path(place)), &[]).await?.reply;
        let object = match reply.status {
            404 => None,
            200 => Some(Object::read(&reply.body).ok_or_else(|| odd(&reply.text()))?),
            _ => return Err(odd(&reply.text())),
        };
        self.memory().saw(place, object.clone(), clock::now());
        Ok(object)
    }

    /// This member's pod as it is.
    async fn pod_now(&self, cx: &Cx) -> Option<Object> {
        let answer = self.server.run(cx, Repeat::Read, &Request::get(self.own_pod()), &[]).await.ok()?;
        let pod = Object::read(&answer.reply.body).filter(|_| answer.reply.status == 200)?;
        self.memory().saw_pod(pod.clone());
        Some(pod)
    }

    /// Changes an object over that version of it, or makes it where it was not there.
    pub(crate) async fn store(
        &self,
        cx: &Cx,
        place: Place,
        changes: &Changes,
        over: Option<&Object>,
        more: Option<(&str, Value)>,
        again: &[u16],
    ) -> Result<Stored> {
        self.memory().intend(place, changes);
        let mut body = patch(changes, over.map(|object| object.version.as_str()));
        if let Some((name, value)) = more {
            body[name] = value;
        }
        let request = self.request(place, body, over.is_some());
        let answer = self.server.run(cx, Repeat::Write, &request, again).await?;
        self.stored(place, changes, answer.reply.status, &answer.reply.body, answer.unsure)
            .ok_or_else(|| odd(&answer.reply.text()))
    }

    /// A patch of an object, or its making.
    pub(crate) fn request(&self, place: Place, mut body: Value, is_there: bool) -> Request {
        body["metadata"]["labels"] = json!(self.labels());
        if is_there {
            return Request::patch(self.path(place), body);
        }
        let keeper = self.fixed.keeper;
        body["apiVersion"] = json!("v1");
        body["kind"] = json!(keeper.kind());
        body["metadata"]["name"] = json!(keeper.name(&self.scope, place));
        if let Some(annotations) = body["metadata"]["annotations"].as_object_mut() {
            annotations.retain(|_, text| !text.is_null());
        }
        Request::create(self.collection(keeper.resource()), body)
    }

    /// What an answer to such a request says; `None` where that makes no sense.
    pub(crate) fn stored(
        &self,
        place: Place,
        changes: &Changes,
        status: u16,
        body: &Value,
        unsure: bool,
    ) -> Option<Stored> {
        match status {
            200..=299 => {
                let object = Object::read(body)?;
                self.memory().wrote(place, changes, object.clone(), clock::now());
                Some(Stored::Done(Box::new(object)))
            }
            404 | 409 => Some(Stored::Otherwise { unsure }),
            _ => None,
        }
    }
}

/// What goes along with the lock, which only keys of the same object can.
fn along(also: &[Write]) -> Result<Changes> {
    let mut changes = Changes::new();
    for write in also {
        if Place::of(write.key.kind) != Some(Place::Leader) {
            return Err(DcsError::new(
                ErrorKind::Unsupported,
                "kubernetes: this key lies in another object than the lock",
            ));
        }
        changes.extend(fields::write(&write.key, &write.value));
    }
    Ok(changes)
}

/// An answer that is not of Kubernetes.
pub(crate) fn odd(what: &str) -> DcsError {
    failed(ErrorKind::Indeterminate, what)
}

/// Somebody writes the same object all the time: nothing of ours was applied.
pub(crate) fn busy() -> DcsError {
    failed(ErrorKind::Indeterminate, "the object changed each time")
}
