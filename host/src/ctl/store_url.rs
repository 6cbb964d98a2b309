//! `--dcs-url`: `[scheme://]host[:port][/namespace]` in place of every store that the configuration names.

use super::{CtlError, Result};
use serde_json::{Value, json};

/// Schemes with the port that each of them is at home at. The first one with a port names the scheme where none is
/// given.
const SCHEMES: [(&str, u16); 5] =
    [("etcd", 2379), ("etcd3", 2379), ("consul", 8500), ("zookeeper", 2181), ("exhibitor", 8181)];

/// Sections that name a store.
const STORES: [&str; 8] = ["consul", "etcd", "etcd3", "exhibitor", "kubernetes", "raft", "zookeeper", "local"];

/// Puts the store into the configuration.
pub(super) fn put(document: &mut Value, url: &str) -> Result<()> {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (address, namespace) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_and_port(address)?;
    let scheme = match (scheme, port) {
        ("", None) => "etcd",
        ("", Some(port)) => SCHEMES.iter().find(|(_, at_home)| *at_home == port).map_or("etcd", |(name, _)| name),
        (scheme, _) => scheme,
    };
    let Some((name, at_home)) = SCHEMES.iter().find(|(name, _)| *name == scheme) else {
        return Err(CtlError::new(format!("Unknown dcs scheme: {scheme}")));
    };
    let port = port.unwrap_or(*at_home);
    let host = if host.is_empty() { "localhost" } else { host };
    let section = match *name {
        "exhibitor" => json!({"hosts": [host], "port": port}),
        "zookeeper" => json!({"hosts": [format!("{host}:{port}")]}),
        _ => json!({"host": format!("{host}:{port}")}),
    };
    let Some(map) = document.as_object_mut() else {
        return Err(CtlError::new("the configuration is not a dictionary"));
    };
    map.retain(|key, _| !STORES.contains(&key.as_str()));
    map.insert((*name).to_owned(), section);
    if !namespace.trim_matches('/').is_empty() {
        map.insert("namespace".to_owned(), json!(format!("/{namespace}")));
    }
    Ok(())
}

/// Addresses of version 6 stand in brackets.
fn host_and_port(address: &str) -> Result<(&str, Option<u16>)> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (address, None),
    };
    let wrong = || CtlError::new(format!("{address} is no address of a store"));
    Ok((host, port.map(|port| port.parse().map_err(|_| wrong())).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTL-05.
    #[test]
    fn an_address_replaces_every_store() {
        let check = |url: &str, expected: Value| {
            let mut document = json!({"scope": "s", "etcd": {"host": "x"}, "local": {"path": "y"}});
            put(&mut document, url).unwrap();
            let mut all = json!({"scope": "s"});
            crate::config::merge_patch(&mut all, &expected);
            assert_eq!(document, all, "{url}");
        };
        check("h", json!({"etcd": {"host": "h:2379"}}));
        check("h:8500", json!({"consul": {"host": "h:8500"}}));
        check("h:2379", json!({"etcd": {"host": "h:2379"}}));
        check("h:1", json!({"etcd": {"host": "h:1"}}));
        check("etcd3://h:2/ns", json!({"etcd3": {"host": "h:2"}, "namespace": "/ns"}));
        check("etcd3://h/", json!({"etcd3": {"host": "h:2379"}}));
        check("zookeeper://[::1]", json!({"zookeeper": {"hosts": ["[::1]:2181"]}}));
        check("exhibitor://h", json!({"exhibitor": {"hosts": ["h"], "port": 8181}}));
        let error = put(&mut json!({}), "foo://x").unwrap_err();
        assert_eq!(error.0, "Unknown dcs scheme: foo");
        assert!(put(&mut json!({}), "etcd://h:x").is_err());
    }
}
