//! The built library, loaded and called as the daemon does it.

use regent_plugin_api::host::{Backend, ErrorKind, Expect, Key, KeyKind, OpenOptions, Plugin};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(5);

/// The library beside this test's executable; cargo builds it together with the test.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().expect("it lies in a folder");
    let candidates = [folder.join("libregent_dcs_local.so"), folder.join("../libregent_dcs_local.so")];
    candidates.into_iter().find(|path| path.exists()).expect("cargo built the library")
}

async fn member(folder: &Path, scope: &str, name: &str, ttl: Duration) -> Backend {
    let plugin = Plugin::load(&library(), None).expect("our own plugin loads");
    assert_eq!(plugin.name(), "local");
    let options = OpenOptions {
        namespace: "/service/".to_owned(),
        scope: scope.to_owned(),
        member: name.to_owned(),
        ttl,
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: format!("{{\"path\": {:?}}}", folder.join("store.db")),
    };
    Backend::open(&plugin, options).await.expect("the store opens")
}

fn config() -> Key {
    Key::of(KeyKind::Config)
}

#[tokio::test]
async fn only_one_member_has_the_lock_and_it_ends_with_the_ttl() {
    let folder = tempfile::tempdir().expect("a folder");
    let ttl = Duration::from_millis(1500);
    let a = member(folder.path(), "demo", "a", ttl).await;
    let b = member(folder.path(), "demo", "b", ttl).await;
    let lease = a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    assert!(b.acquire_leader(BUDGET, b"b".to_vec(), vec![]).await.expect("a verdict").is_none());
    assert!(a.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").is_some(), "re-entrant");
    let lease = a.renew_leader(BUDGET, lease, vec![]).await.expect("a verdict").expect("it is ours");

    let mut changes = b.changes();
    let snapshot = b.load(BUDGET).await.expect("it can be read");
    assert_eq!(snapshot.entries.len(), 1);
    b.set_cursor(snapshot.cursor);
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("the end of the lock wakes").expect("it is open");
    assert!(b.load(BUDGET).await.expect("it can be read").entries.is_empty());
    assert!(b.acquire_leader(BUDGET, b"b".to_vec(), vec![]).await.expect("a verdict").is_some());
    assert!(a.renew_leader(BUDGET, lease.clone(), vec![]).await.expect("a verdict").is_none(), "it is lost");
    assert!(!a.release_leader(BUDGET, lease, vec![]).await.expect("a verdict"), "only its own");
}

#[tokio::test]
async fn a_restarted_member_takes_its_own_lock_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let ttl = Duration::from_secs(30);
    let before = member(folder.path(), "demo", "a", ttl).await;
    let old = before.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is free");
    let after = member(folder.path(), "demo", "a", ttl).await;
    let new = after.acquire_leader(BUDGET, b"a".to_vec(), vec![]).await.expect("a verdict").expect("it is our name");
    assert!(before.renew_leader(BUDGET, old, vec![]).await.expect("a verdict").is_none(), "the old session lost it");
    assert!(after.renew_leader(BUDGET, new, vec![]).await.expect("a verdict").is_some());
}

#[tokio::test]
async fn writes_compare_versions_and_wake_watchers() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = member(folder.path(), "demo", "a", BUDGET).await;
    let b = member(folder.path(), "demo", "b", BUDGET).await;
    let first = a.put(BUDGET, config(), b"1".to_vec(), Expect::Absent).await.expect("a verdict").expect("absent");
    assert!(a.put(BUDGET, config(), b"2".to_vec(), Expect::Absent).await.expect("a verdict").is_none());
    let mut changes = b.changes();
    b.set_cursor(b.load(BUDGET).await.expect("it can be read").cursor);
    let is = Expect::Is(first.clone());
    let second = a.put(BUDGET, config(), b"\xff\xfe".to_vec(), is).await.expect("a verdict").expect("it matches");
    tokio::time::timeout(BUDGET, changes.changed()).await.expect("a write wakes").expect("it is open");
    assert!(!a.delete(BUDGET, config(), Expect::Is(first)).await.expect("a verdict"), "a stale version");
    assert!(a.delete(BUDGET, config(), Expect::Is(second)).await.expect("a verdict"));
}

#[tokio::test]
async fn clusters_whose_names_begin_alike_do_not_meet() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = member(folder.path(), "demo", "a", BUDGET).await;
    let demo2 = member(folder.path(), "demo2", "a", BUDGET).await;
    for cluster in [&demo, &demo2] {
        cluster.touch_member(BUDGET, b"{}".to_vec()).await.expect("it is written");
    }
    demo.delete_cluster(BUDGET).await.expect("it is removed");
    assert!(demo.load(BUDGET).await.expect("it can be read").entries.is_empty());
    let left = demo2.load(BUDGET).await.expect("it can be read").entries;
    assert_eq!(left[0].key, Key { kind: KeyKind::Member, name: "a".to_owned() });
}

#[tokio::test]
async fn a_file_that_is_no_store_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("store.db"), "this is no database, it is a text of some length")
        .expect("written");
    let a = member(folder.path(), "demo", "a", BUDGET).await;
    let error = a.load(BUDGET).await.expect_err("it can not be read");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("store.db"), "{error}");
    a.close(BUDGET).await;
    assert_eq!(a.load(BUDGET).await.expect_err("it is closed").kind, ErrorKind::Closed);
}

#[test]
fn what_is_no_plugin_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |name: &str, content: Option<&[u8]>, expected: &str| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).expect("written");
        }
        let error = Plugin::load(&path, None).expect_err("it is no plugin").to_string();
        assert!(error.contains(expected) && error.contains(name) && !error.contains('\n'), "{error}");
    };
    let good = std::fs::read(library()).expect("it can be read");
    check("missing.so", None, "No such file");
    check("empty.so", Some(b""), "no ELF magic");
    check("text.so", Some(b"this is a text"), "no ELF magic");
    check("short.so", Some(&good[..40]), "shorter than an ELF header");
    check("truncated.so", Some(&good[..8192]), "truncated");
    let mut other = good.clone();
    other[18] = 183;
    check("other.so", Some(&other), "file is");
    check("", None, "not a regular file");
    let wrong = Plugin::load(&library(), Some("00")).expect_err("another digest").to_string();
    assert!(wrong.contains("sha256"), "{wrong}");
}

/// Processes do not share locks: each here is this test again, as one member that claims the bootstrap beside a watch.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_won_by_one_process_of_many() {
    if let Some(folder) = std::env::var_os("REGENT_TEST_CLAIM") {
        let member = member(Path::new(&folder), "demo", &std::process::id().to_string(), BUDGET).await;
        member.set_cursor(member.load(BUDGET).await.expect("it can be read").cursor);
        let claim = member.put(BUDGET, Key::of(KeyKind::Initialize), Vec::new(), Expect::Absent).await;
        std::process::exit(if claim.expect("a verdict").is_some() { 42 } else { 0 });
    }
    let this = std::env::current_exe().expect("a test has an executable");
    for _ in 0..15 {
        let folder = tempfile::tempdir().expect("a folder");
        let start = |_| {
            let mut command = std::process::Command::new(&this);
            command.args(["--exact", "a_claim_is_won_by_one_process_of_many"]).env("REGENT_TEST_CLAIM", folder.path());
            command.stdout(std::process::Stdio::null()).spawn().expect("it starts")
        };
        let members: Vec<_> = (0..4).map(start).collect();
        let codes = members.into_iter().map(|mut member| member.wait().expect("it ends").code());
        assert_eq!(codes.filter(|code| *code == Some(42)).count(), 1);
    }
}
