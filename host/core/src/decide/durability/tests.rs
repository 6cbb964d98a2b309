//! Synchronous mode against a small world: standbys come, go, lag and take over, in any order, and no election ever
//! finds a winner without every acknowledged commit (DESIGN §3, invariants 2 and 7).

mod situations;

use super::priority::{self, Situation};
use super::standbys::Standby;
use super::{Step, promotion, quorum};
use crate::model::{Lsn, Settings, StandbyNames, SyncMethod, SyncState, SyncView, SynchronousMode};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Event {
    /// A commit is tried.
    Write,
    /// A standby receives everything.
    Receive(usize),
    /// A standby connects or goes away.
    Toggle(usize),
    /// Time passes: the server has surely heard of its names.
    Settle,
    /// The rules take their next step.
    Step,
    /// Whoever can win takes over.
    Failover(usize),
    /// An operator changes the configuration.
    Configure { mode: SynchronousMode, strict: bool, count: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop_oneof![Just(SynchronousMode::On), Just(SynchronousMode::Quorum)];
    prop_oneof![
        3 => Just(Event::Write),
        6 => (0..4usize).prop_map(Event::Receive),
        2 => (0..4usize).prop_map(Event::Toggle),
        4 => Just(Event::Settle),
        12 => Just(Event::Step),
        1 => (0..4usize).prop_map(Event::Failover),
        1 => (mode, any::<bool>(), 1..4u32).prop_map(|(mode, strict, count)| Event::Configure { mode, strict, count }),
    ]
}

#[derive(Clone, Debug)]
struct Node {
    position: u64,
    streams: bool,
}

#[derive(Clone, Debug)]
struct World {
    settings: Settings,
    nodes: BTreeMap<String, Node>,
    written: u64,
    acknowledged: u64,
    key: SyncView,
    names: StandbyNames,
    reached: Option<u64>,
    held: bool,
}

impl World {
    fn new(mode: SynchronousMode) -> World {
        let settings = Settings { name: "a".into(), synchronous_mode: mode, ..crate::model::testing::settings() };
        let node = |name: &&str| ((*name).to_owned(), Node { position: 1, streams: true });
        World {
            settings,
            nodes: NAMES.iter().map(node).collect(),
            written: 1,
            acknowledged: 1,
            key: SyncView::default(),
            names: StandbyNames::default(),
            reached: None,
            held: false,
        }
    }

    fn me(&self) -> &str {
        &self.settings.name
    }

    fn others(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter().filter(|(name, _)| *name != self.me())
    }

    fn healthy(&self) -> Vec<Standby> {
        let state = |name: &str| match (self.names.contains(name), self.names.method) {
            (false, _) => "async",
            (true, SyncMethod::First) => "sync",
            (true, SyncMethod::Any) => "quorum",
        };
        let streaming = self.others().filter(|(_, node)| node.streams);
        let mut found: Vec<_> = streaming
            .map(|(name, node)| Standby {
                name: name.clone(),
                state: state(name).to_owned(),
                position: Lsn(node.position),
                priority: 1,
                may_lead: true,
            })
            .collect();
        found.sort_by(|a, b| (&b.state, b.position).cmp(&(&a.state, a.position)));
        found
    }

    fn next_step(&self) -> Option<Step> {
        let situation = Situation {
            settings: &self.settings,
            key: &self.key,
            names: self.names.clone(),
            reached: self.reached.map(Lsn),
            held: self.held,
            healthy: self.healthy(),
        };
        match self.settings.synchronous_mode {
            SynchronousMode::Quorum => quorum::next_step(&situation),
            _ => priority::next_step(&situation),
        }
    }

    fn write_key(&mut self, state: SyncState) {
        let SyncState { leader, standbys, quorum } = state;
        self.key = SyncView { leader: Some(leader), standbys, quorum, version: None };
    }

    fn set_names(&mut self, names: StandbyNames) {
        if !self.names.means(&names) {
            self.names = names;
            (self.reached, self.held) = (None, false);
        }
    }

    fn step(&mut self) -> bool {
        match self.next_step() {
            None | Some(Step::Settle) => return false,
            Some(Step::Claim(state) | Step::Leave(state) | Step::Enter(state) | Step::Quorum(state)) => {
                self.write_key(state);
            }
            Some(Step::Names(names)) => self.set_names(names),
        }
        true
    }

    /// PostgreSQL acknowledges what enough connected standbys have.
    fn acknowledge(&mut self) {
        let count = usize::try_from(self.names.count).unwrap();
        let mut positions: Vec<u64> = self
            .others()
            .filter(|(name, node)| node.streams && self.names.contains(name))
            .map(|(_, node)| node.position)
            .collect();
        positions.sort_by(|a, b| b.cmp(a));
        let reached = if count == 0 { Some(self.written) } else { positions.get(count - 1).copied() };
        self.acknowledged = self.acknowledged.max(reached.unwrap_or(0));
    }

    /// The members that would win an election if just the right others could be asked.
    fn winners(&self) -> Vec<String> {
        let wins = |name: &String, node: &Node| {
            let voters = self.others().filter(|(voter, _)| *voter != name && self.key.lists(voter));
            let behind = u32::try_from(voters.filter(|(_, other)| other.position <= node.position).count()).unwrap();
            match (self.key.lists(name), self.settings.synchronous_mode) {
                (true, _) => behind >= self.key.quorum,
                (false, SynchronousMode::Quorum) => behind > self.key.quorum,
                (false, _) => false,
            }
        };
        match self.key.is_led_by(self.me()) {
            false => Vec::new(),
            true => self.others().filter(|(name, node)| wins(name, node)).map(|(name, _)| name.clone()).collect(),
        }
    }

    fn fail_over(&mut self, winner: &str) {
        let position = self.nodes[winner].position;
        let former = self.settings.name.clone();
        self.nodes.get_mut(&former).unwrap().position = self.written;
        for node in self.nodes.values_mut() {
            *node = Node { position: node.position.min(position), streams: false };
        }
        self.written = position;
        self.settings.name = winner.to_owned();
        let (state, names) = promotion::before_promotion(&self.settings, &self.key);
        state.into_iter().for_each(|state| self.write_key(state));
        self.set_names(names);
        (self.reached, self.held) = (None, false);
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Write => self.written += 1,
            Event::Receive(index) => {
                let written = self.written;
                let node = self.nodes.get_mut(NAMES[*index]).unwrap();
                node.position = if node.streams { written } else { node.position };
            }
            Event::Toggle(index) => {
                let node = self.nodes.get_mut(NAMES[*index]).unwrap();
                node.streams = !node.streams;
            }
            Event::Settle => self.reached = self.reached.or(Some(self.written)),
            Event::Step => {
                self.step();
            }
            Event::Failover(index) => {
                let winners = self.winners();
                if let Some(winner) = winners.get(*index % winners.len().max(1)).cloned() {
                    self.fail_over(&winner);
                }
            }
            Event::Configure { mode, strict, count } => {
                self.settings.synchronous_mode = *mode;
                self.settings.synchronous_mode_strict = *strict;
                self.settings.synchronous_node_count = *count;
            }
        }
        self.acknowledge();
        self.look();
    }

    /// What the memory takes in from a reading of the server.
    fn look(&mut self) {
        let Some(reached) = self.reached else { return };
        let healthy = self.healthy();
        let there = healthy.iter().filter(|one| self.names.contains(&one.name) && one.position >= Lsn(reached));
        self.held |= u32::try_from(there.count()).unwrap() >= self.names.count;
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for winner in self.winners() {
            let position = self.nodes[&winner].position;
            let acknowledged = self.acknowledged;
            prop_assert!(position >= acknowledged, "{winner} at {position} would win, {acknowledged} is out: {self:?}");
        }
        if self.key.is_led_by(self.me())
            && self.key.quorum == 0
            && self.settings.synchronous_mode == SynchronousMode::On
        {
            for name in &self.key.standbys {
                prop_assert!(self.names.always_waits_for(name), "the key names {name}: {self:?}");
            }
        }
        Ok(())
    }

    /// Nothing happens any more: the steps come to an end, and that is what was asked for.
    fn calm_down(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..40 {
            for node in self.nodes.values_mut().filter(|node| node.streams) {
                node.position = self.written;
            }
            self.apply(&Event::Settle);
            self.step();
            self.acknowledge();
            self.look();
            self.check()?;
        }
        prop_assert!(matches!(self.next_step(), None | Some(Step::Settle)), "{:?} in {self:?}", self.next_step());
        let there = u32::try_from(self.others().filter(|(_, node)| node.streams).count()).unwrap();
        if there == 0 && self.settings.synchronous_mode_strict {
            return Ok(());
        }
        let count = self.settings.synchronous_node_count.min(there);
        let voters = u32::try_from(self.key.standbys.len()).unwrap();
        prop_assert_eq!(self.names.count, count, "{:?}", self);
        let (expected, quorum) = match self.settings.synchronous_mode {
            SynchronousMode::Quorum => (there, there - count),
            _ => (count, 0),
        };
        prop_assert_eq!((voters, self.key.quorum), (expected, quorum), "{:?}", self);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whoever_can_win_has_every_acknowledged_commit(quorum: bool, events in proptest::collection::vec(event(), 1..80)) {
        let mut world = World::new(if quorum { SynchronousMode::Quorum } else { SynchronousMode::On });
        for event in &events {
            world.apply(event);
            world.check()?;
        }
        world.calm_down()?;
        world.nodes.values_mut().for_each(|node| node.streams = true);
        world.calm_down()?;
    }
}

/// The steps from a quiet start until nothing is left to do.
fn steps(world: &mut World) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..20 {
        world.apply(&Event::Settle);
        let Some(step) = world.next_step() else { break };
        let key = |word: &str, state: &SyncState| format!("{word} {} of [{}]", state.quorum, state.standbys.join(","));
        taken.push(match &step {
            Step::Claim(state) => key("claim", state),
            Step::Leave(state) => key("leave", state),
            Step::Enter(state) => key("enter", state),
            Step::Quorum(state) => key("quorum", state),
            Step::Names(names) => format!("names {names}"),
            Step::Settle => "settle".to_owned(),
        });
        world.step();
    }
    taken
}

