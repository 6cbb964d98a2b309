//! What happens in one world: settings, faults and operators' wishes, all drawn from the seed.

use fastrand::Rng;
use regent_core::model::{FenceMode, Moment, Scalar, Settings, SynchronousMode, Tags};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Something that happens to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The postmaster dies with all its processes.
    KillPostmaster(usize),
    /// The daemon dies; it is started again at the end.
    KillDaemon(usize),
    /// The daemon stands still.
    FreezeDaemon(usize),
    /// Everything on the machine dies; it comes back at the end.
    KillNode(usize),
    /// The machine stands still.
    FreezeNode(usize),
    /// The machine comes back with an empty disk.
    LoseDisk(usize),
    /// The store answers nobody.
    StoreAway,
    /// The store does not answer this one.
    CutFromStore(usize),
    /// Two machines do not reach each other.
    Part(usize, usize),
    /// A machine reaches nobody, not even the store.
    Isolate(usize),
    /// Some requests to the store, or their answers, get lost.
    Lossy,
    /// The log comes to this machine slowly.
    SlowLink(usize),
    /// A fast stop of this server does not end by itself.
    HangingStop(usize),
    /// The lock's key is removed by hand.
    RemoveLock,
    /// An operator asks for a switchover, to this member or any, in so many milliseconds where that is not 0.
    Switchover(Option<usize>, u64),
    /// An operator asks for a failover to this member.
    Failover(usize),
    /// An operator puts the cluster into maintenance; at the end out of it.
    Pause,
    /// An operator restarts a server.
    Restart(usize),
    /// An operator makes a member anew.
    Reinitialize(usize),
    /// A daemon is told to end; it is started again at the end.
    StopDaemon(usize),
    /// What is written on this machine stays in memory for long.
    SlowDisk(usize),
    /// The machine stands still, and its clocks with it: when it goes on it knows of nothing.
    Suspend(usize),
    /// A wall clock is set, by so many milliseconds.
    SetClock(usize, i64),
    /// The cluster that this one follows can not be reached.
    RemoteAway,
    /// Another server takes over there, without the last records.
    RemoteFailsOver,
    /// An operator changes the dynamic configuration.
    Configure(Change),
}

/// What operators change in the dynamic configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `synchronous_mode`, and `synchronous_mode_strict`.
    Mode(SynchronousMode, bool),
    /// `synchronous_node_count`.
    Count(u32),
    /// `ttl`, `loop_wait` and `retry_timeout`, in seconds.
    Timing(u64, u64, u64),
    /// `maximum_lag_on_failover`.
    Lag(u64),
    /// `failsafe_mode`.
    Failsafe(bool),
    /// `standby_cluster`: it is demoted to follow the other one, or promoted.
    Site(bool),
}

impl Kind {
    /// Its name in the counts.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::KillPostmaster(..) => "kill postmaster",
            Kind::KillDaemon(..) => "kill daemon",
            Kind::FreezeDaemon(..) => "freeze daemon",
            Kind::KillNode(..) => "kill node",
            Kind::FreezeNode(..) => "freeze node",
            Kind::LoseDisk(..) => "lose disk",
            Kind::StoreAway => "store away",
            Kind::CutFromStore(..) => "cut from store",
            Kind::Part(..) => "part",
            Kind::Isolate(..) => "isolate",
            Kind::Lossy => "lossy",
            Kind::SlowLink(..) => "slow link",
            Kind::HangingStop(..) => "hanging stop",
            Kind::RemoveLock => "remove lock",
            Kind::Switchover(..) => "switchover",
            Kind::Failover(..) => "failover",
            Kind::Pause => "pause",
            Kind::Restart(..) => "restart",
            Kind::Reinitialize(..) => "reinitialize",
            Kind::StopDaemon(..) => "stop daemon",
            Kind::SlowDisk(..) => "slow disk",
            Kind::Suspend(..) => "suspend",
            Kind::SetClock(..) => "set clock",
            Kind::RemoteAway => "remote away",
            Kind::RemoteFailsOver => "remote fails over",
            Kind::Configure(change) => change.name(),
        }
    }
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Change::Mode(..) => "configure mode",
            Change::Count(_) => "configure count",
            Change::Timing(..) => "configure timing",
            Change::Lag(_) => "configure lag",
            Change::Failsafe(_) => "configure failsafe",
            Change::Site(true) => "demote cluster",
            Change::Site(false) => "promote cluster",
        }
    }
}

/// When, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Milliseconds from the beginning.
    pub at: u64,
    /// Milliseconds.
    pub lasts: u64,
    /// What.
    pub kind: Kind,
}

/// One world's plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of everything that is left to chance.
    pub seed: u64,
    /// How many members.
    pub members: usize,
    /// What all share.
    pub settings: Settings,
    /// What each member's tags are.
    pub tags: Vec<Tags>,
    /// So many millionths each member's clock is fast.
    pub clocks: Vec<i64>,
    /// What happens.
    pub faults: Vec<Fault>,
}

