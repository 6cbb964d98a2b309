//! Keys that nobody holds: each a patch of the object that it lies in.

use crate::backend::Kubernetes;
use crate::call::{Answer, Repeat, failed};
use crate::fields::{self, Changes};
use crate::http::Request;
use crate::leader::{LOOKS, Stored, busy, odd};
use crate::object::{Object, patch};
use crate::place::Place;
use regent_plugin_sdk::{Cx, ErrorKind, Expect, Key, KeyKind, Result};
use serde_json::json;

impl Kubernetes {
    /// Writes a key if what is there is as expected; gives the new version.
    pub(crate) async fn write(&self, cx: &Cx, key: &Key, value: &[u8], expect: &Expect) -> Result<Option<String>> {
        let (place, changes) = (place(key)?, fields::write(key, value));
        match expect {
            Expect::Any => self.overwrite(cx, place, &changes).await.map(Some),
            Expect::Absent => self.make(cx, place, key, &changes).await,
            Expect::Is(version) => self.exchange(cx, place, &changes, Some(version)).await,
        }
    }

    /// Whatever is there.
    async fn overwrite(&self, cx: &Cx, place: Place, changes: &Changes) -> Result<String> {
        self.memory().intend(place, changes);
        let mut is_there = self.memory().place(place).is_some();
        for _ in 0..LOOKS {
            let request = self.request(place, patch(changes, None), is_there);
            let answer = self.server.run(cx, Repeat::Write, &request, &[]).await?;
            match self.told(place, changes, &answer)? {
                Stored::Done(object) => return Ok(object.version),
                // It was made or removed meanwhile.
                Stored::Otherwise { .. } => is_there = !is_there,
            }
        }
        Err(busy())
    }

    /// Only where the key is not there.
    async fn make(&self, cx: &Cx, place: Place, key: &Key, changes: &Changes) -> Result<Option<String>> {
        for _ in 0..LOOKS {
            let found = self.object_now(cx, place).await?;
            if found.as_ref().is_some_and(|object| fields::read(key, &object.annotations).is_some()) {
                return Ok(None);
            }
            let version = found.map(|object| object.version);
            let made = self.exchange(cx, place, changes, version.as_deref()).await?;
            if made.is_some() {
                return Ok(made);
            }
            // Another key of the same object was written.
        }
        Err(failed(ErrorKind::Unavailable, "the object changed each time"))
    }

    /// Over that version, or where there is no object. Sent once: a second try could fail because of the first.
    async fn exchange(&self, cx: &Cx, place: Place, changes: &Changes, over: Option<&str>) -> Result<Option<String>> {
        if over.is_some_and(|version| version.is_empty()) {
            return Ok(None);
        }
        self.memory().intend(place, changes);
        let request = self.request(place, patch(changes, over), over.is_some());
        let answer = self.server.run(cx, Repeat::Once, &request, &[]).await?;
        Ok(match self.told(place, changes, &answer)? {
            Stored::Done(object) => Some(object.version),
            Stored::Otherwise { .. } => None,
        })
    }

    /// Removes a key if what is there is as expected. `false`: it is not, or nothing is there.
    pub(crate) async fn remove(&self, cx: &Cx, key: &Key, expect: &Expect) -> Result<bool> {
        let (place, changes) = (place(key)?, fields::absent(key));
        let mut unsure = false;
        for _ in 0..LOOKS {
            let found = self.object_now(cx, place).await?;
            let found = found.filter(|object| fields::read(key, &object.annotations).is_some());
            let Some(object) = found.filter(|object| is_expected(object, expect)) else {
                // Nothing is there; perhaps because of an earlier try of ours.
                return Ok(unsure);
            };
            if *expect != Expect::Any {
                return Ok(self.exchange(cx, place, &changes, Some(&object.version)).await?.is_some());
            }
            match self.store(cx, place, &changes, Some(&object), None, &[]).await? {
                Stored::Done(_) => return Ok(true),
                Stored::Otherwise { unsure: now } => unsure |= now,
            }
        }
        Err(busy())
    }

    fn told(&self, place: Place, changes: &Changes, answer: &Answer) -> Result<Stored> {
        let Answer { reply, unsure } = answer;
        if reply.status == 422 || reply.status == 413 {
            return Err(failed(ErrorKind::Invalid, &reply.text()));
        }
        self.stored(place, changes, reply.status, &reply.body, *unsure).ok_or_else(|| odd(&reply.text()))
    }

    /// Removes every key of the cluster: its objects, and what its members wrote to their pods. The pods stay.
    pub(crate) async fn remove_all(&self, cx: &Cx) -> Result<()> {
        let pods = self.pods(cx).await?;
        let request = Request::delete(self.selection(self.fixed.keeper.resource()));
        // A second try could remove what was begun anew after the first.
        let reply = self.server.run(cx, Repeat::Once, &request, &[]).await?.reply;
        if !(200..300).contains(&reply.status) {
            return Err(odd(&reply.text()));
        }
        for pod in pods.iter().filter(|pod| pod.annotations.contains_key("status")) {
            let body = json!({ "metadata": { "annotations": { "status": null } } });
            let path = format!("{}/{}", self.collection("pods"), pod.name);
            let reply = self.server.run(cx, Repeat::Write, &Request::patch(path, body), &[]).await?.reply;
            if !(200..300).contains(&reply.status) && reply.status != 404 {
                return Err(odd(&reply.text()));
            }
        }
        Ok(())
    }

    async fn pods(&self, cx: &Cx) -> Result<Vec<Object>> {
        Ok(self.list(cx, "pods").await?.0)
    }
}

fn place(key: &Key) -> Result<Place> {
    match Place::of(key.kind) {
        Some(place) if key.kind != KeyKind::Leader => Ok(place),
        _ => Err(failed(ErrorKind::Unsupported, "the lock and the members have calls of their own")),
    }
}

fn is_expected(object: &Object, expect: &Expect) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => false,
        Expect::Is(version) => object.version == *version,
    }
}
