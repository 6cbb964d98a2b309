//! What is known of the cluster's objects and pods, when the lock was last seen to change, and until when it is ours.

use crate::fields::{Annotations, Changes, read};
use crate::object::{Object, newer};
use crate::place::Place;
use regent_dcs_common::differ_in_figures_only;
use regent_plugin_sdk::{Key, KeyKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// The annotations of the lock beside its holder's name: they say nothing that anybody waits for.
const BEATS: [&str; 4] = ["acquireTime", "renewTime", "transitions", "ttl"];

/// The annotations of the leader's position.
const POSITIONS: [&str; 3] = ["optime", "slots", "retain_slots"];

/// How soon the daemon should hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It did it itself, or it is of no interest.
    None,
    /// A heartbeat of somebody else: nothing but figures moved. The next reading shows it soon enough.
    Late,
    /// At once.
    Now,
}

/// Objects and pods as they were handed to the daemon.
#[derive(Clone, Debug, Default)]
struct Known {
    places: BTreeMap<Place, Object>,
    pods: BTreeMap<String, Object>,
}

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// From the last reading that was handed to the daemon, and writes since.
    loaded: Known,
    /// From whatever answer was last.
    latest: Known,
    /// The last reading's versions: of the objects' list and of the pods'.
    cursor: String,
    /// When its answer was there.
    loaded_at: Duration,
    /// Something changed since, and a watch has said so.
    pub changed: bool,
    /// When a heartbeat since then is to be told.
    pub late: Option<Duration>,
    /// The lock as it was last seen, and when an answer first showed it so.
    seen: Option<(Annotations, Duration)>,
    /// Until when the lock is ours.
    pub held: Option<Duration>,
    /// What we wrote or tried to write.
    intended: BTreeMap<Place, Changes>,
}

impl Memory {
    /// Everything was read for the daemon; the answer was there at that time.
    pub fn load(&mut self, places: BTreeMap<Place, Object>, pods: Vec<Object>, cursor: String, at: Duration) {
        if let Some(lock) = places.get(&Place::Leader) {
            self.observe(lock, at);
        }
        let pods = pods.into_iter().map(|pod| (pod.name.clone(), pod)).collect();
        self.loaded = Known { places, pods };
        self.latest = self.loaded.clone();
        (self.cursor, self.loaded_at, self.changed, self.late) = (cursor, at, false, None);
    }

    /// The last reading's cursor.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// When the last reading was there.
    pub fn loaded_at(&self) -> Duration {
        self.loaded_at
    }

    /// An object was read or written; that is no reading for the daemon.
    pub fn saw(&mut self, place: Place, object: Option<Object>, at: Duration) {
        match object {
            Some(object) => {
                if place == Place::Leader {
                    self.observe(&object, at);
                }
                self.latest.places.insert(place, object);
            }
            None => drop(self.latest.places.remove(&place)),
        }
    }

    /// We wrote that into an object, which is now as the server answered.
    pub fn wrote(&mut self, place: Place, changes: &Changes, object: Object, at: Duration) {
        if let Some(loaded) = self.loaded.places.get_mut(&place) {
            // Not its version: there may be more in it that the daemon has not heard of.
            loaded.change(changes);
        }
        self.saw(place, Some(object), at);
    }

    /// Our pod was read or written.
    pub fn saw_pod(&mut self, pod: Object) {
        self.latest.pods.insert(pod.name.clone(), pod);
    }

    /// An object as it was last seen.
    pub fn place(&self, place: Place) -> Option<&Object> {
        self.latest.places.get(&place)
    }

    /// A pod as it was last seen.
    pub fn pod(&self, name: &str) -> Option<&Object> {
        self.latest.pods.get(name)
    }

    /// We are about to write that: its change is no news to us.
    pub fn intend(&mut self, place: Place, changes: &Changes) {
        self.intended.entry(place).or_default().extend(changes.clone());
    }

    /// Notes when the lock changed. The answer must have been there already: a lock must not end early here.
    pub fn observe(&mut self, object: &Object, at: Duration) {
        let lock: Annotations = object
            .annotations
            .iter()
            .filter(|(name, _)| is_of_lock(name))
            .map(|(n, t)| (n.clone(), t.clone()))
            .collect();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != lock) {
            self.seen = Some((lock, at));
        }
    }

    /// When the lock ends for whoever looks on, if it does not change any more. `usual` counts where it does not tell.
    pub fn end_of_lock(&self, usual: Duration) -> Option<Duration> {
        let (lock, at) = self.seen.as_ref()?;
        lock.get("leader").filter(|name| !name.is_empty())?;
        let ttl = lock.get("ttl").and_then(|text| text.parse().ok()).map_or(usual, Duration::from_secs);
        Some(*at + ttl)
    }

    /// How soon the daemon should hear of an object that is now so, or gone.
    pub fn weigh(&self, place: Place, object: &Object, gone: bool) -> Weight {
        let Some(before) = self.loaded.places.get(&place) else {
            return if gone { Weight::None } else { self.weigh_annotations(place, &Annotations::new(), object) };
        };
        if !newer(&object.version, &before.version) {
            return Weight::None;
        }
        if gone {
            return Weight::Now;
        }
        self.weigh_annotations(place, &before.annotations, object)
    }

    fn weigh_annotations(&self, place: Place, before: &Annotations, object: &Object) -> Weight {
        let names = before.keys().chain(object.annotations.keys());
        names
            .map(|name| self.weigh_one(place, name, before.get(name), object.annotations.get(name)))
            .max()
            .unwrap_or(Weight::None)
    }

    fn weigh_one(&self, place: Place, name: &str, before: Option<&String>, after: Option<&String>) -> Weight {
        let ours = self.intended.get(&place).and_then(|changes| changes.get(name));
        if before == after || ours.is_some_and(|ours| ours.as_ref() == after) {
            return Weight::None;
        }
        if place != Place::Leader {
            return Weight::Now;
        }
        match (before, after) {
            _ if BEATS.contains(&name) => Weight::None,
            (Some(before), Some(after))
                if POSITIONS.contains(&name) && differ_in_figures_only(before.as_bytes(), after.as_bytes()) =>
            {
                Weight::Late
            }
            _ => Weight::Now,
        }
    }

    /// The same for another member's pod.
    pub fn weigh_pod(&self, pod: &Object, gone: bool) -> Weight {
        let value = |pod: &Object| read(&Key::of(KeyKind::Member), &pod.annotations);
        let before = self.loaded.pods.get(&pod.name);
        if before.is_some_and(|before| !newer(&pod.version, &before.version)) {
            return Weight::None;
        }
        match (before.and_then(value), value(pod).filter(|_| !gone)) {
            (before, after) if before == after => Weight::None,
            (Some(before), Some(after)) if differ_in_figures_only(&before, &after) => Weight::Late,
            _ => Weight::Now,
        }
    }
}

