//! The check of a configuration on request, in the words of the peer's `--validate-config` (config.md §10): stricter
//! than what a start asks for.

use super::addresses::LOCAL_NAMES;
use super::check;
use super::dcs_section::sections;
use super::errors::{ConfigErrors, Place};
use super::legacy;
use super::machine;
use super::reading::{at, shown, truth_at};
use super::redact::{is_secret, redacted};
use super::restapi::is_of_no_use_to_others;
use super::schema::{self, Kind, Layer, Need, STORES};
use super::sources::{Places, Source, gather};
use super::units::{integer, seconds};
use serde_json::Value;
use std::fmt;

/// A name that no member may have: the peer writes it where a synchronous standby is wanted and none is there.
const RESERVED_NAME: &str = "__patroni_strict_sync_replica_placeholder__";

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The key, with dots.
    pub path: String,
    /// The value as it is shown; empty where there is none. Secrets are hidden.
    pub value: String,
    /// What is wrong, in the words of the peer's check.
    pub message: String,
    /// What is wrong and what was expected, in ours.
    pub reason: String,
    /// Where the value stands, or what it should stand in.
    pub place: Place,
}

impl Failure {
    /// With its place and in our words: `node1.yml:7: log.level "LOUD" must be one of ...`.
    pub fn told(&self) -> String {
        let value = if self.value.is_empty() { String::new() } else { format!(" {:?}", self.value) };
        format!("{}{}{value} {}", self.place, self.path, self.reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.value.is_empty() { "" } else { " " };
        write!(f, "{}{space}{} {}", self.path, self.value, self.message)
    }
}

/// How much of the machine is looked at besides the configuration itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Nowhere,
    /// The data directory and PostgreSQL's programs.
    AtFiles,
    /// These, and whether the ports to listen on are free.
    AtFilesAndPorts,
}

/// Checks a configuration; nothing found means that it is good.
///
/// # Errors
/// When there is nothing to check: no configuration, or a text that is no YAML.
pub fn validate(source: &Source, look: Look) -> Result<Vec<Failure>, ConfigErrors> {
    let mut gathered = gather(source)?.if_any(source)?;
    let _told = legacy::modernise_local(&mut gathered.document);
    let mut checking = Checking { document: &gathered.document, places: &gathered.places, failures: Vec::new() };
    for error in &gathered.errors {
        checking.fail(&error.key, error.reason.clone());
    }
    checking.missing();
    checking.stores();
    checking.values();
    checking.texts();
    checking.connect_addresses();
    checking.names_and_tags();
    checking.timing();
    if look != Look::Nowhere {
        for (path, why) in machine::look(&gathered.document, look == Look::AtFilesAndPorts) {
            checking.fail(path, why);
        }
    }
    Ok(checking.failures)
}

/// What nobody reads, or what a default serves for: each with its place, and with the nearest name that is known. Unlike
/// a start, this also tells it beside what is wrong.
///
/// # Errors
/// As [`validate`].
pub fn remarks(source: &Source) -> Result<Vec<String>, ConfigErrors> {
    let mut gathered = gather(source)?.if_any(source)?;
    let mut remarks = std::mem::take(&mut gathered.warnings);
    remarks.extend(legacy::modernise_local(&mut gathered.document));
    let odd = check::local(&gathered.document).into_iter().filter(|finding| finding.fault.is_none());
    remarks.extend(odd.map(|finding| {
        let place = gathered.places.of(&finding.path);
        format!("{place}{} {}", finding.path, finding.reason)
    }));
    Ok(remarks)
}

struct Checking<'a> {
    document: &'a Value,
    places: &'a Places,
    failures: Vec<Failure>,
}

