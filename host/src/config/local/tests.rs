//! Tests of reading the local configuration.

use super::*;
use std::collections::BTreeMap;
use std::path::Path;

struct Case {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    variables: BTreeMap<String, String>,
}

impl Case {
    fn new(text: &str) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patroni.yml");
        std::fs::write(&path, text).unwrap();
        Case { _folder: folder, path, variables: BTreeMap::new() }
    }

    fn with(mut self, name: &str, text: &str) -> Case {
        self.variables.insert(name.to_owned(), text.to_owned());
        self
    }

    fn load(&self) -> Result<LocalConfig, ConfigErrors> {
        LocalConfig::load(&Source::new(Some(self.path.clone()), self.variables.clone()))
    }

    /// Messages with the folder's own name left out.
    fn errors(&self) -> Vec<String> {
        let errors = self.load().unwrap_err().0;
        let folder = format!("{}/", self.path.parent().unwrap_or(Path::new("")).display());
        errors.iter().map(|error| error.to_string().replace(&folder, "")).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let folder = format!("{}/", self.path.parent().unwrap_or(Path::new("")).display());
        let warnings = self.load().unwrap().warnings;
        warnings.iter().map(|warning| warning.replace(&folder, "")).collect()
    }
}

#[test]
fn what_is_no_yaml_is_named_with_file_and_line() {
    let text = Case::new("scope: a\nname: b\n\tx: 1\n").errors().concat();
    assert!(text.starts_with("patroni.yml:3: is no YAML: "), "{text}");
    let text = Case::new("- a\n- b\n").errors().concat();
    assert_eq!(text, "patroni.yml: invalid config file patroni.yml");
    assert_eq!(Case::new("").errors(), ["patroni.yml: Config is empty."]);
    let binary = Case::new("");
    std::fs::write(&binary.path, b"scope: a\nname: \xff\n").unwrap();
    assert_eq!(binary.errors(), ["patroni.yml:2: is no YAML: the text is not UTF-8"]);
}

#[test]
fn everything_wrong_is_told_at_once_with_key_and_line() {
    let case = Case::new(
        "scope: [a]\nlog:\n  file_num: many\nrestapi:\n  verify_client: requierd\nctl:\n  insecure: perhaps\n\
         postgresql:\n  parameters: oops\n  callbacks: 5\n  pg_hba:\n  - fine\n  - {a: 1}\n  authentication:\n    superuser: {password: [hush]}\n\
         etcd3:\n  use_proxies: maybe\nguard: {mode: requierd}\n",
    );
    let expected = [
        "patroni.yml:1: scope is not a string",
        "patroni.yml:3: log.file_num is not an integer",
        "patroni.yml:5: restapi.verify_client must be one of none, optional, required",
        "patroni.yml:7: ctl.insecure is not a boolean",
        "patroni.yml:9: postgresql.parameters is not a dictionary",
        "patroni.yml:10: postgresql.callbacks is not a dictionary",
        "patroni.yml:13: postgresql.pg_hba.1 is not a string",
        "patroni.yml:15: postgresql.authentication.superuser.password is not a string",
        "patroni.yml:17: etcd3.use_proxies is not a boolean",
        "patroni.yml:18: guard.mode must be one of automatic, required, off",
    ];
    assert_eq!(case.errors(), expected);
}

#[test]
fn variables_that_are_wrong_are_named() {
    let case = Case::new("scope: a\nrestapi: {verify_client: none}\n")
        .with("PATRONI_CTL_INSECURE", "maybe")
        .with("PATRONI_RESTAPI_VERIFY_CLIENT", "alwas");
    let expected = [
        "PATRONI_CTL_INSECURE: ctl.insecure is not a boolean",
        "PATRONI_RESTAPI_VERIFY_CLIENT: restapi.verify_client must be one of none, optional, required",
    ];
    assert_eq!(case.errors(), expected);
}

