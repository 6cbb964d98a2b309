//! Health checks: how many, how fast, at whose cost.

use crate::bed::Bed;
use crate::load::{self, Connection};
use crate::metric::{self, Metric};
use crate::results::Results;
use crate::statistics::Statements;
use crate::usage;
use anyhow::{Context, Result};
use regent_harness::Node;
use std::time::Duration;

/// How long each check is asked for: enough for processor time, which is counted in hundredths of a second.
const PERIOD: Duration = Duration::from_secs(2);
/// How long while the server logs each statement, which takes time of its own.
const COUNTED: Duration = Duration::from_millis(500);

/// One check, and what is kept of it.
struct Check {
    path: &'static str,
    connection: Connection,
    rate: &'static Metric,
    cpu: &'static Metric,
    percentiles: Option<(&'static Metric, &'static Metric)>,
    sql: Option<&'static Metric>,
}

const CHECKS: [Check; 5] = [
    Check {
        path: "/primary",
        connection: Connection::New,
        rate: metric::PRIMARY_RATE,
        cpu: metric::PRIMARY_CPU,
        percentiles: Some((metric::PRIMARY_P50, metric::PRIMARY_P99)),
        sql: Some(metric::PRIMARY_SQL),
    },
    Check {
        path: "/primary",
        connection: Connection::Kept,
        rate: metric::KEPT_RATE,
        cpu: metric::KEPT_CPU,
        percentiles: Some((metric::KEPT_P50, metric::KEPT_P99)),
        sql: None,
    },
    Check {
        path: "/replica",
        connection: Connection::New,
        rate: metric::REPLICA_RATE,
        cpu: metric::REPLICA_CPU,
        percentiles: None,
        sql: None,
    },
    Check {
        path: "/patroni",
        connection: Connection::New,
        rate: metric::STATUS_RATE,
        cpu: metric::STATUS_CPU,
        percentiles: None,
        sql: None,
    },
    Check {
        path: "/metrics",
        connection: Connection::New,
        rate: metric::METRICS_RATE,
        cpu: metric::METRICS_CPU,
        percentiles: None,
        sql: None,
    },
];

/// Asks for each check in turn.
///
/// # Errors
/// When an answer is not 200.
pub async fn run(bed: &Bed, rounds: usize, results: &mut Results) -> Result<()> {
    let leader = bed.leader().await?;
    let replica = bed.cluster.others(&leader.name).next().context("there is a replica")?;
    for _ in 0..rounds {
        for check in &CHECKS {
            let node = if check.path == "/replica" { replica } else { leader };
            measure(bed, node, check, results).await?;
        }
    }
    Ok(())
}

async fn measure(bed: &Bed, node: &Node, check: &Check, results: &mut Results) -> Result<()> {
    let port = node.layout.rest_port;
    let before = usage::read(node)?;
    let load = load::run(port, check.path, check.connection, PERIOD).await?;
    let cpu = usage::read(node)?.cpu - before.cpu;
    let mut add = |metric, value| results.add(bed.system, bed.timing, metric, value);
    add(check.rate, load.rate())?;
    add(check.cpu, cpu * 1e3 / load.count())?;
    if let Some((half, most)) = check.percentiles {
        add(half, load.within(50))?;
        add(most, load.within(99))?;
    }
    if let Some(sql) = check.sql {
        let statements = Statements::log([node]).await?;
        let load = load::run(port, check.path, check.connection, COUNTED).await?;
        let given: f64 = statements.count().await?.iter().sum();
        results.add(bed.system, bed.timing, sql, given / load.count())?;
    }
    Ok(())
}
