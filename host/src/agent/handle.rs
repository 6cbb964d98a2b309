//! What the loop shows to the world and takes from it: the published state, and the requests that become events.
//!
//! Nothing here talks to PostgreSQL or the store: readers see what the loop last published.

use super::journal::Journal;
use crate::dcs;
pub use crate::dcs::{PEER_VERSION, Snapshot, reasons, tags_value};
pub use crate::methods::Progress;
use crate::telemetry::metrics::Metrics;
use regent_core::model::{Moment, Monitoring, PgState, Role, Settings, Tags, WallTime, WatchdogView};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// The state of this member, as last published by the loop.
#[derive(Clone, Debug)]
pub struct Published {
    /// Grows by one with each publication: what was rendered for a generation stays right for it.
    pub generation: u64,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The server's state.
    pub state: PgState,
    /// The member's role as the loop sees it.
    pub role: Role,
    /// The last monitoring answer from the running server; `None` where it does not answer.
    pub monitoring: Option<Arc<Monitoring>>,
    /// When that was read.
    pub monitoring_at: Moment,
    /// In a leader race: the position stands still, and was read since it does.
    pub position_final: bool,
    /// The timeline, where known.
    pub timeline: Option<u32>,
    /// The system identifier, where known.
    pub system_id: Option<String>,
    /// Published tags.
    pub tags: Tags,
    /// Parameters that wait for a restart: name, old value, new value.
    pub pending_restart: BTreeMap<String, (String, String)>,
    /// The restart that is scheduled, as it was asked for.
    pub scheduled_restart: Option<ScheduledRestart>,
    /// The last reading of the store that is younger than the ttl.
    pub cluster: Option<Arc<dcs::Snapshot>>,
    /// When that was read.
    pub cluster_at: Moment,
    /// Wall-clock time of the last successful reading, in seconds.
    pub dcs_last_seen: i64,
    /// The moment at which our own lock ends unless it is renewed; `None` without the lock.
    pub lease_deadline: Option<Moment>,
    /// The failsafe mode keeps the primary at the moment.
    pub failsafe_active: bool,
    /// The watchdog is required and does not work.
    pub watchdog_failed: bool,
    /// The last time the loop came round.
    pub heartbeat_at: Moment,
    /// What long work is going on, in words.
    pub task: Option<String>,
    /// How far it is, where it makes a data directory and said so.
    pub progress: Option<Progress>,
    /// The lease guard.
    pub guard: GuardReport,
    /// The Linux watchdog.
    pub watchdog: WatchdogView,
}

/// What is known of the lease guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardReport {
    /// Its process answers.
    pub alive: bool,
    /// It will kill the server at this moment unless it is told otherwise.
    pub armed_until: Option<Moment>,
}

impl Published {
    /// Our lock is provably valid at `now`.
    pub fn holds_lease(&self, now: Moment) -> bool {
        self.lease_deadline.is_some_and(|deadline| now < deadline)
    }
}

/// A restart that waits for its time.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledRestart {
    /// When.
    pub at: WallTime,
    /// The request's body as it was accepted, `schedule` in ISO form.
    pub body: serde_json::Map<String, serde_json::Value>,
    /// Under which conditions.
    pub conditions: RestartConditions,
}

/// Under which conditions a restart is carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestartConditions {
    /// Only in this role.
    pub role: Option<Role>,
    /// Only if the server is older than this (`server_version_num`).
    pub version_below: Option<u32>,
    /// Only if a restart is pending.
    pub only_pending: bool,
    /// How long the start may take before others may take over, in seconds.
    pub timeout: Option<std::time::Duration>,
}

/// How an operator's request ended: an HTTP status and the body's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub text: String,
}

/// What a member says to a leader that has lost the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailsafeAnswer {
    /// It may go on; this member is there, where that is known.
    Accepted(Option<regent_core::model::Lsn>),
    /// This member leads itself, or may be about to.
    Leading,
    /// Failsafe mode is off.
    Off,
}

/// How a write to the store ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Done,
    /// Somebody else was faster.
    Conflict,
    /// The store did not answer; the text says why.
    Failed(String),
}

/// What probing one member gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Its status document.
    Answered(regent_core::model::MemberStatus),
    /// Why there is none.
    Silent(String),
}

/// What the world may ask of the loop. Each carries the way to answer.
#[derive(Debug)]
pub enum Request {
    /// Restart the server now.
    Restart(RestartConditions, oneshot::Sender<Reply>),
    /// Restart the server later.
    ScheduleRestart(ScheduledRestart, oneshot::Sender<Reply>),
    /// Forget the scheduled restart.
    CancelRestart(oneshot::Sender<Reply>),
    /// Throw the data directory away and clone it anew.
    Reinitialize {
        /// Cancel what is going on.
        force: bool,
        /// Clone from the leader even if another source is preferred.
        from_leader: bool,
        /// The answer.
        reply: oneshot::Sender<Reply>,
    },
    /// Read the configuration again (SIGHUP, POST /reload); answered once that is done, whatever came of it.
    Reload(Option<oneshot::Sender<()>>),
    /// Write the `failover` key; checks were made.
    WriteFailover {
        /// From whom.
        leader: Option<String>,
        /// To whom.
        candidate: Option<String>,
        /// Not before; ISO 8601 text with offset.
        scheduled_at: Option<String>,
        /// The answer.
        reply: oneshot::Sender<Written>,
    },
    /// Clear the `failover` key if it still has this version.
    ClearFailover {
        /// The version read.
        version: regent_core::model::Version,
        /// The answer.
        reply: oneshot::Sender<Written>,
    },
    /// Write the `config` key.
    WriteConfig {
        /// The whole new dynamic configuration.
        config: serde_json::Value,
        /// Only over this version; `None`: whatever is there.
        expect: Option<regent_core::model::Version>,
        /// The answer.
        reply: oneshot::Sender<Written>,
    },
    /// Read the store now.
    Refresh(oneshot::Sender<Result<Arc<dcs::Snapshot>, String>>),
    /// Ask members for their status, all at once, under the usual deadline.
    ProbeMembers(Vec<String>, oneshot::Sender<BTreeMap<String, Probe>>),
    /// A leader that has lost the store asks whether it may go on.
    Failsafe {
        /// Its name.
        leader: String,
        /// For how long it counts on a yes, where it says so.
        ttl: Option<Duration>,
        /// The answer.
        reply: oneshot::Sender<FailsafeAnswer>,
    },
    /// Stop the server, release the lock and end.
    Shutdown,
}

/// The loop's door.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The published state; `changed()` wakes on each publication.
    pub published: watch::Receiver<Arc<Published>>,
    /// Requests; bounded.
    pub requests: mpsc::Sender<Request>,
    /// The decision journal.
    pub journal: Arc<Journal>,
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// Asks other members.
    pub client: reqwest::Client,
}
