//! Other processes that use the file without pause, or keep it: calls wait their turn, and no longer than they may.
//! (In another process each time: locks of one process do not stand in each other's way.)

use regent_plugin_api::host::{Backend, ErrorKind, Expect, Key, KeyKind, OpenOptions, Plugin};
use rusqlite::{Connection, TransactionBehavior};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// Another process, which ends with this.
struct Other(Child);

impl Other {
    /// Runs this test again as the other; it has begun when this comes back.
    fn start(test: &str, folder: &Path) -> Other {
        let mut command = Command::new(std::env::current_exe().expect("a test has an executable"));
        command.args(["--exact", test, "--nocapture"]).env("REGENT_TEST_FOLDER", folder).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
        let mut errors = child.stderr.take().expect("it is piped");
        errors.read_exact(&mut [0]).expect("it begins");
        Other(child)
    }

    /// In the other process: the file.
    fn connection() -> Option<Connection> {
        let folder = PathBuf::from(std::env::var_os("REGENT_TEST_FOLDER")?);
        let connection = Connection::open(folder.join("store.db")).expect("the file");
        connection.busy_timeout(BUDGET).expect("it is set");
        connection.pragma_update(None, "synchronous", "NORMAL").expect("it is set");
        Some(connection)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _gone = (self.0.kill().is_err(), self.0.wait().is_err());
    }
}

const COUNT: &str = "UPDATE counter SET revision = revision + 1";

#[tokio::test]
async fn a_writer_that_never_rests_shuts_nobody_out() {
    if let Some(mut connection) = Other::connection() {
        for number in 0.. {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).expect("its turn");
            transaction.execute(COUNT, []).expect("it counts");
            transaction.commit().expect("it is kept");
            if number == 0 {
                eprintln!("begun");
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let a = member(folder.path()).await;
    a.load(BUDGET).await.expect("it makes the file");
    let _writer = Other::start("a_writer_that_never_rests_shuts_nobody_out", folder.path());
    for round in 0..25_u8 {
        let answer = a.put(BUDGET, Key::of(KeyKind::Config), vec![round], Expect::Any).await;
        assert!(answer.unwrap_or_else(|error| panic!("round {round}: {error}")).is_some());
        let entries = a.load(BUDGET).await.unwrap_or_else(|error| panic!("round {round}: {error}")).entries;
        assert_eq!(entries[0].value, [round]);
    }
}

#[tokio::test]
async fn a_file_that_another_keeps_is_waited_for_until_the_deadline_and_no_longer() {
    if let Some(connection) = Other::connection() {
        connection.execute_batch("BEGIN EXCLUSIVE").expect("its turn");
        eprintln!("begun");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let a = member(folder.path()).await;
    a.load(BUDGET).await.expect("it makes the file");
    let other = Other::start("a_file_that_another_keeps_is_waited_for_until_the_deadline_and_no_longer", folder.path());
    let short = Duration::from_millis(300);
    a.load(BUDGET).await.expect("who reads waits for nobody");
    // Its own answer, not that of a host that gave up on it.
    let error = a.put(short, Key::of(KeyKind::Config), vec![1], Expect::Any).await.expect_err("it is locked");
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("locked"), "{error}");
    drop(other);
    let written = a.put(BUDGET, Key::of(KeyKind::Config), vec![2], Expect::Any).await;
    written.expect("it is free again").expect("nothing was expected");
}
