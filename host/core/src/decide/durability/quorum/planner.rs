//! A plan under way: what its moves would lead to, and the two conditions that every move keeps.

use super::super::Step;
use super::super::priority::Situation;
use crate::model::{StandbyNames, SyncState};
use std::collections::BTreeSet;

pub type Names = BTreeSet<String>;

/// One move of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    Key {
        leader: String,
        quorum: i64,
        voters: Names,
    },
    Server {
        count: i64,
        standbys: Names,
    },
    /// The server has to be read again first.
    Wait,
}

impl Move {
    pub fn into_step(self, situation: &Situation<'_>) -> Step {
        let number = |number: i64| u32::try_from(number).unwrap_or(0);
        match self {
            Move::Key { leader, quorum, voters } => {
                let state = SyncState { leader, standbys: voters.into_iter().collect(), quorum: number(quorum) };
                let ours = situation.key.is_led_by(&situation.settings.name);
                if ours { Step::Quorum(state) } else { Step::Claim(state) }
            }
            Move::Server { standbys, .. } if standbys.is_empty() && situation.settings.synchronous_mode_strict => {
                Step::Names(StandbyNames::nobody_yet())
            }
            Move::Server { count, standbys } if count > 0 => Step::Names(StandbyNames::any_of(number(count), standbys)),
            Move::Server { .. } => Step::Names(StandbyNames::default()),
            Move::Wait => Step::Settle,
        }
    }
}

/// A plan under way, and the state that it would lead to so far.
pub struct Planner {
    pub me: String,
    pub leader: String,
    pub quorum: i64,
    pub voters: Names,
    pub numsync: i64,
    pub standbys: Names,
    /// How many standbys commits surely wait for.
    pub confirmed: i64,
    /// Enough standbys have what was acknowledged under earlier names.
    pub held: bool,
    /// These have it, for sure.
    pub caught_up: Names,
    pub active: Names,
    pub wanted: i64,
    pub moves: Vec<Move>,
}

/// The plan ends here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rejected {
    /// Until standbys have caught up.
    Wait,
    /// The move would break the invariants.
    Unsafe,
}

pub type Planned = Result<(), Rejected>;

pub fn size(names: &Names) -> i64 {
    i64::try_from(names.len()).unwrap_or(i64::MAX)
}

impl Planner {
    pub fn new(situation: &Situation<'_>) -> Planner {
        let Situation { settings, key, names, healthy, .. } = situation;
        // The spelling of the members' own keys counts (SYNC-15).
        let spelled = |name: &str| {
            let member = healthy.iter().find(|standby| standby.name.eq_ignore_ascii_case(name));
            member.map_or_else(|| name.to_owned(), |standby| standby.name.clone())
        };
        let voters: Names = key.standbys.iter().map(|name| spelled(name)).collect();
        let standbys: Names = names.members().map(spelled).collect();
        let strict = i64::from(settings.synchronous_mode_strict);
        let mut wanted = i64::from(settings.synchronous_node_count).max(strict);
        let mut active = active(situation);
        let quorum = i64::from(key.quorum);
        if active.is_empty() && strict > 0 {
            // Nobody to wait for is no reason to stop waiting (SYNC-05).
            wanted = (size(&voters) - quorum).max(1);
            active = voters.clone();
        }
        let sure = |name: &&String| {
            let standby = healthy.iter().find(|standby| standby.name == **name);
            standby.is_some_and(|standby| voters.contains(*name) || situation.caught_up(standby))
        };
        let caught_up = healthy.iter().filter(|standby| situation.caught_up(standby));
        let caught_up = caught_up.map(|standby| standby.name.clone()).collect();
        Planner {
            me: settings.name.clone(),
            leader: key.leader.clone().unwrap_or_default(),
            quorum,
            numsync: i64::from(names.count).min(size(&standbys)),
            confirmed: i64::try_from(standbys.iter().filter(sure).count()).unwrap_or(0),
            held: situation.held,
            caught_up,
            voters,
            standbys,
            active,
            wanted,
            moves: Vec::new(),
        }
    }

    /// Of neighbouring moves of one kind only the last counts.
    pub fn first(&self) -> Option<Move> {
        let kind = std::mem::discriminant(self.moves.first()?);
        self.moves.iter().take_while(|next| std::mem::discriminant(*next) == kind).last().cloned()
    }

