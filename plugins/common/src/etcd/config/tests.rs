//! The matrix of options (ETCD-02, ETCD-03, ETCD-05), good and bad.

use super::*;
use regent_plugin_sdk::ErrorKind;

fn read(json: &str) -> std::result::Result<Config, String> {
    Config::read("etcd3", json).map_err(|error| {
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.message
    })
}

#[test]
fn servers_are_named_in_many_ways() {
    let check = |json: &str, expected: &[&str]| {
        let named: Vec<_> = read(json).unwrap().named.iter().map(Endpoint::to_string).collect();
        assert_eq!(named, expected, "{json}");
    };
    check(r#"{"host": "a"}"#, &["http://a:2379"]);
    check(r#"{"host": "a:1"}"#, &["http://a:1"]);
    check(r#"{"host": "a", "port": 5}"#, &["http://a:5"]);
    check(r#"{"host": "a", "port": "5"}"#, &["http://a:5"]);
    check(r#"{"hosts": ["a", "b:3"], "host": "ignored"}"#, &["http://a:2379", "http://b:3"]);
    check(r#"{"hosts": "a, b:3 ,,a", "protocol": "https"}"#, &["https://a:2379", "https://b:3"]);
    check(r#"{"hosts": "[::1]:4,b"}"#, &["http://[::1]:4", "http://b:2379"]);
    check(r#"{"hosts": "[::1]:4"}"#, &["http://[::1]:4"]);
    check(r#"{"url": "https://u:p@a:4", "hosts": "b"}"#, &["https://a:4"]);
    check(r#"{"proxy": "http://p:4", "url": "http://a"}"#, &["http://p:4"]);
    check(r#"{"srv": "example.com"}"#, &[]);
    check(r#"{"host": "a", "namespace": "x", "ttl": 30}"#, &["http://a:2379"]);
}

#[test]
fn what_makes_no_sense_is_named() {
    let check = |json: &str, expected: &str| assert_eq!(read(json).unwrap_err(), expected, "{json}");
    check("[]", "etcd3: the section must be a mapping");
    check("{}", "etcd3: one of host, hosts, url, proxy or srv must say where the servers are");
    check(r#"{"host": "a", "port": 0}"#, r#"etcd3.port: "0" is no port from 1 to 65535"#);
    check(r#"{"host": ["a"]}"#, "etcd3.host: must be a text");
    check(r#"{"hosts": [1]}"#, "etcd3.hosts: must be a list of host:port, or such a list with commas");
    check(r#"{"hosts": ["a:b"]}"#, r#"etcd3.hosts: "b" is no port from 1 to 65535"#);
    check(r#"{"host": "a", "protocol": "ftp"}"#, r#"etcd3.protocol: the protocol must be http or https, not "ftp""#);
    check(r#"{"url": "http://u:secret@"}"#, "etcd3.url: names no host");
    check(r#"{"host": "a", "use_proxies": "maybe"}"#, "etcd3.use_proxies: must be true or false");
    check(r#"{"host": "a", "cacert": "/no/such"}"#, "etcd3.cacert: /no/such: No such file or directory (os error 2)");
    check(r#"{"host": "a", "key": "/no/such"}"#, "etcd3.cert: must be given together with key");
}

#[test]
fn who_we_are_and_how_we_ask() {
    let config = read(r#"{"proxy": "http://u:p@a"}"#).unwrap();
    assert!(config.use_proxies);
    assert_eq!(config.credentials.unwrap().password, "p");
    let config = read(r#"{"url": "http://u:p@a", "username": "x", "password": " y"}"#).unwrap();
    assert!(!config.use_proxies);
    assert_eq!(config.credentials.unwrap().password, " y");
    assert_eq!(read(r#"{"host": "a", "username": "x"}"#).unwrap().credentials, None);
    assert!(read(r#"{"host": "a", "use_proxies": "on"}"#).unwrap().use_proxies);
    for key in ["srv", "discovery_srv", "srv_domain"] {
        let config = read(&format!(r#"{{"{key}": "example.com", "srv_suffix": "x"}}"#)).unwrap();
        let srv = config.srv.unwrap();
        assert_eq!((srv.domain.as_str(), srv.suffix.as_deref()), ("example.com", Some("x")));
    }
    assert_eq!(read(r#"{"url": "http://a", "srv": "example.com"}"#).unwrap().srv, None);
}