fn is_of_lock(name: &str) -> bool {
    name == "leader" || BEATS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn object(name: &str, version: u64, annotations: &[(&str, &str)]) -> Object {
        let annotations = annotations.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Object { name: name.to_owned(), version: version.to_string(), annotations, ..Object::default() }
    }

    fn memory() -> Memory {
        let mut memory = Memory::default();
        let lock = [("leader", "a"), ("renewTime", "1"), ("ttl", "5"), ("optime", "9")];
        let places = [
            (Place::Leader, object("demo-leader", 7, &lock)),
            (Place::Config, object("demo-config", 8, &[("config", "{}")])),
        ];
        let pods = vec![object("a", 5, &[("status", r#"{"x":1}"#)]), object("b", 6, &[])];
        memory.load(places.into(), pods, "9 9".to_owned(), SECOND);
        memory
    }

    #[test]
    fn changes_are_weighed() {
        let memory = memory();
        let check = |place: Place, version: u64, annotations: &[(&str, &str)], expected: Weight| {
            assert_eq!(memory.weigh(place, &object("x", version, annotations), false), expected, "{annotations:?}");
        };
        let lock = |renewed: &'static str, optime: &'static str| {
            [("leader", "a"), ("renewTime", renewed), ("ttl", "5"), ("optime", optime)]
        };
        check(Place::Leader, 10, &lock("2", "9"), Weight::None);
        check(Place::Leader, 10, &lock("2", "12"), Weight::Late);
        check(Place::Leader, 10, &[("leader", "b"), ("ttl", "5"), ("optime", "9")], Weight::Now);
        check(Place::Leader, 7, &[("leader", "b")], Weight::None);
        check(Place::Config, 10, &[("config", "{ }")], Weight::Now);
        check(Place::Config, 10, &[("config", "{}"), ("history", "[]")], Weight::Now);
        check(Place::Sync, 10, &[("leader", "a")], Weight::Now);
        assert_eq!(memory.weigh(Place::Config, &object("x", 10, &[]), true), Weight::Now);
        assert_eq!(memory.weigh(Place::Sync, &object("x", 10, &[]), true), Weight::None);
        let pod = |version: u64, status: &str, gone: bool| {
            memory.weigh_pod(&object("a", version, &[("status", status)]), gone)
        };
        assert_eq!(pod(6, r#"{"x":22}"#, false), Weight::Late);
        assert_eq!(pod(6, r#"{"y":1}"#, false), Weight::Now);
        assert_eq!(pod(6, r#"{"x":1}"#, true), Weight::Now);
        assert_eq!(pod(5, "old", false), Weight::None);
        assert_eq!(memory.weigh_pod(&object("c", 11, &[]), false), Weight::None);
    }

    #[test]
    fn own_writes_are_no_news() {
        let mut memory = memory();
        let changes = Changes::from([("config".to_owned(), Some("{1}".to_owned()))]);
        memory.intend(Place::Config, &changes);
        assert_eq!(memory.weigh(Place::Config, &object("x", 11, &[("config", "{1}")]), false), Weight::None);
        let answer = object("x", 12, &[("config", "{1}"), ("history", "[]")]);
        memory.wrote(Place::Config, &changes, answer.clone(), SECOND);
        assert_eq!(memory.weigh(Place::Config, &answer, false), Weight::Now, "what somebody else wrote is news still");
        assert_eq!(memory.place(Place::Config).map(|object| object.version.as_str()), Some("12"));
    }

    #[test]
    fn a_lock_ends_when_it_was_seen_unchanged_for_its_ttl() {
        let mut memory = memory();
        let usual = Duration::from_secs(30);
        assert_eq!(memory.end_of_lock(usual), Some(6 * SECOND));
        memory.observe(
            &object("x", 9, &[("leader", "a"), ("renewTime", "1"), ("ttl", "5"), ("optime", "10")]),
            3 * SECOND,
        );
        assert_eq!(memory.end_of_lock(usual), Some(6 * SECOND), "the position is not part of the lock");
        memory.observe(&object("x", 9, &[("leader", "a"), ("renewTime", "2"), ("ttl", "5")]), 3 * SECOND);
        assert_eq!(memory.end_of_lock(usual), Some(8 * SECOND));
        memory.observe(&object("x", 9, &[("leader", "a"), ("ttl", "soon")]), 4 * SECOND);
        assert_eq!(memory.end_of_lock(usual), Some(34 * SECOND));
        memory.observe(&object("x", 9, &[("renewTime", "2")]), 5 * SECOND);
        assert_eq!(memory.end_of_lock(usual), None);
    }
}
