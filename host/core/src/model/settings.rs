//! The settings that decisions depend on, after all layers were merged.

use super::Tags;
use std::collections::BTreeMap;
use std::time::Duration;

/// Whether and how commits wait for standbys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynchronousMode {
    /// They do not.
    #[default]
    Off,
    /// For named standbys.
    On,
    /// For any of a quorum.
    Quorum,
}

/// Whether the guard process or the Linux watchdog must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FenceMode {
    /// Never used.
    Off,
    /// Used where possible.
    #[default]
    Automatic,
    /// Without it this node does not become primary.
    Required,
}

/// The remote side that a standby cluster follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyCluster {
    /// One host or several separated by commas.
    pub host: Option<String>,
    /// One port or several separated by commas.
    pub port: Option<String>,
    /// The slot to use there.
    pub primary_slot_name: Option<String>,
    /// Methods to create the standby leader with, in order.
    pub create_replica_methods: Vec<String>,
    /// Fetches WAL from an archive.
    pub restore_command: Option<String>,
    /// Cleans that archive.
    pub archive_cleanup_command: Option<String>,
    /// As PostgreSQL spells it.
    pub recovery_min_apply_delay: Option<String>,
}

/// A slot that the operator wants kept (`slots`), or a pattern of slots to leave alone (`ignore_slots`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSettings {
    /// `physical` or `logical`; `None` in a pattern that does not say.
    pub kind: Option<String>,
    /// Database of a logical slot.
    pub database: Option<String>,
    /// Output plugin of a logical slot.
    pub plugin: Option<String>,
    /// Only while the cluster is of that type.
    pub cluster_type: Option<String>,
}

/// Everything that the rules need to know about what the operator wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// This member's name.
    pub name: String,
    /// The cluster's name.
    pub scope: String,
    /// How long the lock lives unrenewed.
    pub ttl: Duration,
    /// Time between two heartbeats.
    pub loop_wait: Duration,
    /// How long a call to the store or the server may be retried.
    pub retry_timeout: Duration,
    /// Bytes that a candidate may be behind the last known position of the leader.
    pub maximum_lag_on_failover: u64,
    /// Bytes that a synchronous standby may be behind; `None` for no limit.
    pub maximum_lag_on_syncnode: Option<u64>,
    /// Rows kept in the history; `None` for all.
    pub max_timelines_history: Option<usize>,
    /// Candidates on an older timeline than the cluster's are excluded.
    pub check_timeline: bool,
    /// How long a crashed primary may take to start before another takes over; zero: at once.
    pub primary_start_timeout: Duration,
    /// How long a primary may take to stop in synchronous mode before it is killed; `None` for no limit.
    pub primary_stop_timeout: Option<Duration>,
    /// How long the race is put off while the log still advances.
    pub primary_race_backoff: Duration,
    /// Whether commits wait for standbys.
    pub synchronous_mode: SynchronousMode,
    /// Never without a synchronous standby.
    pub synchronous_mode_strict: bool,
    /// How many synchronous standbys.
    pub synchronous_node_count: u32,
    /// The primary stays while all members answer although the store is away.
    pub failsafe_mode: bool,
    /// Maintenance: nothing is started, stopped or promoted.
    pub paused: bool,
    /// Members stream through slots.
    pub use_slots: bool,
    /// A diverged server may be rewound.
    pub use_pg_rewind: bool,
    /// A data directory may be wiped after pg_rewind failed.
    pub remove_data_directory_on_rewind_failure: bool,
    /// A data directory may be wiped when its timeline diverged.
    pub remove_data_directory_on_diverged_timelines: bool,
    /// How long slots of absent members are kept.
    pub member_slots_ttl: Duration,
    /// Slots to keep, by name.
    pub slots: BTreeMap<String, SlotSettings>,
    /// Slots to leave alone: optional name and pattern.
    pub ignore_slots: Vec<(Option<String>, SlotSettings)>,
    /// The remote side, where this is a standby cluster.
    pub standby_cluster: Option<StandbyCluster>,
    /// The lease guard process.
    pub guard: FenceMode,
    /// The Linux watchdog.
    pub watchdog: FenceMode,
    /// A `bootstrap` section is there: this node may create the cluster.
    pub may_bootstrap: bool,
    /// The operator's method creates it, not initdb.
    pub custom_bootstrap: bool,
    /// One of the replica methods can make a replica although there is nobody to copy from.
    pub clones_without_source: bool,
    /// This member's tags.
    pub tags: Tags,
}
