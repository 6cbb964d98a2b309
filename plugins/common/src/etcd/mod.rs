//! What the backends for etcd's two APIs share: the section, where servers are, and how a budget is divided among them.

pub mod discovery;

mod config;
mod topology;

pub use config::{Config, PORT, SETTINGS, Srv};
pub use discovery::Way;
pub use topology::Topology;

use std::time::Duration;

/// A server gets at least this long, if the budget has it.
pub const SHARE_MIN: Duration = Duration::from_secs(1);

/// Tries that a budget is divided by: small clusters are asked again.
pub fn tries_for(servers: usize) -> usize {
    servers.max(1) * (4 - servers.clamp(1, 3))
}

/// What one of that many tries may take.
pub fn share(left: Duration, tries: usize) -> Duration {
    let tries = u32::try_from(tries.max(1)).unwrap_or(u32::MAX);
    (left / tries).max(SHARE_MIN).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ETCD-06
    #[test]
    fn a_budget_is_shared_among_servers() {
        let check = |servers: usize, budget_ms: u64, expected_ms: u64| {
            let share = share(Duration::from_millis(budget_ms), tries_for(servers));
            assert_eq!(share, Duration::from_millis(expected_ms), "{servers} servers, {budget_ms} ms");
        };
        check(1, 9000, 3000);
        check(2, 10_000, 2500);
        check(3, 9000, 3000);
        check(5, 10_000, 2000);
        check(3, 2000, 1000);
        check(3, 600, 600);
        check(0, 9000, 3000);
        check(3, 0, 0);
    }
}
