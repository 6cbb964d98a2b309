//! One round of faults in the suite: a synchronous cluster on etcd loses nothing that it acknowledged.

use anyhow::{Result, ensure};
use regent_faults::options::{Mode, Options};
use regent_faults::{run, summary};

/// SYNC-01, DESIGN §3 invariants 1 and 2, with real servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_cluster_loses_nothing() -> Result<()> {
    let options = Options { rounds: 1, seed: 4, modes: vec![Mode::Sync], faults: 3 };
    let totals = run::run(&options).await?;
    let [total] = totals.as_slice() else { panic!("one mode was asked for") };
    ensure!(total.violations.is_empty(), "{:#?}", total.violations);
    ensure!(total.sum.lost == 0 && total.sum.doubly_accepted == 0);
    ensure!(total.sum.acknowledged > 0 && !total.sum.faults.is_empty(), "{}", summary::render(&totals));
    Ok(())
}