#[test]
fn the_server_waits_before_the_key_names_and_the_key_forgets_before_the_server() {
    // SYNC-02: enable first, publish later; SYNC-10: with nobody synchronous the key names its leader alone.
    let mut world = World::new(SynchronousMode::On);
    assert_eq!(steps(&mut world), ["claim 0 of []", "names b", "enter 0 of [b]"]);
    world.apply(&Event::Toggle(1));
    assert_eq!(steps(&mut world), ["leave 0 of []", "names c", "enter 0 of [c]"]);
    [2, 3].iter().for_each(|index| world.apply(&Event::Toggle(*index)));
    assert_eq!(steps(&mut world), ["leave 0 of []", "names "]);
    assert!(world.winners().is_empty());
}

#[test]
fn several_standbys_are_all_waited_for() {
    // SYNC-11
    let mut world = World::new(SynchronousMode::On);
    world.settings.synchronous_node_count = 2;
    assert_eq!(steps(&mut world), ["claim 0 of []", "names 2 (b,c)", "enter 0 of [b,c]"]);
    world.apply(&Event::Toggle(2));
    assert_eq!(steps(&mut world), ["leave 0 of [b]", "names 2 (b,d)", "enter 0 of [b,d]"]);
    world.settings.synchronous_node_count = 1;
    assert_eq!(steps(&mut world), ["leave 0 of [b]", "names b"]);
}

