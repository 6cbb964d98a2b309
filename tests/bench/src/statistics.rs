//! How many statements a server is given: it logs each of them, and its log is counted.
//!
//! Its statistics would not do. A session of PostgreSQL 15 reports its transactions only together with something else
//! that it has to report, such as a table that it read.

use anyhow::Result;
use regent_harness::{Node, wait};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);

/// Some servers that log every statement.
pub struct Statements<'a> {
    /// Each with the length of its log when it began.
    nodes: Vec<(&'a Node, usize)>,
}

impl<'a> Statements<'a> {
    /// Begins to log on all of these.
    ///
    /// # Errors
    /// When a server does not.
    pub async fn log(nodes: impl IntoIterator<Item = &'a Node>) -> Result<Self> {
        let nodes: Vec<&Node> = nodes.into_iter().collect();
        for node in &nodes {
            node.sql("ALTER SYSTEM SET log_statement = 'all'").await?;
            node.sql("SELECT pg_reload_conf()").await?;
        }
        for node in &nodes {
            wait::until("a server that logs statements", DEADLINE, async || {
                let level = node.sql_value("SHOW log_statement").await.map_err(|error| format!("{error:#}"))?;
                if level == "all" { Ok(()) } else { Err(level) }
            })
            .await?;
        }
        Ok(Self { nodes: nodes.into_iter().map(|node| (node, node.log().len())).collect() })
    }

    /// How many statements each was given since, in the same order. Nothing is logged any more.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn count(self) -> Result<Vec<f64>> {
        let counts = self.nodes.iter().map(|(node, begun)| count(node.log().get(*begun..).unwrap_or_default()) as f64);
        let counts = counts.collect();
        for (node, _) in &self.nodes {
            node.sql("ALTER SYSTEM RESET log_statement").await?;
            node.sql("SELECT pg_reload_conf()").await?;
        }
        Ok(counts)
    }
}

/// The first lines of what `log_statement` writes for a statement, whichever way it was sent.
fn count(log: &str) -> usize {
    log.lines().filter(|line| line.contains("LOG:  statement: ") || line.contains("LOG:  execute ")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_once() {
        let log = "2026-01-02 03:04:05.678 UTC [12] LOG:  statement: SELECT 1\n\
                   2026-01-02 03:04:05.678 UTC [12] LOG:  execute <unnamed>: SELECT $1,\n\
                   \t'LOG: statement: not this'\n\
                   2026-01-02 03:04:05,679 INFO: no action\n";
        assert_eq!(count(log), 2);
    }
}
