//! Replica methods as commands, run for real: shell scripts that write down how they were called.

use super::*;
use regent_core::model::{MethodSettings, Secret};
use std::fs;

/// A member whose methods are shell scripts, and a folder for what they write down.
struct Place {
    folder: tempfile::TempDir,
    methods: Vec<MethodSettings>,
}

/// `$d` is the data directory, `$out` the folder. What a script calls `arguments` and `environment` it leaves there.
const PRELUDE: &str =
    "for a in \"$@\"; do case \"$a\" in --datadir=*) d=${a#--datadir=};; esac; done; out=$0; d=${d:-$out/data};";

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), methods: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn method(mut self, name: &str, script: &str, change: impl FnOnce(&mut MethodSettings)) -> Place {
        let file = self.path(&format!("{name}.sh"));
        fs::write(&file, format!("{PRELUDE}\n{script}\n")).unwrap();
        // `sh -c '. FILE' OUT ARGUMENTS`: the folder is `$0`.
        let command = format!("/bin/sh -c '. {}' {}", file.display(), self.folder.path().display());
        let mut method = MethodSettings { name: name.into(), command: Some(command), ..MethodSettings::default() };
        change(&mut method);
        self.methods.push(method);
        self
    }

    fn server(&self) -> Server {
        Server::for_tests(|settings| {
            (settings.data_dir, settings.config_dir) = (self.path("data"), self.path("data"));
            settings.pgpass = self.path("pgpass");
            settings.accounts.replication.username = Some("rep".into());
            settings.accounts.replication.password = Some(Secret("hidden".into()));
            settings.methods = self.methods.iter().map(|method| (method.name.clone(), method.clone())).collect();
        })
    }

    fn order(&self) -> Vec<String> {
        self.methods.iter().map(|method| method.name.clone()).collect()
    }

    async fn create(&self, source: Option<&Source>) -> Result<String, String> {
        let (server, order) = (self.server(), self.order());
        create_replica(&server, source, &order, &|_| {}).await.map_err(|error| error.to_string())
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

fn source() -> Source {
    Source { name: "b".into(), host: "h".into(), port: "5433".into(), slot: None }
}

const MAKE: &str = "mkdir -p \"$d\" && echo 15 >\"$d/PG_VERSION\"";

#[tokio::test]
async fn one_method_after_another_until_one_works() {
    // BOOT-08: the second starts in an empty folder, and the third is never asked.
    let place = Place::new()
        .method("broken", "mkdir -p \"$d\"; echo junk >\"$d/junk\"; exit 3", |_| {})
        .method("good", &format!("ls -A \"$d\" >\"$out/before\"; echo \"$@\" >\"$out/arguments\"; {MAKE}"), |method| {
            method.arguments = vec![("threshold".into(), "10".into())];
        })
        .method("never", "touch \"$out/asked\"", |_| {});
    assert_eq!(place.create(Some(&source())).await.unwrap(), "good");
    assert_eq!(place.written("before"), "");
    assert!(place.path("data/PG_VERSION").exists() && !place.path("asked").exists());
    let expected = format!(
        "--scope=demo --role=replica --datadir={} --connstring=dbname=postgres user=rep host=h port=5433 --threshold=10\n",
        place.path("data").display()
    );
    assert_eq!(place.written("arguments"), expected);
}

#[tokio::test]
async fn what_failed_is_gone_unless_the_method_keeps_it() {
    // BOOT-10
    let junk = "mkdir -p \"$d\"; echo junk >\"$d/junk\"; exit 3";
    let place = Place::new().method("m", junk, |_| {});
    let error = place.create(Some(&source())).await.unwrap_err();
    assert!(error.contains("exited with code=3"), "{error}");
    assert!(!place.path("data/junk").exists());
    for no_params in [false, true] {
        let place = Place::new().method("m", junk, |method| (method.keep_data, method.no_params) = (true, no_params));
        fs::create_dir(place.path("data")).unwrap();
        fs::write(place.path("data/old"), "").unwrap();
        place.create(Some(&source())).await.unwrap_err();
        assert!(place.path("data/junk").exists() && place.path("data/old").exists());
    }
}

#[tokio::test]
async fn without_a_source_only_those_that_need_none_are_asked() {
    // BOOT-07
    let place = Place::new().method("needs", &format!("touch \"$out/asked\"; {MAKE}"), |_| {}).method(
        "alone",
        &format!("echo \"$@\" >\"$out/arguments\"; env >\"$out/environment\"; {MAKE}"),
        |method| method.no_leader = true,
    );
    assert_eq!(place.create(None).await.unwrap(), "alone");
    assert!(!place.path("asked").exists());
    assert!(place.written("arguments").contains("--connstring= --no_leader=True"), "{}", place.written("arguments"));
    assert!(!place.written("environment").contains("pgpass"));
    let nobody = Place::new().method("needs", MAKE, |_| {});
    assert_eq!(nobody.create(None).await.unwrap_err(), "no replica method worked: no method fits");
}

#[tokio::test]
async fn the_password_is_in_a_file_that_the_environment_names() {
    let script = format!(
        "cat \"$PGPASSFILE\" >\"$out/passwords\"; env >\"$out/environment\"; echo \"$@\" >\"$out/arguments\"; {MAKE}"
    );
    let place = Place::new().method("m", &script, |_| {});
    place.create(Some(&source())).await.unwrap();
    assert!(place.written("passwords").contains("h:5433:*:rep:hidden"), "{}", place.written("passwords"));
    for elsewhere in ["environment", "arguments"] {
        assert!(!place.written(elsewhere).contains("hidden"), "{elsewhere}");
    }
}

#[tokio::test]
async fn links_of_the_log_and_of_tablespaces_are_kept_and_emptied() {
    // BOOT-13, BOOT-19
    let script = format!(
        "{MAKE}; mkdir -p \"$out/wal\" \"$out/space\" \"$d/pg_tblspc\" && touch \"$out/wal/1\" \"$out/space/2\" && \
         ln -s \"$out/wal\" \"$d/pg_wal\" && ln -s \"$out/space\" \"$d/pg_tblspc/16384\""
    );
    let place = Place::new().method("links", &script, |_| {});
    place.create(Some(&source())).await.unwrap();
    assert!(place.path("data/pg_wal/1").exists() && place.path("data/pg_tblspc/16384/2").exists());
    let again = Place { folder: place.folder, methods: Vec::new() }.method("broken", "exit 1", |_| {});
    again.create(Some(&source())).await.unwrap_err();
    let left = |name: &str| fs::read_dir(again.path(name)).unwrap().count();
    assert_eq!((left("data"), left("wal"), left("space")), (0, 0, 0));
}

#[tokio::test]
async fn work_that_no_server_may_be_started_on_counts_as_none() {
    let place = Place::new()
        .method("lies", "exit 0", |_| {})
        .method("links", &format!("{MAKE}; mkdir \"$d/base\"; ln -s /etc \"$d/base/1\""), |_| {})
        .method("kept", &format!("{MAKE}; mkfifo \"$d/pipe\""), |method| method.keep_data = true);
    let error = place.create(Some(&source())).await.unwrap_err();
    assert!(error.contains("its work was refused"), "{error}");
    // What may not be removed is put aside, that no server starts on it.
    assert!(!place.path("data/PG_VERSION").exists() && place.path("data.failed/PG_VERSION").exists());
}

#[tokio::test]
async fn a_cancelled_method_ends_with_all_that_it_started() {
    let script = "trap '' TERM; sleep 600 & trap 'touch \"$out/told\"; exit 1' TERM; \
                  echo $$ $! >\"$out/new\"; mv \"$out/new\" \"$out/pids\"; \
                  wait";
    let script = &format!("{MAKE}; {script}");
    let place = Place::new().method("m", script, |_| {});
    let (server, order, source) = (place.server(), place.order(), source());
    let started = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while !place.path("pids").exists() {
            pace.tick().await;
        }
    };
    tokio::select! {
        ended = create_replica(&server, Some(&source), &order, &|_| {}) => panic!("it ended by itself: {ended:?}"),
        started = tokio::time::timeout(Duration::from_secs(60), started) => started.unwrap(),
    }
    tokio::time::timeout(Duration::from_secs(60), crate::postgres::settled()).await.unwrap();
    assert!(place.path("told").exists(), "it was not told to end");
    assert!(!place.path("data/PG_VERSION").exists(), "a part of a copy is left");
    let gone = |pid: &str| {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    let pids = place.written("pids");
    let all_gone = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while !pids.split_whitespace().all(gone) {
            pace.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_gone).await.unwrap();
}
