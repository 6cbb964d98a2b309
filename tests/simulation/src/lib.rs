//! Whole clusters in a modelled world: the real decisions of every member against modelled servers, a modelled store
//! and a modelled network, in virtual time, all from one seed. What must hold is checked at every step.
//!
//! It knows the pure core and nothing else of the product.

mod acting;
mod calls;
mod check;
mod clock;
mod daemon;
mod errands;
mod faults;
mod log;
mod mutant;
mod plan;
mod replication;
mod server;
mod sheet;
mod site;
mod statistics;
mod store;
mod tasks;
mod world;

pub use mutant::Mutant;
pub use plan::{Change, Fault, Kind, Plan};
pub use sheet::Sheet;
pub use statistics::Statistics;

use regent_core::model::{Moment, SynchronousMode, Tags};
use std::time::Duration;
use world::World;

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happened that must not; nothing, it is hoped.
    pub violation: Option<String>,
    /// What happened how often.
    pub statistics: Statistics,
    /// The story, where it was asked for.
    pub story: Vec<String>,
}

/// Runs a plan to its end: until everything is healed, and then for as long as a cluster may take to serve again.
pub fn run(plan: &Plan, mutant: Option<Mutant>, tell: bool) -> Outcome {
    let mut world = World::new(plan.clone(), mutant, tell);
    let start = world.now.0;
    let healed = start + plan.healed_at();
    let end = healed + patience(plan);
    world.run_until(Moment(end));
    world.now = world.now.max(Moment(start));
    let silent = end.saturating_sub(world.checks.last_acknowledged.0);
    let loop_wait = u64::try_from(world.store.dynamic.loop_wait.as_millis()).unwrap_or(0);
    if world.store.dynamic.site {
        if !world.follows_remote() && !may_stay_behind(plan, &world) {
            world.checks.fail(|| "6: the standby cluster does not follow the other one, all being well".to_owned());
        }
    } else if silent > loop_wait + 2_000 && !may_stay_silent(plan, &world) {
        world.checks.fail(|| format!("6: nothing was acknowledged in the last {silent} ms, all having been well"));
    }
    world.statistics.twins = u64::from(world.has_twins());
    world.tell_how_it_stands();
    world.statistics.worlds = 1;
    world.statistics.simulated = world.now.0 - start;
    Outcome { violation: world.checks.violation, statistics: world.statistics, story: world.story.unwrap_or_default() }
}

/// Where a disk is lost or wiped, those who remain may lack commits, or not know that they have them all: then nobody
/// leads until an operator says so, and that is right. The same goes for a member that an operator forced to lead though
/// it was too far behind, if it is lost before it has published its own position.
///
/// And a strict cluster waits for a standby that left its leader's history, or does not want to be one, where nothing
/// allows to mend it (a rewind may also have been cut off for good), or nothing shows it: both are on timelines of one
/// number.
fn may_stay_silent(plan: &Plan, world: &World) -> bool {
    let settings = world.store.dynamic.over(&plan.settings);
    let promised = settings.synchronous_mode != SynchronousMode::Off;
    let mends = settings.use_pg_rewind || settings.remove_data_directory_on_diverged_timelines;
    let wiped = plan.faults.iter().any(|fault| matches!(fault.kind, Kind::LoseDisk(_) | Kind::Reinitialize(_)));
    let unwilling = |tags: &&Tags| tags.nosync() || tags.nostream() || tags.replicatefrom().is_some();
    let alone = plan.tags.iter().filter(unwilling).count() + 1 >= plan.members;
    let forced = plan.faults.iter().any(|fault| matches!(fault.kind, Kind::Failover(_)));
    // Promoted before what was rewound to the other cluster was whole: nobody sends the rest any more.
    let lacking = (0..plan.members).any(|node| world.lacks_log(node));
    let spoilt = world.has_half_rewound() && !world.somebody_is_near();
    let unready = lacking || spoilt || !world.somebody_is_whole();
    let promoted = plan.settings.standby_cluster.is_some() && unready;
    let gone = settings.check_timeline && !world.somebody_is_of_the_timeline();
    (settings.synchronous_mode_strict && (!mends || alone || world.has_twins() || world.has_half_rewound()))
        || wiped && promised
        || promoted
        || gone
        || wiped && !world.somebody_is_named()
        || (wiped || forced) && !world.somebody_has_the_last_commit()
}

/// A standby cluster that left the other one's history, where there is no pg_rewind (nothing is made anew for that); or
/// where those that may lead have no data that a server can run on, or lack too much of what the last leader had.
fn may_stay_behind(plan: &Plan, world: &World) -> bool {
    let left = world.checks.promotions > 0 || plan.faults.iter().any(|fault| fault.kind == Kind::RemoteFailsOver);
    let wiped = plan.faults.iter().any(|fault| matches!(fault.kind, Kind::LoseDisk(_) | Kind::Reinitialize(_)));
    let lost = wiped || world.has_half_rewound();
    let unable = lost && !world.somebody_is_near() || wiped && !world.somebody_is_named() || !world.somebody_is_whole();
    left && !plan.settings.use_pg_rewind || unable
}

/// Milliseconds after which a cluster without faults serves again: a lease has to end, the store to be read, a race to
/// be run, servers to be started, compared, rewound or cloned. A word that was given is kept for a ttl.
fn patience(plan: &Plan) -> u64 {
    let settings = &plan.settings;
    let time = settings.ttl + settings.loop_wait * 4 + settings.retry_timeout * 3;
    let changed = plan.faults.iter().map(|fault| match fault.kind {
        Kind::Configure(Change::Timing(ttl, loop_wait, retry)) => ttl + loop_wait * 4 + retry * 3,
        Kind::Configure(Change::Failsafe(true)) => 30,
        _ => 0,
    });
    let site = if settings.standby_cluster.is_some() { Duration::from_secs(60) } else { Duration::ZERO };
    let word = if settings.failsafe_mode { settings.ttl } else { Duration::ZERO };
    u64::try_from((time + site + word).as_millis()).unwrap_or(0) + changed.sum::<u64>() * 1_000 + 40_000
}

/// The smallest part of a plan that still goes wrong in the same way.
pub fn shrink(plan: &Plan, mutant: Option<Mutant>) -> Plan {
    let same = |plan: &Plan| run(plan, mutant, false).violation.map(|text| text.chars().next());
    let wanted = same(plan);
    let mut smallest = plan.clone();
    let mut index = 0;
    while index < smallest.faults.len() {
        let mut smaller = smallest.clone();
        smaller.faults.remove(index);
        if wanted.is_some() && same(&smaller) == wanted {
            smallest = smaller;
        } else {
            index += 1;
        }
    }
    smallest
}
