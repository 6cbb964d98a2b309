//! Plain values for tests.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The moment at which every view of these tests is taken.
pub const NOW: Moment = Moment(1_000_000);

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
        custom_bootstrap: false,
        clones_without_source: false,
        tags: Tags::default(),
    }
}

/// A member that runs.
pub fn member(name: &str, role: Role) -> MemberView {
    MemberView {
        name: name.into(),
        conn_url: Some(format!("postgres://{name}:5432/postgres")),
        api_url: Some(format!("http://{name}:8008/patroni")),
        state: Some(PgState::Running),
        role: Some(role),
        timeline: Some(Timeline(1)),
        ..MemberView::default()
    }
}

/// What a server answers that has written, received and replayed up to 100.
pub fn monitoring(is_primary: bool) -> Monitoring {
    Monitoring {
        is_primary,
        server_version: 150_000,
        postmaster_start: WallTime(0),
        timeline: Some(Timeline(1)),
        current_lsn: is_primary.then_some(Lsn(100)),
        received_lsn: (!is_primary).then_some(Lsn(100)),
        replayed_lsn: (!is_primary).then_some(Lsn(100)),
        replayed_at: None,
        latest_end_lsn: None,
        replay_paused: false,
        log_was_read: true,
        replication_state: None,
        streaming_from: None,
        replication: Vec::new(),
        slots: Vec::new(),
        synchronous_standby_names: String::new(),
        synchronous_commit: CommitPoint::Flushed,
    }
}

/// Member `a` of a cluster of `a`, `b` and `c` that `leader` leads, everything just read and written.
pub fn view(settings: Settings, leader: Option<&str>, sync: SyncView) -> View {
    let role = |name: &str| if leader == Some(name) { Role::Primary } else { Role::Replica };
    let version = Version("1".into());
    let lock = |name: &str| LeaderView { name: name.into(), version: version.clone(), session: String::new() };
    let cluster = ClusterView {
        initialize: Some("7710345176211496303".into()),
        leader: leader.map(lock),
        members: ["a", "b", "c"].map(|name| member(name, role(name))).to_vec(),
        config: Some(version.clone()),
        history: HistoryView { known: true, rows: Vec::new() },
        sync,
        ..ClusterView::default()
    };
    let primary = leader == Some("a");
    let control = ControlData {
        system_id: "7710345176211496303".into(),
        state: ControlState::InProduction,
        checkpoint: Lsn(90),
        checkpoint_timeline: Timeline(1),
        minimum_recovery_end: Lsn(0),
        minimum_recovery_timeline: Timeline(0),
        can_rewind: true,
    };
    let deadline = NOW + settings.ttl;
    View {
        now: NOW,
        wall: WallTime(0),
        started_at: Moment(0),
        settings: Arc::new(settings),
        store: StoreView {
            snapshot: Some((Arc::new(cluster), NOW)),
            member_written_at: Some(NOW),
            ..StoreView::default()
        },
        lease: primary.then_some(LeaseView { deadline, renewed_at: NOW, attempted_at: NOW }),
        failsafe: FailsafeView::default(),
        server: ServerView {
            data_directory: DataDirectory::Initialized,
            postmaster: Some(Postmaster { pid: 4711, start_ticks: 1 }),
            status: Some(if primary { PostmasterStatus::Ready } else { PostmasterStatus::Standby }),
            monitoring: Observed::Seen { value: monitoring(primary), at: NOW },
            control: Observed::Seen { value: control, at: NOW },
            ended_at: None,
            recovery_signal: !primary,
            version: 150_000,
        },
        running: None,
        finished: None,
        errands: BTreeSet::new(),
        errand_failures: BTreeMap::new(),
        slots_synced: None,
        probes: None,
        guard: GuardView { alive: true },
        watchdog: WatchdogView::default(),
        requests: RequestsView::default(),
    }
}
