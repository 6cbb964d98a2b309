//! What the store says about the cluster: its keys as typed values. The wire documents live in the host's `dcs` room.

use super::{Lsn, PgState, Role, Tags, Timeline, WallTime};
use std::collections::BTreeMap;

/// The opaque version of a key in the store; only equality means anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// One consistent reading of everything the store holds about this cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// `initialize`: absent, "" while somebody bootstraps, else the system identifier.
    pub initialize: Option<String>,
    /// `leader`: who holds the lock, if anybody.
    pub leader: Option<LeaderView>,
    /// `members/*`, sorted by name.
    pub members: Vec<MemberView>,
    /// `config`: the version of a valid dynamic configuration; `None` where there is none or it is not valid.
    pub config: Option<Version>,
    /// `failover`: a switchover or failover that somebody asked for.
    pub failover: Option<FailoverRequest>,
    /// `sync`: which standbys may take over without loss.
    pub sync: SyncView,
    /// `status`: how far the leader said it was.
    pub status: StatusView,
    /// `history`: one row per past promotion.
    pub history: HistoryView,
    /// `failsafe`: member names and their API addresses, where the leader keeps them.
    pub failsafe: Option<BTreeMap<String, String>>,
}

impl ClusterView {
    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&MemberView> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The name of the lock's holder.
    pub fn leader_name(&self) -> Option<&str> {
        self.leader.as_ref().map(|leader| leader.name.as_str())
    }

    /// What the lock's holder published about itself; `None` also where the lock is held but the member key is gone.
    pub fn leader_member(&self) -> Option<&MemberView> {
        self.leader_name().and_then(|name| self.member(name))
    }

    /// The timeline that the cluster is on by its history: 0 where that is not known.
    pub fn timeline(&self) -> Timeline {
        self.history.timeline()
    }
}

/// The lock and its holder.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderView {
    /// The member's name.
    pub name: String,
    /// The key's version.
    pub version: Version,
    /// The store's session, lease or owner of the key; empty where the store has none.
    pub session: String,
}

/// What one member published about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberView {
    /// The member's name.
    pub name: String,
    /// Where its server listens: `postgres://host:port/database`, without credentials.
    pub conn_url: Option<String>,
    /// Where its REST API listens: `http(s)://host:port/patroni`.
    pub api_url: Option<String>,
    /// The state text as published.
    pub state: Option<PgState>,
    /// The role as published (`master` is read as primary).
    pub role: Option<Role>,
    /// The version text as published.
    pub version: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// `xlog_location`: primary: current; replica: the greater of received and replayed.
    pub xlog_location: Option<Lsn>,
    /// How far it received.
    pub receive_lsn: Option<Lsn>,
    /// How far it replayed.
    pub replay_lsn: Option<Lsn>,
    /// `streaming` or `in archive recovery`.
    pub replication_state: Option<String>,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// A restart would change settings.
    pub pending_restart: bool,
    /// It sees the cluster as paused.
    pub pause: bool,
    /// `Some(false)`: a new primary that did not finish its first checkpoint, so not yet a source for pg_rewind.
    pub checkpoint_after_promote: Option<bool>,
}

impl MemberView {
    /// Running as far as it says.
    pub fn is_running(&self) -> bool {
        self.state == Some(PgState::Running)
    }
}

/// A switchover or failover that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverRequest {
    /// From whom; given for a switchover.
    pub leader: Option<String>,
    /// To whom.
    pub candidate: Option<String>,
    /// Not before then.
    pub scheduled_at: Option<WallTime>,
    /// The key's version.
    pub version: Version,
}

impl FailoverRequest {
    /// The cleared key: it names neither leader nor candidate.
    pub fn is_empty(&self) -> bool {
        self.leader.is_none() && self.candidate.is_none() && self.scheduled_at.is_none()
    }
}

/// The `sync` key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncView {
    /// Who wrote it as leader; `None` where synchronous mode is not active.
    pub leader: Option<String>,
    /// The synchronous standbys (or the voters of a quorum), sorted.
    pub standbys: Vec<String>,
    /// Votes needed, quorum mode only.
    pub quorum: u32,
    /// The key's version; `None` where the key is absent.
    pub version: Option<Version>,
}

impl SyncView {
    /// This member is one of its standbys; names are compared without regard to case (SYNC-15).
    pub fn lists(&self, name: &str) -> bool {
        self.standbys.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// This member is the leader that wrote it.
    pub fn is_led_by(&self, name: &str) -> bool {
        self.leader.as_deref().is_some_and(|leader| leader.eq_ignore_ascii_case(name))
    }

    /// This member is its leader or one of its standbys.
    pub fn knows(&self, name: &str) -> bool {
        self.is_led_by(name) || self.lists(name)
    }

    /// Its leader and its standbys.
    pub fn members(&self) -> impl Iterator<Item = &String> {
        self.leader.iter().chain(&self.standbys)
    }
}

/// What the `sync` key is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncState {
    /// Who leads.
    pub leader: String,
    /// The synchronous standbys, or the voters of a quorum; sorted.
    pub standbys: Vec<String>,
    /// Votes needed, quorum mode only.
    pub quorum: u32,
}

/// The `status` key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusView {
    /// How far the leader had written.
    pub optime: Option<Lsn>,
    /// Slot positions by slot name.
    pub slots: BTreeMap<String, Lsn>,
    /// Slots of members that are away.
    pub retain_slots: Vec<String>,
}

/// The `history` key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryView {
    /// The key was there and could be read.
    pub known: bool,
    /// One row per past promotion, oldest first.
    pub rows: Vec<HistoryRow>,
}

impl HistoryView {
    /// Last row's timeline + 1; 1 for a known empty history; 0 where nothing is known.
    pub fn timeline(&self) -> Timeline {
        match self.rows.last() {
            Some(row) => Timeline(row.timeline.0 + 1),
            None => Timeline(u32::from(self.known)),
        }
    }
}

/// One promotion.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// The timeline that ended.
    pub timeline: Timeline,
    /// Where it ended.
    pub switch_lsn: Lsn,
    /// PostgreSQL's text for it.
    pub reason: String,
    /// When, as text with offset; newest form only.
    pub timestamp: Option<String>,
    /// Who was promoted; newest form only.
    pub new_leader: Option<String>,
}

/// What a member answers when it is asked for its status (`GET /patroni`), as far as the leader race needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberStatus {
    /// Its server is in recovery.
    pub in_recovery: bool,
    /// Replica: the greater of received and replayed; primary: written.
    pub position: Lsn,
    /// Its timeline, where known.
    pub timeline: Option<Timeline>,
    /// Its tags.
    pub tags: Tags,
    /// The watchdog is required there and does not work.
    pub watchdog_failed: bool,
    /// Its position may be old or may still grow: it did not let go of the lost leader yet.
    pub unsettled: bool,
}
