//! Each store in turn: what a daemon needs with its backend, and what a loop costs the store, while nothing happens. A
//! store that is not on this machine is left out, and that is said.

use crate::bed::{HEALTHY, LOOPS};
use crate::metric::{self, Metric};
use crate::results::Results;
use crate::system::{System, Timing, on};
use crate::usage;
use anyhow::Result;
use regent_harness::{Consul, Dcs, Kubernetes, ZooKeeper};
use std::time::{Duration, Instant};

/// To come to rest.
const REST: Duration = Duration::from_secs(10);

/// A store, and what is measured on it.
struct Store {
    dcs: Dcs,
    is_here: fn() -> bool,
    resident: &'static Metric,
    requests: Option<&'static Metric>,
}

const STORES: [Store; 6] = [
    Store { dcs: Dcs::Local, is_here: || true, resident: metric::STORES_LOCAL_RSS, requests: None },
    Store { dcs: Dcs::Etcd, is_here: || true, resident: metric::STORES_ETCD_RSS, requests: Some(metric::STORES_ETCD) },
    Store {
        dcs: Dcs::Etcd3,
        is_here: || true,
        resident: metric::STORES_ETCD3_RSS,
        requests: Some(metric::STORES_ETCD3),
    },
    Store {
        dcs: Dcs::Consul,
        is_here: || Consul::program().is_some(),
        resident: metric::STORES_CONSUL_RSS,
        requests: Some(metric::STORES_CONSUL),
    },
    Store {
        dcs: Dcs::ZooKeeper,
        is_here: || ZooKeeper::archive().is_some(),
        resident: metric::STORES_ZOOKEEPER_RSS,
        requests: Some(metric::STORES_ZOOKEEPER),
    },
    Store {
        dcs: Dcs::Kubernetes,
        is_here: Kubernetes::is_built,
        resident: metric::STORES_KUBERNETES_RSS,
        requests: Some(metric::STORES_KUBERNETES),
    },
];

/// Plays it.
///
/// # Errors
/// When a cluster does not come up.
pub async fn run(system: System, timing: Timing, results: &mut Results) -> Result<()> {
    if system == System::Patroni {
        return Ok(());
    }
    for store in STORES {
        if (store.is_here)() {
            measure(&store, system, timing, results).await?;
        } else {
            eprintln!("{:?} is not on this machine and is left out", store.dcs);
        }
    }
    Ok(())
}

async fn measure(store: &Store, system: System, timing: Timing, results: &mut Results) -> Result<()> {
    let cluster = on(store.dcs, timing).start().await?;
    let leader = cluster.wait_healthy(HEALTHY).await?;
    // pace: the cluster comes to rest
    tokio::time::sleep(REST).await;
    let (begun, before) = (Instant::now(), cluster.store_requests().await?);
    // pace: the interval that is measured
    tokio::time::sleep(Duration::from_secs(timing.loop_wait * LOOPS)).await;
    let after = cluster.store_requests().await?;
    let turns = begun.elapsed().as_secs_f64() / timing.loop_wait as f64 * cluster.nodes.len() as f64;
    results.add(system, timing, store.resident, usage::read(leader)?.resident)?;
    if let (Some(metric), Some(before), Some(after)) = (store.requests, before, after) {
        results.add(system, timing, metric, (after - before) / turns)?;
    }
    cluster.finish().await
}
