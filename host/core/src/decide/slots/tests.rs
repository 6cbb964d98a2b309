//! Which slots are made, dropped, moved and brought over.

use super::*;
use crate::decide::{Memory, decide, feedback_needed, parting_status, published_status, slot_complaints};
use crate::model::testing::{NOW, member, settings, view};
use crate::model::*;
use std::sync::Arc;

/// Member `a` of a cluster of `a`, `b` and `c` that `leader` leads, which `change` changed.
fn situation(leader: &str, change: impl FnOnce(&mut Situation)) -> (View, Memory) {
    let view = view(settings(), Some(leader), SyncView::default());
    let cluster = view.cluster().unwrap().clone();
    let server = view.server.monitoring.value().unwrap().clone();
    let mut it = Situation { settings: settings(), cluster, server, version: 150_000 };
    it.server.streaming_from = (leader != "a").then(|| ("b".to_owned(), 5432));
    change(&mut it);
    let mut view = View { settings: Arc::new(it.settings), ..view };
    view.store.snapshot = Some((Arc::new(it.cluster), NOW));
    view.server.monitoring = Observed::Seen { value: it.server, at: NOW };
    view.server.version = it.version;
    let mut memory = Memory { role: if leader == "a" { Role::Primary } else { Role::Replica }, ..Memory::default() };
    memory.absorb(&view);
    (view, memory)
}

struct Situation {
    settings: Settings,
    cluster: ClusterView,
    server: Monitoring,
    version: u32,
}

impl Situation {
    fn tag(&mut self, name: &str, tag: &str, value: Scalar) {
        if name == "a" {
            self.settings.tags = tags(tag, value.clone());
        }
        let member = self.cluster.members.iter_mut().find(|member| member.name == name).unwrap();
        member.tags = tags(tag, value);
    }

    fn keep(&mut self, name: &str, logical: bool) {
        let some = |text: &str| logical.then(|| text.to_owned());
        let kind = Some(if logical { "logical" } else { "physical" }.to_owned());
        let slot = SlotSettings { kind, database: some("app"), plugin: some("pgoutput"), cluster_type: None };
        self.settings.slots.insert(name.into(), slot);
    }
}

fn tags(tag: &str, value: Scalar) -> Tags {
    Tags { raw: vec![(tag.to_owned(), value)] }
}

fn physical(name: &str, at: u64) -> SlotRow {
    SlotRow { name: name.into(), physical: true, restart_lsn: Some(Lsn(at)), ..SlotRow::default() }
}

fn logical(name: &str, at: u64) -> SlotRow {
    SlotRow {
        name: name.into(),
        restart_lsn: Some(Lsn(at)),
        confirmed_lsn: Some(Lsn(at)),
        database: Some("app".into()),
        plugin: Some("pgoutput".into()),
        ..SlotRow::default()
    }
}

/// What is made, dropped and moved, as text.
fn planned(situation: &(View, Memory)) -> String {
    let (view, mut memory) = situation.clone();
    let case = Case::new(&view, &mut memory);
    let Some(Errand::SyncSlots { create, unwanted, advance, .. }) = plan(&case) else {
        return String::new();
    };
    let create = create.iter().map(|slot| format!("+{slot}"));
    let unwanted = unwanted.iter().map(|name| format!("-{name}"));
    let advance = advance.iter().map(|(slot, to)| format!("{slot}>{}", to.0));
    unwanted.chain(create).chain(advance).collect::<Vec<_>>().join(" ")
}

fn check(leader: &str, change: impl FnOnce(&mut Situation), expected: &str) {
    assert_eq!(planned(&situation(leader, change)), expected);
}

/// SLOT-01, SLOT-11, HA-64: one slot for each member, on every node that could lead, unless nothing is kept for the absent.
#[test]
fn each_member_has_a_slot() {
    check("a", |_| {}, "+b +c");
    check("b", |_| {}, "+b +c");
    check("a", |it| it.settings.use_slots = false, "");
    let no_spares = |it: &mut Situation| it.settings.member_slots_ttl = Duration::ZERO;
    check("a", no_spares, "+b +c");
    check("b", no_spares, "");
    check("b", |it| it.version = 100_000, "");
    check("a", |it| it.tag("b", "nostream", Scalar::Bool(true)), "+c");
    check("b", |it| it.tag("a", "nofailover", Scalar::Bool(true)), "");
}