    /// What PostgreSQL waits for now, as a quorum.
    pub fn as_quorum(&self) -> StandbyNames {
        StandbyNames::any_of(u32::try_from(self.numsync).unwrap_or(0), self.standbys.iter().cloned())
    }

    pub fn safe(&self) -> bool {
        let leaders = [self.leader.clone(), self.me.clone()];
        let all: Names = self.voters.iter().chain(&self.standbys).chain(&leaders).cloned().collect();
        let nested = self.voters.is_subset(&self.standbys) || self.standbys.is_subset(&self.voters);
        // Without voters nobody but the leader can win.
        self.voters.is_empty() || (nested && size(&all) <= self.quorum + self.numsync + 1)
    }

    pub fn key(&mut self, mut quorum: i64, mut voters: Names, adjust: Adjust) -> Planned {
        if quorum < 0 || (quorum > 0 && quorum >= size(&voters)) {
            return Err(Rejected::Unsafe);
        }
        let was = (self.leader.clone(), self.quorum, self.voters.clone());
        match adjust {
            Adjust::TakeOver => self.leader = self.me.clone(),
            _ if self.confirmed == 0 && self.voters.is_empty() => {
                quorum = 0;
                voters = Names::new();
            }
            Adjust::Yes => quorum += (self.numsync - self.confirmed).max(0),
            Adjust::No => {}
        }
        quorum = quorum.max(self.votes_for_the_past(&voters, adjust));
        if quorum > 0 && quorum >= size(&voters) {
            self.leader = was.0;
            return Err(Rejected::Wait);
        }
        (self.quorum, self.voters) = (quorum, voters);
        if was == (self.leader.clone(), self.quorum, self.voters.clone()) {
            if self.voters.is_empty() {
                self.moves.push(Move::Wait);
            }
            return Ok(());
        }
        if !self.safe() {
            return Err(Rejected::Unsafe);
        }
        self.moves.push(Move::Key { leader: self.leader.clone(), quorum: self.quorum, voters: self.voters.clone() });
        Ok(())
    }

    /// The least votes with which an election finds what was acknowledged under earlier names. So many of the present
    /// voters may lack it; a new one lacks it unless it was seen to have it.
    fn votes_for_the_past(&self, voters: &Names, adjust: Adjust) -> i64 {
        if self.held {
            return 0;
        }
        let mut lacking: Names = voters - &self.caught_up;
        if adjust == Adjust::TakeOver {
            // It acknowledged all of that itself.
            let former = self.voters.iter().chain([&self.me]).cloned().collect();
            lacking = &lacking & &former;
        }
        let fresh = size(&(&lacking - &self.voters));
        (self.quorum + fresh).min(size(&lacking))
    }

    pub fn server(&mut self, numsync: i64, standbys: Names) -> Planned {
        if numsync < 0 || numsync > size(&standbys) {
            return Err(Rejected::Unsafe);
        }
        if (numsync, &standbys) == (self.numsync, &self.standbys) {
            return Ok(());
        }
        (self.numsync, self.standbys) = (numsync, standbys);
        (self.held, self.caught_up) = (false, Names::new());
        if !self.safe() {
            return Err(Rejected::Unsafe);
        }
        self.moves.push(Move::Server { count: self.numsync, standbys: self.standbys.clone() });
        Ok(())
    }
}

/// Whether standbys that are not sure yet cost votes.
#[derive(Clone, Copy, PartialEq)]
pub enum Adjust {
    Yes,
    No,
    /// The key becomes this leader's; nothing else changes.
    TakeOver,
}

impl Adjust {
    pub fn when(yes: bool) -> Adjust {
        if yes { Adjust::Yes } else { Adjust::No }
    }
}

/// Standbys to count on: those that may not lead only as far as there are too few others.
fn active(situation: &Situation<'_>) -> Names {
    let wanted = usize::try_from(situation.settings.synchronous_node_count).unwrap_or(1).max(1);
    let healthy = situation.healthy.iter().enumerate();
    let counted = healthy.filter(|(index, standby)| standby.may_lead || *index < wanted);
    counted.map(|(_, standby)| standby.name.clone()).collect()
}
