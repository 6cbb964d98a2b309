//! PostgreSQL's own settings: which there are in each version, of what type and within which limits (CFG-35).
//!
//! A server does not start on a setting that it does not know, nor on a value that it refuses; so a typing error in the
//! configuration of a cluster would stop every server at its next restart. What is wrong is adjusted or left out here.
//! Names that the table lacks (a newer server, a fork) are kept, and the server's own program is asked about them later.

use super::units::{in_unit, truth};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

/// One line a setting and range of versions, tab-separated; the first line names the columns.
const TABLE: &str = include_str!("gucs.tsv");

static SETTINGS: LazyLock<BTreeMap<(Section, &'static str), Vec<Setting>>> = LazyLock::new(|| {
    let mut settings: BTreeMap<_, Vec<Setting>> = BTreeMap::new();
    for (key, setting) in TABLE.lines().filter_map(read) {
        settings.entry(key).or_default().push(setting);
    }
    settings
});

/// Where a setting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    /// In postgresql.conf, in every version.
    Main,
    /// In recovery.conf up to 11, in postgresql.conf from 12 on.
    Recovery,
}

/// What values a setting takes.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Truth,
    /// Whole numbers or others, in a unit, within limits.
    Number {
        unit: &'static str,
        least: f64,
        greatest: f64,
    },
    /// One of these words; a truth value too where that is said.
    Words {
        words: Vec<&'static str>,
        truth: bool,
    },
    Text,
}

#[derive(Clone, Debug, PartialEq)]
struct Setting {
    versions: Range<u32>,
    kind: Kind,
}

/// What is to become of a setting.
#[derive(Clone, Debug, PartialEq)]
enum Checked {
    /// It is written, perhaps with another value than the one given.
    Kept(String),
    /// The table does not have it for this version: the server's program has to say.
    Unlisted,
    /// It is left out.
    Refused,
}

/// Leaves only what a server of this version takes, and says what was changed or left out. The names that the table
/// does not have stay and are returned. Version 0, a server that is not known yet, takes everything.
pub(super) fn prune(
    parameters: &mut BTreeMap<String, String>,
    version: u32,
    warnings: &mut Vec<String>,
) -> BTreeSet<String> {
    let mut unlisted = BTreeSet::new();
    if version == 0 {
        return unlisted;
    }
    parameters.retain(|name, value| match parameter(name, value, version, warnings) {
        Checked::Kept(checked) => {
            *value = checked;
            true
        }
        Checked::Unlisted => unlisted.insert(name.clone()),
        Checked::Refused => false,
    });
    unlisted
}

/// The same for `postgresql.recovery_conf`, which takes recovery's settings only.
pub(super) fn prune_recovery(conf: &mut BTreeMap<String, String>, version: u32, warnings: &mut Vec<String>) {
    if version > 0 {
        conf.retain(|name, value| match recovery(name, value, version, warnings) {
            Some(checked) => {
                *value = checked;
                true
            }
            None => false,
        });
    }
}

/// Checks a setting of `postgresql.parameters`.
fn parameter(name: &str, value: &str, version: u32, warnings: &mut Vec<String>) -> Checked {
    let found = find(Section::Main, name, version).or_else(|| find(Section::Recovery, name, version));
    match found {
        // An extension's: only the extension knows its values.
        _ if name.contains('.') => Checked::Kept(value.to_owned()),
        Some(setting) => check("postgresql.parameters", name, value, &setting.kind, warnings),
        None => Checked::Unlisted,
    }
}

/// Checks a setting of `postgresql.recovery_conf`; one that is not recovery's is refused.
fn recovery(name: &str, value: &str, version: u32, warnings: &mut Vec<String>) -> Option<String> {
    let section = "postgresql.recovery_conf";
    // A name of another version is kept: it is written under the one that counts here.
    let Some(rows) = rows(Section::Recovery, name) else {
        warnings.push(format!("{section}: {name} is not a setting of recovery: left out"));
        return None;
    };
    let setting = rows.iter().find(|row| row.versions.contains(&version)).or_else(|| rows.first())?;
    match check(section, name, value, &setting.kind, warnings) {
        Checked::Kept(value) => Some(value),
        Checked::Unlisted | Checked::Refused => None,
    }
}

