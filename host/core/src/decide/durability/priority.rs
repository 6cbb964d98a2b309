//! `synchronous_mode: on`: every standby that the key names is waited for by every commit (SYNC-01, SYNC-02).

use super::Step;
use super::standbys::Standby;
use crate::model::{Lsn, Settings, StandbyNames, SyncState, SyncView};

/// What the next step depends on.
pub struct Situation<'a> {
    /// What the operator wants.
    pub settings: &'a Settings,
    /// The sync key.
    pub key: &'a SyncView,
    /// Whom PostgreSQL waits for, as it says.
    pub names: StandbyNames,
    /// How far the log went when it had surely heard of these names.
    pub reached: Option<Lsn>,
    /// Enough standbys were seen to have everything up to there.
    pub held: bool,
    /// Standbys that could be synchronous, best first.
    pub healthy: Vec<Standby>,
}

impl Situation<'_> {
    /// The key with these standbys and that quorum.
    pub fn state(&self, mut standbys: Vec<String>, quorum: u32) -> SyncState {
        standbys.sort();
        SyncState { leader: self.settings.name.clone(), standbys, quorum }
    }

    /// No commit is acknowledged without this standby from `reached` on, and it has everything up to there.
    pub fn caught_up(&self, standby: &Standby) -> bool {
        matches!(standby.state.as_str(), "sync" | "quorum")
            && self.reached.is_some_and(|reached| standby.position >= reached)
    }
}

/// The next step, if there is one.
pub fn next_step(situation: &Situation<'_>) -> Option<Step> {
    let Situation { settings, key, names, .. } = situation;
    if !key.is_led_by(&settings.name) {
        return Some(Step::Claim(situation.state(Vec::new(), 0)));
    }
    let count = usize::try_from(settings.synchronous_node_count).unwrap_or(1).max(1);
    let mut picked: Vec<String> = situation.healthy.iter().take(count).map(|standby| standby.name.clone()).collect();
    if picked.is_empty() && settings.synchronous_mode_strict {
        // Nobody to wait for is no reason to stop waiting: whoever was waited for last is (SYNC-05).
        picked = key.standbys.clone();
    }
    let picked_too = |name: &String| picked.iter().any(|picked| picked.eq_ignore_ascii_case(name));
    let mut stay = key.standbys.clone();
    // Voters of a quorum need not have every commit.
    let whole = |name: &String| {
        let mut healthy = situation.healthy.iter();
        key.quorum == 0 || healthy.any(|standby| standby.name == *name && situation.caught_up(standby))
    };
    stay.retain(|name| picked_too(name) && names.always_waits_for(name) && whole(name));
    if stay != key.standbys || key.quorum != 0 {
        return Some(Step::Leave(situation.state(stay, 0)));
    }
    let wanted = match picked.is_empty() && settings.synchronous_mode_strict {
        true => StandbyNames::nobody_yet(),
        false => StandbyNames::all_of(picked.iter().cloned()),
    };
    if !names.means(&wanted) {
        return Some(Step::Names(wanted));
    }
    let caught_up = situation.healthy.iter().filter(|standby| picked_too(&standby.name));
    let caught_up = caught_up.filter(|standby| !key.lists(&standby.name) && situation.caught_up(standby));
    let entering: Vec<String> = caught_up.map(|standby| standby.name.clone()).collect();
    if entering.is_empty() {
        return None;
    }
    Some(Step::Enter(situation.state(stay.into_iter().chain(entering).collect(), 0)))
}