/// SLOT-01: a cascading member has its slot where it streams from, and at the leader while that member is down.
#[test]
fn a_cascading_member_has_its_slot_at_its_source() {
    let behind = |name: &'static str, source: &'static str| {
        move |it: &mut Situation| {
            it.settings.member_slots_ttl = Duration::ZERO;
            it.tag(name, "replicatefrom", Scalar::Text(source.into()));
        }
    };
    check("a", behind("c", "b"), "+b");
    check("b", behind("c", "a"), "+c");
    check("a", behind("c", "nobody"), "+b +c");
    check("a", behind("c", "a"), "+b +c");
    let down = |it: &mut Situation| {
        behind("c", "b")(it);
        it.cluster.members[1].state = Some(PgState::Stopped);
    };
    check("a", down, "+b +c");
    // Its source may not lead: it keeps the slots of its children alone.
    let last = |it: &mut Situation| {
        it.tag("c", "replicatefrom", Scalar::Text("a".into()));
        it.tag("a", "nofailover", Scalar::Bool(true));
    };
    check("b", last, "+c");
}

/// SLOT-11, SLOT-08: slots without a consumer follow the leader's, or the member that streams elsewhere.
#[test]
fn slots_without_a_consumer_are_moved() {
    let rows = || vec![physical("b", 10), physical("c", 10), physical("kept", 10)];
    let with_status = |it: &mut Situation| {
        it.keep("kept", false);
        it.server.slots = rows();
        it.cluster.status.slots = [("c", 50), ("kept", 200), ("b", 5)].map(|(name, at)| (name.into(), Lsn(at))).into();
    };
    check("b", with_status, "c>50 kept>100");
    let in_use = |it: &mut Situation| {
        with_status(it);
        it.server.slots[1].active = true;
        it.version = 150_000;
    };
    check("b", in_use, "kept>100");
    check("a", with_status, "");
    let cascading = |it: &mut Situation| {
        with_status(it);
        it.tag("c", "replicatefrom", Scalar::Text("b".into()));
        it.cluster.members[2].xlog_location = Some(Lsn(70));
    };
    check("a", cascading, "c>70");
    // A leader before 4.0 publishes no members' slots.
    let old_leader = |it: &mut Situation| {
        it.server.slots = rows()[..2].to_vec();
        it.cluster.members[1].version = Some("3.3.2".into());
        it.cluster.members[2].xlog_location = Some(Lsn(60));
    };
    check("b", old_leader, "c>60");
}

/// SLOT-04, SLOT-09, SLOT-12, PAUSE-14: unknown slots go, but none in use, none in maintenance, none that is to be left
/// alone.
#[test]
fn unknown_slots_are_dropped() {
    let foreign =
        |row: SlotRow| move |it: &mut Situation| it.server.slots = vec![physical("b", 1), physical("c", 1), row];
    check("a", foreign(physical("x", 1)), "-x");
    check("b", foreign(physical("x", 1)), "-x");
    check("a", foreign(logical("x", 1)), "-x");
    check("a", foreign(SlotRow { active: true, ..physical("x", 1) }), "");
    check("a", foreign(SlotRow { temporary: true, ..physical("x", 1) }), "");
    check("a", foreign(SlotRow { failover: true, ..logical("x", 1) }), "");
    check("b", foreign(SlotRow { failover: true, synced: true, ..logical("x", 1) }), "");
    check("b", foreign(SlotRow { failover: true, ..logical("x", 1) }), "-x");
    let paused = |it: &mut Situation| {
        it.settings.paused = true;
        it.server.slots = vec![physical("b", 1), physical("x", 1)];
    };
    check("a", paused, "+c");
    let pattern = |name: Option<&'static str>, pattern: SlotSettings, expected: &str| {
        let change = |it: &mut Situation| {
            it.settings.ignore_slots = vec![(name.map(str::to_owned), pattern)];
            it.server.slots = vec![physical("b", 1), physical("c", 1), logical("x", 1)];
        };
        check("a", change, expected);
    };
    let some = |text: &str| Some(text.to_owned());
    pattern(Some("x"), SlotSettings::default(), "");
    pattern(Some("y"), SlotSettings::default(), "-x");
    pattern(None, SlotSettings { kind: some("logical"), ..Default::default() }, "");
    pattern(None, SlotSettings { kind: some("physical"), ..Default::default() }, "-x");
    pattern(None, SlotSettings { database: some("app"), plugin: some("pgoutput"), ..Default::default() }, "");
    pattern(Some("x"), SlotSettings { plugin: some("test_decoding"), ..Default::default() }, "-x");
}

