//! `make drills`: one way to lose a leader at a time, many times over, under writing clients; and leaders that keep
//! their lock through what holds others up. It says what each drill is; the rooms below play them.

pub mod busy;
pub mod failover;
pub mod field;
pub mod hanging;
pub mod lock;
pub mod moving;
pub mod options;
pub mod run;
pub mod shot;
pub mod table;

use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::Load;
use crate::options::Mode;
use crate::plan::Fault;

/// Something that is done to a cluster again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drill {
    /// SIGKILL of the leader's daemon; its server is left to the guard.
    DaemonKilled,
    /// SIGSTOP of the leader's daemon until another leads.
    DaemonStopped,
    /// The store accepts connections and is silent for longer than the lock lives.
    StoreHangs,
    /// The leader is cut off from the store and from its peers, and its clients stay with it.
    LeaderCutOff,
    /// Every process of the leader's node is stopped until another leads, and goes on then.
    NodeThawed,
    /// The same where commits wait for a standby.
    NodeThawedSync,
    /// SIGKILL of the leader's whole node, with `synchronous_mode: on`.
    KilledSync,
    /// The same in quorum mode, with two standbys.
    KilledQuorum,
    /// As many small commits as the server takes; in every second shot its node is killed meanwhile.
    CommitStorm,
    /// A long pg_rewind; in every second shot its source dies meanwhile.
    Rewind,
    /// A long base backup; in every second shot its source dies meanwhile.
    Clone,
    /// A server whose stop does not end, for four reasons in turn.
    HangingStop,
    /// A database of a thousand tables that all change while the node is killed.
    ThousandTables,
}

impl Drill {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::KilledSync,
        Self::KilledQuorum,
        Self::DaemonKilled,
        Self::DaemonStopped,
        Self::StoreHangs,
        Self::LeaderCutOff,
        Self::NodeThawed,
        Self::NodeThawedSync,
        Self::CommitStorm,
        Self::Rewind,
        Self::Clone,
        Self::HangingStop,
        Self::ThousandTables,
    ];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::DaemonKilled => "daemon-killed",
            Self::DaemonStopped => "daemon-stopped",
            Self::StoreHangs => "store-hangs",
            Self::LeaderCutOff => "leader-cut-off",
            Self::NodeThawed => "node-thawed",
            Self::NodeThawedSync => "node-thawed-sync",
            Self::KilledSync => "killed-sync",
            Self::KilledQuorum => "killed-quorum",
            Self::CommitStorm => "commit-storm",
            Self::Rewind => "rewind",
            Self::Clone => "clone",
            Self::HangingStop => "hanging-stop",
            Self::ThousandTables => "thousand-tables",
        }
    }

    /// How its cluster replicates.
    pub fn mode(self) -> Mode {
        match self {
            Self::NodeThawedSync | Self::KilledSync | Self::CommitStorm | Self::ThousandTables => Mode::Sync,
            Self::KilledQuorum => Mode::Quorum,
            _ => Mode::Async,
        }
    }

    /// How often it is done where nobody says how often.
    pub fn shots(self) -> usize {
        match self {
            Self::KilledSync | Self::KilledQuorum => 50,
            Self::NodeThawedSync => 20,
            Self::CommitStorm | Self::ThousandTables => 10,
            Self::Rewind | Self::Clone => 6,
            Self::HangingStop => 8,
            _ => 100,
        }
    }

    /// What befalls the leader, where a drill is one fault that another leader ends.
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::DaemonKilled => Some(Fault::KillDaemon),
            Self::DaemonStopped => Some(Fault::FreezeDaemon),
            Self::StoreHangs => Some(Fault::FreezeStore),
            Self::LeaderCutOff => Some(Fault::CutFromAll),
            Self::NodeThawed | Self::NodeThawedSync => Some(Fault::FreezeNode),
            Self::KilledSync | Self::KilledQuorum | Self::ThousandTables => Some(Fault::KillNode),
            Self::CommitStorm | Self::Rewind | Self::Clone | Self::HangingStop => None,
        }
    }

    /// The dynamic configuration of its cluster: a lock that lives for so many seconds, at least 8.
    pub fn dynamic(self, ttl: u64) -> Value {
        let mut dynamic = self.mode().dynamic();
        dynamic["ttl"] = json!(ttl);
        dynamic["retry_timeout"] = json!(ttl.saturating_sub(2) / 2);
        // Clusters of several drills share a disk.
        dynamic["postgresql"] = json!({ "parameters": { "max_connections": 200, "max_wal_size": "256MB" } });
        if matches!(self, Self::Rewind | Self::Clone) {
            // Standbys are cut off from what shall diverge, or behind a slow line, and one of them is to lead all the same.
            dynamic["maximum_lag_on_failover"] = json!(1_u64 << 40);
        }
        dynamic
    }

    /// Its clients. Who has waited for an answer from before a freeze is told after it, if it is ever told: so clients of
    /// frozen nodes are patient, and many.
    pub fn load(self) -> Load {
        // Several clusters have one machine.
        let (pace, round) = (Duration::from_millis(40), Duration::from_millis(300));
        let load = Load { roaming: 2, pace, round, ..Load::default() };
        match self {
            Self::NodeThawed | Self::NodeThawedSync => Load { staying: 4, patience: Duration::from_secs(90), ..load },
            _ => load,
        }
    }
}
