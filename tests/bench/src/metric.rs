//! Everything that is measured, in the order of the table: its name, what it says, its unit.

/// The unit of a metric: how its numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Microseconds,
    Mebibytes,
    /// Whole things: writes, threads, wake-ups.
    Count,
    /// Things per something else, with decimals.
    Rate,
}

impl Unit {
    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Mebibytes => "MiB",
            Self::Count | Self::Rate => "",
        }
    }

    /// Decimals worth reading.
    pub fn decimals(self) -> usize {
        match self {
            Self::Milliseconds | Self::Count => 0,
            Self::Microseconds | Self::Mebibytes => 1,
            Self::Rate => 2,
        }
    }
}

/// One thing that is measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// In the results: `scenario.what`.
    pub id: &'static str,
    /// In the table.
    pub label: &'static str,
    pub unit: Unit,
}

/// Declares each metric, and all of them in their order.
macro_rules! metrics {
    ($($name:ident: $id:literal, $label:literal, $unit:ident;)*) => {
        $(pub const $name: &Metric = &Metric { id: $id, label: $label, unit: Unit::$unit };)*
        /// All of them.
        pub const ALL: &[&Metric] = &[$($name),*];
    };
}

metrics! {
    STARTUP_WRITABLE: "startup.writable", "start-up: first leader takes writes", Milliseconds;
    STARTUP_SECOND: "startup.second", "start-up: second node streams", Milliseconds;
    STARTUP_ALL: "startup.all", "start-up: all three stream", Milliseconds;
    IDLE_LEADER_RSS: "idle.leader.rss", "idle leader: resident memory", Mebibytes;
    IDLE_LEADER_PSS: "idle.leader.pss", "idle leader: proportional memory", Mebibytes;
    IDLE_LEADER_THREADS: "idle.leader.threads", "idle leader: threads", Count;
    IDLE_LEADER_CPU: "idle.leader.cpu", "idle leader: processor time a minute", Milliseconds;
    IDLE_LEADER_WAKES: "idle.leader.wakes", "idle leader: wake-ups a minute", Count;
    IDLE_LEADER_SQL: "idle.leader.sql", "idle leader: SQL statements a loop", Rate;
    IDLE_REPLICA_RSS: "idle.replica.rss", "idle replica: resident memory", Mebibytes;
    IDLE_REPLICA_PSS: "idle.replica.pss", "idle replica: proportional memory", Mebibytes;
    IDLE_REPLICA_THREADS: "idle.replica.threads", "idle replica: threads", Count;
    IDLE_REPLICA_CPU: "idle.replica.cpu", "idle replica: processor time a minute", Milliseconds;
    IDLE_REPLICA_WAKES: "idle.replica.wakes", "idle replica: wake-ups a minute", Count;
    IDLE_REPLICA_SQL: "idle.replica.sql", "idle replica: SQL statements a loop", Rate;
    IDLE_REQUESTS: "idle.requests", "idle: etcd requests a loop and node", Rate;
    IDLE_MESSAGES: "idle.messages", "idle: messages to etcd a loop and node, those on streams too", Rate;
    PRIMARY_RATE: "health.primary.rate", "GET /primary, new connection: a second", Count;
    PRIMARY_P50: "health.primary.p50", "GET /primary, new connection: p50", Microseconds;
    PRIMARY_P99: "health.primary.p99", "GET /primary, new connection: p99", Microseconds;
    PRIMARY_CPU: "health.primary.cpu", "GET /primary, new connection: daemon's CPU", Microseconds;
    PRIMARY_SQL: "health.primary.sql", "GET /primary, new connection: SQL statements", Rate;
    KEPT_RATE: "health.kept.rate", "GET /primary, keep-alive: a second", Count;
    KEPT_P50: "health.kept.p50", "GET /primary, keep-alive: p50", Microseconds;
    KEPT_P99: "health.kept.p99", "GET /primary, keep-alive: p99", Microseconds;
    KEPT_CPU: "health.kept.cpu", "GET /primary, keep-alive: daemon's CPU", Microseconds;
    REPLICA_RATE: "health.replica.rate", "GET /replica, new connection: a second", Count;
    REPLICA_CPU: "health.replica.cpu", "GET /replica, new connection: daemon's CPU", Microseconds;
    STATUS_RATE: "health.status.rate", "GET /patroni, new connection: a second", Count;
    STATUS_CPU: "health.status.cpu", "GET /patroni, new connection: daemon's CPU", Microseconds;
    METRICS_RATE: "health.metrics.rate", "GET /metrics, new connection: a second", Count;
    METRICS_CPU: "health.metrics.cpu", "GET /metrics, new connection: daemon's CPU", Microseconds;
    FLOOD_P50: "flood.p50", "GET /primary over TLS, 2,000 silent connections: p50", Milliseconds;
    FLOOD_P99: "flood.p99", "GET /primary over TLS, 2,000 silent connections: p99", Milliseconds;
    METHODS_USUAL: "methods.usual", "replica made by pg_basebackup: resident memory", Mebibytes;
    METHODS_COMPONENT: "methods.component", "replica made by a component: resident memory", Mebibytes;
    METHODS_MORE: "methods.more", "replica made by a component: memory more than that", Mebibytes;
    STORES_LOCAL_RSS: "stores.local.rss", "idle leader on local: resident memory", Mebibytes;
    STORES_ETCD_RSS: "stores.etcd.rss", "idle leader on etcd (v2 API): resident memory", Mebibytes;
    STORES_ETCD3_RSS: "stores.etcd3.rss", "idle leader on etcd3: resident memory", Mebibytes;
    STORES_CONSUL_RSS: "stores.consul.rss", "idle leader on consul: resident memory", Mebibytes;
    STORES_ZOOKEEPER_RSS: "stores.zookeeper.rss", "idle leader on zookeeper: resident memory", Mebibytes;
    STORES_KUBERNETES_RSS: "stores.kubernetes.rss", "idle leader on kubernetes: resident memory", Mebibytes;
    STORES_ETCD: "stores.etcd.requests", "idle on etcd (v2 API): requests a loop and node", Rate;
    STORES_ETCD3: "stores.etcd3.requests", "idle on etcd3: requests a loop and node", Rate;
    STORES_CONSUL: "stores.consul.requests", "idle on consul: requests a loop and node", Rate;
    STORES_ZOOKEEPER: "stores.zookeeper.requests", "idle on zookeeper: packets a loop and node", Rate;
    STORES_KUBERNETES: "stores.kubernetes.requests", "idle on kubernetes: requests a loop and node", Rate;
    SWITCHOVER_GAP: "switchover.gap", "switchover: no write", Milliseconds;
    SWITCHOVER_ANSWER: "switchover.answer", "switchover: answer to the request", Milliseconds;
    SWITCHOVER_WHOLE: "switchover.whole", "switchover: old leader streams again", Milliseconds;
    SWITCHOVER_LOST: "switchover.lost", "switchover: acknowledged writes lost", Count;
    CRASH_GAP: "crash.gap", "postmaster killed, in place: no write", Milliseconds;
    CRASH_LOST: "crash.lost", "postmaster killed, in place: acknowledged writes lost", Count;
    HANDOVER_GAP: "handover.gap", "postmaster killed, handed over: no write", Milliseconds;
    HANDOVER_LOST: "handover.lost", "postmaster killed, handed over: acknowledged writes lost", Count;
    DEATH_GAP: "death.gap", "node killed: no write", Milliseconds;
    DEATH_AFTER: "death.after", "node killed: from the key's end to the first write", Milliseconds;
    DEATH_LOST: "death.lost", "node killed: acknowledged writes lost", Count;
    DEATH_REJOIN: "death.rejoin", "node killed: back and streaming after its start", Milliseconds;
    KILLED_GAP: "killed.gap", "daemon killed: no write", Milliseconds;
    KILLED_OVERLAP: "killed.overlap", "daemon killed: two servers take writes", Milliseconds;
    KILLED_LATE: "killed.late", "daemon killed: late writes", Count;
    KILLED_LOST: "killed.lost", "daemon killed: acknowledged writes lost", Count;
    FROZEN_GAP: "frozen.gap", "daemon frozen: no write", Milliseconds;
    FROZEN_OVERLAP: "frozen.overlap", "daemon frozen: two servers take writes", Milliseconds;
    FROZEN_LATE: "frozen.late", "daemon frozen: late writes", Count;
    FROZEN_LOST: "frozen.lost", "daemon frozen: acknowledged writes lost", Count;
    OUTAGE_AWAY: "outage.away", "store away for 30 s: no write", Milliseconds;
    OUTAGE_HELD: "outage.held", "store away for 30 s: last write before the gap", Milliseconds;
    OUTAGE_BACK: "outage.back", "store away for 30 s: first write after its return", Milliseconds;
    OUTAGE_LOST: "outage.lost", "store away for 30 s: acknowledged writes lost", Count;
    HANG_AWAY: "hang.away", "store hangs for 30 s: no write", Milliseconds;
    HANG_HELD: "hang.held", "store hangs for 30 s: last write before the gap", Milliseconds;
    HANG_BACK: "hang.back", "store hangs for 30 s: first write after its return", Milliseconds;
    HANG_LOST: "hang.lost", "store hangs for 30 s: acknowledged writes lost", Count;
}
