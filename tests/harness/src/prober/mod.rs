//! Writes without pause, everywhere it is let in, and remembers every acknowledgement.
//!
//! There is one writer for each node, on its own connection: a frozen server holds up nobody else,
//! and a server that goes on taking writes when it should not is caught, because somebody keeps
//! trying to write there. A gap is the time in which no server of the cluster acknowledged anything.

mod report;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::sql;
use crate::wait;

pub use report::{Gap, Report};

/// The table that is written to.
pub(crate) const TABLE: &str = "regent_harness_writes";

/// How long to wait for a server that takes writes.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How the prober behaves.
#[derive(Clone, Copy, Debug)]
pub struct ProberOptions {
    /// Between an acknowledgement and the next write, and between two looks at a standby.
    pub pace: Duration,
    /// After which a statement or a connection attempt is given up.
    pub patience: Duration,
}

impl Default for ProberOptions {
    fn default() -> Self {
        Self { pace: Duration::from_millis(5), patience: Duration::from_millis(500) }
    }
}

/// One acknowledged write. Times count from the prober's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The value that was written.
    pub sequence: u64,
    /// The node that acknowledged it.
    pub node: String,
    /// The timeline it was written to.
    pub timeline: u64,
    /// When it was sent.
    pub sent: Duration,
    /// When its acknowledgement had arrived.
    pub acknowledged: Duration,
}

/// What the writers share.
pub(crate) struct Shared {
    pub(crate) options: ProberOptions,
    pub(crate) started: Instant,
    pub(crate) stop: AtomicBool,
    pub(crate) next: AtomicU64,
    record: Mutex<Record>,
}

/// What came of the writes so far.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) acks: Vec<Ack>,
    pub(crate) unknown: Vec<u64>,
    pub(crate) refused: u64,
}

impl Shared {
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The running writers.
pub struct Prober {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

impl Prober {
    /// Makes the table on the primary and begins to write; returns after the first acknowledgement.
    ///
    /// # Errors
    /// When no server takes writes within half a minute.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        Self::start_with(cluster, ProberOptions::default()).await
    }

    /// The same, with a pace of one's own.
    ///
    /// # Errors
    /// When no server takes writes within half a minute.
    pub async fn start_with(cluster: &Cluster, options: ProberOptions) -> Result<Self> {
        let (_, client) = cluster.primary_connection(START_DEADLINE).await?;
        let statement = format!(
            "CREATE TABLE IF NOT EXISTS {TABLE} (sequence bigint PRIMARY KEY, node text NOT NULL);
             SELECT coalesce(max(sequence), 0) FROM {TABLE}"
        );
        let rows = sql::query(&client, &statement, Duration::from_secs(10)).await?;
        let last = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0);
        let shared = Arc::new(Shared {
            options,
            started: Instant::now(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(last + 1),
            record: Mutex::new(Record::default()),
        });
        let mut writers = JoinSet::new();
        for node in &cluster.nodes {
            writers.spawn(writer::run(Arc::clone(&shared), node.name.clone(), node.layout.pg_port));
        }
        let prober = Self { shared, writers };
        prober.wait_acknowledged(START_DEADLINE).await?;
        Ok(prober)
    }

    /// Waits until a write that is sent from now on is acknowledged.
    ///
    /// # Errors
    /// When none is before the deadline.
    pub async fn wait_acknowledged(&self, deadline: Duration) -> Result<Ack> {
        let since = self.now();
        wait::until("an acknowledged write", deadline, async || {
            let record = self.shared.record();
            let ack = record.acks.iter().rev().find(|ack| ack.sent >= since).cloned();
            ack.ok_or_else(|| format!("{} acknowledged, none of them sent since", record.acks.len()))
        })
        .await
    }

    /// The time on the prober's clock, to mark what the test does.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// The last acknowledgement so far.
    pub fn last_ack(&self) -> Option<Ack> {
        self.shared.record().acks.iter().max_by_key(|ack| ack.acknowledged).cloned()
    }

    /// Ends the writers and sums up.
    pub async fn stop(mut self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.writers.join_next().await.is_some() {}
        let ended = self.shared.now();
        let mut record = self.shared.record();
        Report::new(std::mem::take(&mut record.acks), std::mem::take(&mut record.unknown), record.refused, ended)
    }
}
