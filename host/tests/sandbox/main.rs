//! Components in their sandbox: what they may do works, and what a hostile one tries is contained. Each test runs the
//! real program that runs components; no server is started.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says what it skips")]

mod guests;
#[path = "../postgres/scenario.rs"]
#[allow(dead_code)]
mod scenario;
mod stream;
#[path = "../postgres/unprivileged.rs"]
mod unprivileged;
mod web;
mod workshop;

use guests::{Trial, bomb};
use regent::postgres;
use scenario::LIMIT;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn paths_outside_the_grants_lead_nowhere() {
    let Some(trial) = Trial::of("hostile").await else { return };
    fs::write(trial.path("secret"), "the secret").unwrap();
    let secret = trial.path("secret").display().to_string();
    for target in ["/etc/passwd", "../../../etc/passwd", "/pgdata/../../../secret", "/pgdata/../../../../../etc/passwd"]
    {
        trial.fails_with("read", target, "was refused").await;
    }
    trial.fails_with("read", &secret, "was refused").await;
    trial.fails_with("read", "/proc/self/environ", "was refused").await;
    trial.fails_with("write", &trial.path("new").display().to_string(), "was refused").await;
    assert!(!trial.path("new").exists());
    for target in ["/etc/passwd", "../../../secret", "/proc/self/root/etc/passwd", &secret] {
        trial.fails_with("follow", target, "was refused").await;
    }
}

#[tokio::test]
async fn a_granted_folder_is_read_and_only_written_where_that_is_granted_too() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    for name in ["read", "write"] {
        fs::create_dir(trial.path(name)).unwrap();
        fs::write(trial.path(name).join("file"), "the backup").unwrap();
        trial.grant(name, &format!("/{name}"), name == "write");
    }
    trial.fails_with("read", "/read/file", "got through: the backup").await;
    trial.fails_with("write", "/read/file", "was refused").await;
    trial.fails_with("write", "/read/new", "was refused").await;
    assert_eq!(fs::read_to_string(trial.path("read/file")).unwrap(), "the backup");
    assert!(!trial.path("read/new").exists());
    trial.fails_with("write", "/write/new", "got through").await;
    assert_eq!(fs::read_to_string(trial.path("write/new")).unwrap(), "owned");
}

#[tokio::test]
async fn a_planted_link_never_gets_into_the_data_directory() {
    let Some(trial) = Trial::of("hostile").await else { return };
    fs::create_dir(trial.path("precious")).unwrap();
    fs::write(trial.path("precious/file"), "x").unwrap();
    // Relative to the place where it will be in the end, and to the one where it is made.
    for target in ["../precious", "../../precious", "../../../precious"] {
        trial.fails_with("plant", target, "is a link").await;
        assert!(trial.path("precious/file").exists(), "a link was followed");
        assert!(!trial.data_dir().join("PG_VERSION").exists());
    }
}

#[tokio::test]
async fn nobody_else_can_read_what_was_made() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    let wal = trial.path("wal");
    fs::create_dir(&wal).unwrap();
    trial.grant("wal", "/wal", true);
    trial.sandbox.directories[0].link = Some("pg_wal".into());
    trial.run("open", "").await.unwrap();
    let data = trial.data_dir();
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(""), mode("base/1"), mode("PG_VERSION"), mode("base/1/2")), (0o700, 0o700, 0o600, 0o600));
    assert_eq!(fs::read_link(data.join("pg_wal")).unwrap(), wal);
}

#[tokio::test]
async fn only_granted_servers_are_reached() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    let granted = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |listener: &std::net::TcpListener| listener.local_addr().unwrap().to_string();
    trial.fails_with("connect", &address(&other), "was refused").await;
    trial.sandbox.hosts = vec![address(&granted)];
    trial.fails_with("connect", &address(&granted), "got through: connected").await;
    trial.fails_with("connect", &address(&other), "was refused").await;
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "a connection came through");
}

#[tokio::test]
async fn an_endless_loop_ends_with_its_time() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    trial.sandbox.timeout = Some(Duration::from_secs(2));
    trial.fails_with("spin", "", "`timeout` of the method").await;
}

#[tokio::test]
async fn a_cancelled_component_is_gone() {
    let Some(trial) = Trial::of("hostile").await else { return };
    let spinning = tokio::sync::Notify::new();
    let heard = |progress: regent::methods::Progress| {
        assert_eq!(progress.message, "spinning");
        spinning.notify_one();
    };
    let run = trial.run_and_hear("spin", "", &heard);
    let began = async { tokio::time::timeout(LIMIT, spinning.notified()).await };
    tokio::select! {
        ended = run => panic!("it ended by itself: {ended:?}"),
        began = began => began.unwrap(),
    }
    tokio::time::timeout(LIMIT, postgres::settled()).await.unwrap();
    // What it left behind makes no data directory, and is in nobody's way.
    assert_eq!(postgres::data_directory(&trial.data_dir()), regent_core::model::DataDirectory::Empty);
    trial.run("open", "").await.unwrap();
}

