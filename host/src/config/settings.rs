//! The settings that decisions depend on, from the dynamic document and a few local keys.

use super::fencing;
use super::reading::{Layers, at, integer_at, list_at, some_text_at, truth_at};
use super::tags;
use super::timing::timing;
use super::units::{bytes, seconds, text, truth};
use regent_core::model::{Settings, SlotSettings, StandbyCluster, SynchronousMode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Builds the settings; what had to be adjusted is added to `warnings`.
pub(super) fn build(layers: Layers<'_>, warnings: &mut Vec<String>) -> Settings {
    let Layers { local, dynamic } = layers;
    let timing = timing(dynamic, warnings);
    let flag = |path: &str| truth_at(dynamic, path).unwrap_or(false);
    let standby_cluster = standby_cluster(dynamic);
    let stop_timeout = time(dynamic, "primary_stop_timeout", 0);
    Settings {
        name: some_text_at(local, "name").unwrap_or_default(),
        scope: some_text_at(local, "scope").unwrap_or_default(),
        ttl: timing.ttl,
        loop_wait: timing.loop_wait,
        retry_timeout: timing.retry_timeout,
        maximum_lag_on_failover: lag(dynamic, "maximum_lag_on_failover").unwrap_or(1_048_576),
        maximum_lag_on_syncnode: lag(dynamic, "maximum_lag_on_syncnode").filter(|lag| *lag > 0),
        max_timelines_history: integer_at(dynamic, "max_timelines_history")
            .and_then(|rows| usize::try_from(rows).ok())
            .filter(|rows| *rows > 0),
        check_timeline: flag("check_timeline"),
        primary_start_timeout: time(dynamic, "primary_start_timeout", 300),
        primary_stop_timeout: (!stop_timeout.is_zero()).then_some(stop_timeout),
        primary_race_backoff: time(dynamic, "primary_race_backoff", 0),
        // A standby cluster has nothing of its own to commit.
        synchronous_mode: match standby_cluster {
            Some(_) => SynchronousMode::Off,
            None => synchronous_mode(dynamic),
        },
        synchronous_mode_strict: flag("synchronous_mode_strict"),
        synchronous_node_count: node_count(dynamic),
        failsafe_mode: flag("failsafe_mode"),
        paused: flag("pause"),
        use_slots: truth_at(dynamic, "postgresql.use_slots").unwrap_or(true),
        use_pg_rewind: layers.either_truth("postgresql.use_pg_rewind"),
        remove_data_directory_on_rewind_failure: layers
            .either_truth("postgresql.remove_data_directory_on_rewind_failure"),
        remove_data_directory_on_diverged_timelines: layers
            .either_truth("postgresql.remove_data_directory_on_diverged_timelines"),
        member_slots_ttl: time(dynamic, "member_slots_ttl", 1800),
        slots: slots(dynamic),
        ignore_slots: ignore_slots(dynamic),
        clones_without_source: super::methods::any_without_source(layers, standby_cluster.as_ref()),
        standby_cluster,
        guard: fencing::mode(local, "guard.mode"),
        watchdog: fencing::mode(local, "watchdog.mode"),
        may_bootstrap: local.get("bootstrap").is_some(),
        custom_bootstrap: super::bootstrap::custom(local).is_some(),
        tags: tags::build(local, warnings),
    }
}

fn time(dynamic: &Value, path: &str, default: u64) -> Duration {
    let said = at(dynamic, path).and_then(seconds);
    said.unwrap_or(Duration::from_secs(default))
}

fn lag(dynamic: &Value, path: &str) -> Option<u64> {
    at(dynamic, path).and_then(bytes).and_then(|bytes| u64::try_from(bytes).ok())
}

fn node_count(dynamic: &Value) -> u32 {
    let count = integer_at(dynamic, "synchronous_node_count");
    let count = count.and_then(|count| u32::try_from(count).ok());
    count.filter(|count| *count > 0).unwrap_or(1)
}

fn synchronous_mode(dynamic: &Value) -> SynchronousMode {
    let Some(value) = at(dynamic, "synchronous_mode") else {
        return SynchronousMode::Off;
    };
    if value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("quorum")) {
        SynchronousMode::Quorum
    } else if truth(value).unwrap_or(false) {
        SynchronousMode::On
    } else {
        SynchronousMode::Off
    }
}

/// There is a remote side where one of three keys says something.
fn standby_cluster(dynamic: &Value) -> Option<StandbyCluster> {
    let section = at(dynamic, "standby_cluster").filter(|section| section.is_object())?;
    let field = |name: &str| {
        let value = section.get(name)?;
        let silent = matches!(value, Value::Bool(false)) || value.as_i64() == Some(0);
        text(value).filter(|text| !silent && !text.is_empty())
    };
    let (host, port, restore_command) = (field("host"), field("port"), field("restore_command"));
    if host.is_none() && port.is_none() && restore_command.is_none() {
        return None;
    }
    Some(StandbyCluster {
        host,
        port,
        primary_slot_name: field("primary_slot_name"),
        create_replica_methods: list_at(section, "create_replica_methods"),
        restore_command,
        archive_cleanup_command: field("archive_cleanup_command"),
        recovery_min_apply_delay: field("recovery_min_apply_delay"),
    })
}

fn slot(section: &Value) -> SlotSettings {
    let field = |name: &str| section.get(name).and_then(text).filter(|text| !text.is_empty());
    SlotSettings {
        kind: field("type").map(|kind| kind.to_lowercase()),
        database: field("database"),
        plugin: field("plugin"),
        cluster_type: field("cluster_type"),
    }
}

