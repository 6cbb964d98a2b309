//! Readings of made-up stores.

use super::*;
use crate::message::Reply;
use crate::session::Held;
use std::time::Duration;

/// A store: values with the change that wrote them, and when the list of children of a node changed.
struct Store {
    values: BTreeMap<String, (Vec<u8>, i64)>,
    listed: BTreeMap<String, i64>,
    zxid: i64,
}

impl Store {
    fn new(values: &[(&str, i64)]) -> Store {
        let values = values.iter().map(|(path, at)| ((*path).to_owned(), (Vec::new(), *at))).collect();
        Store { values, listed: BTreeMap::new(), zxid: 10 }
    }

    fn children(&self, of: &str) -> Vec<String> {
        let below = |path: &String| Some(path.strip_prefix(of)?.strip_prefix('/')?.to_owned());
        self.values.keys().filter_map(below).filter(|name| !name.contains('/')).collect()
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        let (_, modified) = self.values.get(path)?;
        let children = i32::try_from(self.children(path).len()).expect("few");
        let listed = self.listed.get(path).copied().unwrap_or(1);
        Some(Stat { modified: *modified, children, listed, ..Stat::default() })
    }

    fn answer(&self, ops: &[Op<'_>]) -> Answer {
        let body = |op: &Op<'_>| match op {
            Op::List(path, _) => self.stat(path).map(|stat| Body::Children(self.children(path), stat)),
            Op::Get(path, _) => self.stat(path).map(|stat| Body::Value(self.values[*path].0.clone(), stat)),
            Op::Exists(path, _) => self.stat(path).map(Body::Stat),
            _ => Some(Body::Nothing),
        };
        let reply = |op: &Op<'_>| Reply { zxid: self.zxid, body: body(op).ok_or(Code::NO_NODE) };
        let held = Held { id: 1, ttl: Duration::from_secs(1) };
        Answer { replies: ops.iter().map(reply).collect(), held, serial: 1, unsure: false }
    }
}

/// Reads; `between` happens after the first exchange. How many exchanges, and what was found.
fn read(store: &mut Store, before: &Nodes, between: impl Fn(&mut Store)) -> (usize, Reading) {
    let mut reading = Reading::of("/c");
    let (mut wants, mut rounds) = (reading.guess(before), 0);
    while wants != Wants::default() {
        let sync: &[Op<'_>] = if rounds == 0 { &[Op::Sync("/c")] } else { &[] };
        let ops: Vec<_> = sync.iter().cloned().chain(wants.ops("/c", true)).collect();
        assert!(reading.add(&wants, &store.answer(&ops), sync.len()).expect("it is an answer"));
        wants = reading.wants();
        if rounds == 0 {
            between(store);
        }
        rounds += 1;
    }
    (rounds, reading)
}

fn some() -> Store {
    Store::new(&[("/c", 1), ("/c/leader", 5), ("/c/members", 2), ("/c/members/a", 6), ("/c/x", 2), ("/c/x/y", 3)])
}

#[test]
fn what_is_known_is_read_in_one_exchange() {
    let (rounds, reading) = read(&mut some(), &Nodes::new(), |_| {});
    let nodes = reading.at_one_moment().expect("nothing changed");
    assert!(rounds > 1);
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["/c/leader", "/c/members", "/c/members/a", "/c/x", "/c/x/y"]);
    let (rounds, again) = read(&mut some(), &nodes, |_| {});
    assert_eq!((rounds, again.at_one_moment()), (1, Some(nodes)));
}

#[test]
fn what_is_not_there_is_nothing() {
    let (_, reading) = read(&mut Store::new(&[]), &Nodes::new(), |_| {});
    assert_eq!(reading.at_one_moment(), Some(Nodes::new()));
    assert!(reading.absent, "its coming is heard of");
    let (_, before) = read(&mut some(), &Nodes::new(), |_| {});
    let (_, reading) = read(&mut Store::new(&[]), &before.listed().expect("complete"), |_| {});
    assert_eq!(reading.at_one_moment(), Some(Nodes::new()));
}

#[test]
fn what_changed_meanwhile_shows() {
    let check = |change: &dyn Fn(&mut Store)| {
        let (_, reading) = read(&mut some(), &Nodes::new(), change);
        assert_eq!(reading.at_one_moment(), None);
    };
    check(&|store| {
        store.values.insert("/c/members/a".to_owned(), (Vec::new(), 11));
    });
    check(&|store| {
        store.values.remove("/c/members/a");
        store.listed.insert("/c/members".to_owned(), 11);
    });
    check(&|store| {
        store.values.insert("/c/members/b".to_owned(), (Vec::new(), 11));
        store.listed.insert("/c/members".to_owned(), 11);
    });
    check(&|store| {
        store.values.remove("/c/x");
    });
}

#[test]
fn folders_are_known_by_name() {
    let check = |path: &str, expected: bool| assert_eq!(is_folder("/c", path), expected, "{path}");
    check("/c/members", true);
    check("/c/optime", true);
    check("/c/kind-77", true);
    check("/c/kind-77/x", false);
    check("/c/kind-x", false);
    check("/c/leader", false);
    check("/c/members/a", false);
}
