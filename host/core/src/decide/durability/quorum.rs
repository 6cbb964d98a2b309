//! `synchronous_mode: quorum`: any `numsync` standbys confirm a commit, and whoever takes over must be known to have
//! as much as enough other voters (SYNC-13).
//!
//! Two things have to move together and cannot: what PostgreSQL waits for (a number and a set) and what the key says
//! (votes and voters). Between any two moves every commit that is acknowledged must be found by any election:
//!
//! * voters, standbys and leaders together are at most quorum + numsync + 1;
//! * of voters and standbys one set holds the other.
//!
//! What was acknowledged before the server heard of its present names is a third thing: the voters of an election may
//! become fewer, or other, only once enough standbys have all of that. Until then votes make up for it.
//!
//! The plan is made anew from what is read after each move, so a plan that was cut short is finished by the next.

use super::Step;
use super::priority::Situation;
use crate::model::{StandbyNames, SyncMethod, SyncState};
use std::collections::BTreeSet;

type Names = BTreeSet<String>;

/// The next step, if there is one.
pub fn next_step(situation: &Situation<'_>) -> Option<Step> {
    let settings = situation.settings;
    if situation.key.leader.is_none() {
        return Some(Step::Claim(situation.state(Vec::new(), 0)));
    }
    let mut planner = Planner::new(situation);
    // A move that would break the invariants ends the plan; what comes before it stands.
    let _complete = planner.plan();
    if let Some(next) = planner.first() {
        return Some(next.into_step(situation));
    }
    let names = &situation.names;
    if settings.synchronous_mode_strict && names.names.is_empty() {
        return Some(Step::Names(StandbyNames::nobody_yet()));
    }
    let first = names.method == SyncMethod::First && names.members().next().is_some();
    first.then(|| Step::Names(StandbyNames::any_of(planner.standbys_wanted(), planner.standbys.iter().cloned())))
}

