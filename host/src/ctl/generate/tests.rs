//! The sample as a page, and as a configuration.

use super::*;
use crate::config::{Effective, Look, validate};
use std::collections::BTreeMap;

fn here() -> Here {
    Here { name: "db1".to_owned(), address: "10.0.0.1".to_owned(), programs: Some("/usr/lib/postgresql/15/bin".into()) }
}

#[test]
fn the_sample_is_a_page_for_people() {
    // OPS-25
    let text = page::text(&sample::document(&here()));
    for part in [
        "scope: '#FIXME'\nname: db1\n\nlog:\n  format: '%(asctime)s %(levelname)s: %(message)s'\n",
        "restapi:\n  connect_address: 10.0.0.1:8008\n  listen: 10.0.0.1:8008\n\n# The store",
        "  dcs:\n    loop_wait: 10\n    retry_timeout: 10\n    ttl: 30\n    postgresql:\n      parameters:\n",
        "\npostgresql:\n  authentication:\n    replication:\n      password: '#FIXME'\n      username: replicator\n",
        "  data_dir: '#FIXME'\n",
    ] {
        assert!(text.contains(part), "{part}\nis missing in\n{text}");
    }
    assert!(text.lines().all(|line| !line.ends_with(' ')));
}

#[test]
fn the_sample_is_a_good_configuration() {
    let text = page::text(&sample::document(&here()));
    let source = Source::new(None, BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text)]));
    let failures = validate(&source, Look::Nowhere).unwrap();
    assert_eq!(failures, []);
    let local = LocalConfig::load(&source).unwrap();
    assert_eq!(local.warnings, [""; 0]);
    assert_eq!(local.missing(), [""; 0]);
    let effective = Effective::build(&local, &local.bootstrap_dynamic().unwrap_or_default(), 150_000);
    assert_eq!(effective.warnings, [""; 0]);
    assert_eq!(effective.server.parameters["wal_keep_size"], "128MB");
    assert!(effective.settings.use_pg_rewind);
}

#[test]
fn a_file_is_made_with_its_folders_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etc/regent/node.yml");
    put("scope: a\n", Some(&path)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "scope: a\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(put("", Some(&path.join("below"))).is_err());
}
