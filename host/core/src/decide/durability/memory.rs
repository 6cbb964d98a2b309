//! What is remembered of synchronous mode: what the server was told, and when it was seen to have heard it.

use super::standbys::{self, Standby};
use crate::model::{
    ErrandKind, Lsn, Moment, Observed, Role, StandbyNames, StoreCallKind, SyncView, SynchronousMode, Task, Version,
    View, WallTime,
};
use std::time::Duration;

/// After the server was first seen with new names, its other processes get this long to have read them too. What was
/// acknowledged until then may have been so without the new standby.
const SETTLE: Duration = Duration::from_millis(250);

/// The memory of synchronous mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durability {
    /// `synchronous_standby_names` that the server must have as primary; `None`: the user's own, or not known yet.
    pub names: Option<String>,
    /// The server is being told.
    pub setting: bool,
    /// It was told last; what was read of it before is not believed any more.
    pub set_at: Moment,
    /// With which names the primary was seen, and since when.
    pub mark: Option<Mark>,
    /// Since when this standby asks to be let go of.
    pub leaving_since: Option<Moment>,
    /// What is known of writes of the sync key.
    pub key: KeyWrites,
    /// What the sync key said when the lock was last asked for: by that this member was found fit to lead.
    pub raced_by: Option<SyncView>,
    /// Synchronous mode was on: once it is off, the user's own names come back.
    pub user_value_due: bool,
}

/// What is known of writes of the sync key that may be carried out yet: the store may do so long after a write was given
/// up, as long as the version that it was meant for is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyWrites {
    /// The key was not read yet. The daemon before this one may have written.
    #[default]
    Unread,
    /// One may come over this version; `None`: where there is no key.
    MayCome(Option<Version>),
    /// None can come.
    Settled,
}

/// With which names the primary was seen, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The names.
    pub names: StandbyNames,
    /// Of this start of the server.
    pub postmaster_start: WallTime,
    /// The first reading that showed them.
    pub since: Moment,
    /// How far the log went when every process had surely heard of them.
    pub position: Option<Lsn>,
    /// As many standbys as commits wait for were seen to have everything up to there.
    pub held: bool,
}

impl Durability {
    /// Takes in what happened since the last decision; `role` is the member's.
    pub(in crate::decide) fn absorb(&mut self, view: &View, role: Role) {
        let setting = view.errands.contains(&ErrandKind::SetStandbyNames);
        if self.setting && !setting {
            self.set_at = view.now;
        }
        self.setting = setting;
        let restarting = matches!(&view.running, Some(running) if matches!(running.task, Task::Restart(_)));
        if !view.requests.shutdown && view.requests.restart.is_none() && !restarting {
            self.leaving_since = None;
        }
        self.absorb_mark(view);
        self.absorb_key(view);
        let asks = view.store.in_flight == Some(StoreCallKind::Acquire);
        if asks && view.lease.is_none_or(|lease| view.now >= lease.deadline) {
            self.raced_by = view.cluster().map(|cluster| cluster.sync.clone());
        }
        match is_engaged(view) {
            Some(true) => self.engage(view),
            Some(false) => self.disengage(view, role),
            None => {}
        }
    }

    /// The names that the server has to have as primary are known, or are the user's own: its files can be written.
    pub(in crate::decide) fn is_settled(&self, view: &View) -> bool {
        match is_engaged(view) {
            Some(engaged) => !engaged || self.names.is_some(),
            None => false,
        }
    }

    /// The server was told just now and shows other names: it may wait for either, so the key stays as it is. One that
    /// shows them for longer does not listen, say because somebody else's value counts, and is taken at its word.
    pub(super) fn is_being_told(&self, shown: &StandbyNames, view: &View) -> bool {
        let told = self.names.as_deref().and_then(StandbyNames::parse);
        told.is_some_and(|told| !told.means(shown)) && view.now < self.set_at + view.settings.loop_wait
    }

    /// A write of the key as it was read may come yet: it has to be written once more, so that only one of both can be
    /// carried out.
    pub(super) fn may_change(&self, key: &SyncView) -> bool {
        self.key == KeyWrites::MayCome(key.version.clone())
    }

    /// The key of another leader says the same as when this member was found fit to lead by it.
    pub(super) fn was_judged_by(&self, key: &SyncView) -> bool {
        let same = |judged: &SyncView| {
            (&judged.leader, &judged.standbys, judged.quorum) == (&key.leader, &key.standbys, key.quorum)
        };
        self.raced_by.as_ref().is_some_and(same)
    }

