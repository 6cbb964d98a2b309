//! One shot of a drill in the suite: a whole node that stops and goes on when another leads.

use anyhow::{Result, ensure};
use regent_faults::drill::options::Options;
use regent_faults::drill::{Drill, run};

/// Where commits wait for a standby, nothing that a node acknowledges after it went on is lost.
///
/// DESIGN §3 invariants 1 and 2, with real servers.
#[test]
fn a_thawed_node_acknowledges_nothing_that_is_lost() -> Result<()> {
    let options = Options {
        drills: vec![Drill::NodeThawedSync],
        shots: Some(1),
        jobs: 1,
        ttl: 8,
        label: String::new(),
        report: false,
    };
    let shots = run::run(&options)?;
    let [shot] = shots.as_slice() else { panic!("one shot was asked for") };
    ensure!(shot.violations.is_empty(), "{}", shot.line());
    ensure!(shot.lost == 0 && shot.after == 0 && shot.acknowledged > 0, "{}", shot.line());
    Ok(())
}
