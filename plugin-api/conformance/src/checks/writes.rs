//! Keys and values: comparison of versions, every kind of value, and whose keys are touched.

use crate::context::{Context, Verdict, ensure};
use regent_plugin_api::host::{Expect, Key, KeyKind};

pub(crate) fn cas(context: &Context) -> Verdict {
    let a = context.member("a")?;
    let kind = KeyKind::Config;
    let Some(first) = a.put(kind, b"1", &Expect::Absent)? else {
        return Err(crate::context::Stop::Fail("an absent key was not written".to_owned()));
    };
    ensure!(a.put(kind, b"x", &Expect::Absent)?.is_none(), "a key that is there was created again");
    let second = a.put(kind, b"2", &Expect::Is(first.clone()))?;
    ensure!(second.is_some(), "the right version was refused");
    ensure!(second.as_ref() != Some(&first), "a new value has the old version");
    ensure!(a.put(kind, b"x", &Expect::Is(first.clone()))?.is_none(), "a stale version was accepted for a write");
    ensure!(!a.delete(kind, &Expect::Is(first))?, "a stale version was accepted for a removal");
    ensure!(a.value(&Key::of(kind))? == Some(b"2".to_vec()), "a refused write left its value");
    let loaded = a.load()?.entries.into_iter().find(|entry| entry.key.kind == kind).map(|entry| entry.version);
    ensure!(loaded == second, "a reading and a write tell different versions of one value");
    ensure!(a.put(kind, b"3", &Expect::Any)?.is_some(), "an unconditional write was refused");
    ensure!(a.delete(kind, &Expect::Any)?, "a key that is there was not removed");
    ensure!(!a.delete(kind, &Expect::Any)?, "a removed key was removed again");
    ensure!(a.value(&Key::of(kind))?.is_none(), "a removed key can be read");
    Ok("create, compare, stale, remove".to_owned())
}

pub(crate) fn values(context: &Context) -> Verdict {
    let (a, b) = (context.member("a")?, context.member("b")?);
    let large = usize::try_from(context.plugin.capabilities().max_value_bytes).unwrap_or(usize::MAX).min(256 << 10);
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = all.iter().copied().cycle().take(large).collect();
    let mut bytes = 0;
    for value in [Vec::new(), b"\xff\xfe\x00\xc3".to_vec(), all, large] {
        ensure!(a.put(KeyKind::Config, &value, &Expect::Any)?.is_some(), "{} bytes were not written", value.len());
        let found = b.value(&Key::of(KeyKind::Config))?;
        let length = found.as_ref().map(Vec::len);
        ensure!(found.as_ref() == Some(&value), "{} bytes came back changed, as {length:?} bytes", value.len());
        bytes += value.len();
    }
    ensure!(bytes > 256, "too little was written: {bytes} bytes");
    Ok(format!("{bytes} bytes: empty, not UTF-8, large"))
}

pub(crate) fn unknown_key_kind(context: &Context) -> Verdict {
    let (a, b) = (context.member("a")?, context.member("b")?);
    let kinds = [KeyKind::Other(77), KeyKind::Other(4242)];
    for (index, kind) in kinds.into_iter().enumerate() {
        ensure!(a.put(kind, &[b'0', index as u8], &Expect::Absent)?.is_some(), "{kind:?} was not written");
    }
    for (index, kind) in kinds.into_iter().enumerate() {
        let found = b.value(&Key::of(kind))?;
        ensure!(found == Some(vec![b'0', index as u8]), "{kind:?} did not come back: {found:?}");
        ensure!(b.delete(kind, &Expect::Any)?, "{kind:?} was not removed");
    }
    ensure!(a.load()?.entries.is_empty(), "something is left");
    Ok(format!("{} future kinds come back", kinds.len()))
}

pub(crate) fn member_isolation(context: &Context) -> Verdict {
    let (a, b) = (context.member("a")?, context.member("a2")?);
    let key = |name: &str| Key { kind: KeyKind::Member, name: name.to_owned() };
    for value in ["1", "2"] {
        for member in [&a, &b] {
            member.touch_in(crate::object::BUDGET, format!("{}{value}", member.name).as_bytes())?;
        }
        for (reader, other) in [(&a, &b), (&b, &a)] {
            for name in [&reader.name, &other.name] {
                let (found, wanted) = (reader.value(&key(name))?, format!("{name}{value}").into_bytes());
                ensure!(found.as_ref() == Some(&wanted), "the key of {name} holds {found:?}");
            }
        }
    }
    let count = a.load()?.entries.len();
    ensure!(count == 2, "two members have {count} keys");
    Ok("two members, each its own key".to_owned())
}

pub(crate) fn neighbour_scope(context: &Context) -> Verdict {
    let demo = context.member("a")?;
    let demo2 = context.open(&format!("{}2", context.scope), "a", context.lasting())?;
    for cluster in [&demo, &demo2] {
        cluster.touch_in(crate::object::BUDGET, b"{}")?;
        cluster.put(KeyKind::Config, b"{}", &Expect::Any)?;
        ensure!(cluster.acquire()?.is_some(), "the lock of a new cluster is not free");
    }
    ensure!(demo.load()?.entries.len() == 3, "a cluster shows not its own three keys");
    demo.delete_cluster_in(crate::object::BUDGET)?;
    ensure!(demo.load()?.entries.is_empty(), "a removed cluster has keys");
    let left = demo2.load()?.entries.len();
    ensure!(left == 3, "removing a cluster left {left} of 3 keys of the one whose name begins alike");
    Ok("3 keys removed, 3 of the neighbour left".to_owned())
}
