//! Rules broken on purpose: an invariant that no mutant violates proves nothing.

use crate::daemon::Daemon;
use regent_core::decide::{Action, Verdict};
use regent_core::model::{StartMode, StoreCall, Task};
use std::time::Duration;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// No guard kills a server whose daemon is gone.
    NoGuard,
    /// A primary whose lock is lost or ends goes on.
    NoFence,
    /// Who stands back in a race takes the lock all the same.
    EverybodyWins,
    /// In synchronous mode those whom the key does not name race too.
    SyncKeyIgnored,
    /// The sync key names a standby as soon as it is chosen, before commits wait for it.
    KeyBeforeServer,
    /// A lost leader's primary is started in place without the lock.
    StartWithoutLock,
    /// The lock is given back before the server is stopped.
    ReleaseBeforeStop,
    /// A crashed server is started in maintenance.
    StartInMaintenance,
    /// A diverged server is wiped whatever the settings say.
    WipeAnyway,
    /// After a lost leader nobody ever takes the lock.
    NobodyRaces,
    /// A leader without the store goes on although not every member said that it may.
    GoesOnUnasked,
    /// A member that let a leader go on races for its lock at once.
    WordBroken,
    /// A member that must not lead takes the lock all the same.
    TagIgnored,
    /// A server is started on a data directory that pg_rewind left half way.
    HalfRewoundStarts,
    /// The leader of a standby cluster is promoted.
    StandbyClusterPromotes,
    /// How far a standby has replayed counts as all that it has, while it still reads its own log.
    UnreadLogCounts,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 16] = [
        Mutant::NoGuard,
        Mutant::NoFence,
        Mutant::EverybodyWins,
        Mutant::SyncKeyIgnored,
        Mutant::KeyBeforeServer,
        Mutant::StartWithoutLock,
        Mutant::ReleaseBeforeStop,
        Mutant::StartInMaintenance,
        Mutant::WipeAnyway,
        Mutant::NobodyRaces,
        Mutant::GoesOnUnasked,
        Mutant::WordBroken,
        Mutant::TagIgnored,
        Mutant::HalfRewoundStarts,
        Mutant::StandbyClusterPromotes,
        Mutant::UnreadLogCounts,
    ];

    /// Breaks a decision.
    pub fn spoil(self, verdict: &mut Verdict, daemon: &Daemon) {
        let soon = Action::Wait { until: daemon.view.now + Duration::from_millis(200) };
        let idle = daemon.view.running.is_none() && daemon.view.store.in_flight.is_none();
        match (self, verdict.rule) {
            (Mutant::NoFence, 110..=160) => verdict.action = soon,
            (Mutant::EverybodyWins | Mutant::SyncKeyIgnored, 925 | 955 | 960) if idle => {
                let race = self == Mutant::EverybodyWins && verdict.rule == 960;
                let ignored = self == Mutant::SyncKeyIgnored && verdict.rule == 925;
                if (race || ignored) && matches!(verdict.action, Action::Wait { .. }) {
                    verdict.action = Action::Store(StoreCall::Acquire);
                }
            }
            (Mutant::KeyBeforeServer, 843) => {
                let cluster = daemon.view.cluster();
                let over = cluster.and_then(|cluster| cluster.sync.version.clone());
                let others = cluster.map(|cluster| cluster.members.iter().map(|member| member.name.clone()));
                let me = daemon.view.me().to_owned();
                let standbys = others.into_iter().flatten().filter(|name| *name != me).collect();
                let sync = regent_core::model::SyncState { leader: me, standbys, quorum: 0 };
                verdict.action = if idle { Action::Store(StoreCall::WriteSync { sync, over }) } else { soon };
            }
            (Mutant::StartWithoutLock, 770) => {
                if let Action::Begin(Task::Start(_)) = verdict.action {
                    verdict.action = Action::Begin(Task::Start(StartMode::Primary));
                }
            }
            (Mutant::ReleaseBeforeStop, 840) if idle && daemon.view.lease.is_some() => {
                if matches!(verdict.action, Action::Begin(_)) {
                    verdict.action = Action::Store(StoreCall::Release { optime: None });
                }
            }
            (Mutant::StartInMaintenance, 710) if idle => {
                verdict.action = Action::Begin(Task::Start(StartMode::Standby));
            }
            (Mutant::WipeAnyway, 755 | 790) if idle && daemon.view.server.postmaster.is_none() => {
                verdict.action = Action::Begin(Task::Wipe);
            }
            (Mutant::HalfRewoundStarts, 513 | 515) if idle && daemon.view.server.postmaster.is_none() => {
                verdict.action = Action::Begin(Task::Start(StartMode::Standby));
            }
            (Mutant::StandbyClusterPromotes, 890) if idle && daemon.view.settings.standby_cluster.is_some() => {
                verdict.action = Action::Begin(Task::Promote);
            }
            (Mutant::WordBroken, 905) if idle => verdict.action = Action::Store(StoreCall::Acquire),
            (Mutant::TagIgnored, 920) if idle && daemon.view.settings.tags.nofailover() => {
                verdict.action = Action::Store(StoreCall::Acquire);
            }
            (Mutant::NobodyRaces, 960) => {
                verdict.action = Action::Wait { until: daemon.view.now + Duration::from_secs(24 * 3600) };
            }
            _ => {}
        }
    }
}
