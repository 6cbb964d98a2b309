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

mod planner;

use super::Step;
use super::priority::Situation;
use crate::model::{StandbyNames, SyncMethod};
use planner::{Adjust, Names, Planned, Planner, Rejected, size};

/// The next step, if there is one.
pub fn next_step(situation: &Situation<'_>) -> Option<Step> {
    let settings = situation.settings;
    if situation.key.leader.is_none() {
        return Some(Step::Claim(situation.state(Vec::new(), 0)));
    }
    let mut planner = Planner::new(situation);
    let as_quorum = planner.as_quorum();
    let nobody_there = planner.standbys.is_disjoint(&planner.active);
    // What comes before a move that is not allowed stands. Where nothing does, naming nobody always is allowed; it is
    // not worth waiting for standbys to catch up where none is there.
    let stuck = match planner.plan() {
        Ok(()) => false,
        Err(Rejected::Wait) => nobody_there,
        Err(Rejected::Unsafe) => true,
    };
    if stuck && planner.moves.is_empty() && !situation.key.standbys.is_empty() {
        return Some(Step::Quorum(situation.state(Vec::new(), 0)));
    }
    if let Some(next) = planner.first() {
        return Some(next.into_step(situation));
    }
    let names = &situation.names;
    if names.members().next().is_none() {
        let nobody = match settings.synchronous_mode_strict {
            true => StandbyNames::nobody_yet(),
            false => StandbyNames::default(),
        };
        return (!names.means(&nobody)).then_some(Step::Names(nobody));
    }
    (names.method == SyncMethod::First).then_some(Step::Names(as_quorum))
}

impl Planner {
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
            let voters = &self.voters - &dead;
            if voters != self.voters {
                // A voter that PostgreSQL no longer waits for must be gone from the key before.
                let all = size(&(&voters | &self.standbys));
                self.key((all - self.numsync).max(0), voters, Adjust::No)?;
            }
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

#[derive(PartialEq)]
enum Onward {
    Yes,
    No,
}
