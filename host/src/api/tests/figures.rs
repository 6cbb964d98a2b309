//! `/metrics`: every figure that the peer gives under its name, ours beside them, and what is drawn of them and alarmed
//! by them elsewhere.

use super::support::*;
use crate::agent::handle::{GuardReport, Progress, Published};
use crate::api::Options;
use regent_core::model::{WatchdogState, WatchdogView};
use std::collections::BTreeSet;
use std::time::Duration;

const ALERTS: &str = include_str!("../../../../docs/observability/prometheus-alerts.yaml");
const DRAWN: &str = include_str!("../../../../docs/observability/grafana-dashboard.json");

/// The peer's, in its order (rest-api §8).
const PEERS: [&str; 26] = [
    "patroni_version",
    "patroni_postgres_running",
    "patroni_postmaster_start_time",
    "patroni_primary",
    "patroni_xlog_location",
    "patroni_standby_leader",
    "patroni_replica",
    "patroni_sync_standby",
    "patroni_quorum_standby",
    "patroni_xlog_received_location",
    "patroni_xlog_replayed_location",
    "patroni_xlog_replayed_timestamp",
    "patroni_xlog_paused",
    "patroni_postgres_streaming",
    "patroni_postgres_in_archive_recovery",
    "patroni_postgres_server_version",
    "patroni_cluster_unlocked",
    "patroni_failsafe_mode_is_active",
    "patroni_failsafe_mode_enabled",
    "patroni_failsafe_member",
    "patroni_postgres_timeline",
    "patroni_dcs_last_seen",
    "patroni_pending_restart",
    "patroni_is_paused",
    "patroni_postgres_state",
    "patroni_failover_priority",
];

async fn figures(published: Published) -> String {
    let served = Served::start(published, Options::default()).await;
    let answer = served.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    answer.body
}

/// The names of all samples.
fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split_once('{')).map(|(name, _)| name).collect()
}

/// API-18: a monitoring made for the peer finds every figure, with a description and a type.
#[tokio::test]
async fn every_figure_of_the_peer_is_there_in_its_order() {
    let text = figures(leader()).await;
    let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE patroni_")).collect();
    let counters = ["patroni_xlog_location", "patroni_xlog_received_location", "patroni_xlog_replayed_location"];
    let kind = |name: &str| if counters.contains(&name) { "counter" } else { "gauge" };
    let expected: Vec<String> =
        PEERS.iter().map(|name| format!("{} {}", &name["patroni_".len()..], kind(name))).collect();
    assert_eq!(found, expected);
    for name in PEERS {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        let labels = format!("\n{name}{{scope=\"batman\",name=\"postgresql0\"}} ");
        assert!(text.contains(&labels), "{name}: {text}");
    }
    let state = text.split("# Values: 0=initdb, 1=initdb_failed, ").nth(1).unwrap();
    assert!(state.lines().nth(1).unwrap().starts_with("# HELP patroni_postgres_state "), "{state}");
}

#[tokio::test]
async fn ours_say_what_fences_and_methods_do() {
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let text = figures(leader()).await;
    for name in ["regent_guard_alive", "regent_guard_armed", "regent_watchdog_open", "regent_method_bytes"] {
        assert_eq!(value(&text, name), "0", "{name}");
    }
    let until = crate::ports::now() + Duration::from_secs(3600);
    let published = Published {
        guard: GuardReport { alive: true, armed_until: Some(until) },
        watchdog: WatchdogView { state: WatchdogState::Open { timeout: Duration::from_secs(5) }, usable: true },
        progress: Some(Progress {
            method: "m".into(),
            bytes: 7,
            bytes_total: Some(9),
            files: Some(2),
            message: String::new(),
        }),
        ..leader()
    };
    let text = figures(published).await;
    for (name, expected) in [
        ("regent_guard_alive", "1"),
        ("regent_guard_armed", "1"),
        ("regent_watchdog_open", "1"),
        ("regent_watchdog_failed", "0"),
        ("regent_method_bytes", "7"),
        ("regent_method_total_bytes", "9"),
        ("regent_method_files", "2"),
        ("regent_method_percent", "77"),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
    let operations = ["load", "acquire", "renew", "release", "touch_member", "write"];
    for sample in operations.map(|operation| format!("operation=\"{operation}\",error=\"unreachable\"}} 0")) {
        assert!(text.contains(&sample), "{sample}");
    }
}

/// The words of a text that are names of figures.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("patroni_") || word.starts_with("regent_")).collect()
}

/// What the docs offer for Grafana and Prometheus names no figure that is not given.
#[tokio::test]
async fn dashboards_and_alerts_name_figures_that_are_given() {
    let text = figures(leader()).await;
    let given = names(&text);
    for (file, words) in [("alerts", named(ALERTS)), ("dashboard", named(DRAWN))] {
        assert!(words.len() > 10, "{file}: {words:?}");
        let unknown: Vec<_> = words.difference(&given).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let alerts: serde_yaml::Value = serde_yaml::from_str(ALERTS).unwrap();
    let rules = alerts["groups"].as_sequence().unwrap().iter().flat_map(|group| group["rules"].as_sequence().unwrap());
    for rule in rules {
        assert!(rule["alert"].is_string() && rule["expr"].is_string(), "{rule:?}");
        assert!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{rule:?}");
    }
    let drawn: serde_json::Value = serde_json::from_str(DRAWN).unwrap();
    assert!(drawn["panels"].as_array().unwrap().iter().all(|panel| panel["targets"][0]["expr"].is_string()));
}
