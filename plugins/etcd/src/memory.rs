//! What is known of the cluster's keys from readings and own writes, each with its version. It saves writes and wakes;
//! no answer to the daemon is made of it.

use crate::api::{Event, Node, Place};
use crate::value;
use regent_dcs_common::{Keys, differ_in_figures_only};
use regent_plugin_sdk::{Key, KeyKind};
use std::collections::BTreeMap;

/// Stands for an empty name at the end of a path, which the API would leave out.
const EMPTY: char = '~';

/// Where a key lies in the store.
pub(crate) fn path_of(keys: &Keys, key: &Key) -> String {
    let mut path = keys.path(key);
    if matches!(key.kind, KeyKind::Other(1..)) && key.name.chars().all(|one| one == EMPTY) {
        path.push(EMPTY);
    }
    path
}

/// The key that lies at a path.
pub(crate) fn key_of(keys: &Keys, path: &str) -> Option<Key> {
    let mut key = keys.key(path.as_bytes())?;
    if matches!(key.kind, KeyKind::Other(1..)) && key.name.chars().all(|one| one == EMPTY) {
        key.name.pop();
    }
    Some(key)
}

/// How soon the daemon should hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It knows.
    None,
    /// A heartbeat of somebody else: nothing but figures moved. The next reading shows it soon enough.
    Late,
    /// At once.
    Now,
}

/// A key as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its text.
    pub text: String,
    /// Its version.
    pub index: u64,
}

/// What is known.
pub(crate) struct Memory {
    keys: Keys,
    /// From the last reading, and writes since.
    known: BTreeMap<String, Seen>,
    /// That reading's place.
    place: Place,
    /// What we wrote or tried to write, by path.
    intended: BTreeMap<String, String>,
}

impl Memory {
    /// Nothing is known.
    pub fn new(keys: Keys) -> Memory {
        Memory { keys, known: BTreeMap::new(), place: Place::default(), intended: BTreeMap::new() }
    }

    /// Everything was read, there.
    pub fn load(&mut self, nodes: &[Node], place: Place) {
        let seen = |node: &Node| Seen { text: node.value.clone().unwrap_or_default(), index: node.index };
        self.known = nodes.iter().map(|node| (node.key.clone(), seen(node))).collect();
        self.place = place;
    }

    /// The place of the last reading.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// We wrote a key, or looked at it.
    pub fn wrote(&mut self, path: &str, text: &str, index: u64) {
        self.known.insert(path.to_owned(), Seen { text: text.to_owned(), index });
    }

    /// We removed a key.
    pub fn gone(&mut self, path: &str) {
        self.known.remove(path);
    }

    /// A key as it was last seen.
    pub fn seen(&self, path: &str) -> Option<&Seen> {
        self.known.get(path)
    }

    /// We are about to write that: its change is no news to us.
    pub fn intend(&mut self, path: &str, text: &str) {
        self.intended.insert(path.to_owned(), text.to_owned());
    }

    /// What a change is to the daemon.
    pub fn weigh(&self, event: &Event) -> Weight {
        let path = event.node.key.as_str();
        if event.node.index <= self.place.index || path == self.keys.own_member() {
            return Weight::None;
        }
        let before = self.known.get(path);
        if event.node.dir {
            return Weight::Now;
        }
        let Some(text) = event.node.value.as_deref().filter(|_| !is_end(&event.action)) else {
            // What we removed is not known any more.
            return if before.is_some() { Weight::Now } else { Weight::None };
        };
        let is_known = before.is_some_and(|before| before.text == text || before.index >= event.node.index);
        if is_known || self.intended.get(path).is_some_and(|intended| intended == text) {
            return Weight::None;
        }
        // The leader's position goes with its renewals, as those of members go with their heartbeats.
        let kind = key_of(&self.keys, path).map(|key| key.kind);
        let beats = matches!(kind, Some(KeyKind::Member | KeyKind::Status));
        match before {
            Some(before) if beats && differ_in_figures_only(before.text.as_bytes(), text.as_bytes()) => Weight::Late,
            _ => Weight::Now,
        }
    }
}

fn is_end(action: &str) -> bool {
    ["delete", "expire", "compareAndDelete"].contains(&action)
}

/// A reading's entry.
pub(crate) fn entry(keys: &Keys, node: &Node) -> Option<regent_plugin_sdk::Entry> {
    Some(regent_plugin_sdk::Entry {
        key: key_of(keys, &node.key)?,
        value: value::read(node.value.as_deref().unwrap_or_default()),
        version: node.index.to_string(),
        session: node.session(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str, text: &str, index: u64) -> Node {
        Node { key: format!("/s/d/{path}"), value: Some(text.to_owned()), index, ..Node::default() }
    }

    #[test]
    fn changes_are_weighed() {
        let mut memory = Memory::new(Keys::new("s", "d", "a"));
        let all = [node("leader", "b", 5), node("members/b", "{\"x\":1}", 6), node("status", "{\"optime\":1}", 7)];
        memory.load(&all, Place { cluster: 1, index: 10 });
        memory.intend("/s/d/failsafe", "{}");
        memory.wrote("/s/d/history", "[]", 13);
        let check = |action: &str, node: Node, expected: Weight| {
            let event = Event { action: action.to_owned(), node };
            assert_eq!(memory.weigh(&event), expected, "{event:?}");
        };
        check("set", node("config", "{}", 11), Weight::Now);
        check("set", node("config", "{}", 10), Weight::None);
        check("set", node("members/a", "2", 12), Weight::None);
        check("set", node("members/b", "{\"x\":22}", 12), Weight::Late);
        check("set", node("members/b", "{\"y\":1}", 12), Weight::Now);
        check("set", node("members/c", "", 12), Weight::Now);
        check("compareAndSwap", node("status", "{\"optime\":22}", 12), Weight::Late);
        check("compareAndSwap", node("leader", "b", 12), Weight::None);
        check("create", node("leader", "c", 12), Weight::Now);
        check("set", node("failsafe", "{}", 12), Weight::None);
        check("set", node("history", "[1]", 12), Weight::None);
        check("expire", Node { value: None, ..node("leader", "", 12) }, Weight::Now);
        check("delete", Node { value: None, ..node("sync", "", 12) }, Weight::None);
        let folder = Node { key: "/s/d".to_owned(), dir: true, index: 12, ..Node::default() };
        check("delete", folder, Weight::Now);
    }

    #[test]
    fn names_that_are_empty_have_a_path() {
        let keys = Keys::new("s", "d", "a");
        for name in ["", "~", "~~", "x", "~x"] {
            let key = Key { kind: KeyKind::Other(77), name: name.to_owned() };
            let path = path_of(&keys, &key);
            assert!(!path.ends_with('/'));
            assert_eq!(key_of(&keys, &path), Some(key));
        }
        assert_eq!(key_of(&keys, "/s/d/leader").map(|key| key.kind), Some(KeyKind::Leader));
    }
}