#[test]
fn a_strict_cluster_never_stops_waiting() {
    // SYNC-05, SYNC-07: whoever was waited for last is; nobody ever: a name that nobody has.
    let mut world = World::new(SynchronousMode::On);
    world.settings.synchronous_mode_strict = true;
    assert_eq!(steps(&mut world), ["claim 0 of []", "names b", "enter 0 of [b]"]);
    [1, 2, 3].iter().for_each(|index| world.apply(&Event::Toggle(*index)));
    assert!(steps(&mut world).is_empty());
    world.key.standbys.clear();
    assert_eq!(steps(&mut world), ["names __patroni_strict_sync_replica_placeholder__"]);
    world.apply(&Event::Toggle(3));
    assert_eq!(steps(&mut world), ["names d", "enter 0 of [d]"]);
}

#[test]
fn a_standby_enters_the_key_once_it_has_caught_up() {
    // SYNC-01
    let mut world = World::new(SynchronousMode::On);
    world.step();
    world.step();
    assert_eq!(world.next_step(), None, "the server may not have heard of its names yet");
    world.apply(&Event::Write);
    world.apply(&Event::Settle);
    assert_eq!(world.next_step(), None, "it has not the last commit");
    world.apply(&Event::Receive(1));
    assert!(matches!(world.next_step(), Some(Step::Enter(state)) if state.standbys == ["b"]));
}

