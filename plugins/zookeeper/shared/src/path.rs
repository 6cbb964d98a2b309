//! Where keys lie: paths of nodes, which may have no empty parts.

use regent_dcs_common::Keys;
use regent_plugin_sdk::Key;

/// Stands for a part without a name.
const EMPTY: char = '%';

/// The nodes of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    keys: Keys,
    /// The node above all others.
    root: String,
    leader: String,
    member: String,
}

impl Paths {
    /// The nodes of a cluster below `chroot`.
    pub fn new(chroot: &str, namespace: &str, scope: &str, member: &str) -> Paths {
        let keys = Keys::new(&format!("{chroot}/{namespace}"), scope, member);
        let (leader, member) = (node(&keys.leader()), node(&keys.own_member()));
        Paths { root: keys.prefix().trim_end_matches('/').to_owned(), keys, leader, member }
    }

    /// The node above all others.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The lock.
    pub fn leader(&self) -> &str {
        &self.leader
    }

    /// This member's own key.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// This member's name.
    pub fn name(&self) -> &str {
        self.keys.member()
    }

    /// Where a key lies.
    pub fn of(&self, key: &Key) -> String {
        node(&self.keys.path(key))
    }

    /// The key that lies there.
    pub fn key(&self, path: &str) -> Option<Key> {
        let parts: Vec<_> = path
            .split('/')
            .map(|part| match is_marked(part) {
                true => &part[EMPTY.len_utf8()..],
                false => part,
            })
            .collect();
        self.keys.key(parts.join("/").as_bytes())
    }
}

/// The nodes above one, the topmost first.
pub(crate) fn above(path: &str) -> Vec<&str> {
    let slashes = path.char_indices().skip(1).filter(|(_, one)| *one == '/');
    slashes.map(|(place, _)| &path[..place]).collect()
}

fn is_marked(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|one| one == EMPTY)
}

/// The path of a key as that of a node. The first part is empty in both: they begin with a slash.
fn node(path: &str) -> String {
    let mut parts = path.split('/');
    let mut node = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        node.push('/');
        if part.is_empty() || is_marked(part) {
            node.push(EMPTY);
        }
        node.push_str(part);
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use regent_plugin_sdk::KeyKind;

    #[test]
    fn keys_have_nodes_and_nodes_keys() {
        let paths = Paths::new("", "/service/", "demo", "a");
        assert_eq!((paths.root(), paths.leader()), ("/service/demo", "/service/demo/leader"));
        assert_eq!((paths.member(), paths.name()), ("/service/demo/members/a", "a"));
        assert_eq!(Paths::new("pg/main", "service", "demo", "a").root(), "/pg/main/service/demo");
        let check = |kind: KeyKind, name: &str, path: &str| {
            let key = Key { kind, name: name.to_owned() };
            assert_eq!(paths.of(&key), path);
            assert_eq!(paths.key(path), Some(key));
        };
        check(KeyKind::Config, "", "/service/demo/config");
        check(KeyKind::Member, "b", "/service/demo/members/b");
        check(KeyKind::Other(77), "", "/service/demo/kind-77/%");
        check(KeyKind::Other(77), "%", "/service/demo/kind-77/%%");
        check(KeyKind::Other(77), "a//%b", "/service/demo/kind-77/a/%/%b");
        check(KeyKind::Other(0), "optime/leader", "/service/demo/optime/leader");
        assert_eq!(paths.key("/service/demo2/config"), None);
    }

    #[test]
    fn what_is_above_is_named() {
        assert_eq!(above("/a/b/c"), ["/a", "/a/b"]);
        assert_eq!(above("/a"), Vec::<&str>::new());
    }
}
