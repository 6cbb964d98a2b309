//! Plain values for tests.

use super::{FenceMode, Settings, SynchronousMode, Tags};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings of a member `a`, as an operator would leave most of them.
pub fn settings() -> Settings {
    Settings {
        name: "a".into(),
        scope: "test".into(),
        ttl: Duration::from_secs(20),
        loop_wait: Duration::from_secs(2),
        retry_timeout: Duration::from_secs(3),
        maximum_lag_on_failover: 1_048_576,
        maximum_lag_on_syncnode: None,
        max_timelines_history: None,
        check_timeline: false,
        primary_start_timeout: Duration::from_secs(300),
        primary_stop_timeout: None,
        primary_race_backoff: Duration::ZERO,
        synchronous_mode: SynchronousMode::Off,
        synchronous_mode_strict: false,
        synchronous_node_count: 1,
        failsafe_mode: false,
        paused: false,
        use_slots: true,
        use_pg_rewind: true,
        remove_data_directory_on_rewind_failure: false,
        remove_data_directory_on_diverged_timelines: false,
        member_slots_ttl: Duration::from_secs(1800),
        slots: BTreeMap::new(),
        ignore_slots: Vec::new(),
        standby_cluster: None,
        guard: FenceMode::Automatic,
        watchdog: FenceMode::Off,
        may_bootstrap: true,
        tags: Tags::default(),
    }
}
