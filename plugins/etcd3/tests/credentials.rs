//! Users, tokens, certificates.

mod support;

use etcd_client::{Client, Permission, PermissionType, PutOptions, RoleRevokePermissionOptions, UserAddOptions};
use regent_plugin_api::host::{ErrorKind, Expect, KeyKind};
use std::path::Path;
use support::certificates::Certificates;
use support::server::{Setup, Store};
use support::{BUDGET, PATIENCE, eventually, key, lasting, load};

/// A store where `regent` with the password `pa ss` may do everything below `/service/`.
async fn store_with_users() -> (Store, Client) {
    // Hashing is to cost little here.
    let setup = Setup { arguments: vec!["--bcrypt-cost".to_owned(), "4".to_owned()], ..Setup::default() };
    let store = Store::with(setup).await;
    let mut client = store.client().await;
    let none: Option<UserAddOptions> = None;
    for (user, password) in [("root", "root"), ("regent", "pa ss")] {
        client.user_add(user, password, none.clone()).await.expect("a user");
        client.role_add(user).await.expect("a role");
        client.user_grant_role(user, user).await.expect("granted");
    }
    let everything = Permission::new(PermissionType::Readwrite, "/service/").with_prefix();
    client.role_grant_permission("regent", everything).await.expect("granted");
    (store, client)
}

fn section(store: &Store, username: &str, password: &str) -> String {
    let hosts = store.section();
    let hosts = hosts.trim_end_matches('}');
    format!("{hosts}, \"username\": \"{username}\", \"password\": \"{password}\"}}")
}

/// ETCD-04
#[tokio::test(flavor = "multi_thread")]
async fn users_are_asked_for_their_password_when_the_store_wants_it() {
    let (store, mut root) = store_with_users().await;
    let a = lasting("a", &section(&store, "regent", "pa ss")).await;
    load(&a).await;
    a.touch_member(BUDGET, b"{}".to_vec()).await.expect("no token is needed yet");
    root.auth_enable().await.expect("from now on");
    let lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("with a token").expect("it is free");
    let nobody = lasting("b", &store.section()).await;
    assert_eq!(nobody.load(BUDGET).await.expect_err("no user").kind, ErrorKind::Auth);
    let wrong = lasting("b", &section(&store, "regent", "secret")).await;
    let error = wrong.load(BUDGET).await.expect_err("no such password");
    assert_eq!(error.kind, ErrorKind::Auth);
    assert!(!error.message.contains("secret"), "{error}");
    let host = format!("{{\"url\": \"http://regent:pa%20ss@{}\"}}", store.servers[0].address());
    load(&lasting("b", &host).await).await;
    a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").expect("it is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ended_is_renewed_for_requests_and_for_the_watch() {
    let (mut store, mut root) = store_with_users().await;
    root.auth_enable().await.expect("from now on");
    let (a, b) = (
        lasting("a", &section(&store, "regent", "pa ss")).await,
        lasting("b", &section(&store, "regent", "pa ss")).await,
    );
    let mut lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    let mut changes = b.changes();
    b.set_cursor(load(&b).await.cursor);
    for round in 0..2 {
        // A server keeps tokens in its memory.
        store.servers[0].kill();
        store.servers[0].restart().await;
        lease = a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").expect("it is ours");
        let answer = a.put(BUDGET, key(KeyKind::Config), vec![round], Expect::Any).await;
        answer.expect("a verdict").expect("written");
        tokio::time::timeout(PATIENCE, changes.changed()).await.expect("it wakes").expect("it is open");
        let mut cursor = None;
        eventually("it can be read", async || {
            cursor = b.load(BUDGET).await.ok().map(|snapshot| snapshot.cursor);
            cursor.is_some().then_some(())
        })
        .await;
        b.set_cursor(cursor.expect("it was read"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_do_is_no_matter_of_tokens() {
    let (store, mut root) = store_with_users().await;
    let all: Option<RoleRevokePermissionOptions> = Some(RoleRevokePermissionOptions::new().with_prefix());
    root.role_revoke_permission("regent", "/service/", all).await.expect("revoked");
    root.auth_enable().await.expect("from now on");
    let a = lasting("a", &section(&store, "regent", "pa ss")).await;
    let error = a.load(BUDGET).await.expect_err("it is not permitted");
    assert_eq!(error.kind, ErrorKind::Auth, "{error}");
    let mut as_root = Client::connect(
        [store.servers[0].address()],
        Some(etcd_client::ConnectOptions::new().with_user("root", "root")),
    )
    .await
    .expect("it connects");
    let everything = Permission::new(PermissionType::Readwrite, "/service/").with_prefix();
    as_root.role_grant_permission("regent", everything).await.expect("granted");
    let options: Option<PutOptions> = None;
    as_root.put("/service/demo/config", "{}", options).await.expect("written");
    assert_eq!(load(&a).await.entries.len(), 1);
}

/// The member can read the store, or says why not.
async fn reads(section: &str) -> Result<(), String> {
    let a = lasting("a", section).await;
    a.load(std::time::Duration::from_secs(2)).await.map_err(|error| error.to_string())?;
    a.touch_member(BUDGET, b"{}".to_vec()).await.map_err(|error| error.to_string())
}

/// ETCD-05, ETCD-12
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_show_certificates() {
    let certificates = Certificates::new();
    let ours = certificates.authority("ours");
    let foreign = certificates.authority("foreign");
    certificates.leaf("server", "127.0.0.1", &ours);
    certificates.leaf("client", "client", &ours);
    certificates.leaf("stranger", "client", &foreign);
    let store = certificates.store("server", Some("ours"), &[]).await;
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
    let store = certificates.store("server", None, &[]).await;
    let why = reads(&certificates.section(&store, Some("ours"), None)).await.expect_err("another name");
    assert!(why.contains("not valid for name"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_self_signed_certificate_for_everything_is_enough() {
    let certificates = Certificates::new();
    certificates.self_signed("all");
    certificates.self_signed("other");
    let store = certificates.store("all", None, &[]).await;
    assert_eq!(reads(&certificates.section(&store, Some("all"), None)).await, Ok(()));
    reads(&certificates.section(&store, Some("other"), None)).await.expect_err("not the one that is trusted");
    assert!(Path::new(&certificates.path("all.key")).exists());
}
