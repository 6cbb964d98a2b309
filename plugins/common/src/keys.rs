//! The keys of one cluster in the store: `/namespace/scope/...`, and back.

use regent_plugin_sdk::{Key, KeyKind};

/// How a kind that this build does not know is filed.
const UNKNOWN: &str = "kind-";

/// Kinds that are one key each.
const SINGLE: [(KeyKind, &str); 8] = [
    (KeyKind::Initialize, "initialize"),
    (KeyKind::Config, "config"),
    (KeyKind::Leader, "leader"),
    (KeyKind::Status, "status"),
    (KeyKind::Sync, "sync"),
    (KeyKind::Failover, "failover"),
    (KeyKind::History, "history"),
    (KeyKind::Failsafe, "failsafe"),
];

/// One cluster's keys.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
    member: String,
}

impl Keys {
    /// The keys of that cluster below the root, and the name of this member.
    pub fn new(namespace: &str, scope: &str, member: &str) -> Keys {
        Keys::below("/", namespace, scope, member)
    }

    /// The same where the store's keys do not begin with a slash.
    pub fn relative(namespace: &str, scope: &str, member: &str) -> Keys {
        Keys::below("", namespace, scope, member)
    }

    fn below(root: &str, namespace: &str, scope: &str, member: &str) -> Keys {
        let joined = format!("{namespace}/{scope}");
        let mut prefix = root.to_owned();
        for part in joined.split('/').filter(|part| !part.is_empty()) {
            prefix.push_str(part);
            // With the slash, or `demo` would own the keys of `demo2`.
            prefix.push('/');
        }
        Keys { prefix, member: member.to_owned() }
    }

    /// What all of the cluster's keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// This member's name.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The lock.
    pub fn leader(&self) -> String {
        self.path(&Key::of(KeyKind::Leader))
    }

    /// This member's own key.
    pub fn own_member(&self) -> String {
        self.path(&Key { kind: KeyKind::Member, name: self.member.clone() })
    }

    /// Where a key lies in the store.
    pub fn path(&self, key: &Key) -> String {
        let prefix = &self.prefix;
        match key.kind {
            KeyKind::Member => format!("{prefix}members/{}", key.name),
            // What was found under a path of its own stays there.
            KeyKind::Other(0) => format!("{prefix}{}", key.name),
            KeyKind::Other(number) => format!("{prefix}{UNKNOWN}{number}/{}", key.name),
            kind => {
                let name = SINGLE.iter().find(|(single, _)| *single == kind).map_or("", |found| found.1);
                format!("{prefix}{name}")
            }
        }
    }

    /// The key that lies at a path; `None` outside of the cluster.
    pub fn key(&self, path: &[u8]) -> Option<Key> {
        let relative = String::from_utf8_lossy(path.strip_prefix(self.prefix.as_bytes())?).into_owned();
        if let Some((kind, _)) = SINGLE.iter().find(|(_, name)| *name == relative) {
            return Some(Key::of(*kind));
        }
        if let Some(name) = relative.strip_prefix("members/") {
            return Some(Key { kind: KeyKind::Member, name: name.to_owned() });
        }
        let unknown = relative.strip_prefix(UNKNOWN).and_then(|rest| rest.split_once('/'));
        let unknown = unknown.and_then(|(number, name)| Some((number.parse::<u32>().ok()?, name.to_owned())));
        Some(match unknown {
            Some((number, name)) if number > 0 => Key { kind: KeyKind::Other(number), name },
            _ => Key { kind: KeyKind::Other(0), name: relative },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_keys_and_back() {
        for (namespace, scope) in [("service", "demo"), ("/service", "demo"), ("//service/", "/demo/")] {
            let keys = Keys::new(namespace, scope, "node1");
            assert_eq!(keys.prefix(), "/service/demo/");
        }
        assert_eq!(Keys::relative("/service", "demo", "node1").prefix(), "service/demo/");
        let keys = Keys::new("service", "demo", "node1");
        let check = |kind: KeyKind, name: &str, path: &str| {
            let key = Key { kind, name: name.to_owned() };
            assert_eq!(keys.path(&key), path);
            assert_eq!(keys.key(path.as_bytes()), Some(key));
        };
        check(KeyKind::Leader, "", "/service/demo/leader");
        check(KeyKind::Failsafe, "", "/service/demo/failsafe");
        check(KeyKind::Member, "node/1", "/service/demo/members/node/1");
        check(KeyKind::Other(77), "a/b", "/service/demo/kind-77/a/b");
        check(KeyKind::Other(0), "optime/leader", "/service/demo/optime/leader");
        check(KeyKind::Other(0), "kind-x/1", "/service/demo/kind-x/1");
        assert_eq!(keys.own_member(), "/service/demo/members/node1");
        assert_eq!(keys.key(b"/service/demo2/leader"), None);
        let odd = keys.key(b"/service/demo/members/\xff").unwrap();
        assert_eq!((odd.kind, odd.name.as_str()), (KeyKind::Member, "\u{fffd}"));
    }
}