fn find(section: Section, name: &str, version: u32) -> Option<&Setting> {
    rows(section, name)?.iter().find(|row| row.versions.contains(&version))
}

/// A setting in all versions.
fn rows(section: Section, name: &str) -> Option<&Vec<Setting>> {
    let settings: &BTreeMap<(Section, &str), Vec<Setting>> = &SETTINGS;
    settings.get(&(section, name))
}

fn check(section: &str, name: &str, value: &str, kind: &Kind, warnings: &mut Vec<String>) -> Checked {
    let mut refuse = |expected: &str| {
        warnings.push(format!("{section}: {name} = {value:?} is not {expected}: left out"));
        Checked::Refused
    };
    match kind {
        Kind::Text => Checked::Kept(value.to_owned()),
        Kind::Truth if is_truth(value) => Checked::Kept(value.to_owned()),
        Kind::Truth => refuse("a truth value"),
        Kind::Words { words, truth } => {
            if words.iter().any(|word| word.eq_ignore_ascii_case(value)) || (*truth && is_truth(value)) {
                return Checked::Kept(value.to_owned());
            }
            let also = if *truth { ", on, off" } else { "" };
            refuse(&format!("one of: {}{also}", words.join(", ")))
        }
        Kind::Number { unit, least, greatest } => {
            let Some(number) = in_unit(value, unit) else {
                return refuse(&format!("a number{}", with_unit(unit)));
            };
            let (limit, what) = match number {
                number if number < *least => (least, "too small, using the least that the server takes"),
                number if number > *greatest => (greatest, "too large, using the most that the server takes"),
                _ => return Checked::Kept(value.to_owned()),
            };
            let measure = if unit.is_empty() { String::new() } else { format!(" (in {unit})") };
            warnings.push(format!("{section}: {name} = {value:?} is {what}: {limit}{measure}"));
            Checked::Kept(limit.to_string())
        }
    }
}

fn with_unit(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(", alone (in {unit}) or with a unit") }
}

/// PostgreSQL takes every beginning of a word that is clear.
fn is_truth(value: &str) -> bool {
    let word = value.trim().to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    truth(&Value::from(value)).is_some()
        || begins("true", 1)
        || begins("false", 1)
        || begins("yes", 1)
        || begins("no", 1)
        || begins("off", 2)
}

