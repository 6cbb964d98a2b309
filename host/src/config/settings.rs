//! The settings that decisions depend on, from the dynamic document and a few local keys.

use super::value::{at, bytes, integer_at, list, seconds, text, text_at, truth, truth_at};
use regent_core::model::{FenceMode, Scalar, Settings, SlotSettings, StandbyCluster, SynchronousMode, Tags};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The timing triple.
struct Timing {
    ttl: i64,
    loop_wait: i64,
    retry_timeout: i64,
}

/// Builds the settings; what had to be adjusted is added to `warnings`.
pub(super) fn build(local: &Value, dynamic: &Value, warnings: &mut Vec<String>) -> Settings {
    let timing = timing(dynamic, warnings);
    let number = |path: &str, default: i64| integer_at(dynamic, path).unwrap_or(default);
    let time = |names: [&str; 2], default: u64| {
        let found = names.iter().find_map(|name| at(dynamic, name).and_then(seconds));
        found.unwrap_or(Duration::from_secs(default))
    };
    let flag = |path: &str| truth_at(dynamic, path).unwrap_or(false);
    let both = |key: &str| {
        let key = format!("postgresql.{key}");
        truth_at(local, &key).or_else(|| truth_at(dynamic, &key))
    };
    let standby_cluster = standby_cluster(dynamic);
    let stop_timeout = time(["primary_stop_timeout", "master_stop_timeout"], 0);
    Settings {
        name: text_at(local, "name").or_else(|| text_at(local, "postgresql.name")).unwrap_or_default(),
        scope: text_at(local, "scope").unwrap_or_default(),
        ttl: duration(timing.ttl),
        loop_wait: duration(timing.loop_wait),
        retry_timeout: duration(timing.retry_timeout),
        maximum_lag_on_failover: at(dynamic, "maximum_lag_on_failover").and_then(bytes).unwrap_or(1048576),
        maximum_lag_on_syncnode: at(dynamic, "maximum_lag_on_syncnode").and_then(bytes).filter(|lag| *lag > 0),
        max_timelines_history: usize::try_from(number("max_timelines_history", 0)).ok().filter(|rows| *rows > 0),
        check_timeline: flag("check_timeline"),
        primary_start_timeout: time(["primary_start_timeout", "master_start_timeout"], 300),
        primary_stop_timeout: (!stop_timeout.is_zero()).then_some(stop_timeout),
        primary_race_backoff: time(["primary_race_backoff", "primary_race_backoff"], 0),
        synchronous_mode: synchronous_mode(dynamic, standby_cluster.is_some()),
        synchronous_mode_strict: flag("synchronous_mode_strict"),
        synchronous_node_count: u32::try_from(number("synchronous_node_count", 1).max(1)).unwrap_or(1),
        failsafe_mode: flag("failsafe_mode"),
        paused: flag("pause"),
        use_slots: truth_at(dynamic, "postgresql.use_slots").unwrap_or(true),
        use_pg_rewind: both("use_pg_rewind").unwrap_or_else(|| at(local, "postgresql.pg_rewind").is_some()),
        remove_data_directory_on_rewind_failure: both("remove_data_directory_on_rewind_failure").unwrap_or(false),
        remove_data_directory_on_diverged_timelines: both("remove_data_directory_on_diverged_timelines")
            .unwrap_or(false),
        member_slots_ttl: time(["member_slots_ttl", "member_slots_ttl"], 1800),
        slots: slots(dynamic),
        ignore_slots: ignore_slots(dynamic),
        standby_cluster,
        guard: fence_mode(at(local, "guard.mode")),
        watchdog: fence_mode(at(local, "watchdog.mode")),
        may_bootstrap: local.get("bootstrap").is_some_and(Value::is_object),
        tags: tags(local, warnings),
    }
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The three times and their relation (CFG-41). Shorter ones than the peer's have to be asked for: peers would adjust
/// them, each on its own, and no longer agree with us.
fn timing(dynamic: &Value, warnings: &mut Vec<String>) -> Timing {
    let short = truth_at(dynamic, "allow_short_ttl").unwrap_or(false);
    let (ttl_min, retry_min) = if short { (3, 1) } else { (20, 3) };
    let mut read = |name: &str, default: i64, least: i64| {
        let value = integer_at(dynamic, name).unwrap_or(default);
        if value < least {
            warnings.push(format!("{name}={value} can't be smaller than {least}, adjusting..."));
        }
        value.max(least)
    };
    let (ttl, loop_wait) = (read("ttl", 30, ttl_min), read("loop_wait", 10, 1));
    let retry_timeout = read("retry_timeout", 10, retry_min);
    let mut timing = Timing { ttl, loop_wait, retry_timeout };
    if 1 + 2 * retry_timeout > ttl {
        timing.loop_wait = 1;
        timing.retry_timeout = (ttl - 1) / 2;
    } else if loop_wait + 2 * retry_timeout > ttl {
        timing.loop_wait = ttl - 2 * retry_timeout;
    } else {
        return timing;
    }
    warnings.push(format!(
        "Violated the rule \"loop_wait + 2*retry_timeout <= ttl\" with ttl={ttl}, loop_wait={loop_wait}, \
         retry_timeout={retry_timeout}: loop_wait={} and retry_timeout={} are used",
        timing.loop_wait, timing.retry_timeout
    ));
    timing
}

fn synchronous_mode(dynamic: &Value, is_standby_cluster: bool) -> SynchronousMode {
    let Some(value) = at(dynamic, "synchronous_mode").filter(|_| !is_standby_cluster) else {
        return SynchronousMode::Off;
    };
    if value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("quorum")) {
        return SynchronousMode::Quorum;
    }
    if truth(value).unwrap_or(false) { SynchronousMode::On } else { SynchronousMode::Off }
}

