//! Which parameters the server gets in a role, and on its command line. Pure.
//!
//! Parameters arrive validated: what a value may be, by version, is the configuration's knowledge.

use super::PendingRestart;
use super::recovery::is_recovery;
use crate::postgres::control::ControlFile;
use regent_core::model::{Role, RoleOverrides, ServerSettings};
use std::collections::BTreeMap;

/// The parameters that members of a cluster must agree on, in the order of the command line, with their defaults and
/// the first version that has them. A file cannot override what the command line says, so ALTER SYSTEM cannot break
/// replication (CFG-06).
const COMMAND_LINE: [(&str, &str, u32); 13] = [
    ("listen_addresses", "", 0),
    ("port", "", 0),
    ("cluster_name", "", 90_500),
    ("wal_level", "hot_standby", 0),
    ("hot_standby", "on", 0),
    ("max_connections", "100", 0),
    ("max_wal_senders", "10", 0),
    ("max_prepared_transactions", "0", 0),
    ("max_locks_per_transaction", "64", 0),
    ("track_commit_timestamp", "off", 90_500),
    ("max_replication_slots", "10", 90_400),
    ("max_worker_processes", "8", 90_400),
    ("wal_log_hints", "on", 90_400),
];

/// What a standby must not have less of than its primary had, and how the control file names it.
const NOT_LESS_THAN_PRIMARY: [(&str, &str, u32); 5] = [
    ("max_connections", "max_connections setting", 0),
    ("max_prepared_transactions", "max_prepared_xacts setting", 0),
    ("max_locks_per_transaction", "max_locks_per_xact setting", 0),
    ("max_worker_processes", "max_worker_processes setting", 90_400),
    ("max_wal_senders", "max_wal_senders setting", 120_000),
];

/// Settings that a role may not change.
fn is_controlled(name: &str) -> bool {
    matches!(name, "wal_keep_segments" | "wal_keep_size") || COMMAND_LINE.iter().any(|(known, ..)| *known == name)
}

/// What differs for `role`.
pub fn overrides(settings: &ServerSettings, role: Role) -> Option<&RoleOverrides> {
    match role {
        Role::Primary | Role::Promoted => Some(&settings.primary),
        Role::Replica | Role::Demoted => Some(&settings.replica),
        Role::StandbyLeader => Some(&settings.standby_leader),
        Role::Uninitialized => None,
    }
}

/// Every parameter of the main part of postgresql.conf for `role`, recovery's excluded.
pub fn effective(settings: &ServerSettings, version: u32, role: Role) -> BTreeMap<String, String> {
    let mut parameters = settings.parameters.clone();
    for (name, value) in overrides(settings, role).iter().flat_map(|overrides| &overrides.parameters) {
        if is_controlled(name) {
            tracing::warn!("Role-based config attempted to override protected parameter '{name}', ignoring");
        } else {
            parameters.insert(name.clone(), value.clone());
        }
    }
    parameters.retain(|name, _| !is_recovery(name) && !matches!(name.as_str(), "hba_file" | "ident_file"));
    parameters.insert("listen_addresses".into(), settings.listen_addresses.clone());
    parameters.insert("port".into(), settings.port.to_string());
    parameters.insert("cluster_name".into(), settings.scope.clone());
    for (name, default, since) in COMMAND_LINE {
        if version >= since {
            parameters.entry(name.into()).or_insert_with(|| default.into());
        } else {
            parameters.remove(name);
        }
    }
    rename_wal_level(&mut parameters, version);
    convert_wal_keep(&mut parameters, version);
    parameters
}

/// CFG-19: `hot_standby` and `replica` are the same.
fn rename_wal_level(parameters: &mut BTreeMap<String, String>, version: u32) {
    if let Some(level) = parameters.get_mut("wal_level")
        && matches!(level.as_str(), "hot_standby" | "replica")
    {
        *level = if version >= 90_600 { "replica" } else { "hot_standby" }.into();
    }
}

fn convert_wal_keep(parameters: &mut BTreeMap<String, String>, version: u32) {
    let (segments, size) = (parameters.remove("wal_keep_segments"), parameters.remove("wal_keep_size"));
    if version >= 130_000 {
        let converted =
            segments.and_then(|count| count.trim().parse::<u64>().ok()).map(|count| format!("{}MB", count * 16));
        parameters.insert("wal_keep_size".into(), size.or(converted).unwrap_or_else(|| "128MB".into()));
    } else {
        let converted = size.and_then(|size| megabytes(&size)).map(|size| ((size + 8) / 16).to_string());
        parameters.insert("wal_keep_segments".into(), segments.or(converted).unwrap_or_else(|| "8".into()));
    }
}

/// A size as PostgreSQL reads `wal_keep_size`: megabytes where it has no unit.
fn megabytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim() {
        "" | "MB" => Some(number),
        "kB" => Some(number / 1024),
        "GB" => number.checked_mul(1024),
        "TB" => number.checked_mul(1024 * 1024),
        _ => None,
    }
}