impl Checking<'_> {
    fn fail(&mut self, path: &str, message: impl Into<String>) {
        let message = message.into();
        let reason = message.strip_prefix("didn't pass validation: ").unwrap_or(&message).to_owned();
        self.fail_as(path, message, reason);
    }

    fn fail_as(&mut self, path: &str, message: String, reason: String) {
        let value = path.split('.').try_fold(self.document, |value, key| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        });
        let value = match value.filter(|value| !value.is_null()) {
            Some(_) if is_secret(path) => "***".to_owned(),
            Some(value) => shown(&redacted(value)),
            None => String::new(),
        };
        let place = self.places.of(path);
        let known = self.failures.iter().any(|known| known.path == path && known.message == message);
        if !known {
            self.failures.push(Failure { path: path.to_owned(), value, message, reason, place });
        }
    }

    fn invalid(&mut self, path: &str, why: &str) {
        self.fail(path, format!("didn't pass validation: {why}"));
    }

    /// Keys that are asked for; where a whole section is missing, the section is named.
    fn missing(&mut self) {
        let asked = schema::settings().filter(|setting| setting.need != Need::Optional);
        let accounts = ["superuser", "replication"].map(|name| format!("postgresql.authentication.{name}.username"));
        let paths: Vec<&str> = asked.map(|setting| setting.path).chain(accounts.iter().map(String::as_str)).collect();
        for path in paths {
            let mut ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
            if let Some(end) = ends.find(|end| at(self.document, &path[..*end]).is_none()) {
                self.fail(&path[..end], "is not defined.");
            }
        }
    }

    fn stores(&mut self) {
        let there = sections(self.document);
        if there.is_empty() {
            for name in STORES.iter().filter(|name| **name != "local") {
                self.fail(name, "is not defined.");
            }
        }
        for name in there.iter().filter(|name| name.starts_with("etcd")) {
            let keys = ["srv", "srv_suffix", "hosts", "host", "url", "proxy"];
            let paths = keys.map(|key| format!("{name}.{key}"));
            if paths.iter().all(|path| at(self.document, path).is_none()) {
                for path in paths {
                    self.fail(&path, "is not defined.");
                }
            }
        }
    }

    fn values(&mut self) {
        for finding in check::local(self.document) {
            if let Some(fault) = finding.fault {
                self.fail_as(&finding.path, fault.peer_reason(), fault.reason());
            }
        }
    }

    /// What is to be a text is one, and says something.
    fn texts(&mut self) {
        let texts = schema::settings_of(Layer::Local).filter(|row| row.kind == Kind::Text);
        for setting in texts {
            match at(self.document, setting.path) {
                Some(Value::Number(_) | Value::Bool(_)) => self.fail(setting.path, "is not a string"),
                Some(Value::String(text)) if text.is_empty() && setting.need != Need::Optional => {
                    self.invalid(setting.path, "is an empty string");
                }
                _ => {}
            }
        }
    }

    fn connect_addresses(&mut self) {
        let names = LOCAL_NAMES.map(|name| format!("\"{name}\"")).join(", ");
        for path in ["restapi.connect_address", "postgresql.connect_address"] {
            let address = at(self.document, path).and_then(Value::as_str);
            if address.is_some_and(is_of_no_use_to_others) {
                self.invalid(path, &format!("must not contain {names}"));
            }
        }
    }

    fn names_and_tags(&mut self) {
        if at(self.document, "name").and_then(Value::as_str) == Some(RESERVED_NAME) {
            self.invalid("name", &format!("Node 'name' can't be set to '{RESERVED_NAME}'"));
        }
        for (flag, priority) in [("nofailover", "failover_priority"), ("nosync", "sync_priority")] {
            let given = |name: &str| at(self.document, &format!("tags.{name}"));
            if given(flag).is_some() && given(priority).is_some() {
                self.invalid("tags", &format!("Multiple of ('{flag}', '{priority}') provided"));
            }
            let rank = given(priority).map(|rank| (integer(rank), format!("tags.{priority}")));
            match rank {
                Some((None, path)) => self.fail(&path, "is not an integer"),
                Some((Some(..0), path)) => self.invalid(&path, "Wrong value"),
                _ => {}
            }
        }
    }

    /// The peer's least times, where short ones are not asked for.
    fn timing(&mut self) {
        if truth_at(self.document, "bootstrap.dcs.allow_short_ttl") == Some(true) {
            return;
        }
        for (name, least) in [("ttl", 20), ("retry_timeout", 3)] {
            let path = format!("bootstrap.dcs.{name}");
            let time = at(self.document, &path).and_then(seconds);
            if time.is_some_and(|time| time.as_secs() < least) {
                self.invalid(&path, "Wrong value");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn failures(text: &str) -> Vec<String> {
        let variables = BTreeMap::from([("PATRONI_CONFIGURATION".to_owned(), text.to_owned())]);
        let failures = validate(&Source::new(None, variables), Look::Nowhere).unwrap();
        failures.iter().map(Failure::to_string).collect()
    }

    const GOOD: &str = "
scope: a
name: b
restapi: {listen: '*:8008', connect_address: 10.0.0.1:8008}
etcd3: {hosts: [h1:2379]}
postgresql:
  listen: '*:5432'
  connect_address: 10.0.0.1:5432
  data_dir: /d
  authentication: {superuser: {username: su, password: x}, replication: {username: r}}
";

    fn with(more: &str) -> Vec<String> {
        failures(&format!("{GOOD}{more}"))
    }

    #[test]
    fn a_good_configuration_has_no_failure() {
        assert_eq!(failures(GOOD), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_named_by_its_section() {
        let found = failures("what: 1");
        let first = [
            "name",
            "scope",
            "restapi",
            "postgresql",
            "consul",
            "etcd",
            "etcd3",
            "exhibitor",
            "kubernetes",
            "raft",
            "zookeeper",
        ];
        assert_eq!(found, first.map(|name| format!("{name} is not defined.")));
        let found = failures(
            &GOOD.replace("{hosts: [h1:2379]}", "{}").replace("replication: {username: r}", "replication: {}"),
        );
        assert!(
            found.contains(&"postgresql.authentication.replication.username is not defined.".to_owned()),
            "{found:?}"
        );
        assert!(found.contains(&"etcd3.hosts is not defined.".to_owned()), "{found:?}");
    }

    /// OPS-30: one thread does all the work, so that there is none to size; a file that does it is taken, and checked.
    #[test]
    fn sizes_of_threads_are_taken_as_the_peer_takes_them() {
        let sizes = |pool: u32, stack: u32, api: u32| {
            let api = format!("10.0.0.1:8008, thread_pool_size: {api}}}");
            let text = GOOD.replace("10.0.0.1:8008}", &api);
            assert_ne!(text, GOOD);
            failures(&format!("{text}thread_pool_size: {pool}\nthread_stack_size: {stack}\n"))
        };
        assert_eq!(sizes(5, 65_536, 1), [""; 0]);
        assert_eq!(sizes(64, 524_288, 40), [""; 0]);
        let mut wrong = sizes(4, 65_535, 0);
        wrong.sort();
        assert_eq!(
            wrong,
            ["restapi.thread_pool_size 0", "thread_pool_size 4", "thread_stack_size 65535"]
                .map(|what| format!("{what} didn't pass validation: Wrong value"))
        );
    }

    #[test]
    fn wrong_values_are_shown_with_their_path() {
        let check = |more: &str, expected: &str| assert_eq!(with(more), [expected], "{more}");
        check("thread_pool_size: 2", "thread_pool_size 2 didn't pass validation: Wrong value");
        check("log: {level: LOUD}", "log.level LOUD didn't pass validation: Wrong value");
        check("log: {file_num: many}", "log.file_num many is not an integer");
        check("ctl: {insecure: perhaps}", "ctl.insecure perhaps is not a boolean");
        check("namespace: 5", "namespace 5 is not a string");
        check("tags: [x]", "tags ['x'] is not a dictionary");
        check("bootstrap: {pg_hba: [a, {b: 1}]}", "bootstrap.pg_hba.1 {'b': 1} is not a string");
        check("bootstrap: {dcs: {ttl: 5}}", "bootstrap.dcs.ttl 5 didn't pass validation: Wrong value");
        check("bootstrap: {dcs: {synchronous_mode: what}}", "bootstrap.dcs.synchronous_mode what is not a boolean");
        check(
            "tags: {nofailover: true, failover_priority: 1}",
            "tags {'nofailover': True, 'failover_priority': 1} didn't pass validation: \
             Multiple of ('nofailover', 'failover_priority') provided",
        );
        check("ctl: {authentication: {password: [hush]}}", "ctl.authentication.password *** is not a string");
        assert_eq!(with("bootstrap: {dcs: {ttl: 5, allow_short_ttl: true}}"), [""; 0]);
    }

    /// OPS-24: a file with ten mistakes has ten lines, each with the file, the line, the key, and what was expected or
    /// which known name is nearest.
    #[test]
    fn ten_mistakes_are_told_at_once_with_their_places() {
        let text = "\
scope: a
nmae: b
restapi: {listen: '*:8008', connect_address: 10.0.0.1:8008, verify_client: requierd}
etcd3:
  hosts: [h1:2379]
  usernam: root
  use_proxies: maybe
log:
  level: LOUD
  file_num: many
postgresql:
  listen: '*:5432'
  connect_adress: 10.0.0.1:5432
  data_dir: /d
  parameters: oops
  authentication: {superuser: {username: su, password: [hush]}, replication: {username: r}}
bootstrap:
  dcs:
    loop_wiat: 5
tags: [x]
";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node1.yml");
        std::fs::write(&path, text).unwrap();
        let source = Source::new(Some(path), BTreeMap::new());
        let failures = validate(&source, Look::Nowhere).unwrap();
        let told: Vec<String> = failures.iter().map(Failure::told).chain(remarks(&source).unwrap()).collect();
        let told: Vec<String> =
            told.iter().map(|line| line.replace(&format!("{}/", folder.path().display()), "")).collect();
        for line in [
            "node1.yml:2: nmae is not a known key: is name meant?",
            "node1.yml:3: restapi.verify_client \"requierd\" must be one of none, optional, required",
            "node1.yml:6: etcd3.usernam is not a known key: is username meant?",
            "node1.yml:7: etcd3.use_proxies \"maybe\" is not a boolean",
            "node1.yml:9: log.level \"LOUD\" must be one of DEBUG, INFO, WARN, WARNING, ERROR, FATAL, CRITICAL",
            "node1.yml:10: log.file_num \"many\" is not an integer",
            "node1.yml:13: postgresql.connect_adress is not a known key: is connect_address meant?",
            "node1.yml:15: postgresql.parameters \"oops\" is not a dictionary",
            "node1.yml:16: postgresql.authentication.superuser.password \"***\" is not a string",
            "node1.yml:19: bootstrap.dcs.loop_wiat is not a known key: is loop_wait meant?",
            "node1.yml:20: tags \"['x']\" is not a dictionary",
            // What the two misspelled keys were to say.
            "node1.yml: name is not defined.",
            "node1.yml:11: postgresql.connect_address is not defined.",
        ] {
            assert!(told.iter().any(|known| known == line), "{line} is not among {told:#?}");
        }
        assert_eq!(told.len(), 13, "{told:#?}");
    }

    #[test]
    fn connect_addresses_must_be_of_use_to_others() {
        let found = failures(&GOOD.replace("connect_address: 10.0.0.1:5432", "connect_address: 127.0.0.1:15430"));
        let expected = "postgresql.connect_address 127.0.0.1:15430 didn't pass validation: must not contain \
                        \"127.0.0.1\", \"0.0.0.0\", \"*\", \"::1\", \"localhost\"";
        assert_eq!(found, [expected]);
    }
}
