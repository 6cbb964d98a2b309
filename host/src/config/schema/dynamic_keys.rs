//! The settings that all members share, in the store: also what `bootstrap.dcs` may hold.

use super::Kind::{Bytes, Integer, Map, Maps, Seconds, Text, TextOrList, Truth, TruthOr};
use super::{Setting, dynamic};

const MAX: i64 = i64::MAX;

#[rustfmt::skip] // One row each, so that it can be read as the table it is.
pub(super) const SETTINGS: &[Setting] = &[
    dynamic("ttl", Seconds(1)).default("30"),
    dynamic("loop_wait", Seconds(1)).default("10"),
    dynamic("retry_timeout", Seconds(1)).default("10"),
    dynamic("allow_short_ttl", Truth).default("false"),
    dynamic("maximum_lag_on_failover", Bytes(0)).default("1048576"),
    dynamic("maximum_lag_on_syncnode", Bytes(-1)).default("-1"),
    dynamic("max_timelines_history", Integer(0, MAX)).default("0"),
    dynamic("check_timeline", Truth).default("false"),
    dynamic("primary_start_timeout", Seconds(0)).default("300"),
    dynamic("primary_stop_timeout", Seconds(0)).default("0"),
    dynamic("primary_race_backoff", Seconds(0)).default("0"),
    dynamic("synchronous_mode", TruthOr("quorum")).default("off"),
    dynamic("synchronous_mode_strict", Truth).default("false"),
    dynamic("synchronous_node_count", Integer(1, MAX)).default("1"),
    dynamic("failsafe_mode", Truth).default("false"),
    dynamic("pause", Truth).default("false"),
    dynamic("member_slots_ttl", Seconds(0)).default("30min"),
    dynamic("slots", Map),
    dynamic("slots.*", Map),
    dynamic("slots.*.type", Text),
    dynamic("slots.*.database", Text),
    dynamic("slots.*.plugin", Text),
    dynamic("slots.*.cluster_type", Text),
    dynamic("ignore_slots", Maps),
    dynamic("standby_cluster", Map),
    dynamic("standby_cluster.host", Text),
    dynamic("standby_cluster.port", Text),
    dynamic("standby_cluster.primary_slot_name", Text),
    dynamic("standby_cluster.create_replica_methods", TextOrList),
    dynamic("standby_cluster.restore_command", Text),
    dynamic("standby_cluster.archive_cleanup_command", Text),
    dynamic("standby_cluster.recovery_min_apply_delay", Text),
    dynamic("postgresql.use_slots", Truth).default("true"),
];