/// Raises what a standby must not have less of (CFG-20) and tells what waits for a restart of the primary.
pub fn adjust_for_standby(
    parameters: &mut BTreeMap<String, String>,
    version: u32,
    control: &ControlFile,
) -> Vec<PendingRestart> {
    let mut held_back = Vec::new();
    for (name, line, since) in NOT_LESS_THAN_PRIMARY {
        if version < since {
            continue;
        }
        let Some(recorded) = control.get(line).and_then(|value| value.parse::<i64>().ok()) else {
            tracing::warn!("pg_controldata did not print {line:?}: {name} stays as configured");
            continue;
        };
        let configured = parameters.get(name).and_then(|value| value.trim().parse::<i64>().ok()).unwrap_or(0);
        if recorded > configured {
            tracing::info!(
                "{name} is {configured} in the configuration, but the primary ran with {recorded}: using that"
            );
            parameters.insert(name.into(), recorded.to_string());
            held_back.push(PendingRestart {
                name: name.into(),
                old: recorded.to_string(),
                new: configured.to_string(),
            });
        }
    }
    held_back
}

/// The parameters of the command line: `name`, `value` in the order that the peer uses.
pub fn command_line(parameters: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    COMMAND_LINE.iter().filter_map(|(name, ..)| parameters.get(*name).map(|value| (*name, value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::testing::settings;

    fn parameters(pairs: &[(&str, &str)], version: u32, role: Role) -> BTreeMap<String, String> {
        let mut settings = settings();
        settings.parameters.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        settings.replica.parameters.insert("work_mem".into(), "8MB".into());
        settings.replica.parameters.insert("port".into(), "1".into());
        effective(&settings, version, role)
    }

    #[test]
    fn controlled_parameters_are_the_same_on_every_member() {
        // CFG-06, CFG-42
        let primary = parameters(&[("work_mem", "4MB"), ("listen_addresses", "x")], 150_000, Role::Primary);
        assert_eq!(primary["work_mem"], "4MB");
        assert_eq!(primary["listen_addresses"], "127.0.0.1");
        let replica = parameters(&[("work_mem", "4MB")], 150_000, Role::Replica);
        assert_eq!((replica["work_mem"].as_str(), replica["port"].as_str()), ("8MB", "5432"));
        let line: Vec<_> =
            command_line(&replica).into_iter().map(|(name, value)| format!("--{name}={value}")).collect();
        assert_eq!(
            line.join(" "),
            "--listen_addresses=127.0.0.1 --port=5432 --cluster_name=demo --wal_level=replica --hot_standby=on \
             --max_connections=100 --max_wal_senders=10 --max_prepared_transactions=0 --max_locks_per_transaction=64 \
             --track_commit_timestamp=off --max_replication_slots=10 --max_worker_processes=8 --wal_log_hints=on"
        );
    }

    #[test]
    fn names_and_units_follow_the_version() {
        let check = |pairs: &[(&str, &str)], version, name: &str, expected: Option<&str>| {
            let got = parameters(pairs, version, Role::Primary);
            assert_eq!(got.get(name).map(String::as_str), expected, "{pairs:?} {version}");
        };
        check(&[("wal_keep_segments", "20")], 130_000, "wal_keep_size", Some("320MB"));
        check(&[("wal_keep_segments", "20")], 130_000, "wal_keep_segments", None);
        check(&[("wal_keep_segments", "20"), ("wal_keep_size", "1GB")], 130_000, "wal_keep_size", Some("1GB"));
        check(&[("wal_keep_size", "1GB")], 120_000, "wal_keep_segments", Some("64"));
        check(&[("wal_keep_size", "100MB")], 120_000, "wal_keep_segments", Some("6"));
        check(&[], 150_000, "wal_keep_size", Some("128MB"));
        check(&[("wal_level", "hot_standby")], 90_600, "wal_level", Some("replica"));
        check(&[("wal_level", "replica")], 90_500, "wal_level", Some("hot_standby"));
        check(&[("wal_level", "logical")], 150_000, "wal_level", Some("logical"));
        check(&[("restore_command", "x")], 150_000, "restore_command", None);
    }

    #[test]
    fn a_standby_has_no_less_than_its_primary_had() {
        // CFG-20
        let control = ControlFile::parse(
            "max_connections setting: 200\nmax_worker_processes setting: 4\nmax_wal_senders setting: 10\n\
             max_prepared_xacts setting: 0\nmax_locks_per_xact setting: 64\n",
        );
        let mut parameters = parameters(&[], 150_000, Role::Replica);
        let held_back = adjust_for_standby(&mut parameters, 150_000, &control);
        assert_eq!(parameters["max_connections"], "200");
        assert_eq!(parameters["max_worker_processes"], "8");
        let expected = PendingRestart { name: "max_connections".into(), old: "200".into(), new: "100".into() };
        assert_eq!(held_back, [expected]);
    }
}