/// When a world begins.
pub const START: u64 = 1_000;

/// The cluster has come up by then.
const CALM: u64 = 15_000;

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let members = if rng.u8(..4) == 0 { 2 } else { 3 };
        let mut settings = settings(&mut rng);
        let count = rng.usize(1..=5);
        let mut faults: Vec<Fault> = (0..count).map(|_| fault(&mut rng, members, &settings)).collect();
        settings.failsafe_mode = rng.u8(..3) == 0;
        if settings.failsafe_mode && rng.bool() {
            faults.push(during(&mut rng, &settings, Kind::StoreAway));
        }
        if rng.u8(..4) == 0 {
            let changes = rng.usize(1..=3);
            faults.extend((0..changes).map(|_| {
                let change = Kind::Configure(change(&mut rng));
                during(&mut rng, &settings, change)
            }));
        }
        follow_another(seed, &mut settings, &mut faults);
        faults.sort_by_key(|fault| fault.at);
        let mut disks = 1;
        faults.retain(|fault| !matches!(fault.kind, Kind::LoseDisk(_)) || std::mem::replace(&mut disks, 0) == 1);
        let (tags, clocks) = (tags(&mut rng, members), (0..members).map(|_| rng.i64(-300..=300)).collect());
        Plan { seed, members, settings, tags, clocks, faults }
    }

    /// When the last fault is over.
    pub fn healed_at(&self) -> u64 {
        self.faults.iter().map(|fault| fault.at + fault.lasts).max().unwrap_or(0).max(CALM)
    }

    /// The same as a moment of the world.
    pub fn healed(&self) -> Moment {
        Moment(START + self.healed_at())
    }

    /// Members' names.
    pub fn names(&self) -> Vec<String> {
        ["a", "b", "c"].into_iter().take(self.members).map(str::to_owned).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(
            f,
            "seed {}: {} members, ttl {} s, loop_wait {} s, retry_timeout {} s, synchronous {:?}{}, maximum lag {}, \
             primary_start_timeout {} s",
            self.seed,
            self.members,
            settings.ttl.as_secs(),
            settings.loop_wait.as_secs(),
            settings.retry_timeout.as_secs(),
            settings.synchronous_mode,
            if settings.synchronous_mode_strict { " strict" } else { "" },
            settings.maximum_lag_on_failover,
            settings.primary_start_timeout.as_secs(),
        )?;
        if settings.standby_cluster.is_some() {
            writeln!(f, "  standby_cluster")?;
        }
        if settings.failsafe_mode {
            writeln!(f, "  failsafe_mode")?;
        }
        for (name, tags) in self.names().iter().zip(&self.tags).filter(|(_, tags)| !tags.raw.is_empty()) {
            writeln!(f, "  {name}: {:?}", tags.raw)?;
        }
        for fault in &self.faults {
            writeln!(f, "  at {:>6} ms for {:>6} ms: {:?}", fault.at, fault.lasts, fault.kind)?;
        }
        Ok(())
    }
}

/// `ttl`, `loop_wait` and `retry_timeout`, in seconds.
const TIMINGS: [(u64, u64, u64); 5] = [(30, 10, 10), (20, 2, 3), (20, 5, 5), (10, 2, 3), (5, 1, 1)];

const MODES: [SynchronousMode; 3] = [SynchronousMode::Off, SynchronousMode::On, SynchronousMode::Quorum];

fn during(rng: &mut Rng, settings: &Settings, kind: Kind) -> Fault {
    let longest = u64::try_from(settings.ttl.as_millis()).unwrap_or(0) * 2;
    Fault { at: rng.u64(CALM..CALM + 30_000), lasts: rng.u64(100..longest), kind }
}

/// One world in twelve begins as a standby cluster. Its chance is its own: the other worlds are what they were before.
fn follow_another(seed: u64, settings: &mut Settings, faults: &mut Vec<Fault>) {
    let mut rng = Rng::with_seed(seed ^ 0x27d4_eb2f_1656_67c5);
    if rng.u8(..12) != 0 {
        return;
    }
    settings.standby_cluster = Some(crate::site::address());
    for _ in 0..rng.usize(1..=3) {
        let kind = match rng.u8(..6) {
            0..=1 => Kind::RemoteAway,
            2 => Kind::RemoteFailsOver,
            3..=4 => Kind::Configure(Change::Site(false)),
            _ => Kind::Configure(Change::Site(true)),
        };
        faults.push(during(&mut rng, settings, kind));
    }
}

