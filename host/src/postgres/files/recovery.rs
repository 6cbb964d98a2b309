//! What a server that recovers is told: which settings, in which file, by version. Pure.

use crate::postgres::conninfo::primary_conninfo;
use regent_core::model::{ServerSettings, Source};
use std::collections::BTreeMap;

/// Whom a standby streams from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FollowTarget {
    /// Nobody: it replays what it has and what its archive gives.
    #[default]
    None,
    /// This server.
    Source(Source),
}

/// How a server recovers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It does not: it becomes a primary.
    None,
    /// As a standby.
    Standby {
        /// Whom it streams from.
        follow: FollowTarget,
        /// What overrides `recovery_conf`: restore_command and its like of a standby cluster.
        overrides: BTreeMap<String, String>,
    },
    /// As a custom bootstrap method asks, to the letter.
    Custom(BTreeMap<String, String>),
    /// Files and settings are left as a custom bootstrap method made them.
    Keep,
}

/// The file that makes the server recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `standby.signal`, or recovery.conf with standby_mode.
    Standby,
    /// `recovery.signal`, or recovery.conf without standby_mode.
    Recovery,
}

/// Settings that only recovery reads: never in the main part of postgresql.conf. The names before 12 are among them.
pub const RECOVERY_PARAMETERS: [&str; 18] = [
    "archive_cleanup_command",
    "pause_at_recovery_target",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "standby_mode",
    "trigger_file",
];

/// The settings of this recovery and the file that asks for it; `None` where files are left alone or nothing recovers.
pub fn recovery_settings(
    settings: &ServerSettings,
    version: u32,
    recovery: &Recovery,
) -> Option<(Signal, BTreeMap<String, String>)> {
    match recovery {
        Recovery::None | Recovery::Keep => None,
        Recovery::Standby { follow, overrides } => {
            Some((Signal::Standby, by_version(version, standby_settings(settings, version, follow, overrides))))
        }
        Recovery::Custom(wanted) => {
            let wanted: BTreeMap<_, _> =
                wanted.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
            let standby = wanted.get("standby_mode").is_some_and(|value| is_true(value));
            let signal = if standby { Signal::Standby } else { Signal::Recovery };
            Some((signal, by_version(version, wanted)))
        }
    }
}

fn standby_settings(
    settings: &ServerSettings,
    version: u32,
    follow: &FollowTarget,
    overrides: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // From 12 on, recovery settings may stand among the parameters as well; `recovery_conf` says it more precisely.
    let among_parameters = settings.parameters.iter().filter(|(name, _)| version >= 120_000 && is_recovery(name));
    let mut wanted: BTreeMap<String, String> = among_parameters
        .chain(&settings.recovery_conf)
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .filter(|(name, _)| !name.starts_with("recovery_target") && !name.starts_with("primary_"))
        .collect();
    wanted.extend(overrides.iter().map(|(name, value)| (name.to_lowercase(), value.clone())));
    wanted.insert("standby_mode".into(), "on".into());
    wanted.insert("recovery_target_timeline".into(), "latest".into());
    if version >= 120_000 {
        // A target that was left behind by a restore would stop the standby there.
        for target in ["", "_name", "_time", "_xid", "_lsn"] {
            wanted.insert(format!("recovery_target{target}"), String::new());
        }
    }
    if let FollowTarget::Source(source) = follow {
        wanted.insert("primary_conninfo".into(), primary_conninfo(settings, version, source));
        if let Some(slot) = source.slot.as_ref().filter(|_| settings.use_slots) {
            wanted.insert("primary_slot_name".into(), slot.clone());
        }
    }
    wanted
}

/// Is this a setting that only recovery reads?
pub fn is_recovery(name: &str) -> bool {
    RECOVERY_PARAMETERS.contains(&name)
}

/// Names that changed with versions are given as the server knows them.
fn by_version(version: u32, mut wanted: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if version >= 120_000 {
        wanted.remove("standby_mode");
        rename(&mut wanted, "trigger_file", "promote_trigger_file");
        if version >= 160_000 {
            wanted.remove("promote_trigger_file");
        }
    } else {
        rename(&mut wanted, "promote_trigger_file", "trigger_file");
    }
    if version >= 90_500 {
        if let Some(pause) = wanted.remove("pause_at_recovery_target") {
            let action = if is_true(&pause) { "pause" } else { "promote" };
            wanted.entry("recovery_target_action".into()).or_insert_with(|| action.into());
        }
    } else if let Some(action) = wanted.remove("recovery_target_action") {
        let pause = (action == "pause").to_string();
        wanted.entry("pause_at_recovery_target".into()).or_insert(pause);
    }
    wanted
}

fn rename(wanted: &mut BTreeMap<String, String>, from: &str, to: &str) {
    if let Some(value) = wanted.remove(from) {
        wanted.entry(to.into()).or_insert(value);
    }
}

/// How PostgreSQL reads a truth value.
pub fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t" | "y" | "tr" | "tru" | "ye")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::testing::{settings, source};

    fn standby(version: u32, settings: &ServerSettings) -> BTreeMap<String, String> {
        let overrides = BTreeMap::from([("restore_command".to_owned(), "fetch %f".to_owned())]);
        let recovery = Recovery::Standby { follow: FollowTarget::Source(source()), overrides };
        recovery_settings(settings, version, &recovery).unwrap().1
    }

    #[test]
    fn a_standby_follows_the_latest_timeline_without_targets() {
        let mut settings = settings();
        settings.recovery_conf.insert("recovery_target_name".into(), "x".into());
        settings.recovery_conf.insert("restore_command".into(), "overridden".into());
        settings.recovery_conf.insert("trigger_file".into(), "/t".into());
        let names = |version| standby(version, &settings).into_keys().collect::<Vec<_>>().join(" ");
        assert_eq!(
            names(150_000),
            "primary_conninfo primary_slot_name promote_trigger_file recovery_target recovery_target_lsn \
             recovery_target_name recovery_target_time recovery_target_timeline recovery_target_xid restore_command"
        );
        assert!(!names(160_000).contains("trigger_file"));
        assert_eq!(
            names(110_000),
            "primary_conninfo primary_slot_name recovery_target_timeline restore_command standby_mode trigger_file"
        );
        assert_eq!(standby(150_000, &settings)["restore_command"], "fetch %f");
        assert_eq!(standby(150_000, &settings)["recovery_target_name"], "");
    }

    #[test]
    fn a_custom_recovery_is_taken_to_the_letter() {
        let wanted = |pairs: &[(&str, &str)]| {
            Recovery::Custom(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        let check = |recovery: &Recovery, version, signal, expected: &[(&str, &str)]| {
            let (got, values) = recovery_settings(&settings(), version, recovery).unwrap();
            assert_eq!(got, signal);
            let values: Vec<_> = values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(values, expected);
        };
        let point = wanted(&[("recovery_target_name", "x"), ("pause_at_recovery_target", "off")]);
        check(
            &point,
            150_000,
            Signal::Recovery,
            &[("recovery_target_action", "promote"), ("recovery_target_name", "x")],
        );
        check(&wanted(&[("standby_mode", "on")]), 110_000, Signal::Standby, &[("standby_mode", "on")]);
        check(&wanted(&[("standby_mode", "on")]), 120_000, Signal::Standby, &[]);
    }
}
