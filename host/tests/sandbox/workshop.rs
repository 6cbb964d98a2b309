//! `regent method`: what the author of a method is told, and by which setting what was refused would be allowed.

use crate::guests::{RELEASE, guest, in_c};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `regent method` and returns its exit code and all that it says.
fn method(words: &[&str], folder: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
    let output = command.arg("method").args(words).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code().unwrap(), said.concat())
}

fn check(words: &[&str], folder: &Path, code: i32, said: &[&str]) {
    let (found, text) = method(words, folder);
    assert_eq!(found, code, "{words:?}: {text}");
    for said in said {
        assert!(text.contains(said), "{words:?} does not say {said:?}: {text}");
    }
}

#[test]
fn a_component_is_looked_at() {
    let Some(tar) = guest("tar_restore") else { return };
    let folder = tempfile::tempdir().unwrap();
    let tar = tar.display().to_string();
    check(&["check", &tar], folder.path(), 0, &["makes replicas and clusters", "sha256: ", "`directories` grants"]);
    let http = format!("{RELEASE}/http_restore.wasm");
    check(&["check", &http], folder.path(), 0, &["may ask HTTP servers: `hosts`"]);
    let plain = format!("{RELEASE}/plain-command.wasm");
    check(&["check", &plain], folder.path(), 0, &["a plain command"]);
    if let Some(in_c) = in_c() {
        check(&["check", &in_c.display().to_string()], folder.path(), 0, &["a plain command"]);
    }
    check(&["check", "missing.wasm"], folder.path(), 1, &["cannot read missing.wasm"]);
}

/// From nothing to a data directory, with the real compiler.
#[test]
fn a_method_is_begun_built_and_run() {
    if guest("hostile").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    check(&["new", "mine"], root, 0, &["cargo build --release --target wasm32-wasip2", "regent method check"]);
    // What the shipped ones are built from is there already; nothing is fetched. In a folder of its own: tests beside
    // this one build in the other.
    let lock = Path::new(RELEASE).join("../../../Cargo.lock");
    fs::copy(lock, root.join("mine/Cargo.lock")).unwrap();
    let target = Path::new(RELEASE).join("../../scaffold");
    let mut build = Command::new("cargo");
    build.args(["build", "--offline", "--release", "--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
    let built = build.current_dir(root.join("mine")).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let component = fs::canonicalize(target.join("wasm32-wasip2/release/mine.wasm")).unwrap();
    check(&["check", &component.display().to_string()], root, 0, &["a method that makes replicas"]);

    fs::create_dir_all(root.join("backup/base")).unwrap();
    fs::write(root.join("backup/PG_VERSION"), "15\n").unwrap();
    fs::write(root.join("backup/base/1"), "page").unwrap();
    let example = fs::read_to_string(root.join("mine/mine.yml")).unwrap();
    let backup = root.join("backup").display().to_string();
    let written = example
        .replace("/var/backups/base", &backup)
        .replace("target/wasm32-wasip2/release/mine.wasm", &component.display().to_string());
    fs::write(root.join("mine/mine.yml"), written).unwrap();
    let run = ["run", "mine/mine.yml", "mine", "--into", "data"];
    check(&run, root, 0, &["data is a data directory", "copied 7 bytes"]);
    assert_eq!(fs::read_to_string(root.join("data/base/1")).unwrap(), "page");
    check(&run, root, 2, &["data is not empty"]);
    check(&["run", "mine/mine.yml", "other", "--into", "new"], root, 2, &["there is no section `other`"]);
}

/// Each refusal names the setting that would allow what was wanted.
#[test]
fn what_is_refused_is_told_with_the_setting_that_would_allow_it() {
    let Some(hostile) = guest("hostile") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("granted")).unwrap();
    fs::write(root.join("granted/file"), "x").unwrap();
    let granted = root.join("granted").display().to_string();
    let attempt = |deed: &str, target: &str, hosts: &str, said: &str| {
        let section = format!(
            "postgresql:\n  m:\n    wasm: {}\n    deed: {deed}\n    target: '{target}'\n    hosts: [{hosts}]\n    \
             directories: [{granted}]\n",
            hostile.display()
        );
        fs::write(root.join("m.yml"), section).unwrap();
        let _ = fs::remove_dir_all(root.join("data"));
        check(&["run", "m.yml", "m", "--into", "data"], root, 1, &["was refused", said]);
    };
    let outside = "/etc/passwd is in no folder that `directories` of the method grants";
    attempt("read", "/etc/passwd", "", outside);
    attempt("write", "/etc/passwd", "", outside);
    attempt("write", &format!("{granted}/new"), "", "`writable: true` of its folder in `directories`");
    attempt("write", &format!("{granted}/file"), "", "`writable: true` of its folder in `directories`");
    attempt("connect", "127.0.0.1:1", "", "a connection to 127.0.0.1:1; `hosts` of the method would allow it");
    attempt("connect", "secret.example:80", "'localhost:1'", "the address of secret.example; `hosts` of the method");
    assert!(!Path::new(&format!("{granted}/new")).exists());
    let http = format!("{RELEASE}/http_restore.wasm");
    let section = format!("postgresql: {{m: {{wasm: '{http}', url: 'https://127.0.0.1/base', attempts: 1}}}}\n");
    fs::write(root.join("m.yml"), section).unwrap();
    let said = "a request to 127.0.0.1:443; `hosts` of the method would allow it";
    check(&["run", "m.yml", "m", "--into", "web"], root, 1, &[said]);
}