#[test]
fn odd_things_are_warned_about() {
    let case = Case::new("scop: a\nname: x\nname: y\nlog: {level: loud}\npostgresql: {create_replica_method: [a]}\n")
        .with("PATRONI_NONSENSE", "1");
    let expected = [
        "patroni.yml:3: name is given twice: the last one counts",
        "the variable PATRONI_NONSENSE is not known",
        "postgresql.create_replica_method is an old spelling of create_replica_methods",
        "patroni.yml:1: scop is not a known key: is scope meant?",
        "patroni.yml:4: log.level must be one of DEBUG, INFO, WARN, WARNING, ERROR, FATAL, CRITICAL; the default is used",
    ];
    assert_eq!(case.warnings(), expected);
}

#[test]
fn a_folder_is_merged_by_name_and_null_removes() {
    // OPS-22
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("b.yaml", "scope: b\ntags: {x: null, y: '1'}\n");
    write("a.yml", "scope: a\ntags: {x: 1}\n");
    write("c.txt", "scope: c\n");
    let source = Source::new(Some(folder.path().to_owned()), BTreeMap::new());
    let document = LocalConfig::load(&source).unwrap().document;
    assert_eq!(document, serde_json::json!({"scope": "b", "tags": {"y": "1"}}));
    write("d.yml", "postgresql:\n  parameters: 5\n");
    write("e.yml", "log: [\n");
    let text = LocalConfig::load(&source).unwrap_err().to_string();
    assert!(text.contains("e.yml:"), "{text}");
    write("e.yml", "log: {}\n");
    let text = LocalConfig::load(&source).unwrap_err().to_string();
    assert!(text.contains("d.yml:2: postgresql.parameters is not a dictionary"), "{text}");
}

#[test]
fn the_environment_wins_and_suffices() {
    // CFG-03
    let mut case = Case::new("scope: a\nname: x\n").with("PATRONI_SCOPE", "b");
    let scope = |case: &Case| case.load().unwrap().document["scope"].clone();
    assert_eq!(scope(&case), "b");
    case = case.with("PATRONI_CONFIGURATION", "scope: c");
    assert_eq!(scope(&case), "b", "a file is there");
    case.path = "/nowhere/at.all".into();
    assert_eq!(scope(&case), "c", "the whole document stands alone");
    case.variables.remove("PATRONI_CONFIGURATION");
    assert_eq!(case.load().unwrap().document, serde_json::json!({"scope": "b"}));
    case.variables.clear();
    assert_eq!(case.errors(), ["Config is empty."]);
    case = case.with("PATRONI_CONFIGURATION", "scope: [");
    assert!(case.errors()[0].starts_with("PATRONI_CONFIGURATION: is no YAML: "));
}

#[test]
fn what_a_daemon_needs_is_known() {
    let local = Case::new("scope: a\nname: ''\nrestapi: {listen: x}\n").load().unwrap();
    let expected = ["name", "postgresql.listen", "postgresql.data_dir"];
    assert_eq!(local.missing(), expected.map(|key| format!("{key} is not defined.")));
    assert_eq!(local.bootstrap_dynamic(), None);
    let text = "citus: {group: 0, database: d}\nbootstrap: {dcs: {master_start_timeout: 5}}";
    let dynamic = Case::new(text).load().unwrap().bootstrap_dynamic().unwrap();
    assert_eq!(dynamic.to_text(), r#"{"primary_start_timeout":5,"synchronous_mode":"quorum"}"#);
}

#[test]
fn nothing_shows_a_secret() {
    let case =
        Case::new("scope: a\nrestapi: {authentication: {username: u, password: hush1}}\netcd: {password: hush2}\n")
            .with("PATRONI_SUPERUSER_PASSWORD", "hush3")
            .with("PATRONI_admin_PASSWORD", "hush4");
    let local = case.load().unwrap();
    let source = Source::new(Some(case.path.clone()), case.variables.clone());
    let effective = crate::config::Effective::build(&local, &DynamicConfig::default(), 150_000);
    let shown = format!("{local:?} {source:?} {effective:?} {effective:#?}");
    for secret in ["hush1", "hush2", "hush3", "hush4"] {
        assert!(local.document.to_string().contains(secret));
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}