/// SLOT-12, SLOT-07: a slot that can no longer do what it is for is made anew.
#[test]
fn useless_slots_are_made_anew() {
    let with = |row: SlotRow| move |it: &mut Situation| it.server.slots = vec![row, physical("c", 1)];
    check("a", with(SlotRow { lost: true, ..physical("b", 1) }), "-b +b");
    check("a", with(SlotRow { restart_lsn: None, ..physical("b", 1) }), "-b +b");
    check("a", with(logical("b", 1)), "-b +b");
    check("a", with(SlotRow { lost: true, active: true, ..physical("b", 1) }), "");
    // Who streams through it may let it keep rows; elsewhere nobody takes that back.
    let keeping = || SlotRow { keeps_rows: true, ..physical("b", 1) };
    check("a", with(keeping()), "");
    check("b", with(keeping()), "-b +b");
    let other = |it: &mut Situation| {
        it.keep("cdc", true);
        let mut row = logical("cdc", 1);
        row.plugin = Some("test_decoding".into());
        it.server.slots = vec![physical("b", 1), physical("c", 1), row];
    };
    check("a", other, "-cdc +cdc");
    check("b", other, "-cdc");
}

/// SLOT-08: slots that are to last are made by the leader; physical ones on each member that could lead.
#[test]
fn lasting_slots() {
    let all = |it: &mut Situation| {
        it.keep("kept", false);
        it.keep("cdc", true);
        it.keep("a", false);
        it.keep("Not-A-Name", false);
    };
    check("a", all, "+b +c +cdc +kept");
    check("b", all, "+b +c +kept");
    let change = |change: fn(&mut Situation)| {
        move |it: &mut Situation| {
            all(it);
            it.server.slots = vec![physical("b", 1), physical("c", 1)];
            change(it);
        }
    };
    check("b", change(|it| it.settings.member_slots_ttl = Duration::ZERO), "-b -c +kept");
    check("b", change(|it| it.tag("a", "nofailover", Scalar::Bool(true))), "-b -c");
    let standby_site = |it: &mut Situation| {
        let site = StandbyCluster { host: Some("far".into()), ..StandbyCluster::default() };
        it.settings.standby_cluster = Some(site);
    };
    check("a", change(standby_site), "+kept");
    let typed = |it: &mut Situation| {
        it.settings.slots.get_mut("kept").unwrap().cluster_type = Some("standby".into());
        it.settings.slots.get_mut("cdc").unwrap().cluster_type = Some("primary".into());
    };
    check("a", change(typed), "+cdc");
}

/// SLOT-08: what is wrong with names is said, and a member's slot wins over a logical one of that name.
#[test]
fn names_that_cannot_be_kept() {
    let (view, _) = situation("a", |it| {
        it.keep("b", true);
        it.keep("c", false);
        it.keep("x-y", false);
        it.keep("cdc", true);
        it.settings.slots.get_mut("cdc").unwrap().plugin = None;
        it.cluster.members.push(member("d-1", Role::Replica));
        it.cluster.members.push(member("d.1", Role::Replica));
    });
    let complaints = slot_complaints(&view.settings, view.cluster());
    let about = ["share the slot d_1", "logical slot b", "cdc needs a database", "\"x-y\""];
    assert_eq!(complaints.len(), about.len(), "{complaints:?}");
    for (complaint, part) in complaints.iter().zip(about) {
        assert!(complaint.contains(part), "{complaint}");
    }
    check("a", |it| it.keep("b", true), "+b +c");
}