#[tokio::test]
async fn memory_is_bounded() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    trial.sandbox.memory_bytes_max = 32 << 20;
    trial.fails_with("hoard", "", "`memory` of the method allows 32768").await;
}

#[tokio::test]
async fn a_component_that_cannot_be_compiled_in_time_is_given_up() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    let file = trial.path("bomb.wasm");
    fs::write(&file, bomb()).unwrap();
    trial.sandbox.component = file;
    trial.sandbox.timeout = Some(Duration::from_secs(2));
    // It runs out of time while it is compiled, or before; on a fast machine out of memory.
    let error = trial.run("", "").await.unwrap_err();
    assert!(error.contains("longer than 2 seconds") || error.contains("the process of the method"), "{error}");
}

#[tokio::test]
async fn a_flood_of_output_is_dammed() {
    let Some(trial) = Trial::of("hostile").await else { return };
    trial.fails_with("flood", "", "wrote it all").await;
    let heard = AtomicUsize::new(0);
    let count = |progress: regent::methods::Progress| {
        assert!(progress.message.len() < 1000);
        heard.fetch_add(1, Ordering::Relaxed);
    };
    let error = trial.run_and_hear("chatter", "", &count).await.unwrap_err();
    assert!(error.contains("said it all"), "{error}");
    assert!(heard.load(Ordering::Relaxed) < 5_000, "every word was passed on");
}