/// A line of the table; `None` for one that is no setting.
fn read(line: &'static str) -> Option<((Section, &'static str), Setting)> {
    let mut columns = line.split('\t');
    let section = match columns.next()? {
        "pg" => Section::Main,
        "recovery" => Section::Recovery,
        _ => return None,
    };
    let name = columns.next()?;
    let mut next = || columns.next().unwrap_or_default();
    let kind = next();
    let versions = next().parse().ok()?..next().parse().unwrap_or(u32::MAX);
    let (least, greatest) = (next().parse().unwrap_or(f64::MIN), next().parse().unwrap_or(f64::MAX));
    let unit = next();
    let words: Vec<&str> = next().split('|').collect();
    let kind = match kind {
        "Bool" => Kind::Truth,
        "Integer" | "Real" => Kind::Number { unit, least, greatest },
        "Enum" => Kind::Words { words, truth: false },
        "EnumBool" => Kind::Words { words, truth: true },
        _ => Kind::Text,
    };
    Some(((section, name), Setting { versions, kind }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(name: &str, value: &str, version: u32) -> (Checked, Vec<String>) {
        let mut warnings = Vec::new();
        let checked = parameter(name, value, version, &mut warnings);
        (checked, warnings)
    }

    fn check(name: &str, value: &str, version: u32, expected: Checked) {
        assert_eq!(of(name, value, version).0, expected, "{name} = {value} at {version}");
    }

    fn kept(value: &str) -> Checked {
        Checked::Kept(value.to_owned())
    }

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(SETTINGS.values().map(Vec::len).sum::<usize>(), lines);
        for ((_, name), rows) in SETTINGS.iter() {
            for row in rows {
                assert!(!row.versions.is_empty(), "{name}: {row:?}");
                if let Kind::Number { least, greatest, .. } = row.kind {
                    assert!(least > f64::MIN && greatest < f64::MAX && least <= greatest, "{name}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn good_values_are_left_as_they_are() {
        // CFG-35
        for value in ["4MB", "64kB", "4096", "0x1000", "1 GB", "0.5GB"] {
            check("work_mem", value, 150_000, kept(value));
        }
        for value in ["on", "False", "t", "ye", "of", "1"] {
            check("autovacuum", value, 150_000, kept(value));
        }
        check("shared_buffers", "128MB", 150_000, kept("128MB"));
        check("wal_sync_method", "fdatasync", 150_000, kept("fdatasync"));
        check("archive_mode", "always", 150_000, kept("always"));
        check("archive_mode", "on", 150_000, kept("on"));
        check("log_min_messages", "WARNING", 150_000, kept("WARNING"));
        check("autovacuum_vacuum_cost_delay", "2.5ms", 150_000, kept("2.5ms"));
        check("checkpoint_timeout", "15min", 150_000, kept("15min"));
        check("restore_command", "cp %f %p", 150_000, kept("cp %f %p"));
        check("pg_stat_statements.track", "whatever", 150_000, kept("whatever"));
    }

    #[test]
    fn bad_values_are_left_out() {
        for (name, value) in [
            ("autovacuum", "o"),
            ("autovacuum", "perhaps"),
            ("wal_sync_method", "quickly"),
            ("archive_mode", "sometimes"),
            ("work_mem", "plenty"),
            ("work_mem", "4XB"),
            ("work_mem", "5min"),
        ] {
            let (checked, warnings) = of(name, value, 150_000);
            assert_eq!(checked, Checked::Refused, "{name} = {value}");
            assert!(warnings.len() == 1 && warnings[0].contains(name) && warnings[0].contains(value), "{warnings:?}");
        }
    }

    #[test]
    fn numbers_are_brought_within_their_limits() {
        let adjusted = |name: &str, value: &str, expected: &str| {
            let (checked, warnings) = of(name, value, 150_000);
            assert_eq!(checked, kept(expected), "{name} = {value}");
            assert_eq!(warnings.len(), 1, "{warnings:?}");
        };
        adjusted("work_mem", "1kB", "64");
        adjusted("authentication_timeout", "0", "1");
        adjusted("authentication_timeout", "1h", "600");
        adjusted("shared_buffers", "8kB", "16");
        adjusted("random_page_cost", "-1", "0");
    }

    #[test]
    fn versions_differ() {
        check("allow_alter_system", "off", 170_000, kept("off"));
        check("allow_alter_system", "off", 160_000, Checked::Unlisted);
        check("archive_mode", "always", 90_400, Checked::Refused);
        check("work_men", "4MB", 150_000, Checked::Unlisted);
    }

    #[test]
    fn recovery_has_settings_of_its_own() {
        let of = |name: &str, value: &str| {
            let mut warnings = Vec::new();
            let value = recovery(name, value, 150_000, &mut warnings);
            (value, warnings.len())
        };
        assert_eq!(of("restore_command", "cp"), (Some("cp".to_owned()), 0));
        assert_eq!(of("recovery_min_apply_delay", "-1"), (Some("0".to_owned()), 1));
        assert_eq!(of("recovery_target_action", "dance"), (None, 1));
        assert_eq!(of("trigger_file", "/x"), (Some("/x".to_owned()), 0), "converted for newer servers elsewhere");
        assert_eq!(of("work_mem", "4MB"), (None, 1));
    }

    proptest! {
        #[test]
        fn any_text_is_judged(name in "[a-z_.]{0,12}|work_mem|archive_mode", value in ".{0,40}", version: u32) {
            let mut warnings = Vec::new();
            let checked = parameter(&name, &value, version, &mut warnings);
            prop_assert!(checked != Checked::Refused || !warnings.is_empty());
        }
    }
}