/// SLOT-11: the leader says which members' slots are kept, and a successor counts the time of the absent anew.
#[test]
fn slots_of_absent_members_are_kept_for_a_while() {
    let (mut view, mut memory) = situation("a", |it| {
        it.cluster.members.truncate(2);
        it.cluster.status.retain_slots = vec!["a".into(), "c".into(), "gone".into()];
        it.server.slots = vec![SlotRow { keeps_rows: true, ..physical("c", 7) }, physical("b", 8), physical("gone", 9)];
    });
    let status = published_status(&view, &memory).unwrap();
    assert_eq!(status.optime, Some(Lsn(100)));
    assert_eq!(status.retain_slots, ["a", "b", "c", "gone"]);
    let slots: Vec<_> = status.slots.iter().map(|(name, at)| (name.as_str(), at.0)).collect();
    assert_eq!(slots, [("a", 100), ("b", 8), ("c", 7), ("gone", 9)]);
    assert_eq!(planned(&(view.clone(), memory.clone())), "");

    let later = |view: &mut View, by: Duration| {
        view.now = NOW + by;
        view.lease = view.lease.map(|lease| LeaseView { deadline: view.now + view.settings.ttl, ..lease });
        view.store.snapshot = view.store.snapshot.take().map(|(cluster, _)| (cluster, view.now));
        let server = view.server.monitoring.value().unwrap().clone();
        view.server.monitoring = Observed::Seen { value: server, at: view.now };
    };
    later(&mut view, Duration::from_secs(1799));
    memory.absorb(&view);
    assert_eq!(planned(&(view.clone(), memory.clone())), "");
    later(&mut view, Duration::from_secs(1800));
    memory.absorb(&view);
    assert_eq!(planned(&(view.clone(), memory.clone())), "-c -gone");
    assert_eq!(published_status(&view, &memory).unwrap().retain_slots, ["a", "b"]);
    // A standby believes the leader.
    let standby = |it: &mut Situation| {
        it.cluster.members.truncate(2);
        it.cluster.status.retain_slots = vec!["c".into(), "a".into()];
        it.server.slots = vec![physical("c", 7), physical("b", 8), physical("gone", 9)];
    };
    check("b", standby, "-gone");
}

/// SLOT-08, SLOT-11, HA-03: of lasting slots the positions are published, of foreign ones nothing; before 11 there is
/// neither.
#[test]
fn what_the_leader_publishes() {
    let slots = |it: &mut Situation| {
        it.keep("cdc", true);
        it.keep("b", false);
        it.server.slots = vec![logical("cdc", 5), physical("b", 6), physical("foreign", 7)];
    };
    let (view, memory) = situation("a", slots);
    let status = published_status(&view, &memory).unwrap();
    let names: Vec<_> = status.slots.keys().map(String::as_str).collect();
    assert_eq!((names, status.retain_slots), (vec!["a", "b", "cdc"], vec!["a".to_owned()]));
    let (view, memory) = situation("a", |it| {
        slots(it);
        it.version = 100_000;
    });
    assert_eq!(published_status(&view, &memory).unwrap().slots.len(), 0);
    let (view, memory) = situation("b", slots);
    assert_eq!(published_status(&view, &memory), None);
}

/// SLOT-08, SLOT-11: a leader that gives the lock back leaves in the key what it said of its slots.
#[test]
fn what_a_leader_leaves_behind() {
    let (view, _) = situation("a", |it| it.cluster.status.slots = [("cdc".to_owned(), Lsn(40))].into());
    let said = StatusView {
        optime: Some(Lsn(90)),
        slots: [("cdc".to_owned(), Lsn(50))].into(),
        retain_slots: vec!["c".into()],
    };
    let left = parting_status(&view, Some(&said), Lsn(99));
    assert_eq!(left, StatusView { optime: Some(Lsn(99)), ..said });
    assert_eq!(parting_status(&view, None, Lsn(99)).slots["cdc"], Lsn(40));
}

