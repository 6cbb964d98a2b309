//! PostgreSQL refuses to run as root: a test that is root runs itself again as the user `postgres`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs `test`, whose name is `name`, on a runtime of its own, as somebody who may start PostgreSQL. Skipped with a word
/// where that is impossible.
pub fn as_postgres(name: &str, test: impl Future<Output = ()>) {
    if !std::path::Path::new("/usr/lib/postgresql/15/bin/postgres").exists() {
        eprintln!("SKIPPED {name}: PostgreSQL 15 is not installed");
        return;
    }
    if nix::unistd::geteuid().is_root() {
        return again(name);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(test));
}

fn again(name: &str) {
    let Ok(Some(user)) = nix::unistd::User::from_name("postgres") else {
        eprintln!("SKIPPED {name}: we are root, and there is no user postgres to become");
        return;
    };
    let folder = tempfile::Builder::new().prefix("regent-test").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The test's own file may lie where the other user cannot read it.
    let program = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    nix::unistd::chown(&home, Some(user.uid), Some(user.gid)).unwrap();
    let status = Command::new(&program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("TMPDIR", &home)
        .env("HOME", &home)
        .env("REGENT_TEST_AGAIN", "1")
        .current_dir(&home)
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed as user postgres");
}