    fn absorb_key(&mut self, view: &View) {
        let (Some((cluster, _)), false) = (&view.store.snapshot, view.store.changed) else { return };
        if view.store.in_flight == Some(StoreCallKind::Write) {
            return;
        }
        let version = &cluster.sync.version;
        self.key = match std::mem::take(&mut self.key) {
            // However long ago it wrote: the store may have been away since.
            KeyWrites::Unread if version.is_some() => KeyWrites::MayCome(version.clone()),
            KeyWrites::MayCome(over) if over == *version => KeyWrites::MayCome(over),
            _ => KeyWrites::Settled,
        };
    }

    /// Since when the server has had these names.
    pub(super) fn mark_of(&self, names: &StandbyNames) -> Option<&Mark> {
        self.mark.as_ref().filter(|mark| mark.names.means(names))
    }

    fn engage(&mut self, view: &View) {
        self.user_value_due = true;
        let promoting = matches!(&view.running, Some(running) if running.task == Task::Promote);
        if view.server.is_standby() && !promoting && view.lease.is_none() {
            self.names = Some(String::new());
        }
        if self.names.is_some() {
            return;
        }
        if view.server.postmaster.is_none() {
            self.names = by_key(view).map(|names| names.to_string());
        } else if let Some(monitoring) = view.server.monitoring.value().filter(|monitoring| monitoring.is_primary) {
            self.names = Some(monitoring.synchronous_standby_names.clone());
        }
    }

    fn disengage(&mut self, view: &View, role: Role) {
        if !view.server.is_primary() && role != Role::Primary {
            self.names = None;
        }
        // A daemon that was away when the mode was switched off finds the names that are no longer wanted.
        let left = view.server.monitoring.value().is_some_and(|monitoring| {
            monitoring.is_primary && !monitoring.synchronous_standby_names.is_empty() && self.set_at == Moment(0)
        });
        self.user_value_due |= left;
    }

    fn absorb_mark(&mut self, view: &View) {
        let Observed::Seen { value, at } = &view.server.monitoring else {
            return;
        };
        let names = StandbyNames::parse(&value.synchronous_standby_names).filter(|_| value.is_primary);
        let Some(names) = names else {
            self.mark = None;
            return;
        };
        match &mut self.mark {
            Some(mark) if mark.names.means(&names) && mark.postmaster_start == value.postmaster_start => {
                if mark.position.is_none() && *at >= mark.since + SETTLE {
                    mark.position = value.current_lsn;
                }
                let there = |standby: &Standby| {
                    mark.names.contains(&standby.name) && mark.position.is_some_and(|at| standby.position >= at)
                };
                let count = standbys::healthy(view).iter().filter(|standby| there(standby)).count();
                mark.held |=
                    mark.position.is_some() && u32::try_from(count).is_ok_and(|count| count >= mark.names.count);
            }
            _ => {
                let postmaster_start = value.postmaster_start;
                self.mark = Some(Mark { names, postmaster_start, since: *at, position: None, held: false });
            }
        }
    }
}

/// Synchronous mode decides about PostgreSQL's names: it is on, or a sync key still names somebody. `None`: not known.
fn is_engaged(view: &View) -> Option<bool> {
    if view.settings.synchronous_mode != SynchronousMode::Off {
        return Some(true);
    }
    view.cluster().map(|cluster| cluster.sync.leader.is_some())
}

/// What a server that goes down as this leader's primary, unseen, has to come up with; `None`: the key was not read yet.
fn by_key(view: &View) -> Option<StandbyNames> {
    let sync = &view.cluster()?.sync;
    let standbys = sync.standbys.iter().filter(|_| sync.is_led_by(view.me())).cloned();
    let voters = u32::try_from(sync.standbys.len()).unwrap_or(u32::MAX);
    let names = match sync.quorum {
        0 => StandbyNames::all_of(standbys),
        quorum => StandbyNames::any_of(voters.saturating_sub(quorum), standbys),
    };
    let strict = view.settings.synchronous_mode_strict && view.settings.synchronous_mode != SynchronousMode::Off;
    let starved = strict && names.members().next().is_none();
    Some(if starved { StandbyNames::nobody_yet() } else { names })
}