fn change(rng: &mut Rng) -> Change {
    match rng.u8(..8) {
        0..=3 => Change::Mode(MODES[rng.usize(..MODES.len())], rng.u8(..3) == 0),
        4 => Change::Count(rng.u32(1..=2)),
        5 => {
            let (ttl, loop_wait, retry_timeout) = TIMINGS[rng.usize(..TIMINGS.len())];
            Change::Timing(ttl, loop_wait, retry_timeout)
        }
        6 => Change::Lag(if rng.bool() { 1_048_576 } else { 2_000 }),
        _ => Change::Failsafe(rng.bool()),
    }
}

/// One member in six worlds of ten has some tag; in each world somebody may lead.
fn tags(rng: &mut Rng, members: usize) -> Vec<Tags> {
    let mut tags = vec![Tags::default(); members];
    for _ in 0..rng.usize(..4).saturating_sub(1) {
        let member = rng.usize(..members);
        let number = Scalar::Integer(rng.i64(0..=3));
        let (name, value) = match rng.u8(..8) {
            0..=1 => ("nofailover", Scalar::Bool(true)),
            2 => ("failover_priority", number),
            3 => ("nosync", Scalar::Bool(true)),
            4 => ("sync_priority", number),
            5 => ("clonefrom", Scalar::Bool(true)),
            6 => ("nostream", Scalar::Bool(true)),
            _ => ("replicatefrom", Scalar::Text(["a", "b", "c"][rng.usize(..members)].to_owned())),
        };
        let mut changed = tags[member].clone();
        changed.raw.retain(|(known, _)| known != name);
        changed.raw.push((name.to_owned(), value));
        let before = std::mem::replace(&mut tags[member], changed);
        if tags.iter().all(|tags| tags.nofailover() || tags.nostream()) {
            tags[member] = before;
        }
    }
    tags
}

fn settings(rng: &mut Rng) -> Settings {
    let (ttl, loop_wait, retry_timeout) = TIMINGS[rng.usize(..TIMINGS.len())];
    let use_pg_rewind = rng.u8(..5) != 0;
    let synchronous_mode = MODES[rng.usize(..MODES.len())];
    Settings {
        name: String::new(),
        scope: "world".into(),
        ttl: Duration::from_secs(ttl),
        loop_wait: Duration::from_secs(loop_wait),
        retry_timeout: Duration::from_secs(retry_timeout),
        maximum_lag_on_failover: if rng.bool() { 1_048_576 } else { 2_000 },
        maximum_lag_on_syncnode: None,
        max_timelines_history: None,
        check_timeline: rng.bool(),
        primary_start_timeout: Duration::from_secs([300, 0, 3][rng.usize(..3)]),
        primary_stop_timeout: None,
        primary_race_backoff: Duration::ZERO,
        synchronous_mode,
        synchronous_mode_strict: synchronous_mode != SynchronousMode::Off && rng.u8(..3) == 0,
        synchronous_node_count: 1,
        failsafe_mode: false,
        paused: false,
        use_slots: false,
        use_pg_rewind,
        remove_data_directory_on_rewind_failure: rng.bool(),
        remove_data_directory_on_diverged_timelines: rng.bool(),
        member_slots_ttl: Duration::from_secs(1800),
        slots: BTreeMap::new(),
        ignore_slots: Vec::new(),
        standby_cluster: None,
        guard: FenceMode::Automatic,
        watchdog: FenceMode::Off,
        may_bootstrap: true,
        custom_bootstrap: false,
        clones_without_source: false,
        tags: Tags::default(),
    }
}

fn fault(rng: &mut Rng, members: usize, settings: &Settings) -> Fault {
    let one = rng.usize(..members);
    let other = (one + rng.usize(1..members)) % members;
    let kind = match rng.u8(..28) {
        0..=2 => Kind::KillPostmaster(one),
        3 => Kind::KillDaemon(one),
        4..=5 => Kind::FreezeDaemon(one),
        6..=7 => Kind::KillNode(one),
        8 => Kind::FreezeNode(one),
        9 => Kind::LoseDisk(one),
        10 => Kind::StoreAway,
        11 => Kind::CutFromStore(one),
        12 => Kind::Part(one, other),
        13 => Kind::Isolate(one),
        14..=15 => Kind::Lossy,
        16 => Kind::HangingStop(one),
        17 => Kind::RemoveLock,
        18..=19 => {
            let later = if rng.u8(..3) == 0 { rng.u64(500..15_000) } else { 0 };
            Kind::Switchover(if rng.bool() { Some(one) } else { None }, later)
        }
        20 => Kind::Pause,
        21 => Kind::Restart(one),
        22 => Kind::StopDaemon(one),
        23 => Kind::SlowLink(one),
        24 => Kind::SlowDisk(one),
        25 => Kind::Suspend(one),
        26 => Kind::SetClock(one, rng.i64(-20_000..20_000)),
        _ if rng.bool() => Kind::Reinitialize(one),
        _ => Kind::Failover(one),
    };
    during(rng, settings, kind)
}
