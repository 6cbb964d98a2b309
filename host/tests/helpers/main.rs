//! The helpers that replace the peer's scripts, called as the daemon calls them, against programs and servers that stand
//! in for the real ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stand_in;

use serde_json::json;
use stand_in::Server;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a helper with these variables.
fn helper(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
    command.arg("helper").args(words).envs(variables.iter().copied());
    command.output().unwrap()
}

fn check(output: &Output, code: i32, said: &str) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(said), "{text}");
}

fn program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

const TABLE: &str = "name\\texpanded_size_bytes\\twal_segment_backup_start\\twal_segment_offset_backup_start\\n";
const ROW: &str = "base_1\\t1000\\t000000010000000000000002\\t40\\n";

/// BOOT-14, BOOT-15: the backup is listed and fetched; what cannot work ends with 2, what may with 1.
#[test]
fn a_backup_of_wal_e_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for name in ["env", "data"] {
        fs::create_dir(at(name)).unwrap();
    }
    program(folder.path(), "envdir", &format!("echo \"envdir $1\" >>'{}'; shift; exec \"$@\"", at("calls")));
    let wal_e = |list: &str, fetch: &str| {
        let text = format!(
            "echo \"$@\" >>'{}'\ncase \"$*\" in *backup-list*) printf '{list}';; *backup-fetch*) {fetch};; esac",
            at("calls")
        );
        program(folder.path(), "wal-e", &text);
    };
    let run = |extra: &[&str]| {
        let _ = fs::remove_file(at("calls"));
        let (envdir, data) = (format!("--envdir={}", at("env")), format!("--datadir={}", at("data")));
        let words = ["wale-restore", "--scope=s", "--role=replica", &envdir, &data, "--retries=0"];
        helper(&[&words[..], extra].concat(), &[("PATH", &path)])
    };
    let calls = || fs::read_to_string(at("calls")).unwrap_or_default();

    // Nobody to compare with: the backup is taken, and the link of another machine is mended.
    wal_e("", &format!("ln -s /nowhere/at/all '{}/pg_wal'", at("data")));
    check(&run(&["--connstring=", "--use_iam=1"]), 0, "");
    assert_eq!(calls(), format!("envdir {}\n--aws-instance-profile backup-fetch {} LATEST\n", at("env"), at("data")));
    assert!(Path::new(&at("data/pg_wal")).is_dir());

    // A server that does not answer: given up, unless there need not be one.
    let nobody = "--connstring=host=127.0.0.1 port=1 user=u";
    wal_e(&format!("{TABLE}{ROW}"), "true");
    check(&run(&[nobody]), 2, "port 1");
    check(&run(&[nobody, "--no_leader=1"]), 0, "going on without");
    assert!(calls().contains("backup-list --detail LATEST"), "{}", calls());
    check(&run(&[nobody, "--no_master=1"]), 0, "going on without");

    wal_e(TABLE, "true");
    check(&run(&[nobody]), 2, "0 backups");
    wal_e(&format!("{TABLE}{ROW}{ROW}"), "true");
    check(&run(&[nobody]), 2, "2 backups");
    wal_e("name\\nx\\n", "true");
    check(&run(&[nobody]), 1, "no usable");
    wal_e("", "exit 7");
    check(&run(&["--retries=1"]), 1, "trying again");
    assert_eq!(calls().matches("backup-fetch").count(), 2);
    check(&helper(&["wale-restore", "--datadir=/x", "--envdir=/missing"], &[]), 2, "/missing is no folder");
    check(&helper(&["wale-restore", "--datadir=/x"], &[]), 2, "--envdir is missing");
}

/// BOOT-20: a restore is begun, asked about until it has ended, and its end is the exit code.
#[test]
fn barman_restores_over_its_api() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |method, path, _| match (method, path) {
        ("GET", "/status") => (200, json!("OK")),
        ("POST", "/servers/main/operations") => (200, json!({"operation_id": "20261121T1"})),
        ("GET", "/servers/main/operations/20261121T1") => {
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            (200, json!({"status": if first { "IN_PROGRESS" } else { "DONE" }}))
        }
        ("POST", "/servers/lost/operations") => (200, json!({"operation_id": "2"})),
        ("GET", "/servers/lost/operations/2") => (200, json!({"status": "FAILED"})),
        _ => (404, json!({"error": "no such server"})),
    });
    let api = format!("--api-url={}", server.url);
    let quick = ["--retry-wait=0", "--max-retries=1"];
    let recover = |name: &str| {
        let server = format!("--barman-server={name}");
        let own = ["--ssh-command=ssh me@here", "--loop-wait=0", "--scope=s", "--role=replica", "--datadir=/data"];
        helper(&[&["barman", &api, "recover", &server][..], &quick, &own].concat(), &[])
    };
    check(&recover("main"), 0, "operation 20261121T1 began");
    let begun = server.requests().into_iter().find(|(method, _, _)| method == "POST").unwrap();
    let expected = json!({"type": "recovery", "backup_id": "latest", "remote_ssh_command": "ssh me@here",
        "destination_directory": "/data"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&begun.2).unwrap(), expected);
    check(&recover("lost"), 1, "the restore failed");
    check(&recover("unknown"), 2, "no such server");
    let short = [&["barman", &api, "recover", "--barman-server=main"][..], &quick].concat();
    check(&helper(&short, &[]), 2, "--ssh-command");
    check(&helper(&["barman", &api], &[]), 255, "usage");
    let nobody = [&["barman", "--api-url=http://127.0.0.1:1", "recover"][..], &quick].concat();
    check(&helper(&nobody, &[]), 254, "is not well");
}