/// One move of a plan.
#[derive(Clone, Debug, PartialEq)]
enum Move {
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
    fn into_step(self, situation: &Situation<'_>) -> Step {
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
struct Planner {
    me: String,
    leader: String,
    quorum: i64,
    voters: Names,
    numsync: i64,
    standbys: Names,
    /// How many standbys commits surely wait for.
    confirmed: i64,
    /// Enough standbys have what was acknowledged under earlier names.
    held: bool,
    /// These have it, for sure.
    caught_up: Names,
    active: Names,
    wanted: i64,
    moves: Vec<Move>,
}

/// The plan ends here.
struct Rejected;

type Planned = Result<(), Rejected>;

fn size(names: &Names) -> i64 {
    i64::try_from(names.len()).unwrap_or(i64::MAX)
}

impl Planner {
    fn new(situation: &Situation<'_>) -> Planner {
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
    fn first(&self) -> Option<Move> {
        let kind = std::mem::discriminant(self.moves.first()?);
        self.moves.iter().take_while(|next| std::mem::discriminant(*next) == kind).last().cloned()
    }

    fn standbys_wanted(&self) -> u32 {
        u32::try_from(self.numsync).unwrap_or(0)
    }

    fn safe(&self) -> bool {
        let leaders = [self.leader.clone(), self.me.clone()];
        let all: Names = self.voters.iter().chain(&self.standbys).chain(&leaders).cloned().collect();
        let nested = self.voters.is_subset(&self.standbys) || self.standbys.is_subset(&self.voters);
        // Without voters nobody but the leader can win.
        self.voters.is_empty() || (nested && size(&all) <= self.quorum + self.numsync + 1)
    }

    fn key(&mut self, mut quorum: i64, mut voters: Names, adjust: Adjust) -> Planned {
        if quorum < 0 || (quorum > 0 && quorum >= size(&voters)) {
            return Err(Rejected);
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
            return Err(Rejected);
        }
        (self.quorum, self.voters) = (quorum, voters);
        if was == (self.leader.clone(), self.quorum, self.voters.clone()) {
            if self.voters.is_empty() {
                self.moves.push(Move::Wait);
            }
            return Ok(());
        }
        if !self.safe() {
            return Err(Rejected);
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

    fn server(&mut self, numsync: i64, standbys: Names) -> Planned {
        if numsync < 0 || numsync > size(&standbys) {
            return Err(Rejected);
        }
        if (numsync, &standbys) == (self.numsync, &self.standbys) {
            return Ok(());
        }
        (self.numsync, self.standbys) = (numsync, standbys);
        (self.held, self.caught_up) = (false, Names::new());
        if !self.safe() {
            return Err(Rejected);
        }
        self.moves.push(Move::Server { count: self.numsync, standbys: self.standbys.clone() });
        Ok(())
    }

    fn plan(&mut self) -> Planned {
        if self.leader.eq_ignore_ascii_case(&self.me) {
            if !self.safe() {
                let standbys = self.standbys.clone();
                if self.key(size(&standbys) - self.numsync, standbys, Adjust::Yes).is_err() {
                    self.key(0, Names::new(), Adjust::No)?;
                }
            }
        } else if self.take_over()? == Onward::No {
            return Ok(());
        }
        let connected = size(&(&self.standbys & &self.active));
        if self.confirmed == 0 && connected > 0 {
            self.confirmed = connected.min(size(&self.voters) - self.quorum);
        }
        self.finish_half_done()?;
        self.remove_gone()?;
        self.add_new()?;
        self.change_count()
    }

    /// After a change of the leader the former one becomes a voter like any other.
    fn take_over(&mut self) -> Result<Onward, Rejected> {
        let mut voters = self.voters.clone();
        voters.remove(&self.me);
        voters.insert(self.leader.clone());
        if self.standbys.is_empty() {
            self.server(size(&voters) - self.quorum, voters.clone())?;
        }
        self.key(self.quorum, voters, Adjust::TakeOver)?;
        Ok(if self.standbys.is_disjoint(&self.active) { Onward::No } else { Onward::Yes })
    }

    fn finish_half_done(&mut self) -> Planned {
        if self.standbys != self.voters && self.standbys.is_subset(&self.voters) {
            let gone: Names = &self.voters - &(&self.standbys | &self.active);
            if !gone.is_empty() {
                let all_connected = self.standbys.is_subset(&self.active);
                let quorum = size(&self.voters) - size(&gone) - self.numsync;
                self.key(quorum, &self.voters - &gone, Adjust::when(all_connected))?;
            }
            let add: Names = &(&self.voters & &self.active) - &self.standbys;
            self.server(self.numsync, &self.standbys | &add)?;
        } else if self.standbys != self.voters {
            self.finish_with_more_standbys()?;
        }
        let all = size(&(&self.voters | &self.standbys));
        let margin = self.quorum + self.numsync.min(self.confirmed) - all;
        let count = size(&self.standbys);
        if margin > 0 && self.numsync > self.wanted {
            let numsync = self.wanted.max(size(&self.voters) - self.quorum);
            return self.server(numsync, self.standbys.clone());
        }
        let unsure = self.numsync == self.wanted && self.quorum + self.numsync > all && self.numsync > self.confirmed;
        if margin > 0 || unsure {
            return self.key(count - self.numsync, self.voters.clone(), Adjust::Yes);
        }
        Ok(())
    }

    fn finish_with_more_standbys(&mut self) -> Planned {
        let dead: Names = &self.standbys - &self.active;
        let rest: Names = &self.standbys - &dead;
        let voters_left = self.voters.is_empty() || !rest.is_disjoint(&self.voters);
        if !dead.is_empty() && !rest.is_empty() && voters_left {
            self.server(self.numsync.min(size(&rest)), rest)?;
        }
        let add: Names = &(&self.standbys - &self.voters) & &self.active;
        if !add.is_empty() {
            let voters = &self.voters | &add;
            self.key(size(&voters) - self.numsync, voters, Adjust::Yes)?;
        }
        let left: Names = &self.standbys - &self.voters;
        if !left.is_empty() {
            let rest = &self.standbys - &left;
            self.server(self.numsync.min(size(&rest)), rest)?;
        }
        Ok(())
    }

    fn remove_gone(&mut self) -> Planned {
        let mut dead: Names = &self.standbys - &self.active;
        if dead.is_empty() {
            return Ok(());
        }
        if dead == self.standbys {
            self.key(0, Names::new(), Adjust::No)?;
            return self.server(0, Names::new());
        }
        if self.quorum > 0 {
            let votes = usize::try_from(self.quorum).unwrap_or(0);
            let drop: Names = dead.iter().rev().take(votes).cloned().collect();
            dead = &dead - &drop;
            let rest = &self.standbys - &drop;
            self.server(self.wanted.max(self.numsync).min(size(&rest)), rest)?;
            let voters = &self.voters - &drop;
            self.key(size(&voters) - self.numsync, voters, Adjust::when(dead.is_empty()))?;
        }
        if !dead.is_empty() {
            let rest = &self.standbys - &dead;
            let numsync = self.numsync - size(&dead);
            let voters = &self.voters - &dead;
            let spare = numsync - self.wanted.min(size(&rest));
            self.key(spare.min(size(&voters) - 1).max(0), voters, Adjust::No)?;
            self.server(numsync, rest)?;
        }
        Ok(())
    }

    fn add_new(&mut self) -> Planned {
        let mut new: Names = &self.active - &self.standbys;
        if new.is_empty() {
            return Ok(());
        }
        let numsync = self.wanted.min(size(&(&self.standbys | &new)));
        let more = numsync - self.numsync;
        if more > 0 {
            let count = if self.standbys.is_empty() { new.len() } else { usize::try_from(more).unwrap_or(0) };
            let add: Names = new.iter().take(count).cloned().collect();
            new = &new - &add;
            self.server(numsync, &self.standbys | &add)?;
            let voters = &self.voters | &add;
            self.key(size(&voters) - numsync, voters, Adjust::Yes)?;
        }
        if !new.is_empty() {
            let voters = &self.voters | &new;
            self.key(size(&voters) - numsync, voters, Adjust::when(numsync > self.confirmed))?;
            self.server(numsync, &self.standbys | &new)?;
        }
        Ok(())
    }

    /// More confirmations are asked of PostgreSQL before fewer votes are asked of an election, and the other way round.
    fn change_count(&mut self) -> Planned {
        let more = self.wanted.min(size(&self.standbys)) - self.numsync;
        if more > 0 {
            self.server(self.numsync + more, self.standbys.clone())?;
            return self.key(size(&self.voters) - self.numsync, self.voters.clone(), Adjust::Yes);
        }
        if more < 0 {
            if self.quorum - more < size(&self.voters) {
                let quorum = size(&self.voters) - self.numsync - more;
                self.key(quorum, self.voters.clone(), Adjust::when(self.wanted > self.confirmed))?;
            }
            return self.server(self.numsync + more, self.standbys.clone());
        }
        Ok(())
    }
}

/// Whether standbys that are not sure yet cost votes.
#[derive(Clone, Copy, PartialEq)]
enum Adjust {
    Yes,
    No,
    /// The key becomes this leader's; nothing else changes.
    TakeOver,
}

impl Adjust {
    fn when(yes: bool) -> Adjust {
        if yes { Adjust::Yes } else { Adjust::No }
    }
}

#[derive(PartialEq)]
enum Onward {
    Yes,
    No,
}

/// Standbys to count on: those that may not lead only as far as there are too few others.
fn active(situation: &Situation<'_>) -> Names {
    let wanted = usize::try_from(situation.settings.synchronous_node_count).unwrap_or(1).max(1);
    let healthy = situation.healthy.iter().enumerate();
    let counted = healthy.filter(|(index, standby)| standby.may_lead || *index < wanted);
    counted.map(|(_, standby)| standby.name.clone()).collect()
}