/// Slots to keep. One that has a database and a plugin is logical without saying so.
fn slots(dynamic: &Value) -> BTreeMap<String, SlotSettings> {
    let map = at(dynamic, "slots").and_then(Value::as_object);
    let slot = |(name, section): (&String, &Value)| {
        let mut slot = slot(section);
        let logical = slot.database.is_some() && slot.plugin.is_some();
        let kind = if logical { "logical" } else { "physical" };
        slot.kind.get_or_insert_with(|| kind.to_owned());
        (name.clone(), slot)
    };
    map.into_iter().flatten().map(slot).collect()
}

fn ignore_slots(dynamic: &Value) -> Vec<(Option<String>, SlotSettings)> {
    let patterns = at(dynamic, "ignore_slots").and_then(Value::as_array);
    let patterns = patterns.into_iter().flatten().filter(|pattern| pattern.is_object());
    patterns.map(|pattern| (pattern.get("name").and_then(text), slot(pattern))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(local: Value, dynamic: Value) -> Settings {
        let layers = Layers { local: &local, dynamic: &dynamic };
        build(layers, &mut Vec::new())
    }

    #[test]
    fn modes_in_many_words() {
        let check = |dynamic: Value, expected: SynchronousMode| {
            assert_eq!(built(json!({}), dynamic.clone()).synchronous_mode, expected, "{dynamic}");
        };
        check(json!({"synchronous_mode": "Quorum"}), SynchronousMode::Quorum);
        check(json!({"synchronous_mode": "on"}), SynchronousMode::On);
        check(json!({"synchronous_mode": "what"}), SynchronousMode::Off);
        check(json!({"synchronous_mode": "on", "standby_cluster": {"host": "a"}}), SynchronousMode::Off);
        check(
            json!({"synchronous_mode": "on", "standby_cluster": {"primary_slot_name": "a", "port": 0}}),
            SynchronousMode::On,
        );
    }

    /// SB-04
    #[test]
    fn the_remote_sides_port_may_be_a_number_and_its_methods_a_list() {
        let check = |port: Value, methods: Value| {
            let site = json!({"standby_cluster": {"host": "r", "port": port, "create_replica_methods": methods}});
            let site = built(json!({}), site).standby_cluster.unwrap();
            assert_eq!(site.port.as_deref(), Some("5433"));
            assert_eq!(site.create_replica_methods, ["own", "basebackup"]);
        };
        check(json!(5433), json!(["own", "basebackup"]));
        check(json!("5433"), json!("own, basebackup"));
    }

    /// SB-09: what the file says for the bootstrap is for the bootstrap.
    #[test]
    fn a_standby_cluster_is_told_by_the_store_alone() {
        let site = json!({"standby_cluster": {"host": "r", "port": 5432}});
        let file = json!({"bootstrap": {"dcs": site.clone()}, "standby_cluster": {"host": "x"}});
        assert_eq!(built(file.clone(), json!({})).standby_cluster, None);
        assert_eq!(built(file, site).standby_cluster.and_then(|site| site.host).as_deref(), Some("r"));
    }

    #[test]
    fn numbers_may_be_text_and_wrong_ones_are_defaults() {
        let settings = built(
            json!({}),
            json!({
                "maximum_lag_on_failover": "16MB", "maximum_lag_on_syncnode": "-1", "max_timelines_history": "3",
                "primary_start_timeout": "5min", "member_slots_ttl": -5, "synchronous_node_count": 0, "pause": "True",
            }),
        );
        assert_eq!(settings.maximum_lag_on_failover, 16 * 1_048_576);
        assert_eq!(settings.maximum_lag_on_syncnode, None);
        assert_eq!(settings.max_timelines_history, Some(3));
        assert_eq!(settings.primary_start_timeout, Duration::from_secs(300));
        assert_eq!(settings.member_slots_ttl, Duration::from_secs(1800));
        assert_eq!(settings.synchronous_node_count, 1);
        assert!(settings.paused);
    }

    #[test]
    fn each_layer_sets_what_it_may() {
        // CFG-05
        let settings = built(
            json!({"ttl": 99, "postgresql": {"use_slots": false, "use_pg_rewind": "on"}, "bootstrap": null}),
            json!({"postgresql": {"use_pg_rewind": false, "remove_data_directory_on_rewind_failure": true}}),
        );
        assert_eq!(settings.ttl, Duration::from_secs(30));
        assert!(settings.use_slots && settings.use_pg_rewind && settings.may_bootstrap);
        assert!(settings.remove_data_directory_on_rewind_failure);
        assert!(!built(json!({}), json!({"bootstrap": {}})).may_bootstrap);
    }

    #[test]
    fn slots_have_a_kind_and_patterns_may_have_none() {
        let settings = built(
            json!({}),
            json!({
                "slots": {"a": null, "b": {"database": "d", "plugin": "p"}, "c": {"type": "Physical"}},
                "ignore_slots": [{"name": "x", "type": "logical"}, {"plugin": "p"}, "junk"],
            }),
        );
        let kinds: Vec<_> = settings.slots.values().map(|slot| slot.kind.as_deref().unwrap()).collect();
        assert_eq!(kinds, ["physical", "logical", "physical"]);
        assert_eq!(settings.ignore_slots.len(), 2);
        assert_eq!(settings.ignore_slots[1].1.kind, None);
    }
}
