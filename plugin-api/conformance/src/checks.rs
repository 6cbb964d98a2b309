//! All checks, in the order in which they run.

mod faults;
mod frozen;
mod life;
mod lock;
mod process;
mod slow;
mod watch;
mod writes;

use crate::context::{Context, Verdict};

type Check = fn(&Context) -> Verdict;

/// Name and check.
pub(crate) const ALL: &[(&str, Check)] = &[
    ("check-config", life::check_config),
    ("cas", writes::cas),
    ("values", writes::values),
    ("unknown-key-kind", writes::unknown_key_kind),
    ("member-isolation", writes::member_isolation),
    ("neighbour-scope", writes::neighbour_scope),
    ("mutual-exclusion", lock::mutual_exclusion),
    ("reentrant-acquire", lock::reentrant_acquire),
    ("release-own-only", lock::release_own_only),
    ("ttl-expiry", lock::ttl_expiry),
    ("expired-lease", lock::expired_lease),
    ("set-ttl", lock::set_ttl),
    ("frozen-holder", frozen::frozen_holder),
    ("snapshot-consistency", lock::snapshot_consistency),
    ("watch", watch::watch),
    ("cancel", watch::cancel),
    ("reload", life::reload),
    ("close", life::close),
    ("leaks", process::leaks),
    ("side-effects", process::side_effects),
    ("server-loss", faults::server_loss),
    ("budget", faults::budget),
    ("unknown-outcome", faults::unknown_outcome),
    ("slow-server", slow::slow_server),
    ("half-open", slow::half_open),
];

/// The names of all checks.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).collect()
}
