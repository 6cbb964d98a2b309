//! Who may change something: networks, host names and members, each from the outside (API-11).

use super::support::*;
use crate::agent::handle::{Published, Snapshot};
use crate::api::Options;
use std::sync::Arc;

/// A cluster whose only member has this address.
fn with_member(api_url: &str) -> Published {
    let mut snapshot: Snapshot = snapshot();
    snapshot.view.members.truncate(1);
    snapshot.view.members[0].api_url = Some(api_url.to_owned());
    Published { cluster: Some(Arc::new(snapshot)), ..leader() }
}

async fn said(published: Published, options: Options, target: &str) -> u16 {
    let mut served = Served::start(published, options).await;
    served.on_request(|_, _| {});
    assert_eq!(served.get("/health").await.code(), 200, "reading is for everybody");
    served.ask("POST", target, None).await.code()
}

/// API-11, API-19
#[tokio::test]
async fn addresses_networks_and_host_names_are_let_in() {
    let check = async |allowlist: &[&str], expected: u16| {
        let allowlist: Vec<String> = allowlist.iter().map(|&entry| entry.to_owned()).collect();
        let options = Options { allowlist: allowlist.clone(), ..Options::default() };
        assert_eq!(said(leader(), options, "/reload").await, expected, "{allowlist:?}");
    };
    check(&[], 202).await;
    check(&["localhost"], 202).await;
    check(&["127.0.0.1"], 202).await;
    check(&["10.0.0.0/8", "127.9.9.9/8"], 202).await;
    check(&["10.0.0.0/8"], 403).await;
    check(&["10.0.0.1", "nonsense/8"], 403).await;
}

#[tokio::test]
async fn members_are_let_in_where_they_are_included() {
    let check = async |url: &str, target: &str, expected: u16| {
        let options = Options { allowlist_include_members: true, ..Options::default() };
        assert_eq!(said(with_member(url), options, target).await, expected, "{url} {target}");
    };
    check("http://127.0.0.1:8008/patroni", "/reload", 202).await;
    check("http://localhost:8008/patroni", "/reload", 202).await;
    check("http://10.0.0.1:8008/patroni", "/reload", 403).await;
    // Members' addresses do not count for this one: no list, no check.
    check("http://10.0.0.1:8008/patroni", "/failsafe", 502).await;
}
