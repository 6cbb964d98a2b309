//! This machine, where the configuration is a member's: PostgreSQL's programs and the data directory, who may read what,
//! and until when certificates are good.

use super::expiry::expiry;
use super::{Finding, Weight};
use crate::config::{LocalConfig, Place, programs_and_directory};
use crate::ports;
use regent_core::model::WallTime;
use serde_json::Value;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// A certificate that ends sooner is due for a new one.
const NOTICE: Duration = Duration::from_secs(30 * 86_400);

/// Files with certificates, wherever they may be named.
const CERTIFICATES: [&str; 4] = ["/restapi/certfile", "/restapi/cafile", "/ctl/certfile", "/ctl/cacert"];

/// The same in the section of a store.
const OF_STORES: [&str; 2] = ["cert", "cacert"];

/// Secrets that a file may hold.
const PASSWORDS: [&str; 3] = ["/postgresql/authentication", "/restapi/authentication", "/ctl/authentication"];

/// What is wrong here.
pub(super) fn of_machine(local: &LocalConfig, store: &str) -> Vec<Finding> {
    let mut findings = certificates(&local.document, store, ports::wall_now());
    findings.extend(readable_secrets(local));
    if let Some(data_dir) = text(&local.document, "/postgresql/data_dir") {
        let wrong = programs_and_directory(local);
        if wrong.is_empty() {
            findings
                .push(Finding(Weight::Good, "PostgreSQL's programs are there and fit the data directory".to_owned()));
        }
        findings.extend(wrong.into_iter().map(|(key, why)| Finding(Weight::Bad, format!("{key}: {why}"))));
        findings.extend(rights(Path::new(data_dir)));
    }
    findings
}

fn text<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer).and_then(Value::as_str)
}

fn certificates(document: &Value, store: &str, now: WallTime) -> Vec<Finding> {
    let of_store = OF_STORES.map(|name| format!("/{store}/{name}"));
    let pointers = CERTIFICATES.iter().map(|pointer| (*pointer).to_owned()).chain(of_store);
    let named = pointers.filter_map(|pointer| {
        let path = text(document, &pointer)?;
        Some((pointer.trim_start_matches('/').replace('/', "."), path))
    });
    named.map(|(key, path)| of_certificate(&key, Path::new(path), now)).collect()
}

fn of_certificate(key: &str, path: &Path, now: WallTime) -> Finding {
    let end = match expiry(path) {
        Ok(end) => end,
        Err(error) => return Finding(Weight::Bad, format!("{key}: {error}")),
    };
    let left = end.since(now);
    let days = left.as_secs() / 86_400;
    match left {
        Duration::ZERO => Finding(Weight::Bad, format!("{key}: {} is no longer good", path.display())),
        left if left < NOTICE => Finding(Weight::Odd, format!("{key}: {} ends in {days} days", path.display())),
        _ => Finding(Weight::Good, format!("{key}: good for {days} days")),
    }
}

/// PostgreSQL does not start on a data directory that others may look into.
fn rights(data_dir: &Path) -> Option<Finding> {
    let found = std::fs::metadata(data_dir).ok().filter(Metadata::is_dir)?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        let text = format!("postgresql.data_dir: others may get into it (mode {mode:04o}): it has to be 0700 or 0750");
        return Some(Finding(Weight::Bad, text));
    }
    let owner = std::fs::metadata(data_dir.join("PG_VERSION")).map(|file| file.uid()).unwrap_or(found.uid());
    let text = "postgresql.data_dir: its owner is another than that of the files in it".to_owned();
    (owner != found.uid()).then_some(Finding(Weight::Bad, text))
}

/// Files of the configuration that hold passwords for everybody to read.
fn readable_secrets(local: &LocalConfig) -> Vec<Finding> {
    let mut files = Vec::new();
    for pointer in PASSWORDS {
        let holds = local.document.pointer(pointer).is_some_and(|section| section.to_string().contains("\"password\""));
        let place = local.place_of(&format!("{}.password", pointer.trim_start_matches('/').replace('/', ".")));
        if let Place::File(path, _) = place
            && holds
            && !files.contains(&path)
        {
            files.push(path);
        }
    }
    let open = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    let told = files.iter().filter(|path| open(path));
    told.map(|path| {
        Finding(Weight::Odd, format!("{}: everybody on this machine may read its passwords", path.display()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn words(findings: &[Finding], folder: &Path) -> Vec<String> {
        let folder = folder.display().to_string();
        let told = findings.iter().map(|Finding(weight, text)| format!("{weight:?} {text}").replace(&folder, "/f"));
        told.collect()
    }

    #[test]
    fn certificates_that_end_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.crt");
        let mut params = rcgen::CertificateParams::new(vec!["node1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
        let document = json!({"restapi": {"certfile": path}, "etcd3": {"cacert": "/nonexistent/ca.crt"}});
        let check = |now: i64, expected: &str| {
            let found = certificates(&document, "etcd3", WallTime(now * 1_000_000));
            let found = words(&found, folder.path());
            assert_eq!(found[0], expected);
            assert!(found[1].starts_with("Bad etcd3.cacert: /nonexistent/ca.crt cannot be used"), "{found:?}");
        };
        let end = 1_927_843_200;
        check(end - 100 * 86_400, "Good restapi.certfile: good for 100 days");
        check(end - 86_400, "Odd restapi.certfile: /f/server.crt ends in 1 days");
        check(end + 1, "Bad restapi.certfile: /f/server.crt is no longer good");
    }

    #[test]
    fn rights_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("node.yml"));
        std::fs::create_dir(&data).unwrap();
        let yaml = format!(
            "scope: s\nrestapi: {{authentication: {{username: a, password: hush}}}}\npostgresql: {{bin_dir: /nonexistent, data_dir: {}}}",
            data.display()
        );
        std::fs::write(&file, yaml).unwrap();
        let local = LocalConfig::load(&Source::new(Some(file.clone()), BTreeMap::new())).unwrap();
        let check = |mode: u32, expected: &[&str]| {
            for path in [&data, &file] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            assert_eq!(words(&of_machine(&local, "etcd3"), folder.path()), expected);
        };
        let no_programs = "Bad postgresql.bin_dir: Directory '/nonexistent' does not exist.";
        check(0o700, &[no_programs]);
        check(
            0o755,
            &[
                "Odd /f/node.yml: everybody on this machine may read its passwords",
                no_programs,
                "Bad postgresql.data_dir: others may get into it (mode 0755): it has to be 0700 or 0750",
            ],
        );
    }
}