/// BOOT-20: the callback that switches Barman's configuration.
#[test]
fn barman_is_switched_when_a_role_changes() {
    let server = Server::start(|method, path, _| match (method, path) {
        ("GET", "/status") => (200, json!("OK")),
        ("POST", "/servers/main/operations") => (200, json!({"operation_id": "1"})),
        ("GET", "/servers/main/operations/1") => (200, json!({"status": "DONE"})),
        ("POST", "/servers/lost/operations") => (200, json!({"operation_id": "2"})),
        ("GET", "/servers/lost/operations/2") => (200, json!({"status": "FAILED"})),
        _ => (500, json!({})),
    });
    let api = format!("--api-url={}", server.url);
    let switch = |server: &str, options: &[&str], role: &str| {
        let server = format!("--barman-server={server}");
        let words = ["barman", &api, "--retry-wait=0", "--max-retries=0", "config-switch", &server];
        helper(&[&words[..], options, &["on_role_change", role, "cluster"]].concat(), &[])
    };
    check(&switch("main", &["--barman-model=here"], "primary"), 0, "began");
    let body = server.requests().pop().map(|_| server.requests().into_iter().find(|(method, ..)| method == "POST"));
    let body: serde_json::Value = serde_json::from_str(&body.flatten().unwrap().2).unwrap();
    assert_eq!(body, json!({"type": "config_switch", "model_name": "here"}));
    check(&switch("main", &["--reset"], "replica"), 1, "nothing to switch");
    check(&switch("main", &["--reset", "--switch-when=always"], "replica"), 0, "began");
    check(&switch("lost", &["--reset"], "primary"), 2, "the switch failed");
    check(&switch("gone", &["--reset"], "primary"), 3, "500");
    check(&switch("main", &["--reset", "--barman-model=x"], "primary"), 4, "either --barman-model or --reset");
    check(&switch("main", &[], "primary"), 4, "either");
    check(&switch("main", &["--reset", "--switch-when=never"], "primary"), 4, "--switch-when");
}

/// CB-07: the machine and its volumes are tagged, with signed requests; elsewhere nothing happens.
#[test]
fn a_machine_of_aws_is_tagged() {
    let server = Server::start(|method, path, body| match (method, path) {
        ("PUT", "/latest/api/token") => (200, json!("token")),
        ("GET", "/latest/dynamic/instance-identity/document") => {
            (200, json!({"instanceId": "i-1", "region": "eu-west-1"}))
        }
        ("GET", "/latest/meta-data/iam/security-credentials/") => (200, json!("db")),
        ("GET", path) if path.starts_with("/latest/meta-data/iam/security-credentials/") => {
            (200, json!({"AccessKeyId": "AK", "SecretAccessKey": "s", "Token": "session"}))
        }
        ("POST", "/") if body.contains("DescribeVolumes") => (200, json!("<volumeId>vol-1</volumeId>")),
        ("POST", "/") => (200, json!("<return>true</return>")),
        _ => (404, json!("")),
    });
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url.as_str()),
        ("AWS_ENDPOINT_URL_EC2", &server.url),
        ("AWS_ACCESS_KEY_ID", ""),
    ];
    check(&helper(&["aws", "on_role_change", "primary", "batman"], &variables), 0, "");
    let posted: Vec<String> =
        server.requests().into_iter().filter(|(method, ..)| method == "POST").map(|(.., body)| body).collect();
    assert_eq!(posted.len(), 3, "{posted:?}");
    assert!(posted[0].contains("ResourceId.1=i-1&Tag.1.Key=Role&Tag.1.Value=primary"), "{}", posted[0]);
    assert!(posted[1].contains("Filter.1.Value.1=i-1"), "{}", posted[1]);
    assert!(posted[2].contains("ResourceId.1=vol-1&Tag.1.Key=Name&Tag.1.Value=spilo_batman"), "{}", posted[2]);
    let headers = server.headers();
    assert!(headers.contains("authorization: AWS4-HMAC-SHA256 Credential="), "{headers}");
    assert!(headers.contains("x-amz-security-token: session"), "{headers}");
    assert!(headers.contains("x-aws-ec2-metadata-token: "), "{headers}");

    let nowhere = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")];
    check(&helper(&["aws", "on_start", "replica", "batman"], &nowhere), 0, "nothing to tag");
    check(&helper(&["aws", "on_start", "replica"], &nowhere), 1, "usage");
    check(&helper(&["aws", "on_reload", "replica", "batman"], &nowhere), 1, "usage");
}

/// The peer's names are links to our program.
#[test]
fn the_peers_names_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_regent"), &link).unwrap();
        Command::new(link).output().unwrap()
    };
    check(&named("patroni_aws"), 1, "usage");
    check(&named("patroni_barman"), 255, "usage");
    check(&named("patroni_wale_restore"), 2, "--envdir is missing");
}