fn fence_mode(value: Option<&Value>) -> FenceMode {
    let Some(value) = value else {
        return FenceMode::Automatic;
    };
    let text = value.as_str().unwrap_or_default().to_lowercase();
    match text.as_str() {
        "required" | "require" => FenceMode::Required,
        "automatic" | "auto" | "" if truth(value) != Some(false) => FenceMode::Automatic,
        _ => FenceMode::Off,
    }
}

fn standby_cluster(dynamic: &Value) -> Option<StandbyCluster> {
    let section = at(dynamic, "standby_cluster").filter(|section| section.is_object())?;
    let field = |name: &str| section.get(name).and_then(text).filter(|text| !text.is_empty());
    let (host, port, restore_command) = (field("host"), field("port"), field("restore_command"));
    if host.is_none() && port.is_none() && restore_command.is_none() {
        return None;
    }
    Some(StandbyCluster {
        host,
        port,
        primary_slot_name: field("primary_slot_name"),
        create_replica_methods: section.get("create_replica_methods").map(list).unwrap_or_default(),
        restore_command,
        archive_cleanup_command: field("archive_cleanup_command"),
        recovery_min_apply_delay: field("recovery_min_apply_delay"),
    })
}

fn slot(section: &Value) -> SlotSettings {
    let field = |name: &str| section.get(name).and_then(text);
    SlotSettings {
        kind: field("type"),
        database: field("database"),
        plugin: field("plugin"),
        cluster_type: field("cluster_type"),
    }
}

/// The first of the three names that holds anything counts.
fn slots(dynamic: &Value) -> BTreeMap<String, SlotSettings> {
    let names = ["permanent_replication_slots", "permanent_slots", "slots"];
    let found = names.iter().filter_map(|name| at(dynamic, name)?.as_object()).find(|map| !map.is_empty());
    found.map(|map| map.iter().map(|(name, section)| (name.clone(), slot(section))).collect()).unwrap_or_default()
}

fn ignore_slots(dynamic: &Value) -> Vec<(Option<String>, SlotSettings)> {
    let patterns = at(dynamic, "ignore_slots").and_then(Value::as_array);
    let pattern = |section: &Value| (section.get("name").and_then(text), slot(section));
    patterns.map(|patterns| patterns.iter().map(pattern).collect()).unwrap_or_default()
}

