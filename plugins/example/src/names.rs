//! Keys as names below the cluster's prefix, and back. Kinds that are not invented yet keep their number.

use regent_plugin_sdk::{Key, KeyKind};

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

pub fn name(key: &Key) -> String {
    match key.kind {
        KeyKind::Member => format!("members/{}", key.name),
        KeyKind::Other(number) => format!("kind-{number}/{}", key.name),
        kind => SINGLE.iter().find(|(single, _)| *single == kind).map_or("", |found| found.1).to_owned(),
    }
}

pub fn key(name: &str) -> Key {
    if let Some((kind, _)) = SINGLE.iter().find(|(_, single)| *single == name) {
        return Key::of(*kind);
    }
    if let Some(member) = name.strip_prefix("members/") {
        return Key { kind: KeyKind::Member, name: member.to_owned() };
    }
    let other = name.strip_prefix("kind-").and_then(|rest| rest.split_once('/'));
    let other = other.and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
    let (number, rest) = other.unwrap_or((0, name));
    Key { kind: KeyKind::Other(number), name: rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_keys() {
        for (kind, inner) in
            [(KeyKind::Leader, ""), (KeyKind::Member, "a/b"), (KeyKind::Other(77), ""), (KeyKind::Other(0), "x")]
        {
            let this = Key { kind, name: inner.to_owned() };
            assert_eq!(key(&name(&this)), this);
        }
        assert_eq!(key("foreign"), Key { kind: KeyKind::Other(0), name: "foreign".to_owned() });
    }
}
