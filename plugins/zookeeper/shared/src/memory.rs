//! What is known of the cluster's nodes from readings and own writes. It saves requests and tells news from what is
//! none; no answer to the daemon is made of it.

use crate::message::Stat;
use crate::path::Paths;
use crate::tree::{Node, Nodes};
use regent_dcs_common::differ_in_figures_only;
use regent_plugin_sdk::KeyKind;
use std::collections::BTreeMap;

/// How soon the daemon should hear of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It did it itself.
    None,
    /// A heartbeat of somebody else: nothing but figures moved. The next reading shows it soon enough.
    Late,
    /// At once.
    Now,
}

/// Since when we are told of changes: the connection, and how much had been told.
pub(crate) type Told = (u64, u64);

/// What is known.
pub(crate) struct Memory {
    paths: Paths,
    /// From the last reading, and writes since.
    known: Nodes,
    /// From the last reading that was handed to the daemon, and writes since.
    loaded: Nodes,
    /// That reading's place in the store's history.
    cursor: i64,
    told: Option<Told>,
    /// What we wrote or tried to write, by path.
    intended: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// Nothing is known.
    pub fn new(paths: Paths) -> Memory {
        let (known, loaded, intended) = (Nodes::new(), Nodes::new(), BTreeMap::new());
        Memory { paths, known, loaded, cursor: 0, told: None, intended }
    }

    /// All nodes were read.
    pub fn read(&mut self, nodes: &Nodes) {
        self.known = nodes.clone();
    }

    /// The same for the daemon; we are told of what changes afterwards.
    pub fn load(&mut self, nodes: &Nodes, cursor: i64, told: Told) {
        self.read(nodes);
        self.loaded = nodes.clone();
        self.cursor = cursor;
        self.told = Some(told);
    }

    /// What was there last.
    pub fn known(&self) -> &Nodes {
        &self.known
    }

    /// A node as it was last seen.
    pub fn seen(&self, path: &str) -> Option<&Node> {
        self.known.get(path)
    }

    /// A node was written, by us.
    pub fn wrote(&mut self, path: &str, value: &[u8], stat: Stat) {
        let node = Node { value: value.to_vec(), stat };
        self.known.insert(path.to_owned(), node.clone());
        self.loaded.insert(path.to_owned(), node);
    }

    /// A node was removed, by us.
    pub fn gone(&mut self, path: &str) {
        self.known.remove(path);
        self.loaded.remove(path);
    }

    /// We are about to write that: its change is no news to us.
    pub fn intend(&mut self, path: &str, value: &[u8]) {
        self.intended.insert(path.to_owned(), value.to_vec());
    }

    /// Since when we are told of changes after that cursor.
    pub fn told_since(&self, cursor: i64) -> Option<Told> {
        self.told.filter(|_| cursor == self.cursor)
    }

    /// What has changed since the reading with that cursor, in a later one.
    pub fn weigh(&self, cursor: i64, nodes: &Nodes) -> Weight {
        if cursor != self.cursor {
            return Weight::Now;
        }
        // What hangs on our own session is ours to miss, but for the lock.
        let missed = |path: &String| *path != self.paths.member() && !nodes.contains_key(path);
        if self.loaded.keys().any(missed) {
            return Weight::Now;
        }
        nodes.iter().map(|(path, node)| self.weigh_one(path, node)).max().unwrap_or(Weight::None)
    }

    fn weigh_one(&self, path: &str, node: &Node) -> Weight {
        let before = self.loaded.get(path);
        if before.is_some_and(|before| node.stat.modified <= before.stat.modified) {
            return Weight::None;
        }
        if path == self.paths.member() || self.intended.get(path).is_some_and(|value| *value == node.value) {
            return Weight::None;
        }
        if before.is_none() && crate::tree::is_folder(self.paths.root(), path) {
            return Weight::None;
        }
        // The leader's position goes with its renewals, as those of members go with their heartbeats.
        let kind = self.paths.key(path).map(|key| key.kind);
        let beats = matches!(kind, Some(KeyKind::Member | KeyKind::Status));
        match before {
            Some(before) if beats && differ_in_figures_only(&before.value, &node.value) => Weight::Late,
            _ => Weight::Now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str, value: &str, modified: i64) -> (String, Node) {
        let stat = Stat { modified, ..Stat::default() };
        (format!("/s/d/{path}"), Node { value: value.as_bytes().to_vec(), stat })
    }

    fn memory() -> Memory {
        let mut memory = Memory::new(Paths::new("", "s", "d", "a"));
        let nodes = [node("leader", "a", 5), node("members/a", "1", 6), node("members/b", "{\"x\":1}", 7)];
        let nodes = nodes.into_iter().chain([node("status", "{\"optime\":1}", 8)]).collect();
        memory.load(&nodes, 10, (1, 1));
        memory
    }

    #[test]
    fn changes_are_weighed() {
        let memory = memory();
        let check = |change: Option<(String, Node)>, gone: &str, expected: Weight| {
            let mut nodes = memory.loaded.clone();
            nodes.retain(|path, _| !path.ends_with(gone));
            nodes.extend(change.clone());
            assert_eq!(memory.weigh(10, &nodes), expected, "{change:?} {gone}");
        };
        check(None, "nothing", Weight::None);
        check(None, "leader", Weight::Now);
        check(None, "members/b", Weight::Now);
        check(None, "members/a", Weight::None);
        check(Some(node("members/a", "2", 12)), "nothing", Weight::None);
        check(Some(node("members/b", "{\"x\":22}", 12)), "nothing", Weight::Late);
        check(Some(node("members/b", "{\"y\":1}", 12)), "nothing", Weight::Now);
        check(Some(node("members/c", "", 12)), "nothing", Weight::Now);
        check(Some(node("config", "{}", 12)), "nothing", Weight::Now);
        check(Some(node("kind-7", "", 12)), "nothing", Weight::None);
        check(Some(node("leader", "b", 12)), "nothing", Weight::Now);
        check(Some(node("status", "{\"optime\":22}", 12)), "nothing", Weight::Late);
        check(Some(node("status", "{\"optime\":1,\"slots\":{}}", 12)), "nothing", Weight::Now);
        assert_eq!(memory.weigh(9, &memory.loaded), Weight::Now, "another reading's cursor");
        assert_eq!((memory.told_since(10), memory.told_since(9)), (Some((1, 1)), None));
    }

    #[test]
    fn own_writes_are_no_news() {
        let mut memory = memory();
        memory.intend("/s/d/status", b"1");
        let with = |more: (String, Node)| -> Nodes { memory.loaded.clone().into_iter().chain([more]).collect() };
        assert_eq!(memory.weigh(10, &with(node("status", "1", 11))), Weight::None);
        assert_eq!(memory.weigh(10, &with(node("status", "2", 11))), Weight::Now);
        let before = memory.loaded.clone();
        memory.wrote("/s/d/config", b"{}", Stat { modified: 15, ..Stat::default() });
        assert_eq!(memory.weigh(10, &memory.loaded.clone()), Weight::None);
        memory.gone("/s/d/config");
        assert_eq!(memory.weigh(10, &before), Weight::None);
        assert_eq!(memory.seen("/s/d/leader").map(|node| node.stat.modified), Some(5));
    }
}