/// SLOT-10: a logical slot that a standby lacks, or cannot move, is brought over; not in maintenance, not twice at once.
#[test]
fn logical_slots_are_brought_over() {
    let base = |it: &mut Situation| {
        it.keep("cdc", true);
        it.cluster.status.slots = [("cdc".to_owned(), Lsn(50))].into();
        it.server.slots = vec![physical("b", 1), physical("c", 1)];
    };
    let copies = |(view, memory): &(View, Memory)| {
        let mut memory = memory.clone();
        matches!(copy(&mut Case::new(view, &mut memory)), Some((Action::Begin(Task::CopySlots { .. }), _)))
    };
    let check = |leader: &str, change: &dyn Fn(&mut Situation), expected: bool| {
        let it = situation(leader, |it| {
            base(it);
            change(it);
        });
        assert_eq!(copies(&it), expected);
    };
    check("b", &|_| {}, true);
    check("b", &|it| it.settings.paused = true, false);
    check("b", &|it| it.cluster.status.slots.clear(), false);
    check("b", &|it| it.server.streaming_from = None, false);
    check("b", &|it| it.tag("a", "nofailover", Scalar::Bool(true)), false);
    check("b", &|it| it.cluster.members[1].role = Some(Role::Replica), false);
    check("b", &|it| it.version = 100_000, false);
    check("b", &|it| it.server.slots.push(logical("cdc", 1)), false);
    check("b", &|it| it.server.slots.push(SlotRow { lost: true, ..logical("cdc", 1) }), true);

    let (mut view, mut memory) = situation("b", base);
    view.errands.insert(ErrandKind::SyncSlots);
    assert!(!copies(&(view.clone(), memory.clone())), "slots are being made");
    view.errands.clear();
    let cdc = SlotSpec { name: "cdc".into(), logical: None };
    memory.slots.note_copies(&view, &[cdc]);
    assert!(!copies(&(view.clone(), memory.clone())), "it was just tried");
    view.now = NOW + COPY_AGAIN;
    view.store.snapshot = view.store.snapshot.take().map(|(cluster, _)| (cluster, view.now));
    assert!(copies(&(view.clone(), memory.clone())));
    if let Observed::Seen { value, .. } = &mut view.server.monitoring {
        value.slots.push(logical("cdc", 1));
    }
    memory.slots.note_broken(vec!["cdc".into()]);
    assert!(!copies(&(view.clone(), memory.clone())), "the same copy would fail the same way");
    let (cluster, at) = view.store.snapshot.take().unwrap();
    let mut cluster = (*cluster).clone();
    cluster.status.slots.insert("cdc".into(), Lsn(60));
    view.store.snapshot = Some((Arc::new(cluster), at));
    assert!(copies(&(view, memory)));
}

/// SLOT-10: a standby tells its source which rows it needs, for its own logical slots or those behind it.
#[test]
fn standbys_with_logical_slots_give_feedback() {
    let check = |change: &dyn Fn(&mut Situation), expected: bool| {
        let (view, _) = situation("b", |it| {
            it.keep("cdc", true);
            change(it);
        });
        assert_eq!(feedback_needed(&view), expected);
    };
    check(&|_| {}, true);
    check(&|it| it.settings.slots.clear(), false);
    check(&|it| it.settings.use_slots = false, false);
    check(&|it| it.tag("a", "nostream", Scalar::Bool(true)), false);
    check(&|it| it.tag("a", "nofailover", Scalar::Bool(true)), false);
    let behind = |it: &mut Situation| {
        it.tag("a", "nofailover", Scalar::Bool(true));
        it.tag("c", "replicatefrom", Scalar::Text("a".into()));
    };
    check(&behind, true);
    let circle = |it: &mut Situation| {
        it.tag("a", "replicatefrom", Scalar::Text("c".into()));
        it.tag("c", "replicatefrom", Scalar::Text("a".into()));
    };
    check(&circle, true);
}

/// SLOT-04, SLOT-05: a slot that cannot be brought in order is tried once a loop, not without a pause.
#[test]
fn what_was_tried_is_tried_again_after_a_loop() {
    let (mut view, memory) = situation("a", |_| {});
    view.slots_synced = Some((vec!["b".into(), "c".into()], NOW));
    assert_eq!(planned(&(view.clone(), memory.clone())), "");
    view.now = NOW + view.settings.loop_wait;
    let server = view.server.monitoring.value().unwrap().clone();
    view.server.monitoring = Observed::Seen { value: server, at: view.now };
    assert_eq!(planned(&(view.clone(), memory.clone())), "+b +c");
    assert_eq!(decide(&view, &mut memory.clone()).rule, 210, "the heartbeat comes first");
}
