//! A backend object that the host opened anew in place of one that it left behind: the lock is the member's, not the
//! object's.

use regent_plugin_api::host::{Backend, OpenOptions, Plugin};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUDGET: Duration = Duration::from_secs(20);

async fn member(folder: &Path) -> Backend {
    let test = std::env::current_exe().expect("a test has an executable");
    let beside = test.parent().expect("it lies in a folder");
    let candidates = [beside.join("libregent_dcs_local.so"), beside.join("../libregent_dcs_local.so")];
    let library: PathBuf = candidates.into_iter().find(|path| path.exists()).expect("cargo built the library");
    let options = OpenOptions {
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        member: "a".to_owned(),
        ttl: Duration::from_secs(600),
        loop_wait: Duration::from_secs(1),
        retry_timeout: Duration::from_secs(3),
        config_json: format!("{{\"path\": {:?}}}", folder.join("store.db")),
    };
    let plugin = Plugin::load(&library, None).expect("our own plugin loads");
    Backend::open(&plugin, options).await.expect("the store opens")
}

/// After a short outage of the store a leader was stopped: the first renewal by the new object told of a session that
/// the lock did not have, and so the second was refused.
#[tokio::test]
async fn a_lock_outlives_the_object_that_took_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = member(folder.path()).await;
    let mut lease =
        first.acquire_leader(BUDGET, b"a".to_vec(), Vec::new()).await.expect("it answers").expect("it is free");
    let second = member(folder.path()).await;
    for round in 1..=3 {
        let renewed = second.renew_leader(BUDGET, lease, Vec::new()).await.expect("it answers");
        lease = renewed.unwrap_or_else(|| panic!("renewal {round} was refused"));
    }
    assert!(first.renew_leader(BUDGET, lease, Vec::new()).await.expect("it answers").is_some());
}
