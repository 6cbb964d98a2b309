//! The nodes of one cluster, read together: in one exchange as far as their names are known, and at one moment of the
//! store's history.

use crate::call::{Answer, failed};
use crate::message::{Body, Code, Op, Stat};
use regent_plugin_sdk::{ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes that hold others, whether or not they do now.
const FOLDERS: [&str; 2] = ["members", "optime"];

/// A node as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub value: Vec<u8>,
    pub stat: Stat,
}

/// All nodes below one, by their paths.
pub(crate) type Nodes = BTreeMap<String, Node>;

/// One reading, while it is made.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    root: String,
    /// The last change that was surely seen by all of it.
    since: i64,
    lists: BTreeMap<String, (Vec<String>, Stat)>,
    nodes: BTreeMap<String, Option<Node>>,
    /// The root is not there, and we shall hear if it comes.
    absent: bool,
    serial: u64,
}

/// What is to be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub lists: BTreeSet<String>,
    pub values: BTreeSet<String>,
    /// Whether the root is there.
    pub root: bool,
}

impl Wants {
    /// The operations; with `tell` we hear of the next change of all that is read.
    pub fn ops<'a>(&'a self, root: &'a str, tell: bool) -> Vec<Op<'a>> {
        let lists = self.lists.iter().map(|path| Op::List(path, tell));
        let values = self.values.iter().map(|path| Op::Get(path, tell));
        lists.chain(values).chain(self.root.then_some(Op::Exists(root, tell))).collect()
    }
}

impl Reading {
    /// Nothing was read of what lies below that node.
    pub fn of(root: &str) -> Reading {
        Reading { root: root.to_owned(), ..Reading::default() }
    }

    /// What to ask first: what was there last time.
    pub fn guess(&self, before: &Nodes) -> Wants {
        let mut wants = Wants { values: before.keys().cloned().collect(), ..Wants::default() };
        wants.lists.insert(self.root.clone());
        let folders = before.iter().filter(|(path, node)| node.stat.children > 0 || self.is_folder(path));
        wants.lists.extend(folders.map(|(path, _)| path.clone()));
        wants
    }

    /// What is still missing; nothing once it is complete.
    pub fn wants(&self) -> Wants {
        let mut wants = Wants::default();
        let mut open = vec![self.root.clone()];
        while let Some(path) = open.pop() {
            let Some((children, _)) = self.lists.get(&path) else {
                wants.lists.insert(path);
                continue;
            };
            for child in children.iter().map(|name| format!("{path}/{name}")) {
                let known = self.nodes.get(&child);
                if known.is_none() {
                    wants.values.insert(child.clone());
                }
                let has_children = known.and_then(Option::as_ref).is_some_and(|node| node.stat.children > 0);
                if has_children || self.is_folder(&child) {
                    open.push(child);
                }
            }
        }
        if self.lists.get(&self.root).is_some_and(|(_, stat)| *stat == Stat::default()) && !self.absent {
            wants.root = true;
        }
        wants
    }

    /// What came; `first` were before the operations of `wants`. `false` if it does not go with what came before.
    pub fn add(&mut self, wants: &Wants, answer: &Answer, first: usize) -> Result<bool> {
        if self.serial == 0 {
            self.serial = answer.serial;
            self.since = answer.replies.first().map_or(0, |reply| reply.zxid);
        }
        let mut place = first;
        for path in &wants.lists {
            let list = match answer.body(place) {
                Ok(Body::Children(names, stat)) => (names.clone(), *stat),
                // It went meanwhile, or was never there.
                Err(Code::NO_NODE) => (Vec::new(), Stat::default()),
                other => return Err(odd(other)),
            };
            self.lists.insert(path.clone(), list);
            place += 1;
        }
        for path in &wants.values {
            let node = match answer.body(place) {
                Ok(Body::Value(value, stat)) => Some(Node { value: value.clone(), stat: *stat }),
                Err(Code::NO_NODE) => None,
                other => return Err(odd(other)),
            };
            self.nodes.insert(path.clone(), node);
            place += 1;
        }
        if wants.root {
            match answer.body(place) {
                Err(Code::NO_NODE) => self.absent = true,
                // It came meanwhile.
                Ok(Body::Stat(_)) => return Ok(false),
                other => return Err(odd(other)),
            }
        }
        Ok(self.serial == answer.serial)
    }

    /// The nodes, if all of them were so at one moment: none changed since the reading began.
    pub fn at_one_moment(&self) -> Option<Nodes> {
        let quiet = self.lists.values().all(|(_, stat)| stat.listed <= self.since);
        let nodes = self.listed()?;
        (quiet && nodes.values().all(|node| node.stat.modified <= self.since)).then_some(nodes)
    }

    /// The nodes; `None` where one went meanwhile.
    pub fn listed(&self) -> Option<Nodes> {
        let mut nodes = Nodes::new();
        for (path, (children, _)) in &self.lists {
            // A list that a guess asked for may be of a node that is no more.
            if *path != self.root && !matches!(self.nodes.get(path), Some(Some(_))) {
                continue;
            }
            for child in children.iter().map(|name| format!("{path}/{name}")) {
                nodes.insert(child.clone(), self.nodes.get(&child)?.clone()?);
            }
        }
        Some(nodes)
    }

    /// The last change that it surely shows.
    pub fn since(&self) -> i64 {
        self.since
    }

    /// The connection that it was made on.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    fn is_folder(&self, path: &str) -> bool {
        is_folder(&self.root, path)
    }
}

/// Whether a node is there for those below it.
pub(crate) fn is_folder(root: &str, path: &str) -> bool {
    let relative = path.strip_prefix(root).map(|rest| rest.trim_start_matches('/')).unwrap_or_default();
    let kind =
        relative.strip_prefix("kind-").is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0));
    kind || FOLDERS.contains(&relative)
}

/// An answer that is none to what was asked.
pub(crate) fn odd(answer: std::result::Result<&Body, Code>) -> regent_plugin_sdk::DcsError {
    let what = match answer {
        Ok(_) => "an answer to another question".to_owned(),
        Err(code) => format!("the server refuses ({})", code.0),
    };
    failed(ErrorKind::Unavailable, &what)
}

#[cfg(test)]
mod tests;