#[tokio::test]
async fn what_breaks_down_breaks_nothing_else() {
    let Some(trial) = Trial::of("hostile").await else { return };
    for deed in ["panic", "trap", "recurse"] {
        trial.fails_with(deed, "", "it broke down").await;
    }
    let error = trial.run("lie", "").await.unwrap_err();
    assert!(error.len() < 10_000 && !error.contains('\x1b') && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn its_surroundings_are_what_was_configured() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    trial.sandbox.environment.insert("REGION".into(), "north".into());
    trial.fails_with("environment", "", r#"[("REGION", "north")]"#).await;
}

#[tokio::test]
async fn another_file_than_the_one_that_was_meant_is_not_run() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    trial.sandbox.sha256 = Some("00".into());
    trial.fails_with("open", "", "`sha256` of the method asks for 00").await;
    trial.sandbox.sha256 = None;
    for (bytes, reason) in [
        (&b"\0asm\x01\0\0\0"[..], "is a module, not a component"),
        (b"\0asm\x0d\0\x01\0", "has no function create-replica"),
        (b"#!/bin/sh\n", "cannot be compiled"),
    ] {
        trial.sandbox.component = trial.path("other.wasm");
        fs::write(&trial.sandbox.component, bytes).unwrap();
        trial.fails_with("open", "", reason).await;
    }
    trial.sandbox.component = trial.path("missing.wasm");
    trial.fails_with("open", "", "cannot read").await;
}

/// The method that is shipped: a backup in tar form, its tablespace and its log in their own places.
#[tokio::test]
async fn a_backup_in_tar_form_is_restored() {
    let Some(mut trial) = Trial::of("tar_restore").await else { return };
    for folder in ["made/base/1", "made/pg_tblspc", "made/pg_wal", "wals", "tables/PG_15_1/1", "backup", "wal", "space"]
    {
        fs::create_dir_all(trial.path(folder)).unwrap();
    }
    let long = "x".repeat(150);
    let pages = vec![7; 3_000_000];
    fs::write(trial.path("made/PG_VERSION"), "15\n").unwrap();
    fs::write(trial.path("made/base/1/2"), &pages).unwrap();
    fs::write(trial.path("made/base/1").join(&long), "a long name").unwrap();
    fs::write(trial.path("wals/000000010000000000000001"), "wal").unwrap();
    fs::write(trial.path("tables/PG_15_1/1/3"), "row").unwrap();
    std::os::unix::fs::symlink("/elsewhere", trial.path("made/pg_tblspc/16384")).unwrap();
    for (archive, options, folder) in
        [("base.tar.gz", "-czf", "made"), ("pg_wal.tar", "-cf", "wals"), ("16384.tar", "-cf", "tables")]
    {
        let archive = trial.path("backup").join(archive);
        let mut tar = std::process::Command::new("tar");
        assert!(tar.arg(options).arg(archive).arg("-C").arg(trial.path(folder)).arg(".").status().unwrap().success());
    }
    trial.fails_with("", "", "`directory` is missing").await;
    trial.parameters.push(("directory".into(), "/backup".into()));
    trial.fails_with("", "", "/backup").await;
    trial.grant("backup", "/backup", false);
    trial.fails_with("", "", "link: pg_tblspc/16384").await;
    for (name, link) in [("space", "pg_tblspc/16384"), ("wal", "pg_wal")] {
        trial.grant(name, &format!("/{name}"), true);
        trial.sandbox.directories.last_mut().unwrap().link = Some(link.into());
    }
    let heard = AtomicUsize::new(0);
    let count = |progress: regent::methods::Progress| {
        heard.fetch_add(usize::from(progress.files.is_some_and(|files| files > 0)), Ordering::Relaxed);
    };
    trial.run_and_hear("", "", &count).await.unwrap();
    assert!(heard.load(Ordering::Relaxed) > 0, "it said nothing of how far it was");
    let data = trial.data_dir();
    assert_eq!(fs::read(data.join("base/1/2")).unwrap(), pages);
    assert_eq!(fs::read_to_string(data.join("base/1").join(&long)).unwrap(), "a long name");
    assert_eq!(fs::read_to_string(data.join("pg_tblspc/16384/PG_15_1/1/3")).unwrap(), "row");
    assert_eq!(fs::read_link(data.join("pg_tblspc/16384")).unwrap(), trial.path("space"));
    assert!(data.join("pg_wal/000000010000000000000001").exists() && data.join("pg_wal").is_symlink());
    // A part of an archive makes no part of a data directory.
    let whole = fs::read(trial.path("backup/base.tar.gz")).unwrap();
    fs::write(trial.path("backup/base.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    trial.fails_with("", "", "base.tar.gz").await;
}

/// The shipped method in another language: a backup that lies in a folder as files.
#[tokio::test]
async fn a_folder_is_copied_by_a_component_in_c() {
    let (Some(mut trial), Some(component)) = (Trial::of("hostile").await, guests::in_c()) else { return };
    trial.sandbox.component = component;
    for folder in ["backup/base/1", "backup/pg_wal", "backup/pg_replslot/old", "wal"] {
        fs::create_dir_all(trial.path(folder)).unwrap();
    }
    let pages = vec![7; 3_000_000];
    for (file, bytes) in [
        ("PG_VERSION", &b"15\n"[..]),
        ("base/1/2", &pages),
        ("postmaster.pid", b"1"),
        ("pg_wal/0001", b"wal"),
        ("pg_replslot/old/state", b"s"),
    ] {
        fs::write(trial.path("backup").join(file), bytes).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", trial.path("backup/base/link")).unwrap();
    trial.fails_with("", "", "exited with code=1").await;
    trial.parameters.push(("directory".into(), "/backup".into()));
    trial.fails_with("", "", "exited with code=1").await;
    trial.grant("backup", "/backup", false);
    trial.grant("wal", "/wal", true);
    trial.sandbox.directories.last_mut().unwrap().link = Some("pg_wal".into());
    trial.parameters.push(("wal".into(), "/wal".into()));
    trial.run("", "").await.unwrap();
    let data = trial.data_dir();
    assert_eq!(fs::read(data.join("base/1/2")).unwrap(), pages);
    assert_eq!(fs::read_to_string(data.join("pg_wal/0001")).unwrap(), "wal");
    assert!(data.join("pg_wal").is_symlink() && data.join("pg_replslot").is_dir());
    for left_out in ["postmaster.pid", "base/link", "pg_replslot/old"] {
        assert!(!data.join(left_out).exists() && !data.join(left_out).is_symlink(), "{left_out} was copied");
    }
}

/// What holds the process, should a component ever get out of its sandbox.
#[tokio::test]
async fn the_process_of_a_component_is_bounded() {
    let Some(mut trial) = Trial::of("hostile").await else { return };
    trial.sandbox.timeout = Some(Duration::from_secs(100));
    let spinning = tokio::sync::Notify::new();
    let held = AtomicUsize::new(0);
    let look = |_| {
        held.fetch_add(usize::from(bounds_of_children() > 0), Ordering::Relaxed);
        spinning.notify_one();
    };
    let run = trial.run_and_hear("spin", "", &look);
    let began = async { tokio::time::timeout(LIMIT, spinning.notified()).await };
    tokio::select! {
        ended = run => panic!("it ended by itself: {ended:?}"),
        began = began => began.unwrap(),
    }
    assert!(held.load(Ordering::Relaxed) > 0, "no process was found with its bounds");
    tokio::time::timeout(LIMIT, postgres::settled()).await.unwrap();
}

/// How many processes that run components have all their bounds.
fn bounds_of_children() -> usize {
    let bounded = |folder: &std::path::Path| {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let line = |text: &str, name: &str| {
            text.lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (limits, status) = (read("limits"), read("status"));
        read("cmdline").contains("method\0execute")
            && line(&status, "NoNewPrivs:") == "NoNewPrivs: 1"
            && line(&limits, "Max open files").starts_with("Max open files 1024 1024")
            && line(&limits, "Max core file size").starts_with("Max core file size 0 0")
            && !line(&limits, "Max data size").contains("unlimited")
            && !line(&limits, "Max address space").contains("unlimited")
            && !line(&limits, "Max cpu time").contains("unlimited")
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| bounded(&entry.path())).count()
}

/// BOOT-08, BOOT-10: the arguments of any command.
#[tokio::test]
async fn a_plain_command_is_called_as_any_command() {
    let Some(mut trial) = Trial::of("plain-command").await else { return };
    trial.run("x", "y z").await.unwrap();
    let arguments = fs::read_to_string(trial.data_dir().join("arguments")).unwrap();
    assert_eq!(arguments, "--scope=demo\n--role=replica\n--datadir=/pgdata\n--connstring=\n--deed=x\n--target=y z");
    trial.no_params = true;
    trial.fails_with("x", "", "exited with code=1").await;
}
