//! What is shipped beside the programs says what the programs do: the unit, the container's files, HAProxy's and confd's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

use regent::config::{Effective, LocalConfig, Look, Source, recognised, validate};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of a key of a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let pairs = unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.filter(|(known, _)| *known == key).map(|(_, value)| value).collect()
}

/// OPS-06, OPS-07: the daemon alone is signalled at a stop, SIGHUP reloads, and who crashes is started again.
#[test]
fn the_unit_leaves_the_server_to_the_daemon() {
    let unit = text("systemd/regent.service");
    let check = |key: &str, expected: &[&str]| assert_eq!(values(&unit, key), expected, "{key}");
    check("Type", &["notify"]);
    check("KillMode", &["process"]);
    check("KillSignal", &[]);
    check("ExecReload", &["/bin/kill -HUP $MAINPID"]);
    check("ExecStop", &[]);
    check("Restart", &["on-failure"]);
    check("User", &["postgres"]);
    check("ExecStart", &["/usr/bin/regent /etc/regent/regent.yml"]);
    verified(&unit);
}

fn verified(unit: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regent.service");
    // Neither is the program installed here, nor need the account be there.
    let here = unit.replace("/usr/bin/regent", "/bin/true").replace("=postgres\n", "=root\n");
    std::fs::write(&path, here).unwrap();
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // Units of this machine that are wrong are not ours.
            let ours: Vec<&str> = said.lines().filter(|line| line.contains("regent.service")).collect();
            assert!(ours.is_empty(), "{said}");
        }
        Err(error) => eprintln!("SKIPPED: systemd-analyze: {error}"),
    }
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str::<Value>(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A mapping with what `<<` stands for.
fn merged(value: &Value) -> BTreeMap<String, Value> {
    let map = value.as_object().expect("a mapping");
    let mut whole = map.get("<<").map(merged).unwrap_or_default();
    whole.extend(map.iter().filter(|(name, _)| *name != "<<").map(|(name, value)| (name.clone(), value.clone())));
    whole
}

/// OPS-18: each member of the composed cluster is configured by variables that we know, and has all that a daemon needs.
#[test]
fn containers_are_configured_by_their_environment() {
    let compose = yaml("container/compose.yml");
    let services = compose["services"].as_object().expect("services");
    let members: Vec<_> = services.iter().filter(|(name, _)| name.starts_with("member")).collect();
    assert_eq!(members.len(), 3);
    for (name, service) in members {
        let service = merged(service);
        let variables: BTreeMap<String, String> = merged(&service["environment"])
            .into_iter()
            .map(|(name, value)| (name, value.as_str().expect("a text").to_owned()))
            .collect();
        let known = recognised(&variables);
        let unknown: Vec<_> = variables.keys().filter(|variable| !known.contains(*variable)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let source = Source::new(Some(shipped("container/regent.yml")), variables);
        assert_eq!(validate(&source, Look::Nowhere).unwrap(), [], "{name}");
        let local = LocalConfig::load(&source).unwrap();
        assert_eq!(local.warnings, [""; 0], "{name}");
        let effective = Effective::build(&local, &local.bootstrap_dynamic().unwrap(), 150_000);
        assert_eq!(effective.warnings, [""; 0], "{name}");
        assert_eq!((effective.settings.name.as_str(), effective.settings.scope.as_str()), (&**name, "demo"));
        assert_eq!(effective.dcs.name, "etcd3");
        let accounts = &effective.server.accounts;
        assert!(accounts.superuser.password.is_some() && accounts.replication.password.is_some());
        assert_eq!(effective.server.connect_address, format!("{name}:5432"));
        assert_eq!(service["volumes"][0], format!("{name}:/data"), "each has data of its own");
    }
    let file = text("container/Containerfile");
    for copied in file.lines().filter_map(|line| line.strip_prefix("COPY host/")) {
        let original = copied.split(' ').next().unwrap_or_default();
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(original).exists(), "{original}");
    }
    let toolchain = env!("CARGO_PKG_RUST_VERSION");
    assert!(file.contains(&format!("rust:{toolchain}-")), "the image is built with {toolchain}");
    assert!(!file.contains("USER root"), "nothing runs as root");
}

/// OPS-18: the checks ask for what the REST API answers, and HAProxy takes the file.
#[test]
fn load_balancers_ask_the_api() {
    for path in ["haproxy/haproxy.cfg", "confd/templates/haproxy.tmpl"] {
        let config = text(path);
        for check in
            ["option httpchk OPTIONS /primary", "option httpchk OPTIONS /replica", "http-check expect status 200"]
        {
            assert!(config.contains(check), "{path}: {check}");
        }
        assert!(
            config.contains("on-marked-down shutdown-sessions"),
            "{path}: sessions do not stay on a former primary"
        );
    }
    for path in ["confd/conf.d/haproxy.toml", "confd/conf.d/pgbouncer.toml"] {
        let source = text(path);
        let template = source.lines().find_map(|line| line.strip_prefix("src = \"")).expect("a template");
        assert!(shipped("confd/templates").join(template.trim_end_matches('"')).exists(), "{path}: {template}");
    }
    match Command::new("haproxy").args(["-c", "-f"]).arg(shipped("haproxy/haproxy.cfg")).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("SKIPPED: haproxy: {error}"),
    }
}

/// What the Debian package puts in its places exists, or is built.
#[test]
fn the_package_holds_what_there_is() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let assets = manifest.split("assets = [").nth(1).and_then(|rest| rest.split("\n]").next()).expect("assets");
    let sources = assets.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next());
    let mut kept = 0;
    for source in sources.filter(|source| !source.starts_with("target/") && !source.starts_with("../target/")) {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(source.trim_end_matches("/*"));
        assert!(original.exists(), "{source}");
        kept += 1;
    }
    assert!(kept >= 5, "{assets}");
    for program in [
        "regent",
        "regentctl",
        "libregent_dcs_etcd.so",
        "libregent_dcs_etcd3.so",
        "libregent_dcs_consul.so",
        "libregent_dcs_local.so",
    ] {
        assert!(assets.contains(&format!("\"target/release/{program}\"")), "{program}");
    }
}

/// OPS-23
#[test]
fn each_program_says_its_version() {
    let told = |program: &str, name: &str| {
        let output = Command::new(program).arg("--version").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text == format!("{name} {}\n", env!("CARGO_PKG_VERSION")), "{text:?}");
    };
    told(env!("CARGO_BIN_EXE_regent"), "regent");
    told(env!("CARGO_BIN_EXE_regentctl"), "regentctl version");
}
