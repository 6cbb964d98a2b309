//! Certificates, over the older API.

mod support;

use regent_plugin_api::host::{Expect, KeyKind};
use std::time::Duration;
use support::certificates::Certificates;
use support::{BUDGET, key, member};

/// The member can read the store and write to it, or says why not.
async fn reads(section: &str) -> Result<(), String> {
    let a = member("a", section).await;
    a.load(Duration::from_secs(2)).await.map_err(|error| error.to_string())?;
    let written = a.put(BUDGET, key(KeyKind::Config), b"{}".to_vec(), Expect::Any).await;
    written.map(drop).map_err(|error| error.to_string())
}

/// ETCD-05, ETCD-12: the version of the protocol is the servers' and ours to agree on.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_show_certificates() {
    let certificates = Certificates::new();
    let ours = certificates.authority("ours");
    let foreign = certificates.authority("foreign");
    certificates.leaf("server", "127.0.0.1", &ours);
    certificates.leaf("client", "client", &ours);
    certificates.leaf("stranger", "client", &foreign);
    let store = certificates.store("server", Some("ours"), &["--enable-v2=true"]).await;
    let check = async |authority, identity| reads(&certificates.section(&store, authority, identity)).await;
    assert_eq!(check(Some("ours"), Some("client")).await, Ok(()));
    let why = check(Some("foreign"), Some("client")).await.expect_err("an unknown authority");
    assert!(why.contains("UnknownIssuer") || why.contains("certificate"), "{why}");
    check(None, Some("client")).await.expect_err("the system does not know our authority");
    check(Some("ours"), None).await.expect_err("clients must show a certificate");
    check(Some("ours"), Some("stranger")).await.expect_err("of the right authority");
    let plain = format!("{{\"host\": \"{}\"}}", store.servers[0].address());
    reads(&plain).await.expect_err("clients must encrypt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_host_is_refused() {
    let certificates = Certificates::new();
    let ours = certificates.authority("ours");
    certificates.leaf("server", "elsewhere.example.com", &ours);
    let store = certificates.store("server", None, &["--enable-v2=true"]).await;
    let why = reads(&certificates.section(&store, Some("ours"), None)).await.expect_err("another name");
    assert!(why.contains("not valid for name"), "{why}");
}