/// Published tags: order and type as written; what says nothing is left out (CFG-32).
fn tags(local: &Value, warnings: &mut Vec<String>) -> Tags {
    let Some(map) = at(local, "tags").and_then(Value::as_object) else {
        return Tags::default();
    };
    let says_nothing = |name: &str, value: &Value| {
        let silent = ["clonefrom", "nofailover", "noloadbalance", "nosync", "nostream"];
        let falsy = truth(value) == Some(false) || value.is_null() || value.as_str() == Some("");
        let needed = match name {
            "nofailover" => map.contains_key("failover_priority"),
            "nosync" => map.contains_key("sync_priority"),
            _ => false,
        };
        silent.contains(&name) && falsy && !needed
    };
    let scalar = |value: &Value| match value {
        Value::Bool(flag) => Scalar::Bool(*flag),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Scalar::Real(number.as_f64().unwrap_or(0.0)), Scalar::Integer)
        }
        Value::String(text) => Scalar::Text(text.clone()),
        _ => Scalar::Null,
    };
    let raw = map.iter().filter(|(name, value)| !says_nothing(name, value));
    let tags = Tags { raw: raw.map(|(name, value)| (name.clone(), scalar(value))).collect() };
    for (flag, priority) in [("nofailover", "failover_priority"), ("nosync", "sync_priority")] {
        contradiction(map, flag, priority, warnings);
    }
    tags
}

fn contradiction(map: &serde_json::Map<String, Value>, flag: &str, priority: &str, warnings: &mut Vec<String>) {
    let (Some(never), Some(rank)) = (map.get(flag).and_then(truth), map.get(priority)) else {
        return;
    };
    let Some(number) = super::value::integer(rank) else {
        return;
    };
    if never != (number <= 0) {
        let never = if never { "True" } else { "False" };
        warnings.push(format!(
            "Conflicting configuration between {flag}: {never} and {priority}: {number}. Defaulting to {flag}: {never}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(local: Value, dynamic: Value) -> (Settings, Vec<String>) {
        let mut warnings = Vec::new();
        let settings = build(&local, &dynamic, &mut warnings);
        (settings, warnings)
    }

    #[test]
    fn the_three_times_are_kept_in_relation() {
        let check = |dynamic: Value, expected: (u64, u64, u64)| {
            let (settings, _) = built(json!({}), dynamic.clone());
            let found = (settings.ttl.as_secs(), settings.loop_wait.as_secs(), settings.retry_timeout.as_secs());
            assert_eq!(found, expected, "{dynamic}");
        };
        check(json!({}), (30, 10, 10));
        check(json!({"ttl": 5}), (20, 1, 9));
        check(json!({"ttl": "20", "loop_wait": 15, "retry_timeout": 5}), (20, 10, 5));
        check(json!({"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "allow_short_ttl": true}), (5, 1, 2));
        check(json!({"ttl": "soon", "loop_wait": {"a": 1}}), (30, 10, 10));
    }

    #[test]
    fn contradicting_tags_are_named_as_alerts_expect() {
        let (settings, warnings) = built(json!({"tags": {"nofailover": true, "failover_priority": 1}}), json!({}));
        let expected = "Conflicting configuration between nofailover: True and failover_priority: 1. \
                        Defaulting to nofailover: True";
        assert!(warnings.iter().any(|warning| warning == expected), "{warnings:?}");
        assert!(settings.tags.nofailover());
        let (settings, _) = built(json!({"tags": {"nosync": false, "x": "1", "clonefrom": true}}), json!({}));
        let names: Vec<_> = settings.tags.raw.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x", "clonefrom"]);
    }

    #[test]
    fn modes_in_many_words() {
        let mode = |value: Value| built(json!({}), json!({"synchronous_mode": value})).0.synchronous_mode;
        assert_eq!(mode(json!("Quorum")), SynchronousMode::Quorum);
        assert_eq!(mode(json!("on")), SynchronousMode::On);
        assert_eq!(mode(json!("what")), SynchronousMode::Off);
        assert_eq!(built(json!({"guard": {"mode": false}}), json!({})).0.guard, FenceMode::Off);
        assert_eq!(built(json!({"guard": {"mode": "required"}}), json!({})).0.guard, FenceMode::Required);
        assert_eq!(built(json!({}), json!({})).0.guard, FenceMode::Automatic);
    }
}