#[test]
fn in_quorum_mode_votes_and_confirmations_move_in_a_safe_order() {
    // SYNC-13
    let mut world = World::new(SynchronousMode::Quorum);
    assert_eq!(steps(&mut world), ["claim 0 of []", "names ANY 1 (b,c,d)", "quorum 2 of [b,c,d]"]);
    world.apply(&Event::Toggle(3));
    assert_eq!(steps(&mut world), ["names ANY 1 (b,c)", "quorum 1 of [b,c]"]);
    world.apply(&Event::Toggle(3));
    assert_eq!(steps(&mut world), ["quorum 2 of [b,c,d]", "names ANY 1 (b,c,d)"]);
    world.settings.synchronous_node_count = 2;
    assert_eq!(steps(&mut world), ["names ANY 2 (b,c,d)", "quorum 1 of [b,c,d]"]);
    world.settings.synchronous_node_count = 1;
    assert_eq!(steps(&mut world), ["quorum 2 of [b,c,d]", "names ANY 1 (b,c,d)"]);
    world.fail_over("b");
    assert_eq!(world.names.to_string(), "ANY 1 (a,c,d)");
    [0, 2, 3].iter().for_each(|index| world.apply(&Event::Toggle(*index)));
    assert_eq!(world.key.leader.as_deref(), Some("b"), "it was claimed before the promotion");
    assert!(steps(&mut world).is_empty());
    [0, 2, 3].iter().for_each(|index| world.apply(&Event::Toggle(*index)));
    assert_eq!(steps(&mut world), ["quorum 0 of []", "names "]);
}

#[test]
fn commits_from_before_a_change_are_found_too() {
    // Found by the property: b alone has a commit that ANY 1 let through; fewer votes must not elect c and d over it.
    let mut world = World::new(SynchronousMode::Quorum);
    steps(&mut world);
    world.apply(&Event::Write);
    world.apply(&Event::Receive(1));
    assert_eq!(world.acknowledged, 2);
    world.settings.synchronous_node_count = 2;
    assert_eq!(steps(&mut world), ["names ANY 2 (b,c,d)"], "the votes stay until two have that commit");
    world.apply(&Event::Receive(2));
    assert_eq!(steps(&mut world), ["quorum 1 of [b,c,d]"]);
}

#[test]
fn no_half_done_change_is_left_standing() {
    // Found by the property: a voter dies while PostgreSQL waits for more standbys than the key names.
    let mut world = World::new(SynchronousMode::Quorum);
    world.write_key(SyncState { leader: "a".into(), standbys: vec!["b".into(), "d".into()], quorum: 0 });
    world.set_names(StandbyNames::any_of(3, ["b", "c", "d"].map(str::to_owned)));
    world.apply(&Event::Toggle(1));
    assert_eq!(steps(&mut world)[..2], ["quorum 0 of [d]", "names ANY 2 (c,d)"]);
    assert_eq!((world.names.to_string().as_str(), world.key.quorum), ("ANY 1 (c,d)", 1));
    // The name that nobody has goes with strict mode.
    let mut alone = World::new(SynchronousMode::Quorum);
    alone.set_names(StandbyNames::nobody_yet());
    [1, 2, 3].iter().for_each(|index| alone.apply(&Event::Toggle(*index)));
    assert_eq!(steps(&mut alone), ["claim 0 of []", "names "]);
}

#[test]
fn before_a_promotion_the_key_and_the_names_are_those_of_the_new_leader() {
    // SYNC-06
    let check = |strict: bool, key: (&str, &[&str]), expected: (Option<&[&str]>, &str)| {
        let settings =
            Settings { name: "b".into(), synchronous_mode_strict: strict, ..World::new(SynchronousMode::On).settings };
        let standbys = key.1.iter().map(|name| (*name).to_owned()).collect();
        let leader = (!key.0.is_empty()).then(|| key.0.to_owned());
        let sync = SyncView { leader, standbys, quorum: 0, version: None };
        let (state, names) = promotion::before_promotion(&settings, &sync);
        let expected_state: Option<Vec<String>> =
            expected.0.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!((state.map(|state| state.standbys), names.to_string().as_str()), (expected_state, expected.1));
    };
    check(false, ("a", &["b"]), (Some(&[]), ""));
    check(false, ("", &[]), (Some(&[]), ""));
    check(false, ("b", &[]), (None, ""));
    check(true, ("a", &["b", "c"]), (Some(&["a", "c"]), "2 (a,c)"));
    check(true, ("", &[]), (Some(&[]), "__patroni_strict_sync_replica_placeholder__"));
}
